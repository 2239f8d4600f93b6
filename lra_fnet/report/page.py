"""index.html: one file that needs no other, and asks no network for anything."""

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from configs.grid import MODELS
from lra_fnet.report import repeat, words
from lra_fnet.report.boards import ordered
from lra_fnet.report.contents import Contents
from lra_fnet.report.figures import drawn
from lra_fnet.report.grids import Grid, Plot, left_out
from lra_fnet.report.published import (
    ROWS,
    SOURCES,
    SPEED_LENGTHS,
    SPEED_ROWS,
    SPEED_SOURCE,
    TASKS,
)

TEMPLATE, STYLE = "page.html", "page.css"


def page(contents: Contents) -> str:
    """Return the page; the same bytes for the same contents."""
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["drawn"] = functools.partial(_figure, _rows(contents))
    environment.filters["plural"] = words.plural
    style = Markup((folder / STYLE).read_text())
    return environment.get_template(TEMPLATE).render(
        contents=contents,
        style=style,
        left_out=left_out,
        repeat=repeat,
        published=published_grids(),
        published_speed=published_speed(),
        words=words,
    )


def _figure(rows: Sequence[str], plot: Plot) -> Markup:
    """Return a plot as an SVG element, which is no text to escape."""
    return Markup(drawn(plot, rows))


def _rows(contents: Contents) -> list[str]:
    """Return all rows of the page, which decide the colours of its figures."""
    boards: Iterable[str] = (row for v in contents.views for row in v.board.rows)
    speeds = (model for found in contents.speeds for model in found.models)
    return ordered([*boards, *speeds], MODELS)


def published_grids() -> list[Grid]:
    """Return the published numbers: those that may be compared, then the others."""
    kinds = (
        ("With LRA's token ids as inputs", True),
        ("With other or unstated inputs: not comparable with this suite's", False),
    )
    header = ["model", *map(words.title, TASKS), "source"]
    return [
        Grid(
            heading,
            header,
            [
                [row.name, *map(_cell, row.accuracies), _source(row.source)]
                for row in ROWS
                if SOURCES[row.source].lra_inputs == lra_inputs
            ],
        )
        for heading, lra_inputs in kinds
    ]


def published_speed() -> Grid:
    """Return LRA's own speed table."""
    header = ["model"]
    header += [f"steps/s at {length:,}" for length in SPEED_LENGTHS]
    header += [f"GB at {length:,}" for length in SPEED_LENGTHS]
    rows = [
        [row.name, *map(str, row.steps_per_second), *map(str, row.gigabytes)]
        for row in SPEED_ROWS
    ]
    return Grid("Published speed and memory", header, rows, SPEED_SOURCE)


def _cell(accuracy: float | None) -> str:
    """Return a published accuracy."""
    return words.NONE if accuracy is None else f"{accuracy:.2f}"


def _source(key: str) -> str:
    """Return where a line was read, and what should be known of it."""
    return f"{SOURCES[key].citation} ({SOURCES[key].remark})"
