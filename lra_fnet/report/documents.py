"""Tables of the report inside documents, so that these show what was measured."""

import re
from collections.abc import Callable, Iterable

from lra_fnet.report.accuracy import AccuracyTable
from lra_fnet.report.load import fields_document
from lra_fnet.report.speed import SpeedTable
from lra_fnet.report.tables import as_markdown, short_table

MARK = r"accuracy \w+|speed \w+|fields"


def with_tables(
    text: str, accuracies: Iterable[AccuracyTable], speeds: Iterable[SpeedTable]
) -> str:
    """Return a document with today's table after each of its marks.

    `<!-- accuracy RECIPE -->` is for the accuracies of a recipe, `<!-- speed TASK -->`
    for what FNet's step is compared with in turns, at the sizes of a task, and
    `<!-- fields -->` for what result files declare. `<!-- end -->` ends a table.

    Raises:
      ValueError: a mark names what has not been measured.
    """
    real = [table for table in accuracies if not table.sample]
    tables = {f"accuracy {table.recipe}": short_table(table) for table in real}
    for each in speeds:
        for verdicts in each.verdicts():
            tables[f"speed {each.rows['task'].iloc[0]}"] = verdicts
    texts = {name: as_markdown(table) for name, table in tables.items()}
    texts["fields"] = fields_document()

    def table_of(name: str) -> str:
        if name not in texts:
            raise ValueError(
                f"nothing was measured for the mark <!-- {name} -->; "
                f"have: {', '.join(texts)}"
            )
        return texts[name]

    return fill_marks(text, MARK, table_of)


def fill_marks(text: str, pattern: str, table_of: Callable[[str], str]) -> str:
    """Return a document with a table after each mark, up to `<!-- end -->`.

    Args:
      text: of the document.
      pattern: of the names of the marks; NAME stands in it as `<!-- NAME -->`.
      table_of: returns the table of a name.
    """

    def filled(found: re.Match[str]) -> str:
        return f"<!-- {found[1]} -->\n\n{table_of(found[1])}\n\n<!-- end -->"

    marks = rf"<!-- ({pattern}) -->.*?<!-- end -->"
    return re.sub(marks, filled, text, flags=re.DOTALL)
