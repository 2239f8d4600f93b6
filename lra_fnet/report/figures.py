"""Draw plots as SVG that a page can hold: text as text, colours of the page's theme."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    EngFormatter,
    FixedLocator,
    LogLocator,
    MaxNLocator,
    NullLocator,
)

from lra_fnet.report.grids import Plot, Series, at_most
from lra_fnet.report.svg import COLOURS, INK, LINE, MUTED, embedded

MARKERS = "osD^vPX"  # no two rows of eight have both colour and marker in common
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)))

SETTINGS: Mapping[str, Any] = {
    "svg.fonttype": "none",
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
    "path.simplify": True,
}
SIZE = (4.8, 3.3)  # inches of 72 units
CHARACTER, LINE_HEIGHT = 0.017, 0.05  # of a bubble's name, as shares of the axes


def drawn(plot: Plot, rows: Sequence[str]) -> str:
    """Return a plot as an SVG element; the same bytes for the same plot.

    Args:
      plot: what it shows.
      rows: of the whole page, which decide the colours.
    """
    settings: dict[Any, Any] = {**SETTINGS, "svg.hashsalt": plot.name}
    with rc_context(settings):
        figure = Figure(figsize=SIZE, layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.subplots()
        axes.patch.set_alpha(0)
        if plot.series[0].sizes:
            _bubbles(axes, plot.series, rows)
        else:
            _lines(axes, at_most(plot.series), rows)
            figure.legend(loc="outside lower center", ncols=3, handlelength=2.6)
        _label(axes, plot)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata=_NO_METADATA)
    return embedded(out.getvalue(), plot)


_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))


def _lines(axes: Axes, series: Sequence[Series], rows: Sequence[str]) -> None:
    """Draw lines, and their ranges as bands."""
    for line in series:
        style = _style(rows.index(line.name))
        axes.plot(line.x, line.y, label=line.name, **style)
        if line.low:
            colour = style["color"]
            axes.fill_between(
                line.x, line.low, line.high, color=colour, alpha=0.12, linewidth=0
            )


def _bubbles(axes: Axes, series: Sequence[Series], rows: Sequence[str]) -> None:
    """Draw bubbles with their names, the largest first so that none is hidden."""
    most = max(s.sizes[0] for s in series)
    for bubble in sorted(series, key=lambda s: -s.sizes[0]):
        colour = _style(rows.index(bubble.name))["color"]
        area = 30 + 700 * bubble.sizes[0] / most  # points squared
        axes.scatter(bubble.x, bubble.y, s=area, color=colour, alpha=0.45, linewidth=0)
    axes.margins(0.18)
    axes.set_xscale("log")
    to_axes = (axes.transData + axes.transAxes.inverted()).transform
    points = to_axes([(s.x[0], s.y[0]) for s in series]).tolist()
    widths = [CHARACTER * len(s.name) for s in series]
    for bubble, (x, y) in zip(series, apart(points, widths), strict=True):
        axes.annotate(
            bubble.name,
            (x, y),
            xycoords="axes fraction",
            ha="center",
            va="center",
            fontsize=8,
            color=INK,
        )


def apart(
    points: Sequence[Sequence[float]], widths: Sequence[float]
) -> list[tuple[float, float]]:
    """Return where texts stand: at their points, moved up where they would overlap.

    Args:
      points: of their middles, in units of the axes.
      widths: of the texts, in the same units.

    >>> apart([(0.5, 0.5), (0.5, 0.5), (0.9, 0.5)], [0.1, 0.1, 0.1])
    [(0.5, 0.5), (0.5, 0.55), (0.9, 0.5)]
    """
    placed: dict[int, tuple[float, float]] = {}
    for i in sorted(range(len(points)), key=lambda i: (points[i][1], i)):
        x, y = points[i]
        for j, (other_x, other_y) in sorted(placed.items(), key=lambda p: p[1][1]):
            beside = abs(x - other_x) >= (widths[i] + widths[j]) / 2
            if not beside and y - other_y < LINE_HEIGHT:
                y = max(y, other_y + LINE_HEIGHT)
        placed[i] = x, y
    return [placed[i] for i in range(len(points))]


def _style(place: int) -> dict[str, Any]:
    """Return colour, marker and dashes of the row in that place."""
    return {
        "color": [*COLOURS][place % len(COLOURS)],
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": DASHES[place // len(COLOURS) % len(DASHES)],
        "markeredgewidth": 0,
    }


def _label(axes: Axes, plot: Plot) -> None:
    """Name the axes, and put ticks where numbers are round."""
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)
    if plot.series[0].sizes:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:,g}")
        return
    if not plot.log:
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(
            EngFormatter(sep="") if _large(axes) else "{x:g}"
        )
        return
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    lengths = sorted({x for line in plot.series for x in line.x})
    axes.xaxis.set_major_locator(FixedLocator(lengths))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")


def _large(axes: Axes) -> bool:
    """Return whether the numbers of the horizontal axis want a k or an M."""
    return bool(axes.get_xlim()[1] >= 10_000)
