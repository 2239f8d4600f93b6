"""Readers that know how often bytes occur in a text, but not in which order."""

from collections.abc import Mapping

import numba
import numpy as np

from tasks.task import Split, majority_accuracy

_NUM_IDS = 257
# Inverse strength of the L2 penalty on standardised features.
_INVERSE_PENALTY = 0.1


def readers(splits: Mapping[str, Split]) -> dict[str, float]:
    """Return the test accuracies, in [0, 1], of readers that see more and more."""
    return {
        "majority class": majority_accuracy(splits),
        "bag of bytes": bag_accuracy(splits),
    }


def bag_accuracy(splits: Mapping[str, Split]) -> float:
    """Return the test accuracy of a logistic regression on byte frequencies."""
    train, test = splits["train"], splits["test"]
    if len(np.unique(train.labels)) == 1:
        return majority_accuracy(splits)
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(
        StandardScaler(),
        # Newton steps are exact after a few, so the answers do not hang on a tolerance.
        LogisticRegression(C=_INVERSE_PENALTY, solver="newton-cholesky"),
    )
    model.fit(byte_frequencies(train.inputs), train.labels)
    return float(model.score(byte_frequencies(test.inputs), test.labels))


def byte_frequencies(inputs: np.ndarray) -> np.ndarray:
    """Return the roots of the shares of the ids in the rows of inputs, (n, l).

    The root keeps frequent bytes from hiding the rare ones.

    Returns:
      float64 (n, 257); padding has no share.
    """
    counts = _counts(np.asarray(inputs))
    counts[:, 0] = 0
    return np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


@numba.njit(cache=True, nogil=True)
def _counts(inputs):
    """Count the ids, int64 (n, 257), in the rows of inputs, (n, l)."""
    counts = np.zeros((len(inputs), _NUM_IDS), np.int64)
    for index, row in enumerate(inputs):
        for token in row:
            counts[index, token] += 1
    return counts
