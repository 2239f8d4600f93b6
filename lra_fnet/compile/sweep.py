"""Cells of tasks and mixers, one after the other: a file of rows, and tables of them.

A row is written as soon as its cell is compiled, and a cell that fails is a row with
its reason. Repeat the command to continue: it compiles what has no row yet, what
failed, and what another version of the compiler made.
"""

import argparse
import importlib.metadata
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tabulate import tabulate
from tqdm import tqdm

from configs import grid
from lra_fnet.compile.target import (
    PEAKS,
    TARGETS,
    absent_devices,
    check_target,
    set_up_compiler,
)
from lra_fnet.config import RECIPES, config_hash, load_config, read_flags, resolve
from lra_fnet.mixers import mixer_names
from lra_fnet.workdir import write_json, write_text
from tasks import check_choice, check_task_name, task_names

COMPILES, TOO_LARGE, FAILED = "compiles", "too large", "failed"
GIB = 2**30
# What the table on the screen has of a row, and how it is headed.
COLUMNS = {
    "mixer": "mixer",
    "task": "task",
    "status": "",
    "training.compile_seconds": "s",
    "needed_bytes": "GiB",
    "limit_bytes": "of",
    "micro_batches": "micro-batches",
    "evaluation.bytes": "evaluation",
    "training.flops_of_a_step": "GFLOP a step",
    "bound": "ms at least",
    "training.fft": "fft",
    "training.custom_calls": "other calls",
    "training.collectives": "collectives",
    "reason": "reason",
}

Row = dict[str, Any]
# What compiles a config on so many devices, and returns what is known of it.
Compiler = Callable[[Any, int], Mapping[str, Any]]


class Cell(NamedTuple):
    """A mixer on a task, under a recipe, on some devices of one kind."""

    task: str
    mixer: str
    recipe: str
    devices: int
    changes: Mapping[str, Any]  # values by dotted key, beyond the recipe's

    @property
    def config(self) -> Any:
        """The config of its run."""
        own = grid.OVERRIDES.get((self.task, self.mixer), {})
        changes = {**own, **self.changes, "mixer": self.mixer}
        return load_config(self.task, self.recipe, changes)

    @property
    def identity(self) -> Row:
        """What tells its row from others, the versions of the compiler included."""
        return {
            **{key: getattr(self, key) for key in ("task", "mixer", "recipe")},
            "devices": self.devices,
            "config_hash": config_hash(resolve(self.config)),
            "versions": compiler_versions(),
        }


def compile_all(arguments: argparse.Namespace) -> int:
    """Compile the cells that have no row; write and print their rows.

    Returns the exit status: 1 if a cell failed, else 0. One that is too large for the
    device is a finding, not a failure.

    Raises:
      ValueError: an unknown name or key, a wrong number, or no compiler here.
      OSError: there is no document of that name.
    """
    cells, accel = make_cells(arguments), arguments.accel
    document = arguments.document.read_text() if arguments.document else ""
    check_target(accel, arguments.devices)
    set_up_compiler(accel)
    from lra_fnet.compile.cell import compile_cell
    from lra_fnet.hardware import fix_numerics

    fix_numerics()
    path = arguments.to / f"{accel}.json"
    rows = run_cells(
        cells,
        path,
        lambda config, count: compile_cell(config, absent_devices(accel, count)),
    )
    print(f"\n{table(rows)}\n\nKnown by compiling, not measured. Rows: {path}")
    if arguments.document:
        write_text(arguments.document, with_tables(document, arguments.to))
    return int(any(row["status"] == FAILED for row in rows))


def make_cells(arguments: argparse.Namespace) -> list[Cell]:
    """Return the cells that the arguments of `compile` ask for, mixer by mixer.

    Raises:
      ValueError: an unknown accelerator, task, mixer, recipe or form of a flag.
    """
    check_choice("accel", arguments.accel, TARGETS)
    check_choice("recipe", arguments.recipe, RECIPES)
    tasks = dict.fromkeys(arguments.tasks.split() or grid.TASKS)
    mixers = dict.fromkeys(arguments.mixers.split() or mixer_names())
    for task in tasks:
        check_task_name(task)
    for mixer in mixers:
        check_choice("mixer", mixer, mixer_names())
    changes = read_flags(arguments.flags)
    return [
        Cell(task, mixer, arguments.recipe, arguments.devices, changes)
        for mixer in mixers
        for task in tasks
    ]


def run_cells(cells: Sequence[Cell], path: Path, compiler: Compiler) -> list[Row]:
    """Compile the cells without a row, and return the rows of all, in their order.

    Those that failed before are tried again, after all others.
    """
    rows = read_rows(path)
    todo = [cell for cell in cells if not is_finished(cell, rows)]
    todo.sort(key=lambda cell: bool(find_row(cell, rows)))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tqdm(todo, unit="cell", dynamic_ncols=True) as bar:
        for cell in bar:
            row = compile_row(cell, compiler)
            rows = [other for other in rows if not is_of(cell, other)] + [row]
            write_json(path, {"accel": path.stem, "rows": rows})
            bar.write(f"{cell.mixer} on {cell.task}: {outcome(row)}")
    found = (find_row(cell, rows) for cell in cells)
    return [row for row in found if row]


def compile_row(cell: Cell, compiler: Compiler) -> Row:
    """Return the row of a cell, whatever becomes of it."""
    identity = cell.identity
    try:
        facts = compiler(cell.config, cell.devices)
    except Exception as error:
        from lra_fnet.hardware import is_out_of_memory

        status = TOO_LARGE if is_out_of_memory(error) else FAILED
        return identity | {"status": status, "reason": reason_of(error)}
    fits = facts["needed_bytes"] <= (facts["limit_bytes"] or float("inf"))
    return {**facts, **identity, "status": COMPILES if fits else TOO_LARGE}


