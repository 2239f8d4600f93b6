"""Draw Pathfinder images: dashed curves, and two discs that mark ends of one or two.

Kim, Linsley, Thakkar and Serre, Disentangling neural mechanisms for perceptual grouping
(ICLR 2020), as drawn by github.com/drewlinsley/pathfinder and parametrised by LRA. Two
target curves of equal length start near each other and grow in turn, paddle by paddle,
around what is there already; short distractor curves follow. One disc marks the start
of a target curve, the other the end of the same curve (label 1) or of the other (0).

What a paddle looks like depends on its orientation alone. So each orientation is drawn
once, as a stamp, and an image is a search for places followed by pasting. Image i of a
seed has its own random stream: it is the same in whatever range or thread it is made.

Where the original has quirks that shape its images, they are kept and marked LRA: with
the parameters of LRA's 32 x 32 images, 4,000 images and 2,000 of the original's agree
in mean pixel (20.17 and 20.15, standard error 0.05), share of pixels that are not
black (0.341 and 0.341) and pairs of curves tried per image (325).
"""

import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numba
import numpy as np

from tasks._random import below, stream
from tasks._task import DataError

# Paddles per target curve: the release's folders curv_baseline, curv_contour_length_9
# and curv_contour_length_14; the LRA tables are about "hard".
CONTOUR_LENGTHS: Mapping[str, int] = MappingProxyType(
    {"easy": 6, "intermediate": 9, "hard": 14}
)

_MAX_TRIES = 300_000  # of target curves; usual are 325 at size 32, 4,200 at 64
_CURVE_TRIES = 5  # of a distractor: the original's max_distractor_contour_retrial + 1
_PADDLE_TRIES = 3  # of a paddle: the original's max_paddle_retrial + 1
# LRA: draws of a place for a distractor until there is room. The original lists them
# all, draws one, and gives up when less than 1 % of the image is out of the shadows.
_PLACE_TRIES = 1_000
_STARTS = 360  # orientations of the first paddle of a curve: -180 to 179 degrees
_ODDS = 2**16  # the odds of a turn are integers, so that every machine draws the same
_DEAD_END = int(1e-4 * 255 * _ODDS)  # smaller odds, summed over turns, count as none
_SHADE = int(0.3 * 255)  # no curve starts where a shadow is darker
_CLASH = 459  # 1.8 * 255: the shadows of two paddles may add up to less


