"""Stamps and tables that depend on the style of an image alone, drawn once."""

import functools
import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from tasks.generators.pathfinder.style import Style

STARTS = 360  # orientations of the first paddle of a curve: -180 to 179 degrees
ODDS = 2**16  # the odds of a turn are integers, so that every machine draws the same
_ONE = 2**22  # a filter's weight of 1 in Pillow


class Stencil(NamedTuple):
    """The stamps and tables of one style and margin.

    A paddle is (row, column, stamp). Stamps 0 to 359 start a curve, at -180 to 179
    degrees, and are placed by the paddle's near end; the others continue one, and are
    placed by its far end. That pixel is the paddle's anchor. The pivot is the joint it
    turns around. Offsets are (rows, columns).
    """

    line: np.ndarray  # a paddle, its anchor in the middle, uint8, (stamps, s, s)
    shadow: np.ndarray  # where others may not lie: line and margin, likewise
    anchor: np.ndarray  # offset from the pivot to the anchor, (stamps, 2)
    step: np.ndarray  # offset from the pivot to the next paddle's, float, (stamps, 2)
    ends: np.ndarray  # from the anchor to near and far end, float32, (stamps, 2, 2)
    odds: np.ndarray  # relative odds of turns after a stamp, int, (stamps, turns)
    disk: np.ndarray  # offsets within the margin, (d, 2)
    core: np.ndarray  # from the anchor: what a curve needs free to start, (360, c, 2)
    accepted: np.ndarray  # whether curves may start with this stamp, (360,)
    low: np.ndarray  # bounds of the first target curve's anchor, (360, 2)
    high: np.ndarray
    partner: np.ndarray  # offset to the start of the second target curve, (360, 2)
    frame: (
        np.ndarray
    )  # an empty mask, its border in shadow, uint8, (size + 2 halo,) * 2
    # A disc in m x m pixels, its center in each pixel in turn, uint8, (m * m, m, m).
    marker: np.ndarray
    target_contrast: float  # brightness of curves; a disc has 1
    distractor_contrast: float
    halo: int  # pixels added on each side, in shadow, so that no stamp needs clipping
    margin: int  # distance kept around paddles, in pixels


