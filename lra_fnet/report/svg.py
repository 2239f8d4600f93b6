"""Make an SVG file an element of a page: its colours, its font, ids of its own."""

import functools
import re
from html import escape

from lra_fnet.report.grids import Plot

# Colours that the style sheet replaces in each theme, by its names for them.
COLOURS = {f"#0000a{i}": f"--series-{i}" for i in range(1, 9)}
INK, MUTED, LINE = "#0000f1", "#0000f2", "#0000f3"
THEME = {**COLOURS, INK: "--ink", MUTED: "--muted", LINE: "--line"}


@functools.cache
def _theme() -> re.Pattern[str]:
    """Return what finds the colours that stand for names of the style sheet."""
    return re.compile("|".join(THEME))


def embedded(svg: str, plot: Plot) -> str:
    """Return an SVG file as an element of a page.

    Its colours become names of the style sheet, its font the page's, its ids its own;
    what a file needs but an element does not, such as name spaces, goes.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|style)\b.*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s(?:xmlns(?::\w+)?|version|width|height)="[^"]*"', "", svg, count=5)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'\bid="', f'id="{plot.name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{plot.name}-", svg)
    svg = re.sub(r'href="#', f'href="#{plot.name}-', svg)
    svg = _theme().sub(lambda found: f"var({THEME[found[0]]})", svg)
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--font)", svg)
    named = f'role="img" aria-labelledby="{plot.name}-title"'
    heading = f'<title id="{plot.name}-title">{escape(plot.title)}</title>'
    opening, rest = svg.removeprefix("<svg").split(">", 1)
    return f"<svg {named}{opening}>{heading}{rest}".strip()
