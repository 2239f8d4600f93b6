"""How long cells take, from what finished runs on the same device took."""

import math
import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

from lra_fnet.table.cells import Protocol

Result = Mapping[str, Any]
NEAREST = 5  # runs; the median of their speeds counts
# What two runs must share for the time of one to say something about the other.
Device = tuple[str, str, int]


class Run(NamedTuple):
    """Hold what a finished run took: seconds for operations, and to compile."""

    config_hash: str
    task: str
    model: str
    operations: float
    seconds: float
    compile_seconds: float


class Forecast(NamedTuple):
    """Hold the seconds that a cell is expected to take.

    Attributes:
      seconds: of its training, evaluation and compilation.
      close: whether runs of the same model on the same task say so; otherwise those of
        other models do, which may well be several times as fast.
    """

    seconds: float
    close: bool


class Speeds:
    """Collect finished runs on one device, and forecast others from them.

    The device is that of the first run where it is not known before.
    """

    def __init__(self, device: Device | None):
        self._device = device
        self._runs: list[Run] = []

    def add(self, result: Result) -> None:
        """Take a result; one of another device or without the figures says nothing."""
        try:
            device, run = device_of(result["device"]), _run(result)
        except (KeyError, TypeError):  # from elsewhere, or XLA had no count
            return
        self._device = self._device or device
        if device == self._device and run.operations > 0:
            self._runs.append(run)

    def forecast(self, protocol: Protocol, operations: float) -> Forecast | None:
        """Return how long a cell will take; None where no run has finished here.

        Runs of the same protocol count alone if there are any; else those of the same
        model and task; else all; and of those the ones nearest in operations.
        """
        row = protocol.row
        same = [r for r in self._runs if r.config_hash == protocol.config_hash]
        near = [r for r in self._runs if (r.model, r.task) == (row.model, row.task)]
        runs = same or near or self._runs
        if not runs or operations <= 0:
            return None
        runs = sorted(runs, key=lambda r: abs(math.log(r.operations / operations)))
        runs = runs[:NEAREST]
        rate = statistics.median(r.seconds / r.operations for r in runs)
        start = statistics.median(r.compile_seconds for r in runs)
        return Forecast(rate * operations + start, bool(same or near))


def device_of(description: Mapping[str, Any]) -> Device:
    """Return what makes the device of a result the same as another.

    On CPUs the cores of all hosts count; of accelerators their own number does.
    """
    platform, size = description["platform"], description["count"]
    if platform == "cpu":
        size = description["cpu_cores"] * description.get("hosts", 1)
    return platform, description["kind"], size


def _run(result: Result) -> Run:
    """Return what a result says about time; seeds of one program share it."""
    seeds, seconds = result["speed"]["seeds_in_program"], result["seconds"]
    return Run(
        result["config_hash"],
        result["task"],
        result["model"],
        result["flops"]["train_step"] * result["steps"],
        (seconds["train"] + seconds["evaluate"]) / seeds,
        seconds["compile"],
    )
