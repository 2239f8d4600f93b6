"""Tables of the report inside documents, so that these show what was measured."""

import re
from collections.abc import Iterable

from lra_fnet.report.accuracy import AccuracyTable
from lra_fnet.report.speed import SpeedTable
from lra_fnet.report.tables import TextTable, as_markdown, short_table

MARK = r"(<!-- (accuracy|speed) (\w+) -->).*?<!-- end -->"


def with_tables(
    text: str, accuracies: Iterable[AccuracyTable], speeds: Iterable[SpeedTable]
) -> str:
    """Return a document with today's table after each of its marks.

    `<!-- accuracy RECIPE -->` is for the accuracies of a recipe, `<!-- speed TASK -->`
    for what FNet's step is compared with in turns, at the sizes of a task. A table
    ends with `<!-- end -->`.

    Raises:
      ValueError: a mark names what has not been measured.
    """
    found = ((each.rows["task"].iloc[0], each.verdicts()) for each in speeds)
    tables: dict[str, dict[str, TextTable]] = {
        "accuracy": {t.recipe: short_table(t) for t in accuracies if not t.sample},
        "speed": {task: verdicts[0] for task, verdicts in found if verdicts},
    }

    def filled(found: re.Match[str]) -> str:
        mark, kind, name = found.groups()
        if name not in tables[kind]:
            have = ", ".join(tables[kind]) or "none"
            raise ValueError(f"nothing was measured for the mark {mark}; have: {have}")
        return f"{mark}\n\n{as_markdown(tables[kind][name])}\n\n<!-- end -->"

    return re.sub(MARK, filled, text, flags=re.DOTALL)
