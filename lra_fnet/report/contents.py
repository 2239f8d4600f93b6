"""Put together what the page and the tables show, from what was read."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lra_fnet.report import words
from lra_fnet.report.arrange import Apart, arrange
from lra_fnet.report.boards import Board
from lra_fnet.report.cells import pool, row_name
from lra_fnet.report.sources import Sources
from lra_fnet.report.speeds import Measured, measured
from lra_fnet.report.view import BoardView, view


@dataclasses.dataclass(frozen=True, eq=False)
class Contents:
    """Hold all that is shown.

    Attributes:
      views: of the boards, the one to begin with first.
      apart: cells that belong to no board.
      speeds: measured cells, by device and sizes.
      results: how many result files were read.
      remarks: what a reader should know of the files.
      problems: a line for each file that was left out.
    """

    views: Sequence[BoardView]
    apart: Sequence[Apart]
    speeds: Sequence[Measured]
    results: int
    remarks: Sequence[str]
    problems: Sequence[str]

    @property
    def lead(self) -> BoardView | None:
        """Return the board to begin with; None where there is no result."""
        return self.views[0] if self.views else None

    def summary(self) -> str:
        """Say how much was read."""
        on_boards = [cell for v in self.views for cell in v.board.cells.values()]
        cells = [*on_boards, *(found.cell for found in self.apart)]
        tasks = words.plural(len({cell.task for cell in cells}), "task")
        mixers = words.plural(len({cell.row for cell in cells}), "mixer")
        return f"{words.plural(self.results, 'result')}: {mixers} on {tasks}"

    def findings(self) -> list[str]:
        """Return what a reader should take from all this, in a few sentences."""
        if self.lead is None:
            return []
        lines = words.findings(self.lead.board, self.lead.verdicts)
        return [*lines, *filter(None, (found.finding() for found in self.speeds))]

    def how_sure(self) -> str:
        """Say what the intervals and tests of the first board are over."""
        return words.how_sure(self.lead.board) if self.lead else ""


def contents(sources: Sources) -> Contents:
    """Return what is shown of the files that were read."""
    cells, remarks = pool(sources.runs)
    boards, apart = arrange(cells, sources.failures)
    return Contents(
        views=[view(board, f"board{place}") for place, board in enumerate(boards)],
        apart=apart,
        speeds=measured(sources.speeds),
        results=len(sources.runs),
        remarks=[*remarks, *failed_seeds(boards, sources.failures)],
        problems=sources.problems,
    )


def failed_seeds(
    boards: Iterable[Board], failures: Iterable[Mapping[str, Any]]
) -> list[str]:
    """Name the seeds that failed where others of their place did not."""
    cells = {
        (board.recipe, *place): cell
        for board in boards
        for place, cell in board.cells.items()
    }
    lines = []
    for failure in failures:
        place = failure["recipe"], row_name(failure), failure["task"]
        if place in cells and failure["seed"] not in cells[place].seeds:
            name = f"{place[1]} on {place[2]}, recipe {place[0]}"
            lines.append(f"{name}: seed {failure['seed']} failed: {failure['reason']}")
    return sorted(lines)
