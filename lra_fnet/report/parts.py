"""Accuracy on parts of a test split: by length and by the task's own features."""

from collections.abc import Mapping, Sequence
from typing import Any

from lra_fnet.report.boards import Board
from lra_fnet.report.cells import Cell
from lra_fnet.report.grids import Grid, Plot, Series, band
from lra_fnet.report.statistics import binomial_interval
from lra_fnet.report.words import DASH, NONE, percent, title

Part = Mapping[str, Any]


def features(board: Board, task: str) -> list[str]:
    """Return the features that examples of a column are told apart by."""
    found: dict[str, None] = {}
    for cell in board.column(task).values():
        for name, parts in cell.first.get("breakdown", {}).items():
            if len(parts) > 1:
                found[name] = None
    return [*found]


def pooled(cell: Cell, feature: str) -> list[Part]:
    """Return the parts of one feature with the mean of right answers over seeds.

    No parts where the runs have none, or not the same ones.
    """
    columns = [run.get("breakdown", {}).get(feature, []) for run in cell.runs]
    labels = [[part_name(part) for part in column] for column in columns]
    if any(own != labels[0] for own in labels):
        return []
    return [
        {**parts[0], "correct": sum(p["correct"] for p in parts) / len(parts)}
        for parts in zip(*columns, strict=True)
    ]


def part_name(part: Part) -> str:
    """Return the word or the range that a part's examples share.

    >>> part_name({"low": 3, "high": 5}), part_name({"low": 7, "high": 7})
    ('3–5', '7')
    """
    if "value" in part:
        return part["value"]
    low, high = part["low"], part["high"]
    return f"{low:,}" if low == high else f"{low:,}{DASH}{high:,}"


def grids(board: Board, task: str) -> list[Grid]:
    """Return a table for each feature: rows mixers, columns parts."""
    found = []
    for feature in features(board, task):
        rows = {row: pooled(cell, feature) for row, cell in board.column(task).items()}
        rows = {row: parts for row, parts in rows.items() if parts}
        if not rows:
            continue
        first = next(iter(rows.values()))
        names = [part_name(part) for part in first]
        same = {
            row: parts
            for row, parts in rows.items()
            if [part_name(part) for part in parts] == names
        }
        found.append(_grid(task, feature, first, same))
    return found


def _grid(
    task: str, feature: str, first: Sequence[Part], rows: Mapping[str, Sequence[Part]]
) -> Grid:
    """Return the table of a feature."""
    body = [
        ["examples", *(f"{part['examples']:,}" for part in first)],
        *([row, *map(_share, parts)] for row, parts in rows.items()),
    ]
    header = [feature, *map(part_name, first)]
    return Grid(f"{title(task)}: accuracy by {feature}, %", header, body)


def plots(board: Board, task: str, name: str) -> list[Plot]:
    """Return a figure for each feature that is a number."""
    found = []
    for place, feature in enumerate(features(board, task)):
        cells = board.column(task).values()
        lines = [s for s in (_line(cell, feature) for cell in cells) if s.x]
        if lines:
            meaning = "The band is the 95 % interval over test examples."
            lines, note = band(lines, meaning)
            found.append(
                Plot(
                    f"{name}-part{place}",
                    f"{title(task)}: accuracy by {feature}",
                    feature,
                    "test accuracy, %",
                    lines,
                    note=note,
                )
            )
    return found


def _line(cell: Cell, feature: str) -> Series:
    """Return accuracy against the middle of each range; no points for words."""
    parts = [p for p in pooled(cell, feature) if "low" in p and p["examples"]]
    bounds = [_interval(part) for part in parts]
    return Series(
        cell.row,
        [(part["low"] + part["high"]) / 2 for part in parts],
        [100 * part["correct"] / part["examples"] for part in parts],
        [100 * low for low, _ in bounds],
        [100 * high for _, high in bounds],
    )


def _interval(part: Part) -> tuple[float, float]:
    """Return the interval of the mean seed: examples are shared by all seeds."""
    return binomial_interval(round(part["correct"]), part["examples"])


def _share(part: Part) -> str:
    """Return the accuracy on a part; nothing where it is empty."""
    return percent(part["correct"] / part["examples"]) if part["examples"] else NONE
