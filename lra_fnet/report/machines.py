"""What computed: a name for it, and which cells ran on the same."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from lra_fnet.report.cells import Cell
from lra_fnet.report.words import TIMES


def device_name(device: Mapping[str, Any]) -> str:
    """Return a device in words.

    >>> device_name({"platform": "cpu", "kind": "Xeon", "count": 1, "cpu_cores": 4})
    'Xeon, 4 cores'
    """
    name = f"{device['count']} {TIMES} {device['kind']}"
    if device.get("platform") != "cpu":
        return name
    cores, hosts = device.get("cpu_cores"), device.get("hosts", 1)
    name = f"{device['kind']}, {cores} cores" if cores else device["kind"]
    return f"{name} on each of {hosts} hosts" if hosts > 1 else name


def same_machine(cells: Iterable[Cell]) -> tuple[list[Cell], str]:
    """Return the cells whose speeds may be compared, and what they ran on.

    Those of the device that most ran on, with as many seeds in a program.
    """
    places = [(cell, _machine(cell)) for cell in cells]
    counts = Counter(machine for _, machine in places if machine)
    if not counts:
        return [], ""
    machine = min(counts, key=lambda name: (-counts[name], name))
    return [cell for cell, own in places if own == machine], machine


def _machine(cell: Cell) -> str:
    """Return what a cell ran on; "" where not all of its runs say the same."""
    found = set()
    for run in cell.runs:
        device, seeds = run.get("device"), run.get("speed.seeds_in_program", 1)
        if device is None or run.get("speed.steps_per_second") is None:
            return ""
        together = f", {seeds} seeds at a time" if seeds > 1 else ""
        found.add(device_name(device) + together)
    return found.pop() if len(found) == 1 else ""
