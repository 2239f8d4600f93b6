"""How runs learned: accuracy over steps and over time, and time to an accuracy."""

import dataclasses
import math
from collections.abc import Mapping

from lra_fnet.report.boards import Board
from lra_fnet.report.cells import Cell
from lra_fnet.report.grids import Grid, Plot, Series, band
from lra_fnet.report.machines import same_machine
from lra_fnet.report.words import NONE, percent, short, title

CURVE = "curves.validation"
WAY = 0.9  # of the way from the worst first to the best accuracy: "has learned it"
LEAST_RISE = 2.0  # points; a column that rose by less has learned nothing


def curve(cell: Cell) -> Series:
    """Return the mean validation accuracy over steps, with its range over seeds.

    Only steps that all seeds have; no points where a result has no curve.
    """
    tables = [
        {point["step"]: 100 * point["accuracy"] for point in run.get(CURVE, [])}
        for run in cell.runs
    ]
    steps = sorted(set.intersection(*map(set, tables)))
    columns = [[table[step] for table in tables] for step in steps]
    return Series(
        cell.row,
        steps,
        [sum(column) / len(column) for column in columns],
        [min(column) for column in columns],
        [max(column) for column in columns],
    )


def plots(board: Board, task: str, name: str) -> list[Plot]:
    """Return the curves of a column: over steps, and over time on one machine."""
    cells = [*board.column(task).values()]
    over_steps = [s for s in map(curve, cells) if s.x]
    if not over_steps:
        return []
    heading = f"{title(task)}: validation accuracy"
    over_steps, note = band(over_steps, "The band is the range of the seeds.")
    note = f"Mean over seeds. {note}".strip()
    steps, accuracy = "training steps", "accuracy, %"
    found = [Plot(f"{name}-steps", heading, steps, accuracy, over_steps, note=note)]
    timed, machine = same_machine(cells)
    over_time, _ = band([s for s in map(_over_minutes, timed) if s.x], "")
    if over_time:
        minutes = "minutes of training, without compilation and evaluation"
        heading += " against time"
        note = f"On {machine}."
        found.append(
            Plot(f"{name}-time", heading, minutes, accuracy, over_time, note=note)
        )
    return found


@dataclasses.dataclass(frozen=True)
class Race:
    """Hold how many minutes of training each row of a column took to learn its task.

    Attributes:
      task: the column.
      goal: the validation accuracy to reach, in percent.
      minutes: by row; None where it was not reached.
      machine: what all of them ran on.
    """

    task: str
    goal: float
    minutes: Mapping[str, float | None]
    machine: str


def race(board: Board, task: str) -> Race | None:
    """Return how long each row took to learn a task; None where none has learned it.

    The accuracy to reach is 90 % of the way from the lowest first validation to the
    highest one of the column: a fixed one would be trivial or out of reach.
    """
    cells, machine = same_machine(board.column(task).values())
    lines = [line for line in map(_over_minutes, cells) if line.x]
    if not lines:
        return None
    start = min(line.y[0] for line in lines)
    rise = max(max(line.y) for line in lines) - start
    if rise < LEAST_RISE:
        return None
    goal = math.floor(10 * (start + WAY * rise)) / 10
    return Race(task, goal, {s.name: _reached(s, goal) for s in lines}, machine)


def time_to_accuracy(board: Board) -> list[Grid]:
    """Return a table of minutes to an accuracy, or none: rows mixers, columns tasks."""
    races = [found for t in board.tasks if (found := race(board, t))]
    if not races:
        return []
    header = [
        f"{title(found.task)} to {percent(found.goal / 100)} %" for found in races
    ]
    rows = [
        [row, *(_minutes(found, row) for found in races)]
        for row in board.rows
        if any(row in found.minutes for found in races)
    ]
    where = sorted({found.machine for found in races})
    note = (
        f"Validation accuracy, {WAY:.0%} of the way to the best of the column; without "
        f"compilation and evaluation. On {'; '.join(where)}."
    )
    return [Grid("Minutes of training to learn a task", ["mixer", *header], rows, note)]


def _over_minutes(cell: Cell) -> Series:
    """Return the curve of a cell over minutes of training."""
    line, rate = curve(cell), cell.mean("speed.steps_per_second")
    if not rate:
        return Series(cell.row, [], [])
    minutes = [step / rate / 60 for step in line.x]
    return Series(cell.row, minutes, line.y, line.low, line.high)


def _reached(line: Series, goal: float) -> float | None:
    """Return where a curve first reaches the goal; None if it never does."""
    return next((x for x, y in zip(line.x, line.y, strict=True) if y >= goal), None)


def _minutes(found: Race, row: str) -> str:
    """Return a row's minutes as text."""
    if row not in found.minutes:
        return NONE
    minutes = found.minutes[row]
    return "not reached" if minutes is None else short(minutes)
