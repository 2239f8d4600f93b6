"""Trivial baselines: test accuracies of answers that see almost none of the input."""

import math

import numba
import numpy as np
from jaxtyping import Int

from tasks.generators.listops import apply, recompute_labels
from tasks.generators.random import below, next_uint64, stream
from tasks.listops import CLOSE, MIN, PAD, SM, TOKENS, ZERO
from tasks.recall import NOISE, VALUE, distances
from tasks.sources.papers import VOCAB_SIZE
from tasks.task import Split, Splits

# Every function of splits here returns accuracies on the test split, in [0, 1], of
# answers that are learned from the training split.


def majority_accuracy(splits: Splits) -> float:
    """Return the accuracy of always answering the most frequent training label.

    >>> ones = Split(np.zeros((3, 1), np.uint8), np.array([1, 1, 0], np.int32))
    >>> round(majority_accuracy({"train": ones, "test": ones}), 3)
    0.667
    """
    answer = np.bincount(splits["train"].labels).argmax()
    return float(np.mean(splits["test"].labels == answer))


def listops_baselines(splits: Splits) -> dict[str, float]:
    """Return the accuracies of answers that see more and more of its top."""
    return {
        "majority class": majority_accuracy(splits),
        "root operator": root_accuracy(splits),
        "root operator and its children": children_accuracy(splits),
    }


def text_baselines(splits: Splits) -> dict[str, float]:
    """Return the accuracies of answers that see more and more."""
    return {
        "majority class": majority_accuracy(splits),
        "bag of bytes": text_bag_accuracy(splits),
    }


def retrieval_baselines(splits: Splits) -> dict[str, float]:
    """Return the accuracies of answers that see more and more."""
    return {
        "majority class": majority_accuracy(splits),
        "bag of bytes": retrieval_bag_accuracy(splits),
    }


def pixel_baselines(splits: Splits) -> dict[str, float]:
    """Return the accuracies of answers that see one number of pictures, (n, l)."""
    return {
        "majority class": majority_accuracy(splits),
        "mean intensity": mean_accuracy(splits),
        "best single pixel": pixel_accuracy(splits),
    }


def pathfinder_baselines(radius: float, splits: Splits) -> dict[str, float]:
    """Return the accuracies of answers that see one number, or no curve at all.

    Args:
      radius: of the discs, in pixels.
      splits: square pictures, (n, l).
    """
    return {
        **pixel_baselines(splits),
        "where the discs are": disc_accuracy(splits, radius),
    }


