"""Simpler Pathfinder images to begin with: curves that grow, from two paddles on.

Bengio et al., Curriculum Learning (2009), https://doi.org/10.1145/1553374.1553380.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tasks.generators import draw_rows
from tasks.generators.pathfinder.geometry import check
from tasks.generators.pathfinder.images import generate
from tasks.generators.pathfinder.style import CONTOUR_LENGTHS, Style, lra_style
from tasks.task import DataError, Split, Splits

_FEWEST_PADDLES = 2
# The images have numbers of their own in a seed, which no data set comes to.
_FIRST_NUMBER = 2**40


def draw_curriculum(style: Style, seed: int, count: int) -> Split:
    """Return images of 2 paddles a curve, 3, ..., one less than the style's.

    Equally many of each. Curves shorter than those of LRA's easiest images have no
    distractors beside them, longer ones those that LRA documents for the length.

    Raises:
      DataError: an image cannot be drawn, or its label contradicts its geometry.
    """
    kinds = style.contour_length - _FEWEST_PADDLES
    paddles = _FEWEST_PADDLES + np.arange(count) * kinds // count

    def draw(start: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        images, labels = [], []
        lengths, sizes = np.unique(paddles[start : start + number], return_counts=True)
        for length, size in zip(lengths, sizes, strict=True):
            simpler = _simpler(style, int(length))
            batch = generate(simpler, seed, _FIRST_NUMBER + start, int(size))
            check(simpler, batch)
            images.append(batch.images.reshape(len(batch.images), -1))
            labels.append(batch.labels)
            start += int(size)
        return np.concatenate(images), np.concatenate(labels)

    return draw_rows(draw, count)


def _simpler(style: Style, contour_length: int) -> Style:
    """Return a style like this with shorter curves."""
    if contour_length < min(CONTOUR_LENGTHS.values()):
        return dataclasses.replace(
            style, contour_length=contour_length, num_distractors=0
        )
    documented = lra_style(style.size, contour_length)
    return dataclasses.replace(
        style,
        contour_length=contour_length,
        num_distractors=documented.num_distractors,
        distractor_length=documented.distractor_length,
    )


def read_after_curriculum(
    style: Style,
    seed: int,
    count: int,
    read: Callable[[Path], Splits],
    scratch: Path,
) -> Splits:
    """Return splits as they are read, with the curriculum before the training split."""
    splits = read(scratch)
    simpler, train = draw_curriculum(style, seed, count), splits["train"]
    joined = Split(
        np.concatenate([simpler.inputs, train.inputs]),
        np.concatenate([simpler.labels, train.labels]),
    )
    return {**splits, "train": joined}


def compare_curriculum(style: Style, seed: int, count: int, splits: Splits) -> str:
    """Draw the curriculum of a data set again and compare; return a sentence on it.

    Raises:
      DataError: an image or a label differs.
    """
    drawn, train = draw_curriculum(style, seed, count), splits["train"]
    same = (train.inputs[:count] == drawn.inputs).all(axis=1)
    same &= train.labels[:count] == drawn.labels
    if not same.all():
        raise DataError(
            f"train split: {count - same.sum():,} of the {count:,} images of the "
            f"curriculum are not what seed {seed} draws, the first is example "
            f"{same.argmin()}"
        )
    return f"the {count:,} images of the curriculum, drawn again, are the same"
