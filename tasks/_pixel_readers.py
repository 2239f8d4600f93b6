"""Readers that see one number of a picture: its mean brightness, or one pixel."""

from collections.abc import Mapping

import numba
import numpy as np

from tasks.task import Split, majority_accuracy

# Ranges of the mean brightness, each with as many training pictures as the others.
_NUM_RANGES = 64
# A pixel's 256 values, taken together by 16.
_BITS_DROPPED = 4
_NUM_LEVELS = 256 >> _BITS_DROPPED


def readers(splits: Mapping[str, Split]) -> dict[str, float]:
    """Return the test accuracies, in [0, 1], of readers of pixels 0 to 255."""
    return {
        "majority class": majority_accuracy(splits),
        "mean intensity": mean_accuracy(splits),
        "best single pixel": pixel_accuracy(splits),
    }


def mean_accuracy(splits: Mapping[str, Split]) -> float:
    """Return the test accuracy of the best training answer given the mean brightness.

    The mean counts as one of _NUM_RANGES ranges, whose bounds are quantiles of the
    training means.
    """
    train, test = splits["train"], splits["test"]
    means = _means(np.asarray(train.inputs))
    bounds = np.quantile(means, np.arange(1, _NUM_RANGES) / _NUM_RANGES)
    counts = np.zeros((_NUM_RANGES, _num_classes(splits)), np.int64)
    np.add.at(counts, (np.searchsorted(bounds, means), train.labels), 1)
    ranges = np.searchsorted(bounds, _means(np.asarray(test.inputs)))
    return float(np.mean(_answers(counts)[ranges] == test.labels))


def pixel_accuracy(splits: Mapping[str, Split]) -> float:
    """Return the test accuracy of the best training answers given one pixel's level.

    The pixel is the one with which the most training labels are right.
    """
    train, test = splits["train"], splits["test"]
    counts = _level_counts(
        np.asarray(train.inputs), np.asarray(train.labels), _num_classes(splits)
    )
    pixel = counts.max(axis=2).sum(axis=1).argmax()
    levels = test.inputs[:, pixel] >> _BITS_DROPPED
    return float(np.mean(_answers(counts[pixel])[levels] == test.labels))


def _num_classes(splits: Mapping[str, Split]) -> int:
    """Return the number of training classes."""
    return int(splits["train"].labels.max()) + 1


def _answers(counts: np.ndarray) -> np.ndarray:
    """Return the most frequent label, (v,), of every value in counts, (v, classes).

    A value that training does not have gets the most frequent label of all.
    """
    answers = counts.argmax(axis=1)
    return np.where(counts.any(axis=1), answers, counts.sum(axis=0).argmax())


@numba.njit(cache=True, nogil=True)
def _means(inputs):
    """Return the means, float64 (n,), of the rows of inputs, (n, l)."""
    means = np.empty(len(inputs))
    for index, row in enumerate(inputs):
        total = 0
        for pixel in row:
            total += pixel
        means[index] = total / len(row)
    return means


@numba.njit(cache=True, nogil=True)
def _level_counts(inputs, labels, num_classes):
    """Count the labels of inputs, (n, l), by pixel and level: int64 (l, v, classes)."""
    counts = np.zeros((inputs.shape[1], _NUM_LEVELS, num_classes), np.int64)
    for index, row in enumerate(inputs):
        for pixel, value in enumerate(row):
            counts[pixel, value >> _BITS_DROPPED, labels[index]] += 1
    return counts