@dataclasses.dataclass(frozen=True)
class Style:
    """Hold everything that shapes an image; lengths are in pixels.

    Attributes:
      size: height and width.
      padding: width of the border that paddles stay out of.
      antialias_scale: stamps are drawn this much larger, then shrunk.
      paddle_length, paddle_thickness: of one dash.
      paddle_margins: distance kept around paddles, one drawn per image.
      paddle_contrast: factor on the brightness of target paddles only.
      snake_contrast: brightness of curves; a disc has 1.
      seed_distance: between the starts of the two target curves; the first lies at
        least twice as far from every edge.
      marker_radius: of the discs.
      contour_length: paddles per target curve.
      continuity: turns of `pi / (2 * continuity)` and more never happen.
      num_distractors, distractor_length: curves tried, and paddles in each.
      refuse_orientations: repeat the original's refusal of most first orientations.
      stretch: spread each image over 0..255; otherwise 255 is contrast 1, and clipped.
    """

    size: int
    padding: int
    antialias_scale: int
    paddle_length: int
    paddle_thickness: float
    paddle_margins: tuple[int, ...]
    paddle_contrast: float
    snake_contrast: float
    seed_distance: int
    marker_radius: float
    contour_length: int
    continuity: float
    num_distractors: int
    distractor_length: int
    # LRA: where the shape it searches room with lies off centre, cv2.dilate leaves
    # -DBL_MAX in a corner, and the original takes that for "no room". With margin 1
    # most orientations are always refused (330 of 360 at size 32, 265 at 64). Kept, for
    # it makes images sparser: at size 32 the mean pixel is 20.2 with it, 27.6 without.
    refuse_orientations: bool = True
    # LRA: scipy.misc.imsave stretches minimum to maximum. At size 32 distractors
    # (contrast 2) are brighter than targets (2 x 0.75) and discs (1), so how bright
    # those two are depends on whether a distractor was placed.
    stretch: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn (ValueError)."""
        reach = self.paddle_length + 2 * max(self.paddle_margins)
        if (self.paddle_thickness * self.antialias_scale) % 1:
            raise ValueError("paddle_thickness * antialias_scale must be whole")
        if min(self.padding, self.distractor_length, self.contour_length - 1) < 1:
            raise ValueError(
                "need padding, distractor_length >= 1, contour_length >= 2"
            )
        if self.seed_distance < reach or 4 * self.seed_distance + reach > self.size:
            raise ValueError(
                f"seed_distance {self.seed_distance} must lie between {reach} (paddle "
                f"and margins) and {(self.size - reach) // 4} (a quarter of the rest)"
            )


def lra_style(
    size: int, contour_length: int = 14, num_distractors: int | None = None
) -> Style:
    """Return the style LRA documents for images of 32, 64, 128 or 256 pixels.

    The numbers are those in the docstrings of LRA's TFDS builders (data/pathfinder.py);
    what they leave out has the default of the original's snakes2_wrapper.py. Every
    contrast list there has one entry, hence the plain numbers here.

    >>> lra_style(32).num_distractors
    5

    Raises:
      ValueError: LRA has no images of that size.
    """
    sizes = (32, 64, 128, 256)
    if size not in sizes:
        raise ValueError(f"LRA has no Pathfinder images of size {size}; have: {sizes}")

    def pick(*values: Any) -> Any:
        return values[sizes.index(size)]

    distractor_length = contour_length // 3
    if num_distractors is None:
        # LRA: "20 // distractor_length" at size 32. The wrapper evaluates that at
        # contour length 6 and keeps the result for 9 and 14, which makes 10; the
        # docstring sets contour length 14 first, which makes 5. Like the docstring.
        num_distractors = pick(20, 22, 35, 30) // distractor_length
    return Style(
        size=size,
        padding=pick(1, 1, 1, 22),
        antialias_scale=2,
        paddle_length=pick(2, 5, 5, 5),
        paddle_thickness=pick(0.5, 1, 1.5, 2),
        paddle_margins=pick((1,), (1,), (2, 3), (3,)),
        paddle_contrast=pick(0.75, 1, 1, 1),
        snake_contrast=pick(2, 0.8, 0.9, 1),
        seed_distance=pick(7, 12, 20, 27),
        marker_radius=pick(1.5, 2.5, 3, 5),
        contour_length=contour_length,
        continuity=pick(1, 1.8, 1.8, 1.8),
        num_distractors=num_distractors,
        distractor_length=distractor_length,
    )


class Batch(NamedTuple):
    """Hold n images with what is needed to check their labels from geometry.

    Coordinates are (row, column) in pixels; 0 is the centre of the first pixel.

    Attributes:
      images: uint8, (n, size, size).
      labels: 1 where the discs mark the ends of one curve, int32, (n,).
      curves: near and far end of each paddle of both target curves, in the order in
        which a curve runs, float32, (n, 2, contour_length, 2 ends, 2).
      markers: centres of the discs, at a start and at an end, float32, (n, 2, 2).
      margins: the paddle margin of each image, int32, (n,).
      num_distractors: distractor curves for which there was room, int32, (n,).
      num_tries: pairs of target curves begun until one was complete, int32, (n,).
    """

    images: np.ndarray
    labels: np.ndarray
    curves: np.ndarray
    markers: np.ndarray
    margins: np.ndarray
    num_distractors: np.ndarray
    num_tries: np.ndarray


def generate(style: Style, seed: int, start: int, count: int) -> Batch:
    """Return the images start, ..., start + count - 1 of a seed.

    Runs without the GIL: give threads ranges of their own.

    Raises:
      DataError: no room for two target curves in one of the images.
    """
    size = style.size
    batch = Batch(
        images=np.zeros((count, size, size), np.uint8),
        labels=np.zeros(count, np.int32),
        curves=np.zeros((count, 2, style.contour_length, 2, 2), np.float32),
        markers=np.zeros((count, 2, 2), np.float32),
        margins=np.zeros(count, np.int32),
        num_distractors=np.zeros(count, np.int32),
        num_tries=np.zeros(count, np.int32),
    )
    stencils = tuple(_stencil(style, margin) for margin in style.paddle_margins)
    distractors = np.zeros(
        (style.num_distractors, style.distractor_length, 3), np.int64
    )
    failed = _fill(batch, stencils, distractors, style.stretch, seed, start)
    if failed >= 0:
        raise DataError(
            f"image {failed} of seed {seed}: no room for two curves of "
            f"{style.contour_length} paddles in {size} x {size} pixels after "
            f"{_MAX_TRIES} tries; use a larger size or a smaller contour_length"
        )
    return batch


# --- Stencils: all that depends on the style alone ------------------------------------


class _Stencil(NamedTuple):
    """Hold the stamps and tables of one style and margin.

    A paddle is (row, column, stamp). Stamps 0 to 359 start a curve, at -180 to 179
    degrees, and are placed by the paddle's near end; the others continue one, and are
    placed by its far end. That pixel is the paddle's anchor. The pivot is the joint it
    turns around. Offsets are (rows, columns).

    Attributes:
      line: how a paddle looks, its anchor in the middle, uint8, (stamps, s, s).
      shadow: where others may not lie: line and margin, uint8, (stamps, s, s).
      anchor: offset from the pivot to the anchor, (stamps, 2).
      step: offset from the pivot to that of the next paddle, float, (stamps, 2).
      ends: offsets from the anchor to the near and far end, float32, (stamps, 2, 2).
      odds: relative odds of each turn after each stamp, integers, (stamps, turns).
      disk: offsets within the margin, (d, 2).
      core: offsets from the anchor that a curve needs free to start, (360, c, 2).
      accepted: whether curves may start with this stamp, (360,).
      low, high: bounds of the first target curve's anchor, (360, 2).
      partner: offset to the start of the second target curve, (360, 2).
      frame: an empty mask, its border in shadow, uint8, (size + 2 halo,) * 2.
      marker: a disc, uint8, (1, m, m).
      target_contrast, distractor_contrast: brightness of curves; a disc has 1.
      halo: pixels added on each side, all in shadow, so that no stamp needs clipping.
      margin: distance kept around paddles, in pixels.
    """

    line: np.ndarray
    shadow: np.ndarray
    anchor: np.ndarray
    step: np.ndarray
    ends: np.ndarray
    odds: np.ndarray
    disk: np.ndarray
    core: np.ndarray
    accepted: np.ndarray
    low: np.ndarray
    high: np.ndarray
    partner: np.ndarray
    frame: np.ndarray
    marker: np.ndarray
    target_contrast: float
    distractor_contrast: float
    halo: int
    margin: int


@functools.cache
def _stencil(style: Style, margin: int) -> _Stencil:
    """Draw the stamps and tabulate the moves of one style and margin."""
    length = style.paddle_length
    turns = _arc(length + margin)
    degrees = (np.arange(_STARTS) - 180) * math.pi / 180
    angles = np.append(degrees, np.arctan2(turns[:, 0], turns[:, 1]))
    heading = _direction(angles)
    away = (length * heading).astype(np.float32)
    starts = np.arange(len(angles))[:, None] < _STARTS
    head = _ceil(length * heading, style.size // 2)
    tail_to_pivot = head + _ceil(-(length + margin) * heading, style.size // 2)
    line, shadow = _stamps(style, margin, np.where(starts, heading, -heading))
    core = _core(shadow[:_STARTS], length + margin)
    marker = _marker(style)
    # The furthest look is from a start to the next joint, its turns, and their disk.
    halo = max(2 * length + 3 * margin + 4, line.shape[1] // 2, marker.shape[1] // 2)
    border = 2 * style.seed_distance
    partner = style.seed_distance * heading[:_STARTS]
    frame = np.zeros((style.size - 2 * style.padding,) * 2, np.uint8)
    return _Stencil(
        line=line,
        shadow=shadow,
        anchor=np.concatenate([-tail_to_pivot[:_STARTS], turns]),
        step=(length + 2 * margin) * heading,
        ends=np.stack([np.where(starts, 0, -away), np.where(starts, away, 0)], 1),
        odds=_odds(angles, angles[_STARTS:], style.continuity),
        disk=_disk(margin),
        core=core,
        accepted=_reaches_every_side(core) | (not style.refuse_orientations),
        low=halo + border - core.min(1),
        high=halo + style.size - 1 - border - core.max(1),
        partner=np.rint(np.round(partner, 9)).astype(np.int64),
        frame=np.pad(frame, halo + style.padding, constant_values=255),
        marker=marker,
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
    return np.rint(_ODDS * cosine**2).astype(np.int64)


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
    """Scale bitmaps (..., n, n) to uint8 (..., size, size), with Pillow's Lanczos."""
    scale = bitmap.shape[-1] / size
    centre = (np.arange(size)[:, None] + 0.5) * scale
    distance = (np.arange(bitmap.shape[-1]) + 0.5 - centre) / scale
    weight = np.sinc(distance) * np.sinc(distance / 3) * (np.abs(distance) < 3)
    weight /= weight.sum(1, keepdims=True)
    rows = _levels(255 * bitmap @ weight.T)
    return _levels(weight @ rows).astype(np.uint8)


