"""table.md and table.csv: the same numbers for other programs and for text."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lra_fnet.report import repeat
from lra_fnet.report.cells import Cell
from lra_fnet.report.contents import Contents
from lra_fnet.report.grids import Grid
from lra_fnet.report.markdown import table
from lra_fnet.report.places import Place, bounds
from lra_fnet.report.verdicts import reference
from lra_fnet.report.view import BoardView
from lra_fnet.report.words import percent, title

FIELDS = (
    *("table", "task", "mixer", "status", "reasons", "mean", "low", "high", "covers"),
    *("seeds", "correct", "examples", "rank", "behind_best", "p_behind_best"),
    *("published", "published_source", "difference", "marks"),
    *("steps", "parameters", "steps_per_second", "examples_per_second"),
    *("seeds_in_program", "peak_memory_bytes", "device_kind", "device_count"),
    *("config_hash", "data_source", "data_checksum", "commands", "files"),
)


def markdown(contents: Contents) -> str:
    """Return the tables as Markdown that can be read as it is."""
    blocks = ["# Long Range Arena: results", contents.summary() + "."]
    blocks += [_bullets([*contents.findings(), contents.how_sure()])]
    for found in contents.views:
        blocks += _board(found)
    for measured in contents.speeds:
        blocks.append(f"## Speed: {measured.name}")
        blocks += [_grid(grid) for grid in measured.grids()]
    if contents.apart:
        blocks += ["## Single cells that stand apart", _apart(contents)]
    if contents.remarks:
        blocks += ["## Remarks", _bullets(contents.remarks)]
    if contents.problems:
        blocks += ["## Files that were left out", _bullets(contents.problems)]
    return "\n\n".join(block.strip() for block in blocks if block.strip()) + "\n"


def _board(found: BoardView) -> list[str]:
    """Return a board: its table, its notes, its margins."""
    board = found.board
    body = [[row, *map(_shown, places)] for row, places in found.rows()]
    body += [[f"answer by {name}", *cells] for name, cells in found.readers()]
    notes = [f"({letter}) {meaning}" for letter, meaning in found.legend().items()]
    notes += [*found.notes(), *(f"Published: {line}" for line in found.sources())]
    name = f"## Accuracy, recipe {board.name}"
    apart = [f"Not comparable with published numbers: {w}." for w in board.why_apart]
    explained = (
        "Percent of the test split [95 % interval]; best or tied: see below; "
        "published number, difference in points."
    )
    parts = [name, *apart, explained, table(["mixer", *found.header], body)]
    return [*parts, _bullets(notes), *map(_grid, found.margins())]


def _shown(place: Place) -> str:
    """Return a place of the accuracy table."""
    if place.reason:
        return place.reason
    marks = f" ({place.marks})" if place.marks else ""
    standing = f" {place.standing}" if place.standing else ""
    published = f"; {place.published}, {place.difference}" if place.published else ""
    return f"{place.mean} [{place.interval}]{standing}{marks}{published}"


def _grid(grid: Grid) -> str:
    """Return a table with its title and note."""
    return f"### {grid.title}\n\n{table(grid.header, grid.rows)}\n{grid.note}"


def _apart(contents: Contents) -> str:
    """Return the cells of no board."""
    header = ["task", "mixer", "recipe", "accuracy", "seeds", "why"]
    rows = [
        [
            title(found.cell.task),
            found.cell.row,
            found.cell.first.content["recipe"],
            f"{percent(found.cell.accuracy)} [{bounds(found.cell.answers.estimate)}]",
            str(len(found.cell.runs)),
            "; ".join(found.reasons),
        ]
        for found in contents.apart
    ]
    return table(header, rows)


def _bullets(lines: Sequence[str]) -> str:
    """Return lines as a list."""
    return "\n".join(f"- {line}" for line in lines if line)


def comma_separated(contents: Contents) -> str:
    """Return all cells as CSV, a line each; accuracies are shares in [0, 1]."""
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(_lines(contents))
    return out.getvalue()


def _lines(contents: Contents) -> Iterator[Mapping[str, Any]]:
    """Yield the line of every cell, reader and failure."""
    for found in contents.views:
        name, board = found.board.name, found.board
        for _, cell in sorted(board.cells.items()):
            yield (
                {"table": name, "status": "table"}
                | _cell(cell)
                | _standing(found, cell)
            )
        for reader, by_task in sorted(board.readers().items()):
            for task, accuracy in by_task.items():
                own = {"task": task, "mixer": f"answer by {reader}", "mean": accuracy}
                yield {"table": name, "status": "reader", **own}
        for (row, task), reason in sorted(board.failures.items()):
            own = {"task": task, "mixer": row, "reasons": reason}
            yield {"table": name, "status": "failed", **own}
    for apart in contents.apart:
        reasons = "; ".join(apart.reasons)
        recipe = apart.cell.first.content["recipe"]
        own = {"table": recipe, "status": "apart", "reasons": reasons}
        yield own | _cell(apart.cell)


def _cell(cell: Cell) -> dict[str, Any]:
    """Return what a cell says by itself."""
    estimate, first = cell.answers.estimate, cell.first
    return {
        "task": cell.task,
        "mixer": cell.row,
        "mean": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
        "covers": estimate.covers,
        "seeds": _joined(cell.seeds),
        "correct": _joined(run.content["test"]["correct"] for run in cell.runs),
        "examples": cell.examples,
        "marks": "; ".join(cell.marks),
        "steps": first.get("steps"),
        "parameters": first.get("parameters"),
        "steps_per_second": cell.mean("speed.steps_per_second"),
        "examples_per_second": cell.mean("speed.examples_per_second"),
        "seeds_in_program": first.get("speed.seeds_in_program"),
        "peak_memory_bytes": first.get("peak_memory.bytes"),
        "device_kind": first.get("device.kind"),
        "device_count": first.get("device.count"),
        "config_hash": first.get("config_hash"),
        "data_source": first.content["data"]["source"],
        "data_checksum": first.content["data"]["checksum"],
        "commands": "\n".join(repeat.commands(cell)),
        "files": "\n".join(str(run.path) for run in cell.runs),
    }


def _standing(found: BoardView, cell: Cell) -> dict[str, Any]:
    """Return where a cell stands in its column, and beside what was published."""
    verdict = found.verdicts[cell.task]
    margin = next((m for m in verdict.margins if m.row == cell.row), None)
    number = reference(found.board, cell.row, cell.task)
    published = number and number.accuracy / 100
    return {
        "rank": verdict.ranks[cell.row],
        "behind_best": margin.difference if margin else 0.0,
        "p_behind_best": margin.p if margin else None,
        "published": published,
        "published_source": number.source if number else None,
        "difference": cell.accuracy - published if published else None,
    }


def _joined(values: Any) -> str:
    """Return numbers in one field."""
    return " ".join(map(str, values))
