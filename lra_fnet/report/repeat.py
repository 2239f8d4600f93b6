"""For each cell: the command that repeats it, and what it was made with."""

from collections.abc import Iterable, Sequence
from typing import Any

from lra_fnet.report.boards import Board
from lra_fnet.report.cells import Cell
from lra_fnet.report.grids import Grid
from lra_fnet.report.machines import device_name
from lra_fnet.report.sources import Run
from lra_fnet.report.words import seeds_words, title

HEADER = (
    *("mixer", "command", "seeds", "config", "data", "parameters", "steps"),
    *("training", "device", "versions", "code"),
)


def grids(board: Board) -> list[Grid]:
    """Return a table for each column, a row for each cell."""
    return [
        Grid(title(task), HEADER, [_row(cell) for cell in board.column(task).values()])
        for task in board.tasks
        if board.column(task)
    ]


def commands(cell: Cell) -> list[str]:
    """Return the commands of a cell; seeds of one program share theirs."""
    return distinct(run.get("command") for run in cell.runs)


def distinct(values: Iterable[Any]) -> list[str]:
    """Return texts in their order, each once, without those that are not known."""
    return [*dict.fromkeys(value for value in values if value)]


def _row(cell: Cell) -> Sequence[str]:
    """Return what a cell was made with, as texts; a line for each different one."""
    first = cell.first
    data = first.content["data"]
    count = first.get("parameters")
    return [
        cell.row,
        "\n".join(commands(cell)) or "not given",
        seeds_words(cell.seeds),
        first.get("config_hash", "not given"),
        f"{data['source']} {data['checksum'][:12]}",
        "not given" if count is None else f"{count:,}",
        _number(first.get("steps")),
        "\n".join(distinct(map(_training, cell.runs))) or "not given",
        "\n".join(distinct(map(_device, cell.runs))) or "not given",
        "\n".join(distinct(map(_versions, cell.runs))) or "not given",
        "\n".join(distinct(map(_code, cell.runs))) or "not given",
    ]


def _number(value: int | None) -> str:
    """Return a number as text."""
    return "not given" if value is None else f"{value:,}"


def _training(run: Run) -> str:
    """Return how long a run trained, and its speed."""
    seconds, rate = run.get("seconds.train"), run.get("speed.steps_per_second")
    if seconds is None or rate is None:
        return ""
    return f"{seconds / 60:.3g} min, {rate:.3g} steps/s"


def _device(run: Run) -> str:
    """Return what a run computed on."""
    device = run.get("device")
    return device_name(device) if device else ""


def _versions(run: Run) -> str:
    """Return the versions of Python and the libraries."""
    return ", ".join(f"{k} {v}" for k, v in run.get("versions", {}).items())


def _code(run: Run) -> str:
    """Return the program and the commit that made a result."""
    commit = run.get("commit") or ""
    short = commit[:12] + ("-dirty" if commit.endswith("-dirty") else "")
    return " ".join(filter(None, [run.get("program", ""), short]))
