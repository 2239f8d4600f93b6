"""The Fourier transform alone, compiled for accelerators that are not here.

TPUs have no FFT: XLA makes one into dense products. So each exact algorithm is
compiled forward and backward at the shapes of the tasks, the products of the matrix
forms at each precision. A row has the FLOPs and bytes that XLA counts and, for TPUs,
the cycles that it expects. That is a model of the compiler, not a measurement; where
nothing was measured, it is what "auto" has to go by.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from configs import grid
from lra_fnet.compile.sweep import compiler_versions, run_cells
from lra_fnet.compile.tables import (
    COMPILES,
    FAILED,
    FOURIER,
    Row,
    fourier_table,
    with_tables,
)
from lra_fnet.compile.target import absent_devices, check_target, set_up_compiler
from lra_fnet.config import load_config, names_in, read_flags, task_facts
from lra_fnet.workdir import write_json, write_text
from tasks import check_task_name

# Highest first: what "auto" chooses among.
PRECISIONS = ("highest", "high", "default")
# In a program of XLA the precision of products does not reach a transform.
ALGORITHMS = {"real_fft": ("highest",), "matrix": PRECISIONS, "two_stage": PRECISIONS}
# Estimates of programs of one kind are trusted to this factor and no further.
LEAST_GAIN = 1.2
ESTIMATE = "compiler's estimate"


class Transform(NamedTuple):
    """An algorithm at the shape that a task's batch has on one device."""

    task: str
    batch: int  # examples, both documents where there are two
    length: int
    width: int
    algorithm: str
    precision: str  # of its products

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.algorithm} on {self.task}, {self.precision} precision"

    @property
    def place(self) -> Row:
        """What a table has one row for, which a later one replaces."""
        return self._asdict()

    @property
    def identity(self) -> Row:
        """Its place, and what decides its row: the compiler's versions."""
        return {**self.place, "versions": compiler_versions()}


def compile_transforms(arguments: argparse.Namespace) -> int:
    """Compile the transforms that have no row; write and print their rows.

    Returns the exit status: 1 if one failed, else 0.

    Raises:
      ValueError: an unknown name or key, mixers or devices, or no compiler here.
      OSError: there is no document of that name.
    """
    accel = arguments.accel
    check_target(accel, arguments.devices)
    set_up_compiler(accel)
    from lra_fnet.compile.transform import compile_transform

    transforms = make_transforms(arguments)
    document = arguments.document.read_text() if arguments.document else ""
    (device,) = absent_devices(accel, 1)
    path = arguments.to / FOURIER / f"{accel}.json"
    rows = run_cells(transforms, path, lambda each: compile_transform(each, device))
    print(f"\n{fourier_table(rows)}\n\nA model of the compiler, not measured. {path}")
    if arguments.choose:
        from lra_fnet.mixers._fourier import CHOICES

        keep_choices(device.device_kind, rows, CHOICES)
    if arguments.document:
        write_text(arguments.document, with_tables(document, arguments.to))
    return int(any(row["status"] == FAILED for row in rows))


def make_transforms(arguments: argparse.Namespace) -> list[Transform]:
    """Return the transforms that the arguments of `compile` ask for.

    Tasks of one shape share its first one's rows.

    Raises:
      ValueError: an unknown task, recipe or form of a flag; mixers or devices.
    """
    from lra_fnet.mixers._fourier import supports

    if arguments.mixers or arguments.devices != 1:
        raise ValueError("fourier=1 is about one device and no mixer")
    changes = read_flags(arguments.flags)
    shapes: dict[tuple[int, int, int], str] = {}
    for task in names_in(arguments.tasks) or grid.TASKS:
        check_task_name(task)
        config = load_config(task, arguments.recipe, changes)
        facts = task_facts(config)
        examples = config.train.batch_size * facts.num_documents
        shape = examples, facts.max_length, config.encoder.width
        shapes.setdefault(shape, task)
    return [
        Transform(task, *shape, algorithm, precision)
        for precision in PRECISIONS
        for shape, task in shapes.items()
        for algorithm, precisions in ALGORITHMS.items()
        if precision in precisions and supports(algorithm, *shape[1:])
    ]


def keep_choices(kind: str, rows: Sequence[Row], path: Path) -> None:
    """Write what "auto" takes on a kind of device, unless it has been measured there.

    Raises:
      ValueError: no row has an estimate of the time.
    """
    parts = json.loads(path.read_text()) if path.exists() else {}
    if kind in parts and parts[kind].get("method") != ESTIMATE:
        print(f"{kind} has been measured: its choices stay")
        return
    own = [*estimated_choices(rows)]
    if not own:
        raise ValueError(f"for {kind} the compiler tells no time: nothing to choose by")
    parts[kind] = {"method": ESTIMATE, "versions": compiler_versions(), "rows": own}
    write_json(path, dict(sorted(parts.items())))
    print(f"wrote {path}")


def estimated_choices(rows: Iterable[Row]) -> Iterable[Row]:
    """Yield the algorithm of each shape: `real_fft`, unless another gains enough.

    Only exact ones are taken. Numbers of 16 bits are transformed in 32.
    """
    cycles: dict[tuple[int, int], dict[str, float]] = {}
    for row in rows:
        known = row["status"] == COMPILES and row.get("cycles")
        if known and row["precision"] == PRECISIONS[0]:
            shape = row["length"], row["width"]
            cycles.setdefault(shape, {})[row["algorithm"]] = row["cycles"]
    for (length, width), own in sorted(cycles.items()):
        if "real_fft" not in own:
            continue
        speeds = {name: round(own["real_fft"] / each, 2) for name, each in own.items()}
        best = max(speeds, key=lambda name: speeds[name])
        algorithm = best if speeds[best] >= LEAST_GAIN else "real_fft"
        for dtype in ("float32", "bfloat16"):
            of = {"length": length, "width": width, "dtype": dtype}
            yield {**of, "algorithm": algorithm, "speeds": speeds}
