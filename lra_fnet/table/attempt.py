"""Run one cell as a process of its own, and say how it ended."""

import dataclasses
import re
import shlex
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO

from lra_fnet.hosts import StopSignals
from lra_fnet.table.cells import Cell
from lra_fnet.workdir import FolderLock

OUTPUT_FILE = "output.log"
POLL_SECONDS = 0.5  # between looks at the process, a stop signal and the display
SHOWN_LINES = 5  # of what a process said last
RAISED = re.compile(r"[\w.]*(Error|Exception)\b")  # the end of a traceback


@dataclasses.dataclass(frozen=True)
class Ending:
    """Hold how the process of a cell ended.

    Attributes:
      exit_status: negative: the number of the signal that killed it.
      lines: all that it said.
    """

    exit_status: int
    lines: tuple[str, ...]

    @property
    def last_lines(self) -> tuple[str, ...]:
        """Return what it said last."""
        return self.lines[-SHOWN_LINES:]

    @property
    def reason(self) -> str:
        """Return in one line why there is no result."""
        if self.exit_status == -signal.SIGKILL:
            return "killed by signal 9, as systems do that run out of memory"
        if self.exit_status < 0:
            return f"killed by {signal.Signals(-self.exit_status).name}"
        said = self.message.splitlines()[:1]
        return said[0] if said else f"ended with status {self.exit_status} in silence"

    @property
    def message(self) -> str:
        """Return its error message; the last line where it made none.

        After a traceback JAX says more, in general terms; that is left out.
        """
        starts = [i for i, line in enumerate(self.lines) if line.startswith("error: ")]
        if starts:
            return "\n".join(self.lines[starts[-1] :]).removeprefix("error: ")
        raised = [line for line in self.lines if RAISED.match(line)]
        return "".join([*self.lines[-1:], *raised[-1:]][-1:])


def claim(cell: Cell) -> FolderLock:
    """Return the lock under which a table runs a cell.

    It is not the one of the run itself: that is still held by a run whose table has
    been killed.
    """
    return FolderLock(cell.workdir.with_name(f"{cell.workdir.name}.table"))


def check_no_run(cell: Cell) -> None:
    """Check that no process runs in the folder of a cell.

    Raises:
      FolderLocked: one does, whoever started it.
    """
    with FolderLock(cell.workdir):
        pass


def run_cell(cell: Cell, stop: StopSignals, watch: Callable[[], None]) -> Ending:
    """Run the command of a cell to its end; `watch` is called now and then.

    The process gets a group of its own, so that a Ctrl-C reaches this process alone.
    This one hands it on, once: at the second signal a run stops without a checkpoint.
    """
    cell.workdir.mkdir(parents=True, exist_ok=True)
    path = cell.workdir / OUTPUT_FILE
    with path.open("ab") as log:
        log.write(f"$ {shlex.join(cell.command)}\n".encode())
        log.flush()
        start = log.tell()
        process = subprocess.Popen(
            cell.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    try:
        exit_status = _wait(process, stop, watch)
    except BaseException:  # such as a second Ctrl-C: leave no process behind
        process.terminate()
        process.wait()
        raise
    with path.open("rb") as log:
        return Ending(exit_status, _lines_after(log, start))


def _wait(
    process: subprocess.Popen[bytes], stop: StopSignals, watch: Callable[[], None]
) -> int:
    """Wait for a process, handing on a signal to stop; return its exit status."""
    is_told = False
    while True:
        try:
            return process.wait(timeout=POLL_SECONDS)
        except subprocess.TimeoutExpired:
            watch()
        if stop.received and not is_told:
            process.send_signal(stop.received)
            is_told = True


def _lines_after(log: IO[bytes], start: int) -> tuple[str, ...]:
    """Return the lines of a log from a position on, empty ones left out."""
    log.seek(start)
    lines = log.read().decode(errors="replace").splitlines()
    return tuple(line.rstrip() for line in lines if line.strip())


def log_path(cell: Cell) -> Path:
    """Return the file that holds what the runs of a cell said."""
    return cell.workdir / OUTPUT_FILE
