"""What stands in the places of an accuracy table, and how far each is behind."""

import dataclasses
from collections.abc import Sequence

from lra_fnet.report.boards import Board
from lra_fnet.report.cells import MARKS
from lra_fnet.report.grids import Grid
from lra_fnet.report.statistics import Estimate
from lra_fnet.report.verdicts import (
    Average,
    Verdict,
    average,
    reference,
    reference_average,
)
from lra_fnet.report.words import DASH, p_words, percent, points, title

LETTERS = dict(zip(MARKS, "abcd", strict=True))


@dataclasses.dataclass(frozen=True)
class Place:
    """Hold what stands in a place of the accuracy table, as texts.

    Attributes:
      mean, interval: percent; empty where there is no result.
      standing: "best", "tied" or "".
      marks: letters of the legend.
      published, difference: percent and points; empty without a comparable number.
      reason: why there is no number.
    """

    mean: str = ""
    interval: str = ""
    standing: str = ""
    marks: str = ""
    published: str = ""
    difference: str = ""
    reason: str = ""


def filled_place(board: Board, verdict: Verdict, row: str) -> Place:
    """Return what stands in a place that has a result."""
    cell = board.cells[row, verdict.task]
    number = reference(board, row, verdict.task)
    difference = points(cell.accuracy - number.accuracy / 100) if number else ""
    return Place(
        mean=percent(cell.accuracy),
        interval=bounds(cell.answers.estimate),
        standing=standing(verdict, row),
        marks="".join(LETTERS[mark] for mark in cell.marks),
        published=f"{number.accuracy:.2f}" if number else "",
        difference=difference,
    )


def average_place(board: Board, row: str, tasks: Sequence[str]) -> Place:
    """Return what stands in the place of a row's average."""
    found = average(board, row, tasks)
    if found is None:
        return Place(reason="not all run")
    number = reference_average(board, row, tasks)
    return Place(
        mean=percent(found.mean),
        interval=bounds(found),
        published="" if number is None else f"{number:.2f}",
        difference="" if number is None else points(found.mean - number / 100),
    )


def standing(verdict: Verdict, row: str) -> str:
    """Return whether a row is best in a column, or tied with the best."""
    if row not in verdict.top or not verdict.margins:
        return ""
    return "best" if len(verdict.top) == 1 else "tied"


def bounds(found: Average | Estimate) -> str:
    """Return an interval in percent."""
    return f"{percent(found.low)}{DASH}{percent(found.high)}"


def margins(found: Verdict) -> Grid:
    """Return the table of a column's margins."""
    rows: list[Sequence[str]] = [
        [
            margin.row,
            f"{100 * margin.difference:.1f}",
            f"{points(margin.low)} to {points(margin.high)}",
            p_words(margin.p),
            "noise could do it" if margin.tied else "yes",
            margin.test,
        ]
        for margin in found.margins
    ]
    header = ["mixer", "behind", "95 % interval", "adjusted p", "real?", "test"]
    note = "The interval is that of the pair alone; p is corrected for all pairs."
    return Grid(f"{title(found.task)}: behind {found.best}", header, rows, note)
