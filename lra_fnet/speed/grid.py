"""Measure the cells of a grid, each in a process of its own, resuming what stopped."""

import dataclasses
import json
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lra_fnet.config import lra_config
from lra_fnet.result import write_json
from lra_fnet.speed.cell import empty_cell

Cell = dict[str, Any]


class Place(NamedTuple):
    """Hold which cell: a mixer, positions, and the file of the result."""

    model: str
    length: int
    path: Path


@dataclasses.dataclass(frozen=True)
class Grid:
    """Hold what is to be measured.

    Attributes:
      models: names of mixers.
      lengths: positions.
      task: whose sizes the models have.
      batch: examples of a step, as far as they fit.
      limit: seconds that a cell may take for one batch size.
      folder: of the device's measurements.
      device: what computes.
    """

    models: Sequence[str]
    lengths: Sequence[int]
    task: str
    batch: int
    limit: float
    folder: Path
    device: Mapping[str, Any]

    @property
    def cells(self) -> Path:
        """Return the folder of the cells."""
        return self.folder / f"{self.task}-batch{self.batch}"

    def places(self) -> Iterator[Place]:
        """Yield every cell, short lengths first."""
        for length in self.lengths:
            for model in self.models:
                yield Place(model, length, self.cells / f"{model}-{length}.json")

    def command(self, place: Place) -> str:
        """Return what repeats a cell."""
        return (
            f"python -m lra_fnet.speed --models={place.model} --lengths={place.length} "
            f"--task={self.task} --batch={self.batch} --limit={self.limit:g}"
        )

    def is_finished(self, place: Place) -> bool:
        """Tell whether a cell has its result: no failure, not slow by a lower limit."""
        if not place.path.exists():
            return False
        cell = json.loads(place.path.read_text())
        gave_up = cell["status"] == "slow" and cell["limit_seconds"] < self.limit
        return cell["status"] != "failed" and not gave_up


def device_name(device: Mapping[str, Any]) -> str:
    """Return the name of a device's folder.

    >>> device_name({"kind": "NVIDIA H200", "count": 2})
    'nvidia-h200-x2'
    """
    kind = re.sub(r"[^a-z0-9]+", "-", device["kind"].lower()).strip("-")
    return f"{kind}-x{device['count']}"


def describe() -> Cell:
    """Return what the processes of cells compute on."""
    command = [sys.executable, "-m", "lra_fnet.speed.cell"]
    return json.loads(subprocess.check_output(command, text=True))


def measure(grid: Grid) -> list[Cell]:
    """Measure what is not finished, and return all cells."""
    places = list(grid.places())
    todo = [place for place in places if not grid.is_finished(place)]
    if len(todo) < len(places):
        print(f"{len(places) - len(todo)} of {len(places)} cells are finished")
    taken: dict[str, tuple[int, float]] = {}
    for done, place in enumerate(todo):
        left = seconds_left(todo[done:], taken)
        eta = "measuring" if left is None else f"{left / 60:.0f} min left"
        title = f"{place.model} at {place.length:,}"
        print(f"[{done + 1}/{len(todo)}] {title} ({eta})", flush=True)
        started = time.monotonic()
        cell = measure_one(grid, place)
        taken[place.model] = place.length, time.monotonic() - started
        print(f"    {outcome(cell)}", flush=True)
    return [json.loads(place.path.read_text()) for place in places]


def seconds_left(
    todo: Sequence[Place], taken: Mapping[str, tuple[int, float]]
) -> float | None:
    """Return how long the rest will take; None before anything is known.

    A mixer is taken to need time in proportion to the length, from its last cell on;
    one that was not measured yet, as much as the others in the middle.

    >>> rest = [Place("fnet", 1024, Path()), Place("s5", 1024, Path())]
    >>> seconds_left(rest, {"fnet": (512, 10.0)})
    40.0
    """
    if not taken:
        return None
    rate = statistics.median(seconds / length for length, seconds in taken.values())
    rates = {model: seconds / length for model, (length, seconds) in taken.items()}
    return sum(rates.get(place.model, rate) * place.length for place in todo)


def measure_one(grid: Grid, place: Place) -> Cell:
    """Measure a cell, in ever smaller batches while memory is short, and write it."""
    place.path.parent.mkdir(parents=True, exist_ok=True)
    batch, reasons = grid.batch, []
    while True:
        cell = _attempt(grid, place, batch)
        reasons += [cell["reason"]] if cell["reason"] else []
        batch = cell["batch_size"] // 2
        if cell["status"] != "out of memory" or batch < 1:
            break
    cell |= {"reason": "; ".join(reasons), "command": grid.command(place)}
    write_json(place.path, cell)
    return cell


def _attempt(grid: Grid, place: Place, batch: int) -> Cell:
    """Measure a cell from a batch size on in one process, however that may end."""
    draft = place.path.with_name(f".{place.path.name}.draft")
    draft.unlink(missing_ok=True)
    ending: dict[str, str] = {}
    try:
        done = subprocess.run(
            _command(grid, place, batch, draft),
            stderr=subprocess.PIPE,
            text=True,
            timeout=grid.limit,
        )
        ending = _ending(done)
    except subprocess.TimeoutExpired:
        ending = {"status": "slow", "reason": f"it takes more than {grid.limit:g} s"}
    cell = _begun(grid, place, batch, draft)
    draft.unlink(missing_ok=True)
    if not ending:
        return cell
    size = f"a batch of {cell['batch_size']}: {ending['reason']}"
    reason = "; ".join(filter(None, [cell["reason"], size]))
    return cell | ending | {"reason": reason, "compile_seconds": None}


def _ending(done: subprocess.CompletedProcess) -> dict[str, str]:
    """Return what a process that left no result ended with; nothing if it left one."""
    if done.returncode == 0:
        return {}
    if done.returncode == -signal.SIGKILL:
        reason = "the system killed the process, as it does for want of memory"
        return {"status": "out of memory", "reason": reason}
    last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
    reason = ": ".join([f"it ended with status {done.returncode}", *last])
    return {"status": "failed", "reason": reason}


def _begun(grid: Grid, place: Place, batch: int, draft: Path) -> Cell:
    """Return the cell as its process left it, or an empty one."""
    if draft.exists():
        return json.loads(draft.read_text())
    values = {"model": place.model, "train.batch_size": batch}
    config = lra_config(grid.task, values)
    return empty_cell(config, place.length, grid.limit, dict(grid.device))


def _command(grid: Grid, place: Place, batch: int, draft: Path) -> list[str]:
    """Return the command line of an attempt."""
    values = {
        "model": place.model,
        "length": place.length,
        "task": grid.task,
        "batch": batch,
        "limit": grid.limit,
        "to": draft,
    }
    arguments = [f"--{key}={value}" for key, value in values.items()]
    return [sys.executable, "-m", "lra_fnet.speed.cell", *arguments]


def outcome(cell: Cell) -> str:
    """Return a cell in a line."""
    if cell["status"] != "ok":
        return f"{cell['status']}: {cell['reason']}"
    rate, answer = cell["train_steps_per_second"], cell["inference_seconds"]
    return (
        f"{rate['median']:.3g} steps/s ({rate['low']:.3g} to {rate['high']:.3g}), "
        f"{1e3 * answer['median']:.3g} ms to answer, batch {cell['batch_size']}, "
        f"{cell['peak_memory']['bytes'] / 2**30:.2f} GiB, "
        f"compiled in {cell['compile_seconds']:.1f} s"
    )
