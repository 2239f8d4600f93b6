"""Measure every mixer at every length, each cell in a process of its own.

python -m lra_fnet.speed --models="fnet transformer" --lengths=512,1024

Finished cells are not measured again, so the same command goes on where it stopped;
failed ones are tried again.
"""

import argparse
import dataclasses
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lra_fnet.mixers import mixer_class, mixer_names
from lra_fnet.result import write_json
from lra_fnet.speed.cell import empty_cell
from lra_fnet.speed.setting import base_config
from lra_fnet.speed.tables import document
from tasks import check_task_name

LENGTHS = "512,1024,2048,4096,8192,16384"


@dataclasses.dataclass(frozen=True)
class Grid:
    """Hold what is to be measured.

    Attributes:
      models: names of mixers.
      lengths: positions.
      task: whose sizes the models have.
      batch: examples of a step, as far as they fit.
      folder: of the device's measurements.
      device: what computes.
    """

    models: Sequence[str]
    lengths: Sequence[int]
    task: str
    batch: int
    folder: Path
    device: dict[str, Any]

    def paths(self) -> Iterator[tuple[str, int, Path]]:
        """Yield model, length and file of every cell, short lengths first."""
        cells = self.folder / f"{self.task}-batch{self.batch}"
        for length in self.lengths:
            for model in self.models:
                yield model, length, cells / f"{model}-{length}.json"


def device_name(device: dict[str, Any]) -> str:
    """Return the name of a device's folder.

    >>> device_name({"kind": "NVIDIA H200", "count": 2})
    'nvidia-h200-x2'
    """
    kind = re.sub(r"[^a-z0-9]+", "-", device["kind"].lower()).strip("-")
    return f"{kind}-x{device['count']}"


def is_finished(path: Path) -> bool:
    """Tell whether a cell has its result; one that failed has none."""
    return path.exists() and json.loads(path.read_text())["status"] != "failed"


def measure(grid: Grid) -> list[dict[str, Any]]:
    """Measure what is not finished, and return all cells."""
    cells = list(grid.paths())
    todo = [cell for cell in cells if not is_finished(cell[-1])]
    if len(todo) < len(cells):
        print(f"{len(cells) - len(todo)} of {len(cells)} cells are finished")
    started = time.monotonic()
    for done, (model, length, path) in enumerate(todo):
        left = (time.monotonic() - started) / max(done, 1) * (len(todo) - done)
        eta = f"{left / 60:.0f} min left" if done else "measuring"
        print(f"[{done + 1}/{len(todo)}] {model} at {length:,} ({eta})", flush=True)
        _measure_one(grid, model, length, path)
        print(f"    {_outcome(json.loads(path.read_text()))}", flush=True)
    return [json.loads(path.read_text()) for *_, path in cells]


def _measure_one(grid: Grid, model: str, length: int, path: Path) -> None:
    """Run a cell; where it leaves no file, write one that says how it ended."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    command = cell_command(model, length, grid.task, grid.batch, path)
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if path.exists():
        return
    config = base_config(grid.task, {"model": model, "train.batch_size": grid.batch})
    cell = empty_cell(config, length, grid.device, " ".join(["python", *command[1:]]))
    last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
    ending = f"ended with status {done.returncode}"
    write_json(path, {**cell, "reason": ": ".join([ending, *last])})


def cell_command(
    model: str, length: int, task: str, batch: int, path: Path | None
) -> list[str]:
    """Return the command of a cell; without a file it prints the device."""
    values = {"model": model, "length": length, "task": task, "batch": batch}
    values |= {"to": path} if path else {}
    arguments = [f"--{key}={value}" for key, value in values.items()]
    return [sys.executable, "-m", "lra_fnet.speed.cell", *arguments]


def _outcome(cell: dict[str, Any]) -> str:
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


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of a command line, checked.

    Raises:
      ValueError: an unknown mixer or task; names the closest.
    """
    parser = argparse.ArgumentParser(prog="python -m lra_fnet.speed")
    parser.add_argument("--models", default="", help="mixers; default: all")
    parser.add_argument("--lengths", default=LENGTHS)
    parser.add_argument("--task", default="text")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--to", type=Path, default=Path("runs", "speed"))
    options = parser.parse_args(arguments)
    options.models = options.models.replace(",", " ").split() or mixer_names()
    options.lengths = [int(n) for n in options.lengths.replace(",", " ").split()]
    check_task_name(options.task)
    for model in options.models:
        mixer_class(model)
    return options


def main() -> None:
    """Measure, then print the tables and write them beside the cells."""
    try:
        options = parsed()
        describe = cell_command("fnet", 1, options.task, options.batch, None)
        device = json.loads(subprocess.check_output(describe, text=True))
        folder = options.to / device_name(device)
        grid = Grid(
            options.models,
            options.lengths,
            options.task,
            options.batch,
            folder,
            device,
        )
        cells = measure(grid)
    except ValueError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nstopped; the same command goes on from there")
    claimed = {name: getattr(mixer_class(name), "cost", "") for name in options.models}
    text = document(cells, claimed)
    path = folder / f"{options.task}-batch{options.batch}" / "speed.md"
    path.write_text(text)
    print(f"\n{text}\nwrote {path}")


if __name__ == "__main__":
    main()