def recall_baselines(splits: Splits) -> dict[str, float]:
    """Return the accuracies of answers that see more and more of a row."""
    length = splits["test"].inputs.shape[1]
    return {
        "majority class": majority_accuracy(splits),
        "most frequent value": recall_accuracy(splits, reach=0),
        "the nearer half of the row": recall_accuracy(splits, length // 2),
    }


def corpus_baselines(splits: Splits) -> dict[str, float]:
    """Return the accuracies of answers that see no byte, the last, the last two."""
    return {
        "majority class": majority_accuracy(splits),
        "after the last byte": next_byte_accuracy(splits, 1),
        "after the last two bytes": next_byte_accuracy(splits, 2),
    }


def sort_baselines(splits: Splits) -> dict[str, float]:
    """Return the accuracy of one answer to all: the most frequent at each place."""
    size = splits["train"].inputs.shape[1] // 2 + 1
    answers = {
        name: np.concatenate([split.inputs[:, size:], split.labels[:, None]], axis=1)
        for name, split in splits.items()
    }
    frequent = [np.bincount(column).argmax() for column in answers["train"].T]
    return {"majority class": float(np.mean((answers["test"] == frequent).all(axis=1)))}


def even_pairs_baselines(splits: Splits) -> dict[str, float]:
    """Return the accuracy of the one answer that does not read a whole row."""
    return {"majority class": majority_accuracy(splits)}


# ---------------------------------------------------------------------------
# The most frequent label of a value


def _count_labels(values: np.ndarray, labels: np.ndarray, shape: tuple) -> np.ndarray:
    """Count the labels of each value: int64 `shape`, (values, classes)."""
    counts = np.zeros(shape, np.int64)
    np.add.at(counts, (values, labels), 1)
    return counts


def _num_classes(splits: Splits) -> int:
    return int(splits["train"].labels.max()) + 1


def _answers(counts: np.ndarray) -> np.ndarray:
    """Return the most frequent label, (v,), of every value in counts, (v, classes).

    A value that training does not have gets the most frequent label of all.
    """
    answers = counts.argmax(axis=1)
    return np.where(counts.any(axis=1), answers, counts.sum(axis=0).argmax())


# ---------------------------------------------------------------------------
# The top of an expression

# Training examples the values of subtrees are counted in: some 10,000 subtrees.
_PRIOR_EXAMPLES = 4_000
# Draws of the unread subtrees of one example; the answer is their most frequent value.
_NUM_DRAWS = 1_000


def root_accuracy(splits: Splits) -> float:
    """Return the accuracy of the best training answer given the root's token."""
    train, test = splits["train"], splits["test"]
    counts = _count_labels(train.inputs[:, 0], train.labels, (len(TOKENS), 10))
    answers = counts.argmax(axis=1)
    return float(np.mean(answers[test.inputs[:, 0]] == test.labels))


def children_accuracy(splits: Splits) -> float:
    """Return the accuracy of an answer that sees the root's and its children's tokens.

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


# ---------------------------------------------------------------------------
# How often each byte occurs

# Training pairs that the regression sees at most; more hardly change it.
_MAX_PAIRS = 20_000


def text_bag_accuracy(splits: Splits) -> float:
    """Return the accuracy of a logistic regression on the bytes of a text."""
    train, test = (
        Split(byte_roots(splits[name].inputs), splits[name].labels)
        for name in ("train", "test")
    )
    return _regression_accuracy(train, test, inverse_penalty=0.1)


def retrieval_bag_accuracy(splits: Splits) -> float:
    """Return the accuracy of a logistic regression on the bytes of two documents."""
    chosen = subsample(len(splits["train"]))
    train, test = splits["train"], splits["test"]
    train = Split(_pair_features(train.inputs[chosen]), train.labels[chosen])
    test = Split(_pair_features(test.inputs), test.labels)
    return _regression_accuracy(train, test, inverse_penalty=0.01)


def _regression_accuracy(train: Split, test: Split, inverse_penalty: float) -> float:
    """Return the accuracy of a regression on inputs that are features, (n, f)."""
    if len(np.unique(train.labels)) == 1:
        return majority_accuracy({"train": train, "test": test})
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # Newton steps are exact after a few, so the answers do not hang on a tolerance.
    regression = LogisticRegression(C=inverse_penalty, solver="newton-cholesky")
    model = make_pipeline(StandardScaler(), regression)
    model.fit(train.inputs, train.labels)
    return float(np.mean(model.predict(test.inputs) == test.labels))


def byte_roots(inputs: np.ndarray) -> np.ndarray:
    """Return the roots of the shares of the ids in the rows of inputs, (n, l).

    The root keeps frequent bytes from hiding the rare ones.

    Returns:
      float64 (n, 257); padding has no share.
    """
    counts = np.stack([np.bincount(row, minlength=VOCAB_SIZE) for row in inputs])
    counts[:, 0] = 0
    return np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def _pair_features(inputs: np.ndarray) -> np.ndarray:
    """Return |h1 - h2| and h1 * h2, float64 (m, 2 * 257), of pairs, (m, 2, l).

    h is what `byte_roots` makes of a document; h1 * h2 then sums to the Bhattacharyya
    coefficient.
    """
    first, second = byte_roots(inputs[:, 0]), byte_roots(inputs[:, 1])
    return np.concatenate([np.abs(first - second), first * second], axis=1)


def subsample(count: int) -> np.ndarray:
    """Return at most _MAX_PAIRS of `count` indices, drawn from a fixed seed, sorted."""
    state = stream(0, 0)
    keys = np.array([next_uint64(state) for _ in range(count)])
    return np.sort(np.argsort(keys)[:_MAX_PAIRS])


# ---------------------------------------------------------------------------
# The near part of a row of pairs


def recall_accuracy(splits: Splits, reach: int) -> float:
    """Return the expected accuracy of an answer that finds near pairs.

    Where the pair lies farther back it is one of the row's most frequent values.

    Args:
      splits: of recall; nothing is learned from the training split.
      reach: most positions from the key back to its pair.
    """
    test = splits["test"]
    inputs = np.asarray(test.inputs)
    is_near = distances(inputs) <= reach
    counts = np.stack([np.bincount(row, minlength=NOISE) for row in inputs])
    counts = counts[:, VALUE:NOISE]
    best = counts == counts.max(axis=1, keepdims=True)
    chance = best[np.arange(len(test)), test.labels] / best.sum(axis=1)
    return float(np.where(is_near, 1.0, chance).mean())


# ---------------------------------------------------------------------------
# The last bytes of a window


def next_byte_accuracy(splits: Splits, reach: int) -> float:
    """Return the accuracy of what most often follows the last `reach` ids, (n, l).

    Counted at every position of the training windows.
    """
    train, test = splits["train"], splits["test"]
    following = np.concatenate([train.inputs[:, reach:], train.labels[:, None]], axis=1)
    pairs = (_contexts(train.inputs, reach) << 8) + following
    counts = np.bincount(pairs.ravel(), minlength=256 ** (reach + 1)).reshape(-1, 256)
    answers = _answers(counts)[_contexts(test.inputs[:, -reach:], reach)[:, 0]]
    return float(np.mean(answers == test.labels))


def _contexts(inputs: np.ndarray, reach: int) -> np.ndarray:
    """Return a number for the `reach` ids up to each position that has so many."""
    last = inputs.shape[1] - reach + 1
    contexts = np.zeros((len(inputs), last), np.int64)
    for start in range(reach):
        contexts = (contexts << 8) + inputs[:, start : start + last]
    return contexts


# ---------------------------------------------------------------------------
# One number of a picture

# Ranges of the mean brightness, each with as many training pictures as the others.
_NUM_RANGES = 64
# A pixel's 256 values, taken together by 16.
_BITS_DROPPED = 4
_NUM_LEVELS = 256 >> _BITS_DROPPED


def mean_accuracy(splits: Splits) -> float:
    """Return the accuracy of the best training answer given the mean brightness.

    The mean counts as one of _NUM_RANGES ranges, whose bounds are quantiles of the
    training means.
    """
    train, test = splits["train"], splits["test"]
    means = train.inputs.mean(axis=1)
    bounds = np.quantile(means, np.arange(1, _NUM_RANGES) / _NUM_RANGES)
    ranges = np.searchsorted(bounds, means)
    counts = _count_labels(ranges, train.labels, (_NUM_RANGES, _num_classes(splits)))
    ranges = np.searchsorted(bounds, test.inputs.mean(axis=1))
    return float(np.mean(_answers(counts)[ranges] == test.labels))


def pixel_accuracy(splits: Splits) -> float:
    """Return the accuracy of the best training answers given one pixel's level.

    The pixel is the one with which the most training labels are right.
    """
    train, test = splits["train"], splits["test"]
    counts = _level_counts(
        np.asarray(train.inputs), np.asarray(train.labels), _num_classes(splits)
    )
    pixel = counts.max(axis=2).sum(axis=1).argmax()
    levels = test.inputs[:, pixel] >> _BITS_DROPPED
    return float(np.mean(_answers(counts[pixel])[levels] == test.labels))


@numba.njit(cache=True, nogil=True)
def _level_counts(inputs, labels, num_classes):
    """Count the labels of inputs, (n, l), by pixel and level: int64 (l, v, classes)."""
    counts = np.zeros((inputs.shape[1], _NUM_LEVELS, num_classes), np.int64)
    for index, row in enumerate(inputs):
        for pixel, value in enumerate(row):
            counts[pixel, value >> _BITS_DROPPED, labels[index]] += 1
    return counts


# ---------------------------------------------------------------------------
# Where two discs are

# Training pictures that are looked at; 50,000 were worth 1.5 points more than 10,000.
_MAX_PICTURES = 40_000


def disc_accuracy(splits: Splits, radius: float) -> float:
    """Return the accuracy of boosted trees that read where the two discs are.

    Curves start close to the middle of a picture and keep clear of each other, so the
    ends of one and the ends of two lie differently: Pathfinder can be answered better
    than by chance without following a curve.
    """
    if len(np.unique(splits["train"].labels)) == 1:
        return majority_accuracy(splits)
    from sklearn.ensemble import HistGradientBoostingClassifier

    train = splits["train"].part(0, _MAX_PICTURES)
    trees = HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=200, early_stopping=False, random_state=0
    )
    trees.fit(_disc_features(train.inputs, radius), train.labels)
    test = splits["test"]
    answers = trees.predict(_disc_features(test.inputs, radius))
    return float(np.mean(answers == test.labels))


def _disc_features(inputs: np.ndarray, radius: float) -> np.ndarray:
    """Return places, offset and distances of the discs, float64 (n, 9)."""
    discs = find_discs(inputs, radius)
    size = math.isqrt(inputs.shape[1])
    offset = discs[:, 0] - discs[:, 1]
    return np.column_stack(
        [
            discs.reshape(len(discs), 4),
            offset,
            np.hypot(*offset.T),
            np.hypot(*(discs - (size - 1) / 2).transpose(2, 0, 1)),
        ]
    )


def find_discs(inputs: np.ndarray, radius: float) -> Int[np.ndarray, "n 2 2"]:
    """Return row and column of the two brightest squares in pictures, (n, l).

    A square that fits into a disc is as bright as its darkest pixel. The second is
    clear of the first. The upper comes first, of two in a row the left one.
    """
    from scipy.ndimage import minimum_filter

    half, size = int(radius / math.sqrt(2)), math.isqrt(inputs.shape[1])
    rows, columns = np.mgrid[:size, :size]
    found = np.zeros((len(inputs), 2, 2), np.int64)
    for picture, discs in zip(inputs, found, strict=True):
        square = picture.reshape(size, size)
        square = minimum_filter(square, 2 * half + 1, mode="constant")
        level = square.astype(np.int64)
        for disc in discs:
            disc[:] = np.unravel_index(level.argmax(), level.shape)
            near = np.maximum(abs(rows - disc[0]), abs(columns - disc[1])) <= 2 * half
            level[near] = -1
        discs[:] = discs[np.lexsort(discs.T[::-1])]
    return found
