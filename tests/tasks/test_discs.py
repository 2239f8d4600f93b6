"""The trivial baseline of Pathfinder: where the two discs are."""

import numpy as np
import pytest

from tasks import Split
from tasks.generators.pathfinder.images import generate
from tasks.generators.pathfinder.style import lra_style
from tasks.trivial import disc_accuracy, find_discs


def from_top(discs):
    """Order two discs, (n, 2, 2), as the baseline does."""
    return np.stack([pair[np.lexsort(pair.T[::-1])] for pair in discs])


@pytest.mark.parametrize(("size", "share"), [(32, 0.95), (64, 0.95), (128, 1.0)])
def test_discs_are_found_where_the_generator_drew_them(size, share):
    style = lra_style(size)
    batch = generate(style, 0, 0, {32: 400, 64: 60, 128: 6}[size])
    found = find_discs(batch.images.reshape(len(batch.images), -1), style.marker_radius)
    gaps = np.abs(found - from_top(batch.markers)).max((1, 2))
    assert np.mean(gaps <= 1) >= share


def picture(discs, size=16):
    """Draw squares of three pixels on a dim ground, as a row."""
    image = np.full((size, size), 9, np.uint8)
    for row, column in discs:
        image[row - 1 : row + 2, column - 1 : column + 2] = 200
    return image.ravel()


def test_the_upper_disc_comes_first_and_of_a_row_the_left_one():
    places = [[[9, 2], [3, 12]], [[5, 12], [5, 3]], [[1, 1], [1, 4]]]
    found = find_discs(np.stack([picture(each) for each in places]), 1.5)
    np.testing.assert_array_equal(found, from_top(np.array(places)))


def test_an_answer_is_learned_from_where_the_discs_are():
    random = np.random.default_rng(0)
    upper, lower = (random.integers((r, 1), (r + 6, 15), (900, 2)) for r in (1, 9))
    discs = np.stack([upper, lower], axis=1)
    labels = (np.abs(upper[:, 1] - lower[:, 1]) > 4).astype(np.int32)
    split = Split(np.stack([picture(each) for each in discs]), labels)
    splits = {"train": split.part(0, 700), "test": split.part(700, None)}
    assert disc_accuracy(splits, 1.5) > 0.95
    shuffled = Split(split.inputs, random.permutation(labels))
    splits = {"train": shuffled.part(0, 700), "test": shuffled.part(700, None)}
    assert abs(disc_accuracy(splits, 1.5) - 0.6) < 0.2


@pytest.mark.slow
def test_discs_alone_say_more_of_pathfinder_than_chance():
    batch = generate(lra_style(32), 0, 0, 14_000)
    split = Split(batch.images.reshape(len(batch.images), -1), batch.labels)
    splits = {"train": split.part(0, 10_000), "test": split.part(10_000, None)}
    assert disc_accuracy(splits, 1.5) > 0.62  # chance has a standard error of 0.008
