"""Readers that see only the top of a ListOps expression, to tell how far that goes."""

from collections.abc import Mapping

import numba
import numpy as np

from tasks._listops.expression import (
    CLOSE,
    MIN,
    PAD,
    SM,
    TOKENS,
    ZERO,
    recompute_labels,
)
from tasks._listops.generator import apply
from tasks._random import below, stream
from tasks.task import Split, majority_accuracy

# Training examples the values of subtrees are counted in: some 10,000 subtrees.
_PRIOR_EXAMPLES = 4_000
# Draws of the unread subtrees of one example; the answer is their most frequent value.
_NUM_DRAWS = 1_000


def readers(splits: Mapping[str, Split]) -> dict[str, float]:
    """Return the test accuracies, in [0, 1], of readers that see more and more."""
    return {
        "majority class": majority_accuracy(splits),
        "root operator": root_accuracy(splits),
        "root operator and its children": children_accuracy(splits),
    }


def root_accuracy(splits: Mapping[str, Split]) -> float:
    """Return the test accuracy of the best training answer given the root's token."""
    train, test = splits["train"], splits["test"]
    counts = np.zeros((len(TOKENS), 10), np.int64)
    np.add.at(counts, (train.inputs[:, 0], train.labels), 1)
    answers = counts.argmax(axis=1)
    return float(np.mean(answers[test.inputs[:, 0]] == test.labels))


def children_accuracy(splits: Mapping[str, Split]) -> float:
    """Return the test accuracy of a reader of the root's and its children's tokens.

    A child that is an operator counts as a draw from the values that the root's
    children with that operator have in training; the answer is the most frequent value
    of the root over _NUM_DRAWS draws of all such children, from a fixed seed.
    """
    frequencies = child_frequencies(
        np.asarray(splits["train"].inputs[:_PRIOR_EXAMPLES])
    )
    answers = root_guesses(np.asarray(splits["test"].inputs), frequencies, _NUM_DRAWS)
    return float(np.mean(answers == splits["test"].labels))


@numba.njit(cache=True, nogil=True)
def child_frequencies(inputs):
    """Count the values of the root's children in inputs, (n, l), by operator.

    Returns:
      One plus the counts, int64 (SM + 1, 10).
    """
    counts = np.ones((SM + 1, 10), np.int64)
    for index, row in enumerate(inputs):
        bounds = _child_bounds(row)
        for number in range(len(bounds) - 1):
            start, end = bounds[number], bounds[number + 1]
            if row[start] <= SM:
                child = inputs[index : index + 1, start:end]
                counts[row[start], recompute_labels(child)[0]] += 1
    return counts


@numba.njit(cache=True, nogil=True)
def root_guesses(inputs, frequencies, num_draws):
    """Guess the values, int64 (n,), of inputs, (n, l), from their first two levels."""
    guesses = np.empty(len(inputs), np.int64)
    for index, row in enumerate(inputs):
        if row[0] >= ZERO:
            guesses[index] = row[0] - ZERO
        else:
            children = row[_child_bounds(row)[:-1]]
            state = stream(0, index)
            guesses[index] = _guess(state, row[0], children, frequencies, num_draws)
    return guesses


@numba.njit(cache=True, nogil=True)
def _guess(state, operator, children, frequencies, num_draws):
    """Return the most frequent value of an operator over draws of its children."""
    values = np.empty(len(children), np.int64)
    counts = np.zeros(10, np.int64)
    for _ in range(num_draws):
        for index, token in enumerate(children):
            if token >= ZERO:
                values[index] = token - ZERO
            else:
                values[index] = _draw(state, frequencies[token])
        counts[apply(operator, values)] += 1
    return counts.argmax()


@numba.njit(cache=True, nogil=True)
def _draw(state, frequencies):
    """Return a digit drawn in proportion to its frequency."""
    rest = below(state, frequencies.sum())
    digit = 0
    while rest >= frequencies[digit]:
        rest -= frequencies[digit]
        digit += 1
    return digit


@numba.njit(cache=True, nogil=True)
def _child_bounds(row):
    """Return where the root's children start and, last, where its bracket closes."""
    bounds = np.empty(len(row), np.int64)
    count = depth = 0
    for position, token in enumerate(row):
        if depth == 1:
            bounds[count] = position
            count += 1
        if MIN <= token <= SM:
            depth += 1
        elif token == CLOSE:
            depth -= 1
        elif token == PAD:
            break
    return bounds[:count]
