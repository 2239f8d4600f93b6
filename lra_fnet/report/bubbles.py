"""Accuracy against speed with memory as area, from training runs on one machine."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lra_fnet.report.boards import Board
from lra_fnet.report.cells import Cell
from lra_fnet.report.grids import Plot, Series
from lra_fnet.report.machines import same_machine
from lra_fnet.report.verdicts import FIVE, average
from lra_fnet.report.words import title

GIB = 2**30
MEMORY = "peak_memory.bytes"


def bubbles(board: Board, task: str, name: str) -> Plot | None:
    """Return accuracy against speed, memory as area; None below two cells."""
    column = board.column(task)
    heights = {row: cell.accuracy for row, cell in column.items()}
    heading = f"{title(task)}: accuracy against speed"
    return _bubbles(column, heights, Labels(name, heading, "test accuracy, %"))


def average_bubbles(board: Board, name: str) -> Plot | None:
    """Return the five-task average against the speed on Text: LRA's own picture."""
    means = {row: average(board, row, FIVE) for row in board.rows}
    heights = {row: found.mean for row, found in means.items() if found}
    column = {r: c for r, c in board.column(FIVE[1]).items() if r in heights}
    heading = f"Average of five tasks against speed on {title(FIVE[1])}"
    return _bubbles(column, heights, Labels(name, heading, "average accuracy, %"))


class Labels(NamedTuple):
    """Name a plot, its title, and its vertical axis."""

    name: str
    heading: str
    y_label: str


def _bubbles(
    column: Mapping[str, Cell], heights: Mapping[str, float], labels: Labels
) -> Plot | None:
    """Return the bubbles of the cells that one machine has run."""
    cells, machine = same_machine(column.values())
    series = []
    for cell in cells:
        speed, memory = cell.mean("speed.examples_per_second"), cell.mean(MEMORY)
        if speed and memory:
            y = [100 * heights[cell.row]]
            series.append(Series(cell.row, [speed], y, sizes=[memory / GIB]))
    if len(series) < 2:
        return None
    others = [row for row in column if row not in {s.name for s in series}]
    note = f"On {machine}. Area: peak memory, {_range([s.sizes[0] for s in series])}."
    note += f" Not measured there: {', '.join(others)}." if others else ""
    axes = "training examples per second", labels.y_label
    return Plot(labels.name, labels.heading, *axes, series, note=note)


def _range(gibibytes: Sequence[float]) -> str:
    """Return the least and the most memory."""
    return f"{min(gibibytes):.2g} to {max(gibibytes):.2g} GiB"
