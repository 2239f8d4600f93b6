"""Boards: cells that may be compared within a column, and what sets boards apart."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence

from configs.grid import MODELS, TASKS
from lra_fnet.report.cells import Cell

# The recipe of the published table; its cells alone stand beside published numbers.
OFFICIAL = "lra2020"
RECIPES = (OFFICIAL, "strong", "quick")
PATHX = "pathx"
SAMPLE = "sample"
VALUES = "values"

WHY = {
    OFFICIAL: "",
    "strong": "a modern budget and other sizes than the released ones",
    "quick": "small models and minutes of training, to see that everything works",
}
WHY_SAMPLE = "a small made-up sample of data: its numbers say nothing about the task"

Key = tuple[str, str]  # row and column


@dataclasses.dataclass(frozen=True, eq=False)
class Board:
    """Hold cells that may be compared within a column.

    Attributes:
      recipe: of all of them.
      sample: whether their data are the made-up sample.
      cells: by row and column.
      failures: cells of the same recipe without any result, with what was said last.
    """

    recipe: str
    sample: bool
    cells: Mapping[Key, Cell]
    failures: Mapping[Key, str]

    @property
    def name(self) -> str:
        """Return what the board is called."""
        return f"{self.recipe}, sample data" if self.sample else self.recipe

    @property
    def official(self) -> bool:
        """Return whether published numbers may stand beside its cells."""
        return self.recipe == OFFICIAL and not self.sample

    @property
    def why_apart(self) -> list[str]:
        """Return what keeps its numbers from standing beside published ones."""
        recipe = WHY.get(self.recipe, "not the budget of the published table")
        pixels = sorted(
            {c.task for c in self.cells.values() if pixel_inputs(c) == VALUES}
        )
        values = f"{', '.join(pixels)}: pixels enter as real numbers, not as token ids"
        found = (recipe, WHY_SAMPLE if self.sample else "", values if pixels else "")
        return [reason for reason in found if reason]

    @functools.cached_property
    def tasks(self) -> list[str]:
        """Return the columns: the benchmark's in its order, then others."""
        found = {task for _, task in (*self.cells, *self.failures)}
        return ordered(found, TASKS)

    @functools.cached_property
    def rows(self) -> list[str]:
        """Return the rows: those with every column first, the highest mean before.

        Path-X, which many methods cannot do at all, does not decide.
        """
        names = ordered({row for row, _ in (*self.cells, *self.failures)}, MODELS)
        tasks = [task for task in self.tasks if task != PATHX] or self.tasks
        full = [row for row in names if all((row, t) in self.cells for t in tasks)]
        full.sort(key=lambda row: self._mean(row, tasks), reverse=True)
        return [*full, *(row for row in names if row not in full)]

    def column(self, task: str) -> dict[str, Cell]:
        """Return the cells of a column by row."""
        return {r: self.cells[r, task] for r in self.rows if (r, task) in self.cells}

    def readers(self) -> dict[str, dict[str, float]]:
        """Return the accuracies of the trivial readers, by name and column."""
        found: dict[str, dict[str, float]] = {}
        for task in self.tasks:
            for cell in self.column(task).values():
                for name, accuracy in cell.first.get("readers", {}).items():
                    found.setdefault(name, {}).setdefault(task, accuracy)
        return found

    def _mean(self, row: str, tasks: Sequence[str]) -> float:
        """Return the mean accuracy of a row over columns that it has."""
        return sum(self.cells[row, task].accuracy for task in tasks) / len(tasks)


def ordered(names: Iterable[str], known: Sequence[str]) -> list[str]:
    """Return names in the known order, then the others by the alphabet."""
    found = set(names)
    return [
        *(name for name in known if name in found),
        *sorted(found - set(known)),
    ]


def pixel_inputs(cell: Cell) -> str:
    """Return how pixels enter: "tokens" or "values"; "" where that is not known."""
    return cell.first.get("config.encoder.inputs", "")
