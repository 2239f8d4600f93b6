"""Fill a table: run the cells that are missing, one after the other, whatever happens.

All that is known about a cell lies in its folder, and two locks guard it. One is the
run's own; the other, the claim, belongs to the table that runs it. The system releases
both when their holders end in any way. So tables may share a folder, and a table may be
killed: its run goes on, holds its folder, and the next table leaves it alone.
"""

import time
from collections.abc import Mapping, Sequence

from lra_fnet.cli import IN_USE, NO_DATA
from lra_fnet.hosts import StopSignals
from lra_fnet.table import standing
from lra_fnet.table.attempt import Ending, check_no_run, claim, run_cell
from lra_fnet.table.cells import Cell
from lra_fnet.table.display import Display
from lra_fnet.table.progress import OPEN, Pace, Progress, State
from lra_fnet.table.standing import Key, Result
from lra_fnet.workdir import FolderLocked

WAIT_SECONDS = 2.0  # between looks at cells that all run elsewhere


class Runner:
    """Run cells in their order, each in a process of its own.

    Attributes:
      reasons: why cells have failed.
      missing: why tasks have no data.
    """

    def __init__(self, progress: Progress, display: Display, stop: StopSignals):
        self.reasons: dict[Cell, str] = {}
        self.missing: dict[str, str] = {}
        self._progress = progress
        self._display = display
        self._stop = stop
        self._started = time.time()

    def look_up(self, finished: Mapping[Key, list[Result]], retry: bool) -> None:
        """Take over what earlier runs have left: results, failures, lack of data.

        Args:
          finished: results by what they are results of.
          retry: whether cells that have failed are tried again.
        """
        for cell in self._progress.states:
            failure = standing.read_failure(cell)
            if standing.finished_result(cell, finished):
                self._progress.states[cell] = State.DONE
            elif failure and not retry:
                self._end_failed(cell, failure.reason)
            elif cell.protocol.data.missing:
                self._end_missing(cell, cell.protocol.data.missing)

    def run(self) -> None:
        """Run what is open until nothing is, or until the signal to stop.

        Cells that run elsewhere are looked at again after the others, until they end.
        """
        while self._open() and not self._stop.received:
            for cell in self._open():
                self._visit(cell)
            if self._open() == self._elsewhere():
                self._wait()

    def _open(self) -> Sequence[Cell]:
        """Return the cells that have not ended."""
        return [c for c, state in self._progress.states.items() if state in OPEN]

    def _elsewhere(self) -> Sequence[Cell]:
        """Return the cells that other processes run."""
        states = self._progress.states
        return [c for c, state in states.items() if state is State.ELSEWHERE]

    def _wait(self) -> None:
        """Give the processes elsewhere some time."""
        if self._open() and not self._stop.received:
            self._display.update()
            time.sleep(WAIT_SECONDS)

    def _visit(self, cell: Cell) -> None:
        """Bring a cell to its end, unless another process has it."""
        if self._stop.received:
            return
        if cell.protocol.row.task in self.missing:
            self._progress.states[cell] = State.MISSING
            return
        try:
            with claim(cell):
                if not self._ended_meanwhile(cell):
                    check_no_run(cell)
                    self._run(cell)
        except FolderLocked as lock:
            self._leave(cell, str(lock))

    def _ended_meanwhile(self, cell: Cell) -> bool:
        """Take over what another table has made of a cell since this one began."""
        result, failure = standing.new_result(cell), standing.read_failure(cell)
        if result:
            self._end_done(cell, result, seconds=0.0)
        elif failure and failure.time >= self._started:
            self._end_failed(cell, failure.reason)
        return self._progress.states[cell] not in OPEN

    def _run(self, cell: Cell) -> None:
        """Run a cell, and record how it ended."""
        standing.clear_failure(cell)
        started = time.monotonic()
        self._progress.states[cell] = State.RUNNING
        self._progress.pace = Pace(cell)
        self._display.starts(cell, self._progress.pace.step)
        ending = run_cell(cell, self._stop, self._watch)
        result = standing.new_result(cell)
        if result:
            self._end_done(cell, result, time.monotonic() - started)
        elif self._stop.received:
            self._progress.states[cell] = State.LEFT
        elif ending.exit_status == IN_USE:  # someone was quicker by a moment
            raise FolderLocked("another")
        elif ending.exit_status == NO_DATA:
            self._end_missing(cell, ending.message)
        else:
            self._fail(cell, ending)

    def _watch(self) -> None:
        """Look at the running cell."""
        if self._progress.pace:
            self._progress.pace.look()
        self._display.update()

    def _leave(self, cell: Cell, holder: str) -> None:
        """Leave a cell to the process that runs it, saying so once."""
        if self._progress.states[cell] is not State.ELSEWHERE:
            self._progress.states[cell] = State.ELSEWHERE
            self._display.elsewhere(cell, holder)

    def _fail(self, cell: Cell, ending: Ending) -> None:
        """Record a failure where the next table and the report find it."""
        try:
            standing.write_failure(cell, ending.reason, ending.exit_status)
        except OSError as error:  # a full disk fails runs, and may fail this as well
            self._display.say(f"cannot record the failure of {cell.name}: {error}")
        self._end_failed(cell, ending.reason)
        self._display.failed(cell, ending)

    def _end_done(self, cell: Cell, result: Result, seconds: float) -> None:
        """Count a cell as done, and learn from how long it took."""
        self._progress.states[cell] = State.DONE
        if seconds:  # it ran here
            self._progress.speeds.add(result)
        self._display.done(cell, result, seconds)

    def _end_failed(self, cell: Cell, reason: str) -> None:
        """Count a cell as failed."""
        self._progress.states[cell] = State.FAILED
        self.reasons[cell] = reason

    def _end_missing(self, cell: Cell, message: str) -> None:
        """Leave a task without data out, saying so once."""
        self._progress.states[cell] = State.MISSING
        task = cell.protocol.row.task
        if task not in self.missing:
            self.missing[task] = message
            self._display.missing(task, message)
