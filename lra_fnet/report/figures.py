"""Figures as SVG that a page can hold: text as text, on a transparent ground.

The colors are those of the light theme; in the dark one the style sheet inverts them.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.ticker import (
    EngFormatter,
    FixedLocator,
    LogLocator,
    MaxNLocator,
    NullLocator,
)

INK, MUTED, LINE = "#1c1e21", "#5b6068", "#dad7ce"
COLORS = (
    *("#0b5cad", "#c2410c", "#15803d", "#a21c6b"),
    *("#0e7490", "#854d0e", "#6d3fc0", "#4b5563"),
)
MARKERS = "osD^vPX"  # no two of 56 rows have both color and marker in common
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)))
MOST_LINES = 12  # of a figure: those of the benchmark's own table
MOST_BANDS = 4  # of a figure; more would hide the lines

STYLE: Mapping[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 3.5,
}
NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
SIZE = (4.8, 3.3)  # inches of 72 units

Numbers = Sequence[float]


class Series(NamedTuple):
    """A line of a figure, or a bubble.

    Attributes:
      name: of its row.
      x, y: its points.
      low, high: bounds of y at each point; empty where there are none.
      size: of a bubble, in any unit; 0 for a line.
    """

    name: str
    x: Numbers
    y: Numbers
    low: Numbers = ()
    high: Numbers = ()
    size: float = 0.0


@dataclass(frozen=True)
class Plot:
    """What a figure shows.

    Attributes:
      title: above it, and what a screen reader says.
      x_label, y_label: with units.
      series: all lines or all bubbles, in the order of the legend.
      log: whether both axes are logarithmic, the horizontal one to base 2.
      note: below it.
    """

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    log: bool = False
    note: str = ""

    @property
    def bubbles(self) -> bool:
        """Return whether it shows bubbles."""
        return self.series[0].size > 0


class Panel(NamedTuple):
    """The accuracies of one task, as shares.

    Attributes:
      title: of the task.
      rows: name, mean, and bounds of the interval of each mixer.
      baseline: name and accuracy of the best trivial baseline; None where not known.
    """

    title: str
    rows: Sequence[tuple[str, float, float, float]]
    baseline: tuple[str, float] | None


class Tradeoff(NamedTuple):
    """Accuracy against speed on one task.

    Attributes:
      title: of the task.
      base: what speed-ups are over.
      points: name, speed-up, GiB of memory, accuracy and bounds of its interval, as
        shares, of each mixer.
    """

    title: str
    base: str
    points: Sequence[tuple[str, float, float, float, float, float]]


def overview(panels: Sequence[Panel]) -> str:
    """Return an SVG file: accuracies with intervals, a panel a task."""
    height = 1.1 + 0.28 * max(len(panel.rows) for panel in panels)
    return _side_by_side(panels, _draw_panel, "overview", (2.6, height))


def tradeoff(panels: Sequence[Tradeoff]) -> str:
    """Return an SVG file: accuracy against speed, memory as area, a panel a task."""
    return _side_by_side(panels, _draw_tradeoff, "tradeoff", (3.4, 3.2))


def _side_by_side(
    panels: Sequence[Any], draw: Callable[..., None], name: str, size: tuple[float, ...]
) -> str:
    """Return an SVG file of panels in a row, on white, each of a size in inches."""
    style: dict[Any, Any] = {**STYLE, "svg.hashsalt": name}
    with rc_context(style):
        width, height = size
        figure = Figure(figsize=(width * len(panels), height), layout="constrained")
        row = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, panel in zip(row, panels, strict=True):
            draw(axes, panel)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata=NO_METADATA, facecolor="white")
    return out.getvalue()


def _draw_tradeoff(axes: Axes, panel: Tradeoff) -> None:
    """Draw a bubble with its name for each mixer."""
    names, speed_ups, sizes, *accuracies = zip(*panel.points, strict=True)
    mean, low, high = 100 * np.array(accuracies)
    area = [30 + 300 * size / max(sizes) for size in sizes]  # points squared
    look: Mapping[str, Any] = {"color": COLORS[0], "zorder": 2}
    axes.scatter(speed_ups, mean, s=area, alpha=0.5, linewidth=0, **look)
    axes.errorbar(speed_ups, mean, yerr=(mean - low, high - mean), fmt="none", **look)
    for name, x, y in zip(names, speed_ups, mean, strict=True):
        axes.annotate(name, (x, y), (8, 8), textcoords="offset points")
    axes.set_xscale("log")
    _set_ticks(axes.xaxis, LogLocator(subs=(1, 2, 5)), "{x:,g}")
    axes.margins(0.25)
    axes.set_title(panel.title, fontsize=10)
    axes.set_ylabel("test accuracy, %")
    axes.set_xlabel(f"speed-up over {panel.base} in training\narea: memory")


def _draw_panel(axes: Axes, panel: Panel) -> None:
    """Draw a dot with its interval for each mixer, and a line for the baseline."""
    names, means, low, high = zip(*panel.rows, strict=True)
    percent = 100 * np.array([means, low, high])
    reach = percent[0] - percent[1], percent[2] - percent[0]
    axes.errorbar(percent[0], range(len(names)), xerr=reach, fmt="o", color=COLORS[0])
    axes.set_yticks(range(len(names)), names)
    axes.margins(y=0.5)
    axes.invert_yaxis()
    axes.set_title(panel.title, fontsize=10)
    axes.set_xlabel("test accuracy, %")
    if panel.baseline:
        name, accuracy = panel.baseline
        axes.axvline(100 * accuracy, color=MUTED, linestyle="--", linewidth=1)
        axes.set_xlabel(f"test accuracy, %\ndashed: {name}")


def limited(plot: Plot, order: Sequence[str], band: str = "") -> Plot:
    """Return a plot of lines with no more lines and bands than it has room for.

    Args:
      plot: of any number of lines.
      order: of all rows; the first ones are drawn.
      band: what the bands mean, for the note.
    """
    lines = sorted(plot.series, key=lambda line: order.index(line.name))
    notes = [plot.note]
    if len(lines) > MOST_BANDS:
        lines = [line._replace(low=(), high=()) for line in lines]
    elif any(line.low for line in lines):
        notes.append(band)
    if hidden := [line.name for line in lines[MOST_LINES:]]:
        notes.append(f"Not drawn, to keep it readable: {', '.join(hidden)}.")
    note = " ".join(filter(None, notes))
    return replace(plot, series=lines[:MOST_LINES], note=note)


def drawn(plot: Plot, order: Sequence[str], name: str) -> str:
    """Return a plot as an SVG element; the same bytes for the same plot.

    Args:
      plot: what it shows.
      order: all rows of the page, which decides the colors.
      name: for ids that are unique on the page.
    """
    style: dict[Any, Any] = {**STYLE, "svg.hashsalt": name}
    with rc_context(style):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        _label(axes, plot)
        draw = _draw_bubbles if plot.bubbles else _draw_lines
        draw(axes, plot.series, order)
        legend = figure.legend(loc="outside lower center", ncols=3, handlelength=2.6)
        for handle in legend.legend_handles:
            if isinstance(handle, PathCollection):  # of a bubble
                handle.set_sizes([30])
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata=NO_METADATA, transparent=True)
    return _element(out.getvalue(), plot.title, name)


def _element(svg: str, title: str, name: str) -> str:
    """Return an SVG file as an element with a title, its ids unique on the page."""
    opening, body = svg[svg.index("<svg ") :].split(">", 1)
    for reference in ('id="', "url(#", 'href="#'):
        body = body.replace(reference, f"{reference}{name}-")
    label = f'role="img" aria-label="{escape(title)}"'
    return f"{opening.replace('<svg', f'<svg {label}')}>{body}".strip()


def _draw_lines(axes: Axes, series: Sequence[Series], order: Sequence[str]) -> None:
    """Draw lines, and their ranges as bands."""
    for line in series:
        style = _style(order.index(line.name))
        # Matplotlib leaves names that begin with "_" out of a legend.
        axes.plot(line.x, line.y, label=line.name.lstrip("_"), **style)
        if line.low:
            band: Mapping[str, Any] = {
                "color": style["color"],
                "alpha": 0.12,
                "linewidth": 0,
            }
            axes.fill_between(line.x, line.low, line.high, **band)


def _draw_bubbles(axes: Axes, series: Sequence[Series], order: Sequence[str]) -> None:
    """Draw bubbles, the largest first so that none is hidden."""
    most = max(bubble.size for bubble in series)
    for bubble in sorted(series, key=lambda bubble: -bubble.size):
        style = _style(order.index(bubble.name))
        look = {"color": style["color"], "marker": style["marker"], "linewidth": 0}
        area = 30 + 500 * bubble.size / most  # points squared
        name = bubble.name.lstrip("_")
        axes.scatter(bubble.x, bubble.y, s=area, alpha=0.6, label=name, **look)
    axes.margins(0.18)


def _style(index: int) -> dict[str, Any]:
    """Return color, marker and dashes of the row with that index."""
    return {
        "color": COLORS[index % len(COLORS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": DASHES[index // len(COLORS) % len(DASHES)],
        "markeredgewidth": 0,
    }


def _label(axes: Axes, plot: Plot) -> None:
    """Name the axes, and put ticks at round numbers."""
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)
    x = [value for line in plot.series for value in line.x]
    if plot.bubbles:
        axes.set_xscale("log")
        _set_ticks(axes.xaxis, LogLocator(subs=(1, 2, 5)), "{x:,g}")
    elif plot.log:
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        _set_ticks(axes.xaxis, FixedLocator(sorted(set(x))), "{x:,.0f}")
        _set_ticks(axes.yaxis, LogLocator(subs=(1, 2, 5)), "{x:g}")
    else:
        thousands = max(x) >= 10_000  # written with a k or an M
        steps = MaxNLocator(6, steps=[1, 2, 5, 10])
        _set_ticks(axes.xaxis, steps, EngFormatter(sep="") if thousands else "{x:g}")


def _set_ticks(axis: Any, major: Any, text: Any) -> None:
    """Put the ticks of an axis, without minor ones."""
    axis.set_major_locator(major)
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(text)
