"""Made-up pictures of ten patterns, to try the image task without CIFAR-10."""

import numba
import numpy as np

from tasks._random import below, stream
from tasks.task import Split

# Raise it with every change that makes other pictures.
SAMPLE_VERSION = 1
_SIZES = (("train", 600), ("test", 200))
# Most of the training pictures that are validation.
MAX_VALIDATION = 120
_SIDE = 32
_NUM_PATTERNS = 10
# Brightness: of the background below 80, of the pattern 60 to 119 more, noise below 40.
_BACKGROUND = 80
_CONTRAST = (60, 120)
_NOISE = 40


def make_sample() -> dict[str, Split]:
    """Return the pictures, as many of every pattern, always the same ones."""
    return {part: _split(seed, size) for seed, (part, size) in enumerate(_SIZES)}


def _split(seed: int, size: int) -> Split:
    """Return `size` pictures as rows of pixels; labels run through the patterns."""
    labels = np.arange(size, dtype=np.int32) % _NUM_PATTERNS
    rows = [_picture(stream(seed, index), labels[index]) for index in range(size)]
    return Split(np.stack(rows), labels)


def _picture(state: np.ndarray, label: int) -> np.ndarray:
    """Draw a picture, uint8 (1024,)."""
    background = below(state, _BACKGROUND)
    contrast = _CONTRAST[0] + below(state, _CONTRAST[1] - _CONTRAST[0])
    centre = 8 + below(state, 16), 8 + below(state, 16)
    size = 4 + below(state, 4)
    rows, columns = np.indices((_SIDE, _SIDE))
    shape = _pattern(label, rows - centre[0], columns - centre[1], size)
    picture = background + contrast * shape.ravel() + _noise(state, _SIDE * _SIDE)
    return picture.astype(np.uint8)


def _pattern(label: int, y: np.ndarray, x: np.ndarray, size: int) -> np.ndarray:
    """Return which pixels, bool, belong to a pattern, at y, x from its centre."""
    distance = y * y + x * x
    patterns = (
        y < 0,  # the upper part
        x < 0,  # the left part
        distance < size * size,  # a disc
        np.maximum(abs(y), abs(x)) < size,  # a square
        (distance < 4 * size * size) & (distance >= size * size),  # a ring
        np.minimum(abs(y), abs(x)) < 2,  # a cross
        y // size % 2 == 0,  # level stripes
        x // size % 2 == 0,  # upright stripes
        (y // size + x // size) % 2 == 0,  # a chessboard
        (y + x) // size % 2 == 0,  # slanting stripes
    )
    return patterns[label]


@numba.njit(cache=True, nogil=True)
def _noise(state, count):
    """Draw integers, int64 (count,), from 0 to below _NOISE."""
    noise = np.empty(count, np.int64)
    for index in range(count):
        noise[index] = below(state, _NOISE)
    return noise
