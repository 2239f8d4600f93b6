"""Know where all cells of a table stand, and for how long it will go on."""

import enum
import time
from collections.abc import Callable, Sequence

from lra_fnet.table.cells import Cell
from lra_fnet.table.estimate import Costs
from lra_fnet.table.speeds import Forecast, Speeds
from lra_fnet.table.standing import steps_taken


class State(enum.Enum):
    """Say where a cell stands."""

    DONE = "done"
    FAILED = "failed"
    MISSING = "without data"
    RUNNING = "running"
    ELSEWHERE = "running elsewhere"
    LEFT = "left"


OPEN = (State.LEFT, State.RUNNING, State.ELSEWHERE)


class Pace:
    """Measure the speed of a running cell by the steps it logs, evaluation included."""

    def __init__(self, cell: Cell, clock: Callable[[], float] = time.monotonic):
        self._cell = cell
        self._clock = clock
        self.step = steps_taken(cell)  # where it stood before
        self._first: tuple[int, float] | None = None  # after compiling and warming up
        self._last = (self.step, clock())

    def look(self) -> None:
        """Read how far it has come."""
        step, now = steps_taken(self._cell), self._clock()
        if step < self.step:  # it goes on from a checkpoint behind what was logged
            self._first = None
        elif step > self.step:
            self._first = self._first or (step, now)
            self._last = (step, now)
        self.step = step

    @property
    def steps_per_second(self) -> float | None:
        """Return the speed; None until steps were seen twice."""
        if self._first is None or self._last[0] <= self._first[0]:
            return None
        (first, started), (last, now) = self._first, self._last
        return (last - first) / (now - started)


class Progress:
    """Keep the states of the cells, and forecast the time that is left."""

    def __init__(self, cells: Sequence[Cell], costs: Costs, speeds: Speeds):
        self.states = dict.fromkeys(cells, State.LEFT)
        self.costs = costs
        self.speeds = speeds
        self.pace: Pace | None = None

    def count(self, *states: State) -> int:
        """Return how many cells are in one of these states."""
        return sum(state in states for state in self.states.values())

    @property
    def running(self) -> Cell | None:
        """Return the cell that runs here."""
        cells = (c for c, state in self.states.items() if state is State.RUNNING)
        return next(cells, None)

    def operations(self, cell: Cell) -> float:
        """Return the operations of a cell."""
        return self.costs[cell.protocol].operations

    def forecast(self, cell: Cell) -> Forecast | None:
        """Return how long a whole run of a cell takes, if any run says so."""
        return self.speeds.forecast(cell.protocol, self.operations(cell))

    def share_done(self) -> float:
        """Return the share of the operations that are behind us, in [0, 1]."""
        total = sum(map(self.operations, self.states))
        ended = (c for c, state in self.states.items() if state not in OPEN)
        done = sum(map(self.operations, ended))
        if self.running:
            done += self.operations(self.running) * self._share_of_running()
        return min(done / total, 1.0) if total else 0.0

    def seconds_left(self) -> float | None:
        """Return how long the open cells will take; None where nothing tells yet."""
        total = 0.0
        for cell, state in self.states.items():
            if state in OPEN:
                seconds = self._seconds_left_of(cell)
                if seconds is None:
                    return None
                total += seconds
        return total

    def _seconds_left_of(self, cell: Cell) -> float | None:
        """Return how long one cell will take: by its own pace, by runs, by the pace."""
        rate = self.pace.steps_per_second if self.pace else None
        if cell is self.running and self.pace and rate:
            return max(cell.num_steps - self.pace.step, 0) / rate
        left = 1 - self._share_of_running() if cell is self.running else 1.0
        if not self.operations(cell):
            return 0.0  # it cannot be built, and will say so at once
        forecast = self.forecast(cell)
        if forecast:
            return left * forecast.seconds
        if self.running is None or not rate or not self.operations(self.running):
            return None
        speed = rate * self.operations(self.running) / self.running.num_steps
        return left * self.operations(cell) / speed

    def _share_of_running(self) -> float:
        """Return the share of its steps that the running cell has taken."""
        if self.running is None or self.pace is None:
            return 0.0
        return min(self.pace.step / self.running.num_steps, 1.0)
