"""Cells of tasks and mixers, one after the other: a file of rows.

A row is written as soon as its cell is compiled, and a cell that fails is a row with
its reason. Repeat the command to continue: it compiles what has no row yet, what
failed, and what another version of the compiler made.
"""

import argparse
import dataclasses
import functools
import importlib.metadata
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from tqdm import tqdm

from configs import grid
from lra_fnet.compile.tables import (
    COMPILES,
    FAILED,
    TOO_LARGE,
    Row,
    outcome,
    read_rows,
    table,
    with_tables,
)
from lra_fnet.compile.target import (
    TARGETS,
    absent_devices,
    check_target,
    set_up_compiler,
)
from lra_fnet.config import (
    RECIPES,
    config_hash,
    load_config,
    names_in,
    read_flags,
    resolve,
)
from lra_fnet.mixers import installed_mixers, mixer_names
from lra_fnet.result import git_commit
from lra_fnet.workdir import write_json, write_text
from tasks import check_choice, check_task_name


@runtime_checkable
class Subject(Protocol):
    """What a row is about."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def place(self) -> Row:
        """What a table has one row for, which a later one replaces."""

    @property
    def identity(self) -> Row:
        """Its place, and what decides its row: a config, the compiler's versions."""


# What compiles a subject, and returns what is known of it.
Compiler = Callable[[Any], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Cell:
    """A mixer on a task, under a recipe, on some devices of one kind."""

    task: str
    mixer: str
    recipe: str
    devices: int
    changes: Mapping[str, Any]  # values by dotted key, beyond the recipe's

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.mixer} on {self.task}"

    @property
    def config(self) -> Any:
        """The config of its run."""
        own = grid.OVERRIDES.get((self.task, self.mixer), {})
        changes = {**own, **self.changes, "mixer": self.mixer}
        return load_config(self.task, self.recipe, changes)

    @property
    def place(self) -> Row:
        """What a table has one row for, which a later one replaces."""
        return dataclasses.asdict(self)

    @functools.cached_property
    def identity(self) -> Row:
        """Its place, and what decides its row: a config, the compiler's versions."""
        return {
            **self.place,
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
        lambda cell: compile_cell(cell.config, absent_devices(accel, cell.devices)),
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
    tasks = names_in(arguments.tasks) or grid.TASKS
    mixers = names_in(arguments.mixers) or mixer_names()
    for task in tasks:
        check_task_name(task)
    for mixer in mixers:
        if "." not in mixer:  # else a module of another package
            check_choice("mixer", mixer, [*mixer_names(), *installed_mixers()])
    changes = read_flags(arguments.flags)
    return [
        Cell(task, mixer, arguments.recipe, arguments.devices, changes)
        for mixer in mixers
        for task in tasks
    ]


def run_cells(cells: Sequence[Subject], path: Path, compiler: Compiler) -> list[Row]:
    """Compile the subjects without a row, and return the rows of all, in their order.

    Those that failed before are tried again, after all others.
    """
    rows, commit = read_rows(path), git_commit()
    todo = [cell for cell in cells if not is_finished(cell, rows)]
    todo.sort(key=lambda cell: bool(find_row(cell, rows)))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tqdm(todo, unit="cell", dynamic_ncols=True) as bar:
        for cell in bar:
            row = compile_row(cell, compiler) | {"commit": commit}
            rows = [other for other in rows if not agrees(other, cell.place)] + [row]
            write_json(path, {"accel": path.stem, "rows": rows})
            bar.write(f"{cell.name}: {outcome(row)}")
    found = (find_row(cell, rows) for cell in cells)
    return [row for row in found if row]


def compile_row(cell: Subject, compiler: Compiler) -> Row:
    """Return the row of a subject, whatever becomes of it."""
    identity = cell.identity
    try:
        facts = compiler(cell)
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


@functools.cache
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


def agrees(row: Row, facts: Row) -> bool:
    """Tell whether a row has these facts; one without `changes` had none."""
    return all(row.get(key, {}) == value for key, value in facts.items())


def find_row(cell: Subject, rows: Iterable[Row]) -> Row | None:
    """Return the row of a subject, whatever compiled it; None if there is none."""
    facts = {k: value for k, value in cell.identity.items() if k != "versions"}
    return next((row for row in rows if agrees(row, facts)), None)


def is_finished(cell: Subject, rows: Iterable[Row]) -> bool:
    """Tell whether a subject has a row of this compiler that is no failure."""
    row = find_row(cell, rows)
    if row is None or row["status"] == FAILED:
        return False
    return row["versions"] == compiler_versions()
