"""Put cells on boards, and say of each that stands apart why it does."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lra_fnet.config import differences
from lra_fnet.report.boards import (
    OFFICIAL,
    RECIPES,
    SAMPLE,
    VALUES,
    Board,
    Key,
    pixel_inputs,
)
from lra_fnet.report.cells import Cell, row_name


@dataclasses.dataclass(frozen=True, eq=False)
class Apart:
    """Hold a cell that belongs to no board, and why."""

    cell: Cell
    reasons: Sequence[str]


def arrange(
    cells: Iterable[Cell], failures: Iterable[Mapping[str, Any]]
) -> tuple[list[Board], list[Apart]]:
    """Put cells on boards, the official one first; list those that stand apart."""
    groups: dict[tuple[str, bool], list[Cell]] = {}
    apart = []
    for cell in cells:
        reasons = _breaks_rules(cell)
        if reasons:
            apart.append(Apart(cell, reasons))
        else:
            source = cell.first.content["data"]["source"]
            key = cell.first.content["recipe"], source == SAMPLE
            groups.setdefault(key, []).append(cell)
    failed = _failures(failures)
    boards = []
    for recipe, sample in sorted(groups.keys() | failed.keys(), key=_place):
        kept, others = _one_per_place(groups.get((recipe, sample), []))
        missing = failed.get((recipe, sample), {})
        missing = {key: why for key, why in missing.items() if key not in kept}
        boards.append(Board(recipe, sample, kept, missing))
        apart += others
    return boards, sorted(apart, key=lambda a: (a.cell.task, a.cell.row))


def _place(key: tuple[str, bool]) -> tuple[Any, ...]:
    """Return where a board stands among others."""
    recipe, sample = key
    index = RECIPES.index(recipe) if recipe in RECIPES else len(RECIPES)
    return sample, index, recipe


def _breaks_rules(cell: Cell) -> list[str]:
    """Return why a cell may stand beside no other of its recipe."""
    reasons = sorted({r for run in cell.runs for r in run.get("rules.reasons", [])})
    if any(run.get("rules.free_for_all") for run in cell.runs):
        return ["free-for-all under the rules of the benchmark", *reasons]
    if cell.first.content["recipe"] == OFFICIAL and pixel_inputs(cell) == VALUES:
        return ["pixels enter as real numbers, not as token ids"]
    return []


def _one_per_place(cells: Sequence[Cell]) -> tuple[dict[Key, Cell], list[Apart]]:
    """Choose the test split of each column, and the config of each place in it."""
    kept: dict[Key, Cell] = {}
    apart = []
    splits = _commonest_splits(cells)
    for cell in sorted(cells, key=_standing):
        place = cell.row, cell.task
        if _split(cell) != splits[cell.task]:
            checksum = cell.first.content["data"]["checksum"][:12]
            apart.append(Apart(cell, [f"other data than its column: {checksum}"]))
        elif place in kept:
            apart.append(Apart(cell, _other_config(cell, kept[place])))
        else:
            kept[place] = cell
    return kept, apart


def _commonest_splits(cells: Iterable[Cell]) -> dict[str, Any]:
    """Return the test split that most cells of each task have."""
    counts: dict[str, Counter[Any]] = {}
    for cell in cells:
        counts.setdefault(cell.task, Counter())[_split(cell)] += 1
    return {
        task: min(counter, key=lambda split: (-counter[split], split))
        for task, counter in counts.items()
    }


def _split(cell: Cell) -> tuple[str, int]:
    """Return what names a test split."""
    return cell.first.content["data"]["checksum"], cell.examples


def _standing(cell: Cell) -> tuple[Any, ...]:
    """Return what is smallest for the config with most seeds."""
    return -len(cell.runs), cell.first.get("config_hash", ""), str(cell.first.path)


def _other_config(cell: Cell, kept: Cell) -> list[str]:
    """Return in what a config differs from the one that has the place."""
    old, new = (c.first.get("config", {}) for c in (kept, cell))
    skipped = ("run.", "seed:", "num_seeds:")
    changed = [d for d in differences(old, new) if not d.startswith(skipped)]
    return [
        "another config than the one in the table, which is the one with most seeds",
        *changed,
    ]


def _failures(
    found: Iterable[Mapping[str, Any]],
) -> dict[tuple[str, bool], dict[Key, str]]:
    """Return what failed, by board and place; the last one of a place is shown."""
    boards: dict[tuple[str, bool], dict[Key, str]] = {}
    for failure in found:
        source = failure.get("config", {}).get("data", {}).get("source")
        place = row_name(failure), failure["task"]
        reason = failure["reason"].strip() or "no reason given"
        boards.setdefault((failure["recipe"], source == SAMPLE), {})[place] = reason
    return boards
