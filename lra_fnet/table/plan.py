"""The plan of a table, before anything starts: cells, steps, cost, memory, totals."""

from collections.abc import Iterable, Sequence

from lra_fnet.report.markdown import table
from lra_fnet.table import units
from lra_fnet.table.cells import Cell, Protocol
from lra_fnet.table.progress import Progress, State
from lra_fnet.table.speeds import Forecast

HEADER = (
    "task",
    "model",
    "cells",
    "done",
    "failed",
    "steps",
    "operations",
    "time",
    "memory",
    "remark",
)
NOTES = """\
Operations, time and memory are of one cell. Operations are those of its training steps.
Time: from finished runs on this device of the same model and task; with ~ from runs of
other models. Memory: of a step of the whole batch on one device, an upper estimate from
its trace; a batch that does not fit is computed in as few parts as do."""


def document(progress: Progress) -> str:
    """Return the plan of the cells, a row for each protocol, cheapest first."""
    protocols: dict[Protocol, list[Cell]] = {}
    for cell in progress.states:
        protocols.setdefault(cell.protocol, []).append(cell)
    rows = [_row(cells, progress) for cells in protocols.values()]
    return "\n".join([table(HEADER, rows), NOTES, "", *totals(progress)])


def _row(cells: Sequence[Cell], progress: Progress) -> list[str]:
    """Return the row of a protocol."""
    protocol, cost = cells[0].protocol, progress.costs[cells[0].protocol]
    states = [progress.states[cell] for cell in cells]
    return [
        protocol.row.task,
        protocol.row.model,
        str(len(cells)),
        str(states.count(State.DONE)),
        str(states.count(State.FAILED)),
        f"{cells[0].num_steps:,}",
        "unknown" if cost.problem else units.operations(cost.operations),
        "unknown" if cost.problem else _time(progress.forecast(cells[0])),
        "unknown" if cost.problem else units.gibibytes(cost.memory),
        cost.problem or _remark(protocol, states),
    ]


def _time(forecast: Forecast | None) -> str:
    """Return the time of a cell."""
    if forecast is None:
        return "unknown"
    return ("" if forecast.close else "~") + units.duration(forecast.seconds)


def _remark(protocol: Protocol, states: Iterable[State]) -> str:
    """Return what else is to be said about a protocol."""
    if State.MISSING in states:
        return "no data"
    return "made-up sample" if protocol.on_sample else ""


def totals(progress: Progress) -> list[str]:
    """Return what all cells take that are still to run."""
    left = [c for c, state in progress.states.items() if state is State.LEFT]
    counts = [
        f"{progress.count(state)} {state.value}"
        for state in (State.DONE, State.FAILED, State.MISSING)
        if progress.count(state)
    ]
    counts.append(f"{len(left)} to run")
    lines = [f"{len(progress.states)} cells: {', '.join(counts)}"]
    if left:
        operations = units.operations(sum(map(progress.operations, left)))
        seconds = progress.seconds_left()
        time = "unknown" if seconds is None else f"roughly {units.duration(seconds)}"
        memory = max(progress.costs[cell.protocol].memory for cell in left)
        lines.append(
            f"to run: {operations} operations, time {time}, memory at most "
            f"{units.gibibytes(memory)}"
        )
    return lines
