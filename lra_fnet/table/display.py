"""Show the progress of a table: a line for each event; on a terminal a bar as well."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm

from lra_fnet.table.attempt import Ending, log_path
from lra_fnet.table.cells import Cell
from lra_fnet.table.progress import OPEN, Progress, State
from lra_fnet.table.speeds import Forecast
from lra_fnet.table.units import duration

BAR = "{percentage:3.0f} %|{bar:16}| {desc}"


class Display:
    """Print the events of a table to stdout, as a context manager.

    The bar, with its control characters, is there on a terminal alone.
    """

    def __init__(self, progress: Progress):
        self._progress = progress
        self._bar = tqdm(
            total=1.0,
            bar_format=BAR,
            file=sys.stdout,
            disable=not sys.stdout.isatty(),
            dynamic_ncols=True,
            leave=False,
        )

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bar."""
        self._bar.close()

    def say(self, *lines: str) -> None:
        """Print lines above the bar."""
        for line in lines:
            self._bar.write(line, file=sys.stdout)
        sys.stdout.flush()

    def update(self) -> None:
        """Redraw the bar."""
        if not self._bar.disable:
            self._bar.n = self._progress.share_done()
            self._bar.set_description_str(self.status())

    def status(self) -> str:
        """Return where the table stands, in a line."""
        counts = [
            f"{self._progress.count(state)} {state.value}"
            for state in State
            if self._progress.count(state) or state in (State.DONE, State.LEFT)
        ]
        parts = [", ".join(counts), self._running(), self.time_left()]
        return " | ".join(part for part in parts if part)

    def _running(self) -> str:
        """Return how far the running cell is."""
        cell, pace = self._progress.running, self._progress.pace
        if cell is None or pace is None:
            return ""
        rate = pace.steps_per_second
        speed = f", {rate:.3g} steps/s" if rate else ""
        return f"{cell.name}: step {pace.step:,} of {cell.num_steps:,}{speed}"

    def time_left(self) -> str:
        """Return for how long the table goes on, in words."""
        seconds = self._progress.seconds_left()
        return "time left unknown" if seconds is None else f"{duration(seconds)} left"

    def starts(self, cell: Cell, step: int) -> None:
        """Say that a cell runs now, or goes on if it had logged a step."""
        forecast = self._progress.forecast(cell)
        expected = f", {expectation(forecast)}" if forecast else ""
        does = "goes on" if step else "runs"
        self.say(f"{cell.name}: {does}{expected}, in {cell.workdir}")
        self.update()

    def done(self, cell: Cell, result: Mapping[str, Any], seconds: float) -> None:
        """Say that a cell has its result."""
        accuracy = f"{100 * result['test']['accuracy']:.2f} %"
        took = f" in {duration(seconds)}" if seconds else " (by another process)"
        self.say(f"{self._place()} {cell.name}: {accuracy}{took}; {self._rest()}")

    def failed(self, cell: Cell, ending: Ending) -> None:
        """Say that a cell has failed, with what it said last."""
        said = [f"    {line}" for line in ending.last_lines]
        self.say(
            f"{self._place()} {cell.name}: FAILED: {ending.reason}; {self._rest()}",
            *said,
            f"    all it said: {log_path(cell)}",
        )

    def missing(self, task: str, message: str) -> None:
        """Say once that a task has no data, and what to do."""
        lines = [f"    {line}" for line in message.splitlines()]
        lines.append(
            f'    then say so by sources="{task}=SOURCE:FOLDER"; see docs/data.md'
        )
        self.say(f"{task}: no data, its cells are left out", *lines)

    def elsewhere(self, cell: Cell, holder: str) -> None:
        """Say that another process runs a cell."""
        self.say(f"{cell.name}: process {holder} runs it; looked at again later")

    def _place(self) -> str:
        """Return how many cells have ended, of how many."""
        states = self._progress.states
        ended = len(states) - self._progress.count(*OPEN)
        return f"[{ended}/{len(states)}]"

    def _rest(self) -> str:
        """Return what is left to do."""
        failed = self._progress.count(State.FAILED)
        left = self._progress.count(*OPEN)
        said = [f"{failed} failed"] if failed else []
        said += [f"{left} to go, {self.time_left()}" if left else "none to go"]
        return ", ".join(said)


def expectation(forecast: Forecast) -> str:
    """Return a forecast in words that say how good it is."""
    how = "about" if forecast.close else "very roughly"
    return f"{how} {duration(forecast.seconds)}"


def beginning(progress: Progress) -> str:
    """Return what there is to do, in a line."""
    left, done = progress.count(State.LEFT), progress.count(State.DONE)
    failed = progress.count(State.FAILED)
    seconds = progress.seconds_left()
    said = [f"{done} done", *([f"{failed} failed before"] if failed else [])]
    said += [f"{left} to run, cheapest first"]
    said += [] if seconds is None or not left else [f"roughly {duration(seconds)}"]
    return f"{len(progress.states)} cells: {', '.join(said)}"


def summary(
    progress: Progress, reasons: Mapping[Cell, str], missing: Mapping[str, str]
) -> Sequence[str]:
    """Return what the table ends with: counts, failures, tasks without data."""
    counts = [
        f"{progress.count(state)} {state.value}"
        for state in State
        if progress.count(state)
    ]
    lines = [f"{len(progress.states)} cells: {', '.join(counts)}"]
    for cell, reason in reasons.items():
        lines.append(f"  failed: {cell.name}: {reason} ({log_path(cell)})")
    for task, message in missing.items():
        lines.append(f"  no data: {task}: {message.splitlines()[0]}")
    return lines