def _levels(values: np.ndarray) -> np.ndarray:
    """Round to 0, ..., 255; the first rounding keeps ties the same on every machine."""
    return np.floor(np.clip(np.round(values, 6), 0, 255) + 0.5)


def _marker(style: Style) -> np.ndarray:
    """Draw a disc, uint8 (1, 2 r, 2 r), with its centre at [0, r, r]."""
    scale = style.antialias_scale
    half = int(np.ceil(style.marker_radius)) + 4  # 4 pixels: as far as the filter rings
    bitmap = np.zeros((2 * half * scale,) * 2, bool)
    bitmap[tuple((_disk(style.marker_radius * scale) + half * scale).T)] = True
    return _shrink(bitmap[None], 2 * half)


def _core(shadows: np.ndarray, reach: int) -> np.ndarray:
    """Return the offsets, (n, c, 2), where a curve needs room to start; some repeat.

    LRA: those of the shadow that it then casts, but one pixel further down and right
    and cut off at `reach`, for so the original centres its search window.
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


# --- Drawing: from here on in Numba, in pixels counted from the halo's corner ---------


@numba.njit(cache=True, nogil=True)
def _fill(batch, stencils, distractors, stretch, seed, start):
    """Draw every image of the batch; return the number of one that failed, or -1."""
    for i in range(len(batch.images)):
        state = stream(seed, start + i)
        stencil = stencils[below(state, len(stencils))]
        mask, trial = stencil.frame.copy(), stencil.frame.copy()
        targets = np.empty((2, batch.curves.shape[2], 3), np.int64)
        tries = 1
        while not _place_targets(state, stencil, mask, targets):
            tries += 1
            if tries > _MAX_TRIES:
                return start + i
        placed = 0
        for _ in range(len(distractors)):
            if _place_distractor(state, stencil, mask, trial, distractors[placed]):
                placed += 1
        label, first = below(state, 2), below(state, 2)
        last = first if label == 1 else 1 - first
        discs = np.stack((targets[first, 0], targets[last, -1]))
        discs[:, 2] = 0  # their one stamp
        _render(batch.images[i], stencil, targets, distractors[:placed], discs, stretch)
        _describe(batch.curves[i], batch.markers[i], stencil, targets, discs)
        batch.labels[i], batch.margins[i] = label, stencil.margin
        batch.num_distractors[i], batch.num_tries[i] = placed, tries
    return -1


@numba.njit(cache=True, nogil=True)
def _place_targets(state, stencil, mask, targets):
    """Grow both target curves in turn, from scratch; return whether there was room."""
    if not _start_targets(state, stencil, targets):
        return False
    mask[:] = stencil.frame
    for k in range(1, targets.shape[1]):
        for i in range(2):
            if not _extend(state, stencil, mask, targets[i], k):
                return False
    # LRA: a paddle casts its shadow when the next of its curve is placed. So two curves
    # may cross where both have just arrived, and end on top of each other (in 1 of 300
    # images of size 32 in one pixel). The first's last paddle never casts one.
    _paste(mask, stencil.shadow, targets[1, -1])
    return True


@numba.njit(cache=True, nogil=True)
def _start_targets(state, stencil, targets):
    """Place the first paddle of both target curves; return whether there was room.

    LRA: nobody looks whether the second is clear of the first.
    """
    targets[0, 0, 2], targets[1, 0, 2] = below(state, _STARTS), below(state, _STARTS)
    stamp, partner = targets[0, 0, 2], below(state, _STARTS)
    if not stencil.accepted[stamp]:
        return False
    for axis in range(2):
        low, high = stencil.low[stamp, axis], stencil.high[stamp, axis]
        if low > high:
            return False
        targets[0, 0, axis] = low + below(state, high - low + 1)
        targets[1, 0, axis] = targets[0, 0, axis] + stencil.partner[partner, axis]
    return True


@numba.njit(cache=True, nogil=True)
def _place_distractor(state, stencil, mask, trial, curve):
    """Grow one distractor curve, in a few tries; return whether there was room."""
    for _ in range(_CURVE_TRIES):
        if not _start_distractor(state, stencil, mask, curve):
            continue
        trial[:] = mask
        k = 1
        while k < len(curve) and _extend(state, stencil, trial, curve, k):
            k += 1
        if k == len(curve):
            _paste(trial, stencil.shadow, curve[-1])
            mask[:] = trial
            return True
    return False


@numba.njit(cache=True, nogil=True)
def _start_distractor(state, stencil, mask, curve):
    """Place the first paddle of a distractor; return whether there was room."""
    low, high = stencil.halo, len(mask) - stencil.halo
    for _ in range(_PADDLE_TRIES):
        stamp = below(state, _STARTS)
        if not stencil.accepted[stamp]:
            return False
        room = False
        for _ in range(_PLACE_TRIES):
            row, column = low + below(state, high - low), low + below(state, high - low)
            room = _is_free(mask, stencil.core[stamp], row, column)
            if room:
                break
        if not room:
            return False
        curve[0, 0], curve[0, 1], curve[0, 2] = row, column, stamp
        row -= stencil.anchor[stamp, 0]
        column -= stencil.anchor[stamp, 1]
        if low <= row < high and low <= column < high:
            return True
    return False


@numba.njit(cache=True, nogil=True)
def _is_free(mask, core, row, column):
    """Return whether the core around a pixel lies in no shadow."""
    for i in range(len(core)):
        if mask[row + core[i, 0], column + core[i, 1]] > _SHADE:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _extend(state, stencil, mask, curve, k):
    """Place paddle k, shade paddle k - 1; return whether there was room."""
    row = _next_pivot(stencil, curve[k - 1], 0)
    column = _next_pivot(stencil, curve[k - 1], 1)
    odds = _turns(stencil, mask, row, column, curve[k - 1, 2])
    if odds[-1] < _DEAD_END:
        return False
    for _ in range(_PADDLE_TRIES):
        turn = _STARTS + np.searchsorted(odds, below(state, odds[-1]), side="right")
        curve[k, 0] = row + stencil.anchor[turn, 0]
        curve[k, 1] = column + stencil.anchor[turn, 1]
        curve[k, 2] = turn
        if not _clashes(mask, stencil.shadow, curve[k]):
            _paste(mask, stencil.shadow, curve[k - 1])
            return True
    return False


@numba.njit(cache=True, nogil=True)
def _next_pivot(stencil, paddle, axis):
    """Return one coordinate of the joint after a paddle.

    LRA: rounding errors included. sin(pi) is 1e-16, so a curve that runs straight left
    in rows 4 to 7 at size 32 moves one row down; further down the error is lost in the
    sum. Without it, pairs of curves find room in 272 tries instead of 325.
    """
    pivot = paddle[axis] - stencil.anchor[paddle[2], axis] - stencil.halo
    return stencil.halo + np.int64(np.ceil(pivot + stencil.step[paddle[2], axis]))


@numba.njit(cache=True, nogil=True)
def _turns(stencil, mask, row, column, stamp):
    """Return the cumulative odds of the turns around a pivot after a stamp."""
    odds = stencil.odds[stamp].copy()
    for turn in range(len(odds)):
        if odds[turn] > 0:
            y = row + stencil.anchor[_STARTS + turn, 0]
            x = column + stencil.anchor[_STARTS + turn, 1]
            odds[turn] *= _light(mask, stencil.disk, y, x)
        if turn > 0:
            odds[turn] += odds[turn - 1]
    return odds


@numba.njit(cache=True, nogil=True)
def _light(mask, disk, row, column):
    """Return 255 less the darkest shadow in the disk around a pixel."""
    shadow = mask[row, column]
    for i in range(len(disk)):
        shadow = max(shadow, mask[row + disk[i, 0], column + disk[i, 1]])
    return 255 - shadow


@numba.njit(cache=True, nogil=True)
def _clashes(mask, shadows, paddle):
    """Return whether a paddle's shadow overlaps those cast before it."""
    shadow = shadows[paddle[2]]
    top, left = paddle[0] - len(shadow) // 2, paddle[1] - len(shadow) // 2
    for i in range(len(shadow)):
        for j in range(len(shadow)):
            if np.int64(mask[top + i, left + j]) + shadow[i, j] >= _CLASH:
                return True
    return False


