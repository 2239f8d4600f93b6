"""Tables in Markdown. No JAX here."""

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""Return a Markdown table whose columns are aligned as text, too.

    A bar would end a cell, in code as well, and is escaped.

    >>> print(table(["a", "b"], [["1", "|x|"]]), end="")
    | a | b     |
    |---|-------|
    | 1 | \|x\| |
    """
    cells = [[*header], *([c.replace("|", r"\|") for c in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"
