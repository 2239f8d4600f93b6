"""Accuracy on parts of a test split: by length and by a task's own features."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from tasks import Split

# Numbers with more values than this are put into as many ranges of about equal size.
MOST_RANGES = 10

# One line of a table: {"low", "high"} or {"value"}, and {"correct", "examples"}.
Line = dict[str, Any]


def breakdown(
    split: Split, pad_id: int | None, correct: Bool[np.ndarray, " n"]
) -> dict[str, list[Line]]:
    """Return right answers and examples by every feature of the examples.

    Length counts tokens, of both documents where there are two; where nothing is
    padded all examples have the same and it is left out.
    """
    features = dict(split.features)
    if pad_id is not None:
        real = np.asarray(split.inputs) != pad_id
        features["length"] = real.reshape(len(split), -1).sum(axis=1)
    return {name: accuracy_by(values, correct) for name, values in features.items()}


def accuracy_by(
    values: Shaped[np.ndarray, " n"], correct: Bool[np.ndarray, " n"]
) -> list[Line]:
    """Return right answers and examples for every word, or every range of numbers.

    >>> accuracy_by(np.array([1, 2, 2]), np.array([True, True, False]))[1]
    {'low': 2, 'high': 2, 'correct': 1, 'examples': 2}
    """
    parts: list[tuple[Line, np.ndarray]]
    if values.dtype.kind == "U":
        parts = [({"value": str(word)}, values == word) for word in np.unique(values)]
    else:
        parts = [
            ({"low": low, "high": high}, (low <= values) & (values <= high))
            for low, high in ranges(values)
        ]
    return [{**label, **_counts(correct[members])} for label, members in parts]


def ranges(values: Shaped[np.ndarray, " n"]) -> list[tuple[int, int]]:
    """Return the bounds, both included, of ranges that hold every one of the values."""
    distinct = np.unique(values)
    starts = distinct
    if len(distinct) > MOST_RANGES:
        shares = np.arange(MOST_RANGES) / MOST_RANGES
        starts = np.unique(np.quantile(values, shares, method="higher"))
    ends = [*(distinct[np.searchsorted(distinct, starts[1:]) - 1]), distinct[-1]]
    return [(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]


def _counts(correct: Bool[np.ndarray, " n"]) -> Mapping[str, int]:
    """Return how many answers there are, and how many are right."""
    return {"correct": int(correct.sum()), "examples": len(correct)}
