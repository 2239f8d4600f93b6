"""Recall: the value that stands behind a key somewhere in a row of noise, 64 classes.

A probe beside the arena's tasks: the row holds pairs of a key and its value at random
places, and ends with a query mark and one of the keys. Nothing else in the row tells
the answer, so accuracy by the distance of the pair is how far a model can read.

Vocabulary (194 ids): 0 padding, at the last position of every row alone, so that a CLS
slot takes nothing away; 1 to 64 the keys; 65 to 128 the values; 129 to 192 noise; 193
the query mark. The keys of a row differ, values may recur.

Arora et al., Zoology (2023), https://arxiv.org/abs/2312.04927: associative
recall, there with many queries to a row.
"""

import numpy as np

from tasks.generators import generated_task
from tasks.task import Splits, Task, check_labels, check_range, lazily

TITLE = "Recall"
ORDER = 11

PAD, KEY, VALUE, NOISE, QUERY = 0, 1, 65, 129, 193  # the first id of each kind
NUM_EACH = 64  # ids of keys, of values and of noise
_TAIL = 4  # positions after the last pair, the query's two and the padding included

# Raise it with every change that makes other examples from the same options.
GENERATOR_VERSION = 1


def make_task(
    source: str = "generated",
    seed: int = 0,
    num_train: int = 100_000,
    num_validation: int = 2_000,
    num_test: int = 2_000,
    length: int = 1_024,
    num_pairs: int = 32,
    num_symbols: int = NUM_EACH,
) -> Task:
    """Return the recall task.

    Args:
      source: "generated", the only one.
      seed: of the generator.
      num_train: examples.
      num_validation: likewise.
      num_test: likewise.
      length: positions of a row.
      num_pairs: pairs of a row, 1 to num_symbols.
      num_symbols: of the keys and of the values, how many are drawn, 1 to 64.

    Raises:
      ValueError: an option is out of its range, or so many pairs need a longer row.
    """
    check_range(1, NUM_EACH, num_symbols=num_symbols)
    check_range(1, num_symbols, num_pairs=num_pairs)
    check_range(2 * num_pairs + _TAIL, length=length)
    return generated_task(
        draw,
        verify,
        GENERATOR_VERSION,
        source,
        seed,
        sizes={"train": num_train, "validation": num_validation, "test": num_test},
        options={"length": length, "num_pairs": num_pairs, "num_symbols": num_symbols},
        features=lambda test: {"distance": distances(test.inputs)},
        name="recall",
        vocab_size=QUERY + 1,
        classes=tuple(f"value {number}" for number in range(num_symbols)),
        max_length=length,
        trivial_baselines=lazily("tasks.trivial", "recall_baselines"),
    )


def draw(
    seed: np.uint64,
    start: int,
    rows: int,
    length: int,
    num_pairs: int,
    num_symbols: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs, uint8 (rows, length), and labels, from number `start` on."""
    from tasks.generators.random import words

    num_places = (length - _TAIL) // 2  # pairs start at even positions
    sizes = np.array([num_symbols, num_places, num_pairs, length, 1])
    parts = np.split(words(seed, start, rows, sizes.sum()), sizes.cumsum()[:-1], 1)
    of_keys, of_places, of_values, of_noise, of_query = parts
    # The order of random numbers is a random order.
    keys = KEY + np.argsort(of_keys, axis=1, kind="stable")[:, :num_pairs]
    places = 2 * np.argsort(of_places, axis=1, kind="stable")[:, :num_pairs]
    values = VALUE + (of_values % num_symbols).astype(np.int64)
    asked = (of_query % num_pairs).astype(np.int64)
    inputs = (NOISE + of_noise % NUM_EACH).astype(np.uint8)
    np.put_along_axis(inputs, places, keys.astype(np.uint8), axis=1)
    np.put_along_axis(inputs, places + 1, values.astype(np.uint8), axis=1)
    inputs[:, -3] = QUERY
    inputs[:, -2] = np.take_along_axis(keys, asked, axis=1)[:, 0]
    inputs[:, -1] = PAD
    labels = np.take_along_axis(values, asked, axis=1)[:, 0] - VALUE
    return inputs, labels.astype(np.int32)


def distances(inputs: np.ndarray) -> np.ndarray:
    """Return the positions, int (n,), from each row's key back to its pair.

    >>> distances(np.array([[1, 65, 130, 193, 1, 0]], np.uint8)).tolist()
    [4]
    """
    inputs = np.asarray(inputs)
    return inputs.shape[1] - 2 - (inputs == inputs[:, -2:-1]).argmax(axis=1)


def verify(splits: Splits) -> str:
    """Read every row again; return a sentence on what was compared.

    Raises:
      DataError: a row is not of this form, or its label is not the value of its key.
    """
    total = check_labels("recall", splits, recall, "the value of their row's key")
    return f"every label is the value of its row's key ({total:,} read)"


def recall(inputs: np.ndarray) -> np.ndarray:
    """Return the answers, int (n,), that rows of ids (n, l) give; -1 where none.

    A row has none if it does not end in query mark, key and padding, or if its key does
    not stand before exactly one value.

    >>> recall(np.array([[129, 1, 66, 2, 67, 193, 2, 0], [1, 66, 1, 67, 5, 193, 1, 0]]))
    array([ 2, -1])
    """
    before, after, asked = inputs[:, :-4], inputs[:, 1:-3], inputs[:, -2]
    is_value = (after >= VALUE) & (after < NOISE)
    found = (before == asked[:, None]) & is_value
    rows = np.arange(len(inputs))
    answers = after[rows, found.argmax(axis=1)].astype(np.int64) - VALUE
    is_key = (asked >= KEY) & (asked < VALUE)
    is_whole = is_key & (inputs[:, -3] == QUERY) & (inputs[:, -1] == PAD)
    return np.where(is_whole & (found.sum(axis=1) == 1), answers, -1)
