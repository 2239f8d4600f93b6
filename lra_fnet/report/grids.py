"""What tables and figures are made of, whatever they show."""

import dataclasses
from collections.abc import Sequence

from configs.grid import MODELS

Numbers = Sequence[int | float]

MOST_LINES = 12  # of a figure: those of the benchmark's own table
MOST_BANDS = 4  # of a figure; more would hide the lines


@dataclasses.dataclass(frozen=True)
class Grid:
    """Hold a table of texts.

    Attributes:
      title: above it.
      header: of its columns; the first names the rows.
      rows: as many texts each as the header has.
      note: below it.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Series:
    """Hold a line of a figure, or a bubble.

    Attributes:
      name: of its row.
      x, y: its points.
      low, high: bounds of y at each point; empty where there are none.
      sizes: of its bubbles, in any unit; empty for a line.
    """

    name: str
    x: Numbers
    y: Numbers
    low: Numbers = ()
    high: Numbers = ()
    sizes: Numbers = ()


@dataclasses.dataclass(frozen=True)
class Plot:
    """Hold what a figure shows.

    Attributes:
      name: of letters, digits and hyphens; no two of a page have the same.
      title: above it, and what a screen reader says.
      x_label, y_label: with units.
      series: in the order of the legend.
      log: whether both axes are logarithmic, the horizontal one to base 2.
      note: below it.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    log: bool = False
    note: str = ""


def band(series: Sequence[Series], meaning: str) -> tuple[list[Series], str]:
    """Return lines with their bands, and what those mean; without where they are many.

    >>> lines = [Series(name, [1], [2], [1], [3]) for name in "abcde"]
    >>> band(lines[:4], "The range.")[1], band(lines, "The range.")[1]
    ('The range.', '')
    """
    if len(series) <= MOST_BANDS:
        return [*series], meaning
    return [dataclasses.replace(line, low=(), high=()) for line in series], ""


def at_most(series: Sequence[Series], most: int = MOST_LINES) -> list[Series]:
    """Return the lines that a figure has room for: the first of the grid's order.

    A row keeps its place whatever its numbers are, so figures of a page have the same.
    """
    known = {name: place for place, name in enumerate(MODELS)}
    by_place = sorted(series, key=lambda s: (known.get(s.name, len(known)), s.name))
    return by_place[:most]


def left_out(series: Sequence[Series], most: int = MOST_LINES) -> str:
    """Say which lines a figure has no room for; nothing if it shows all."""
    shown = {line.name for line in at_most(series, most)}
    others = [line.name for line in series if line.name not in shown]
    return f"Not drawn, for clearness: {', '.join(others)}." if others else ""