@numba.njit(cache=True, nogil=True)
def _paste(canvas, stamps, paddle):
    """Paste a paddle's stamp, centred on its anchor; the brighter value wins."""
    stamp = stamps[paddle[2]]
    top, left = paddle[0] - len(stamp) // 2, paddle[1] - len(stamp) // 2
    for i in range(len(stamp)):
        for j in range(len(stamp)):
            canvas[top + i, left + j] = max(canvas[top + i, left + j], stamp[i, j])


@numba.njit(cache=True, nogil=True)
def _render(image, stencil, targets, distractors, discs, stretch):
    """Draw curves and discs into an image, uint8 (size, size)."""
    layers = np.zeros((3, *stencil.frame.shape), np.uint8)
    for curves, layer in ((targets, layers[0]), (distractors, layers[1])):
        for i in range(len(curves)):
            for k in range(curves.shape[1]):
                _paste(layer, stencil.line, curves[i, k])
    for i in range(2):
        _paste(layers[2], stencil.marker, discs[i])
    scene = np.empty(image.shape)
    for row in range(len(image)):
        for column in range(len(image)):
            y, x = row + stencil.halo, column + stencil.halo
            scene[row, column] = max(
                layers[0, y, x] / 255 * stencil.target_contrast,
                layers[1, y, x] / 255 * stencil.distractor_contrast,
                layers[2, y, x] / 255,
            )
    low, high = (scene.min(), scene.max()) if stretch else (0.0, 1.0)
    for row in range(len(image)):
        for column in range(len(image)):
            level = (scene[row, column] - low) * (255 / (high - low))
            image[row, column] = np.uint8(min(level + 0.5, 255.0))


@numba.njit(cache=True, nogil=True)
def _describe(ends, markers, stencil, targets, discs):
    """Write the ends of target paddles, (2, paddles, 2, 2), and the discs, (2, 2)."""
    for axis in range(2):
        for i in range(2):
            markers[i, axis] = discs[i, axis] - stencil.halo
            for k in range(targets.shape[1]):
                anchor, stamp = targets[i, k, axis] - stencil.halo, targets[i, k, 2]
                for end in range(2):
                    ends[i, k, end, axis] = anchor + stencil.ends[stamp, end, axis]