def reason_of(error: BaseException) -> str:
    """Return the kind of an error and the first line of what it says."""
    said = (str(error).strip().splitlines() or [""])[0]
    # Addresses and names of temporary files differ from process to process.
    said = re.sub(r"0x[0-9a-f]+|/\S+", "...", said)[:300]
    return f"{type(error).__name__}: {said}"


def compiler_versions() -> dict[str, str]:
    """Return the versions of what compiles, of those that are installed."""
    versions = {}
    for name in ("jax", "jaxlib", "jax-cuda13-plugin", "libtpu"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


# ---------------------------------------------------------------------------
# Rows


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file; none if there is no such file.

    Raises:
      ValueError: it is damaged.
    """
    if not path.exists():
        return []
    try:
        return list(json.loads(path.read_text())["rows"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); delete it") from error


def is_of(cell: Cell, row: Row) -> bool:
    """Tell whether a row is about a cell, whoever compiled it."""
    keys = ("task", "mixer", "recipe", "devices", "config_hash")
    return all(row.get(key) == cell.identity[key] for key in keys)


def find_row(cell: Cell, rows: Iterable[Row]) -> Row | None:
    """Return the row of a cell, None if there is none."""
    return next((row for row in rows if is_of(cell, row)), None)


def is_finished(cell: Cell, rows: Iterable[Row]) -> bool:
    """Tell whether a cell has a row of this compiler that is no failure."""
    row = find_row(cell, rows)
    if row is None or row["status"] == FAILED:
        return False
    return row["versions"] == compiler_versions()


# ---------------------------------------------------------------------------
# Tables


def outcome(row: Row) -> str:
    """Return what became of a cell, in a line."""
    if "needed_bytes" not in row:
        return f"{row['status']}: {row['reason']}"
    seconds = sum(row[call]["compile_seconds"] for call in ("training", "evaluation"))
    return (
        f"{row['status']} in {seconds:.0f} s, needs {row['needed_bytes'] / GIB:.2f} GiB"
    )


def table(rows: Sequence[Row]) -> str:
    """Return all rows as a table for the screen."""
    bounds = [{"bound": round(1e3 * shortest_step(row), 3) or None} for row in rows]
    rows = [row | bound for row, bound in zip(rows, bounds, strict=True)]
    frame = pd.json_normalize(rows, max_level=1).reindex(columns=[*COLUMNS])
    for column in frame.columns[frame.columns.str.endswith("bytes")]:
        frame[column] = (frame[column] / GIB).round(2)
    for column in frame.columns[frame.columns.str.contains("call|collect")]:
        frame[column] = [_listed(each) for each in frame[column]]
    frame["training.flops_of_a_step"] = (frame["training.flops_of_a_step"] / 1e9).round(
        1
    )
    frame["reason"] = ["" if pd.isna(each) else each[:60] for each in frame["reason"]]
    return tabulate(
        frame.astype(object).where(frame.notna(), ""),
        [*COLUMNS.values()],
        showindex=False,
        floatfmt=".10g",
    )


def shortest_step(row: Row) -> float:
    """Return the seconds that a training step cannot beat; 0 if nothing tells.

    The roofline (Williams et al., 2009, https://doi.org/10.1145/1498765.1498785): its
    FLOPs, or where XLA tells them its bytes, at the peak of the devices.
    """
    peak, training = PEAKS.get(row.get("device", "")), row.get("training", {})
    if peak is None:
        return 0.0
    of_flops = (training["flops_of_a_step"] or 0) / row["devices"] / peak.flops
    return max(of_flops, (training.get("compiler_bytes") or 0) / peak.bandwidth)


def _listed(counts: Any) -> str:
    """Return names with their counts, in a line."""
    counts = counts if isinstance(counts, Mapping) else {}
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def matrix(rows: Iterable[Row], entry: Callable[[Row], str]) -> str:
    """Return what `entry` says of each row, mixers by tasks, in Markdown."""
    found = {(row["mixer"], row["task"]): entry(row) for row in rows}
    tasks = [task for task in task_names() if any(t == task for _, t in found)]
    lines = [
        (mixer, *(found.get((mixer, task), "") for task in tasks))
        for mixer in sorted({mixer for mixer, _ in found})
    ]
    return tabulate(lines, ("mixer", *tasks), "pipe", disable_numparse=True)


def with_tables(text: str, folder: Path) -> str:
    """Return a document with today's table after each `<!-- ACCEL DEVICES ENTRY -->`.

    ENTRY is what the table has of a row: a name in ENTRIES.
    """

    def replaced(found: re.Match[str]) -> str:
        rows = read_rows(folder / f"{found[2]}.json")
        rows = [row for row in rows if row["devices"] == int(found[3])]
        return f"{found[1]}\n\n{matrix(rows, ENTRIES[found[4]])}\n\n<!-- end -->"

    pattern = rf"(<!-- (\w+) (\d+) ({'|'.join(ENTRIES)}) -->).*?<!-- end -->"
    return re.sub(pattern, replaced, text, flags=re.DOTALL)


def needed_gib(row: Row) -> str:
    """Return GiB, with the micro-batches if there are several; else what went wrong."""
    if row["status"] != COMPILES:
        return row["status"]
    parts = row["micro_batches"]
    needed = f"{row['needed_bytes'] / GIB:.1f}"
    return needed if parts == 1 else f"{needed} ({parts})"


def bound_ms(row: Row) -> str:
    """Return the milliseconds that a step cannot beat; nothing if it is not known."""
    return f"{1e3 * bound:.2f}" if (bound := shortest_step(row)) else ""


ENTRIES: Mapping[str, Callable[[Row], str]] = {"memory": needed_gib, "bound": bound_ms}