@functools.cache
def make_stencil(style: Style, margin: int) -> Stencil:
    """Draw the stamps and tabulate the moves of one style and margin."""
    length = style.paddle_length
    turns = _arc(length + margin)
    degrees = (np.arange(STARTS) - 180) * math.pi / 180
    angles = np.append(degrees, np.arctan2(turns[:, 0], turns[:, 1]))
    heading = _direction(angles)
    away = (length * heading).astype(np.float32)
    starts = np.arange(len(angles))[:, None] < STARTS
    head = _ceil(length * heading, style.size // 2)
    tail_to_pivot = head + _ceil(-(length + margin) * heading, style.size // 2)
    line, shadow = _stamps(style, margin, np.where(starts, heading, -heading))
    core = _core(shadow[:STARTS], length + margin)
    # The furthest look is from a start to the next joint, its turns, and their disk.
    halo = max(2 * length + 3 * margin + 4, line.shape[1] // 2)
    border = 2 * style.seed_distance
    partner = style.seed_distance * heading[:STARTS]
    frame = np.zeros((style.size - 2 * style.padding,) * 2, np.uint8)
    return Stencil(
        line=line,
        shadow=shadow,
        anchor=np.concatenate([-tail_to_pivot[:STARTS], turns]),
        step=(length + 2 * margin) * heading,
        ends=np.stack([np.where(starts, 0, -away), np.where(starts, away, 0)], 1),
        odds=_odds(angles, angles[STARTS:], style.continuity),
        disk=_disk(margin),
        core=core,
        accepted=_reaches_every_side(core) | (not style.refuse_orientations),
        low=halo + border - core.min(1),
        high=halo + style.size - 1 - border - core.max(1),
        partner=np.rint(np.round(partner, 9)).astype(np.int64),
        frame=np.pad(frame, halo + style.padding, constant_values=255),
        marker=_markers(style),
        target_contrast=float(style.snake_contrast * style.paddle_contrast),
        distractor_contrast=float(style.snake_contrast),
        halo=halo,
        margin=margin,
    )


def _direction(angles: Iterable[float]) -> np.ndarray:
    """Return the unit offsets, (n, 2), of angles: those of libm, equal on all machines.

    NumPy has its own sine, which on some machines ends in another bit.
    """
    return np.array([(math.sin(angle), math.cos(angle)) for angle in angles])


def _arc(radius: int) -> np.ndarray:
    """Return the offsets, (t, 2), of the pixels on a circle, rounded down."""
    offsets = np.floor(radius * _direction(np.arange(0, 2 * math.pi, 1 / radius)))
    return np.unique(offsets.astype(np.int64), axis=0)


def _ceil(offset: np.ndarray, origin: int) -> np.ndarray:
    """Return the whole offset from `origin` when origin + offset is rounded up.

    LRA: like the original, down to its rounding errors: whether -1.9999999999999991
    goes to -2 depends on the origin.
    """
    return np.ceil(origin + offset).astype(np.int64) - origin


def _disk(radius: float) -> np.ndarray:
    """Return the offsets, (d, 2), of at most `radius`."""
    reach = np.arange(-int(radius), int(radius) + 1)
    rows, columns = np.meshgrid(reach, reach, indexing="ij")
    return np.argwhere(rows**2 + columns**2 <= radius**2) - int(radius)


def _odds(angles: np.ndarray, turned: np.ndarray, continuity: float) -> np.ndarray:
    """Return the odds of a turn by a: cos(continuity * a) squared, (angles, turned)."""
    change = np.abs(angles[:, None] - turned)
    change = np.minimum(change, 2 * np.pi - change)
    cosine = np.cos(np.minimum(continuity * change, np.pi / 2))
    return np.rint(ODDS * cosine**2).astype(np.int64)


def _stamps(style: Style, margin: int, away: np.ndarray) -> tuple[np.ndarray, ...]:
    """Draw lines and shadows, uint8 (n, s, s), of paddles from the middle outwards."""
    scale, length = style.antialias_scale, style.paddle_length
    half = length + int(np.ceil(style.paddle_thickness)) + margin
    width = round(style.paddle_thickness * scale)
    ends = _ceil(length * scale * away, half * scale)
    lines = np.stack([_draw_line(end, width, half * scale) for end in ends])
    shadows = np.zeros_like(lines)
    for offset in _disk(margin * scale):
        shadows |= np.roll(lines, offset, (1, 2))
    return _shrink(lines, 2 * half + 1), _shrink(shadows, 2 * half + 1)


def _draw_line(end: np.ndarray, width: int, half: int) -> np.ndarray:
    """Draw a line from the middle of a (2 half + 1)^2 bitmap, pixel by pixel as Pillow.

    A line of width 1 has one pixel a step. A wider one is a rectangle with its corners
    on whole pixels, filled where a row comes within half a pixel of it.
    """
    length = np.hypot(*end)
    if width == 1:
        steps = np.abs(end).max()
        path = np.arange(steps + 1)[:, None] * np.abs(end) / steps
        bitmap = np.zeros((2 * half + 1,) * 2, bool)
        bitmap[tuple((half + np.sign(end) * np.floor(path + 0.5).astype(int)).T)] = True
        return bitmap
    across = np.array([end[1], -end[0]]) / length
    wide, narrow = width // 2, (width - 1) // 2
    left, right = np.rint(across * (wide, narrow)), np.rint(across * (narrow, wide))
    corners = np.array([left, left + end, end - right, -right])
    rows, columns = np.mgrid[-half : half + 1, -half : half + 1]
    bitmap = np.ones(rows.shape, bool)
    for (row, column), (down, along) in zip(
        corners, np.roll(corners, -1, 0) - corners, strict=True
    ):
        inside = down * (columns - column) - along * (rows - row)
        bitmap &= inside >= -0.49 * abs(down)
    return bitmap


def _shrink(bitmap: np.ndarray, size: int) -> np.ndarray:
    """Scale bitmaps (..., n, n) to uint8 (..., size, size), with Pillow's Lanczos.

    To the bit: its weights are fixed-point numbers, and those of one pixel add up to 1
    also where an edge cuts them off; levels are rounded along rows, then along columns.
    """
    scale = bitmap.shape[-1] / size
    center = (np.arange(size)[:, None] + 0.5) * scale
    distance = (np.arange(bitmap.shape[-1]) + 0.5 - center) / scale
    weight = np.sinc(distance) * np.sinc(distance / 3) * (np.abs(distance) < 3)
    weight = np.rint(weight / weight.sum(1, keepdims=True) * _ONE)
    rows = _levels(255 * bitmap @ weight.T)
    return _levels(weight @ rows).astype(np.uint8)


def _levels(sums: np.ndarray) -> np.ndarray:
    """Round to 0, ..., 255 what is exact until then: whole numbers below 2^53."""
    return np.floor(np.clip(sums / _ONE, 0, 255) + 0.5)


def _markers(style: Style) -> np.ndarray:
    """Draw discs in images that are just so large that one in the middle is complete.

    LRA: paddles are shrunk before they are pasted, but discs together with the image:
    they look different near its edges. The filter reaches 3 pixels from either side.
    """
    scale = style.antialias_scale
    size = 2 * (int(np.ceil(style.marker_radius)) + 6) + 1
    reach = np.arange(size * scale) - scale * np.arange(size)[:, None]
    squares = reach[:, None, :, None] ** 2 + reach[:, None] ** 2
    bitmaps = squares <= (style.marker_radius * scale) ** 2
    return _shrink(bitmaps, size).reshape(-1, size, size)


def _core(shadows: np.ndarray, reach: int) -> np.ndarray:
    """Return the offsets, (n, c, 2), where a curve needs room to start; some repeat.

    LRA: those of the shadow that it then casts, but one pixel further down and right
    and cut off at `reach`, for so the original centers its search window.
    """
    middle = shadows.shape[-1] // 2
    cores = [np.argwhere(shadow == 255) - middle + 1 for shadow in shadows]
    cores = [core[(np.abs(core) <= reach).all(1)] for core in cores]
    longest = max(len(core) for core in cores)
    return np.stack([np.resize(core, (longest, 2)) for core in cores])


def _reaches_every_side(core: np.ndarray) -> np.ndarray:
    """Return whether offsets (n, c, 2) reach into an image from each of its corners."""
    corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
    return (core[:, :, None] * corners >= 0).all(-1).any(1).all(-1)
