"""What the page shows of a board: its table cell by cell, its margins, its curves."""

import dataclasses
from collections.abc import Iterator, Mapping

from lra_fnet.report import bubbles, learning, parts
from lra_fnet.report.boards import PATHX, Board
from lra_fnet.report.cells import MARKS
from lra_fnet.report.grids import Grid, Plot
from lra_fnet.report.places import LETTERS, Place, average_place, filled_place, margins
from lra_fnet.report.verdicts import (
    FIVE,
    SIX,
    Verdict,
    average,
    failed_pathx,
    reference,
    verdict,
)
from lra_fnet.report.words import percent, title

AVERAGES = {"Five tasks": FIVE, "Six tasks": SIX}


@dataclasses.dataclass(frozen=True, eq=False)
class BoardView:
    """Hold all that is shown of a board.

    Attributes:
      board: whose view it is.
      name: for ids, of letters and digits.
      verdicts: by column.
    """

    board: Board
    name: str
    verdicts: Mapping[str, Verdict]

    @property
    def header(self) -> list[str]:
        """Return the names of the columns after that of the mixers."""
        return [*map(title, self.board.tasks), *self.averages]

    @property
    def averages(self) -> list[str]:
        """Return the averages that at least one row has."""
        return [
            name
            for name, tasks in AVERAGES.items()
            if any(average(self.board, row, tasks) for row in self.board.rows)
        ]

    def rows(self) -> Iterator[tuple[str, list[Place]]]:
        """Yield each mixer with its places."""
        for row in self.board.rows:
            own = [self.place(row, task) for task in self.board.tasks]
            means = [average_place(self.board, row, AVERAGES[a]) for a in self.averages]
            yield row, [*own, *means]

    def place(self, row: str, task: str) -> Place:
        """Return what stands in a place of the table."""
        if (row, task) in self.board.cells:
            return filled_place(self.board, self.verdicts[task], row)
        failed = (row, task) in self.board.failures
        return Place(reason="failed" if failed else "not run")

    def readers(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each trivial reader with its accuracies in percent."""
        blanks = [""] * len(self.averages)
        for name, by_task in sorted(self.board.readers().items()):
            shown = [
                percent(by_task[t]) if t in by_task else "" for t in self.board.tasks
            ]
            yield name, [*shown, *blanks]

    def legend(self) -> dict[str, str]:
        """Return the meaning of each letter that stands in the table."""
        used = {mark for cell in self.board.cells.values() for mark in cell.marks}
        return {LETTERS[m]: words for m, words in MARKS.items() if m in used}

    def notes(self) -> list[str]:
        """Return what must be known to read the table."""
        found = []
        missing = [title(task) for task in FIVE if task not in self.board.tasks]
        if missing:
            found.append(f"No averages: {', '.join(missing)} missing.")
        guessed = [row for row in self.board.rows if failed_pathx(self.board, row)]
        if guessed and PATHX in self.board.tasks:
            found.append(
                "Path-X counts 50 in the six-task average, as in published tables, "
                f"where a mixer is no better than a guess or failed: "
                f"{', '.join(guessed)}."
            )
        for (row, task), reason in sorted(self.board.failures.items()):
            found.append(f"{row} failed on {title(task)}: {reason}")
        return found

    def sources(self) -> list[str]:
        """Return where the published numbers of the table were read."""
        found: dict[str, dict[str, None]] = {}
        for row in self.board.rows:
            for task in self.board.tasks:
                number = reference(self.board, row, task)
                if number:
                    source = f"{number.source} ({number.remark})"
                    found.setdefault(source, {})[row] = None
        return [f"{source}: {', '.join(rows)}" for source, rows in found.items()]

    def margins(self) -> list[Grid]:
        """Return for each column how far the others are behind the best."""
        return [margins(v) for v in self.verdicts.values() if v.margins]

    def learning(self) -> tuple[list[Plot], list[Grid]]:
        """Return curves, and times to an accuracy."""
        tasks = self.board.tasks
        plots = [
            plot
            for task in tasks
            for plot in learning.plots(self.board, task, f"{self.name}-{task}")
        ]
        return plots, learning.time_to_accuracy(self.board)

    def parts(self) -> tuple[list[Plot], list[Grid]]:
        """Return accuracy by features of the examples, drawn and in tables."""
        tasks = self.board.tasks
        plots = [
            plot
            for task in tasks
            for plot in parts.plots(self.board, task, f"{self.name}-{task}")
        ]
        return plots, [grid for task in tasks for grid in parts.grids(self.board, task)]

    def bubbles(self) -> list[Plot]:
        """Return accuracy against speed: averages, and columns that have two cells."""
        found = [bubbles.average_bubbles(self.board, f"{self.name}-bubbles")]
        found += (
            bubbles.bubbles(self.board, task, f"{self.name}-{task}-bubbles")
            for task in self.board.tasks
        )
        return [plot for plot in found if plot]


def view(board: Board, name: str) -> BoardView:
    """Return the view of a board."""
    columns = {task: board.column(task) for task in board.tasks}
    verdicts = {t: verdict(t, column) for t, column in columns.items() if column}
    return BoardView(board, name, verdicts)
