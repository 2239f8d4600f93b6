"""What is better by more than noise in each column, and averages over columns."""

import dataclasses
from collections.abc import Mapping, Sequence

from lra_fnet.report.boards import PATHX, Board
from lra_fnet.report.cells import Cell
from lra_fnet.report.published import (
    GUESS,
    SOURCES,
    TASKS,
    Published,
    all_published,
    averages,
    published_rows,
)
from lra_fnet.report.statistics import (
    Part,
    all_pairs,
    difference_interval,
    half_width,
    ranks_of,
)

FIVE, SIX = TASKS[:5], TASKS


@dataclasses.dataclass(frozen=True)
class Margin:
    """Hold how far a row is behind the best of its column.

    Attributes:
      row: that is behind.
      difference: the best's accuracy less its own, in [0, 1].
      low, high: bounds of the 95 % interval of the difference.
      p: of no difference, adjusted for all pairs of the column.
      tied: whether the difference may be noise.
      test: that p is from.
    """

    row: str
    difference: float
    low: float
    high: float
    p: float
    tied: bool
    test: str


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Hold what won a column.

    Attributes:
      task: the column.
      best: the row with the highest mean.
      ranks: by row; rank 1 is the best and all that cannot be told from it.
      margins: of the other rows, the smallest first.
    """

    task: str
    best: str
    ranks: Mapping[str, int]
    margins: Sequence[Margin]

    @property
    def top(self) -> list[str]:
        """Return the best row and its ties, the best first."""
        return [self.best, *(m.row for m in self.margins if self.ranks[m.row] == 1)]


def verdict(task: str, column: Mapping[str, Cell]) -> Verdict:
    """Compare all rows of a column that has at least one."""
    answers = {row: cell.answers for row, cell in column.items()}
    pairs = all_pairs(answers)
    best = max(column, key=lambda row: column[row].accuracy)
    margins = []
    for pair in pairs:
        if best not in (pair.first, pair.second):
            continue
        other = pair.second if pair.first == best else pair.first
        low, high = difference_interval(answers[best], answers[other])
        difference = column[best].accuracy - column[other].accuracy
        test, tied = pair.comparison.test, not pair.better
        margins.append(Margin(other, difference, low, high, pair.adjusted, tied, test))
    margins.sort(key=lambda margin: margin.difference)
    return Verdict(task, best, ranks_of(answers, pairs), margins)


@dataclasses.dataclass(frozen=True)
class Average:
    """Hold a mean over tasks, in [0, 1], and its 95 % interval.

    Attributes:
      guessed: whether a failed Path-X is in it as a guess.
    """

    mean: float
    low: float
    high: float
    guessed: bool


def average(board: Board, row: str, tasks: Sequence[str]) -> Average | None:
    """Return a row's average over tasks; None if one of them has not been run.

    A Path-X that failed, or is no better than a guess, counts as a guess: so the
    published tables do it.
    """
    guessed = PATHX in tasks and failed_pathx(board, row)
    counted = [task for task in tasks if not (guessed and task == PATHX)]
    if any((row, task) not in board.cells for task in counted):
        return None
    cells = [board.cells[row, task] for task in counted]
    total = sum(cell.accuracy for cell in cells) + (GUESS / 100 if guessed else 0.0)
    estimates = [cell.answers.estimate for cell in cells]
    parts = [part for estimate in estimates for part in estimate.parts]
    reach = half_width([Part(v / len(tasks) ** 2, freedom) for v, freedom in parts])
    mean = total / len(tasks)
    return Average(mean, mean - reach, mean + reach, guessed)


def failed_pathx(board: Board, row: str) -> bool:
    """Return whether Path-X was run and did not get above a guess, or did not run."""
    cell = board.cells.get((row, PATHX))
    if cell is None:
        return (row, PATHX) in board.failures
    return cell.answers.estimate.low <= GUESS / 100


def reference(board: Board, row: str, task: str) -> Published | None:
    """Return the published number that a cell may be compared with, None without one.

    Only where both have the released budget and the same inputs; rows with a hybrid or
    other sizes than their mixer's have another name, and so no published number.
    """
    if not board.official:
        return None
    found = (number for number in all_published(row, task) if number.lra_inputs)
    return next(found, None)


def reference_average(board: Board, row: str, tasks: Sequence[str]) -> float | None:
    """Return the published average beside a row's own, in percent; None without one."""
    if not board.official:
        return None
    lines = [line for line in published_rows(row) if SOURCES[line.source].lra_inputs]
    return averages(lines[0])[len(tasks) == len(SIX)] if lines else None
