"""Draw Pathfinder images: dashed curves, and two discs that mark ends of one or two.

Kim, Linsley, Thakkar and Serre, Disentangling neural mechanisms for perceptual grouping
(ICLR 2020), as drawn by github.com/drewlinsley/pathfinder and parametrized by LRA. Two
target curves of equal length start near each other and grow in turn, paddle by paddle,
around what is there already; short distractor curves follow. One disc marks the start
of a target curve, the other the end of the same curve (label 1) or of the other (0).

What a paddle looks like depends on its orientation alone. So each orientation is drawn
once, as a stamp, and an image is a search for places followed by pasting. Image i of a
seed has its own random stream: it is the same in whatever range or thread it is made.

Where the original has quirks that shape its images, they are kept and marked LRA: with
the parameters of LRA's 32 x 32 images, 4,000 images and 2,000 of the original's agree
in mean pixel (20.17 and 20.15, standard error 0.05), share of pixels that are not
black (0.341 and 0.341) and pairs of curves tried per image (325). An image is to the
bit what the original's steps make of the same curves and discs.
"""

from typing import NamedTuple

import numba
import numpy as np

from tasks.generators.pathfinder.stencil import ODDS, STARTS, make_stencil
from tasks.generators.pathfinder.style import Style
from tasks.generators.random import below, stream
from tasks.task import DataError

_MAX_TRIES = 300_000  # of target curves; usual are 325 at size 32, 4,200 at 64
_CURVE_TRIES = 5  # of a distractor: the original's max_distractor_contour_retrial + 1
_PADDLE_TRIES = 3  # of a paddle: the original's max_paddle_retrial + 1
# LRA: draws of a place for a distractor until there is room. The original lists them
# all, draws one, and gives up when less than 1 % of the image is out of the shadows.
_PLACE_TRIES = 1_000
_DEAD_END = int(1e-4 * 255 * ODDS)  # smaller odds, summed over turns, count as none
_SHADE = int(0.3 * 255)  # no curve starts where a shadow is darker
_CLASH = 459  # 1.8 * 255: the shadows of two paddles may add up to less


class Batch(NamedTuple):
    """Images with what is needed to check their labels from geometry.

    Coordinates are (row, column) in pixels; 0 is the center of the first pixel.
    """

    images: np.ndarray  # uint8, (n, size, size)
    labels: np.ndarray  # 1 where the discs mark the ends of one curve, int32, (n,)
    # Near and far end of each paddle of both target curves, in the order in which a
    # curve runs, float32, (n, 2, contour_length, 2 ends, 2).
    curves: np.ndarray
    markers: np.ndarray  # centers of the discs, a start and an end, float32, (n, 2, 2)
    margins: np.ndarray  # the paddle margin of each image, int32, (n,)
    num_distractors: np.ndarray  # curves for which there was room, int32, (n,)
    num_tries: np.ndarray  # pairs of target curves begun until one was complete, (n,)


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
    stencils = tuple(make_stencil(style, margin) for margin in style.paddle_margins)
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


# From here on in Numba, in pixels counted from the halo's corner.


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
        discs = np.stack((targets[first, 0, :2], targets[last, -1, :2]))
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
    targets[0, 0, 2], targets[1, 0, 2] = below(state, STARTS), below(state, STARTS)
    stamp, partner = targets[0, 0, 2], below(state, STARTS)
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
        stamp = below(state, STARTS)
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
        turn = STARTS + np.searchsorted(odds, below(state, odds[-1]), side="right")
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
            y = row + stencil.anchor[STARTS + turn, 0]
            x = column + stencil.anchor[STARTS + turn, 1]
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
    """Paste a paddle's stamp, centered on its anchor; the brighter value wins."""
    stamp = stamps[paddle[2]]
    top, left = paddle[0] - len(stamp) // 2, paddle[1] - len(stamp) // 2
    for i in range(len(stamp)):
        for j in range(len(stamp)):
            canvas[top + i, left + j] = max(canvas[top + i, left + j], stamp[i, j])


@numba.njit(cache=True, nogil=True)
def _render(image, stencil, targets, distractors, discs, stretch):
    """Draw curves and discs into an image, uint8 (size, size).

    LRA: curves are float32, discs and the stretch float64. At size 32 (contrast 1.5 out
    of 2) every fourth level lies halfway between two, where this decides.
    """
    layers = np.zeros((3, *stencil.frame.shape), np.uint8)
    for curves, layer in ((targets, layers[0]), (distractors, layers[1])):
        for i in range(len(curves)):
            for k in range(curves.shape[1]):
                _paste(layer, stencil.line, curves[i, k])
    for i in range(2):
        _paste(layers[2], stencil.marker, _as_paddle(stencil, discs[i], len(image)))
    scene = np.empty(image.shape)
    for row in range(len(image)):
        for column in range(len(image)):
            y, x = row + stencil.halo, column + stencil.halo
            scene[row, column] = max(
                np.float32(layers[0, y, x] / 255 * stencil.target_contrast),
                np.float32(layers[1, y, x] / 255 * stencil.distractor_contrast),
                layers[2, y, x] / 255,
            )
    low, high = (scene.min(), scene.max()) if stretch else (0.0, 1.0)
    for row in range(len(image)):
        for column in range(len(image)):
            level = (scene[row, column] - low) * (255 / (high - low))
            image[row, column] = np.uint8(min(level + 0.5, 255.0))


@numba.njit(cache=True, nogil=True)
def _as_paddle(stencil, disc, size):
    """Return middle and number of the stamp of a disc: by how close the edges are."""
    paddle, reach = np.zeros(3, np.int64), stencil.marker.shape[1] // 2
    for axis in range(2):
        place = disc[axis] - stencil.halo
        middle = min(max(place, reach), size - 1 - reach)
        paddle[axis] = stencil.halo + middle
        paddle[2] = paddle[2] * (2 * reach + 1) + reach + place - middle
    return paddle


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
