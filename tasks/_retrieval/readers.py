"""Readers that see only how often each byte occurs in the two documents."""

from collections.abc import Mapping

import numba
import numpy as np

from tasks._random import next_uint64, stream
from tasks._retrieval.documents import VOCAB_SIZE
from tasks.task import Split, majority_accuracy

# Training pairs that the regression sees at most; more hardly change it.
_MAX_PAIRS = 20_000
_SEED = 0


def readers(splits: Mapping[str, Split]) -> dict[str, float]:
    """Return the test accuracies, in [0, 1], of readers that see more and more."""
    return {
        "majority class": majority_accuracy(splits),
        "bag of bytes": bag_of_bytes_accuracy(splits),
    }


def bag_of_bytes_accuracy(splits: Mapping[str, Split]) -> float:
    """Return the test accuracy of a logistic regression on byte frequencies."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, test = splits["train"], splits["test"]
    chosen = _subsample(len(train))
    if len(np.unique(train.labels[chosen])) < 2:
        return majority_accuracy(splits)
    model = make_pipeline(
        StandardScaler(),
        # Newton steps on 2 x 257 features: exact within ten iterations.
        LogisticRegression(C=0.01, solver="newton-cholesky"),
    )
    model.fit(_features(train.inputs, chosen), train.labels[chosen])
    answers = model.predict(_features(test.inputs, np.arange(len(test))))
    return float(np.mean(answers == test.labels))


def _subsample(count: int) -> np.ndarray:
    """Return at most _MAX_PAIRS of `count` indices, drawn from a fixed seed, sorted."""
    return np.sort(np.argsort(_random_keys(count))[:_MAX_PAIRS])


@numba.njit(cache=True)
def _random_keys(count):
    """Return random bits, uint64 (count,)."""
    state = stream(_SEED, 0)
    keys = np.empty(count, np.uint64)
    for index in range(count):
        keys[index] = next_uint64(state)
    return keys


def _features(inputs: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return |h1 - h2| and h1 * h2, float64 (m, 2 * 257), of the chosen pairs.

    h is a document's byte frequencies' square root, which evens out rare and frequent
    bytes; h1 * h2 then sums to the Bhattacharyya coefficient.
    """
    first, second = (
        np.sqrt(_frequencies(inputs, chosen, document)) for document in (0, 1)
    )
    return np.concatenate([np.abs(first - second), first * second], axis=1)


@numba.njit(cache=True)
def _frequencies(inputs, chosen, document):
    """Return the shares, float64 (m, 257), of each id among a document's bytes."""
    shares = np.zeros((len(chosen), VOCAB_SIZE))
    for index in range(len(chosen)):
        for token in inputs[chosen[index], document]:
            if token:
                shares[index, token] += 1
        shares[index] /= shares[index].sum()
    return shares
