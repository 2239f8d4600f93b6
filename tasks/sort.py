"""Sort: 64 symbols, then the same in order; a sequence for a sequence.

Not a task of the arena: the smallest on which encoders with a decoder can be compared.
A row holds the symbols, a separator, and their order but for its last symbol, which is
the label. Language models learn every symbol of the order from those before it, and an
answer is right if all of it is: then the model would also write it by itself, symbol
by symbol.

Vocabulary (66 ids): 0 padding, in no row; 1 to 64 the symbols; 65 the separator.
"""

import numpy as np

from tasks.generators import generated_task
from tasks.task import DataError, Splits, Task, check_range, lazily

TITLE = "Sort"
ORDER = 15

NUM_SYMBOLS = 64
SEPARATOR = NUM_SYMBOLS + 1

# Raise it with every change that makes other examples from the same options.
GENERATOR_VERSION = 1


def make_task(
    source: str = "generated",
    seed: int = 0,
    num_train: int = 100_000,
    num_validation: int = 2_000,
    num_test: int = 2_000,
    count: int = 64,
) -> Task:
    """Return the task of sorting.

    Args:
      source: "generated", the only one.
      seed: of the generator.
      num_train: examples.
      num_validation: likewise.
      num_test: likewise.
      count: symbols to sort, half the positions of a row.

    Raises:
      ValueError: an option is out of its range.
    """
    check_range(2, count=count)
    return generated_task(
        draw,
        verify,
        GENERATOR_VERSION,
        source,
        seed,
        sizes={"train": num_train, "validation": num_validation, "test": num_test},
        options={"count": count},
        name="sort",
        vocab_size=NUM_SYMBOLS + 2,
        classes=("padding", *(f"symbol {n}" for n in range(NUM_SYMBOLS)), "separator"),
        max_length=2 * count,
        trivial_baselines=lazily("tasks.trivial", "sort_baselines"),
        labels_are_next_ids=True,
        answer_length=count,
    )


def draw(
    seed: np.uint64, start: int, rows: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs, uint8 (rows, 2 count), and labels, from number `start` on."""
    from tasks.generators.random import words

    symbols = (1 + words(seed, start, rows, count) % NUM_SYMBOLS).astype(np.uint8)
    order = np.sort(symbols, axis=1)
    separators = np.full((rows, 1), SEPARATOR, np.uint8)
    inputs = np.concatenate([symbols, separators, order[:, :-1]], axis=1)
    return inputs, order[:, -1].astype(np.int32)


def verify(splits: Splits) -> str:
    """Compare symbols and their order in every row; return what was compared.

    Raises:
      DataError: an order does not rise, or is not of the row's symbols.
    """
    total = 0
    for name, split in splits.items():
        size = split.inputs.shape[1] // 2
        order = np.concatenate([split.inputs[:, size + 1 :], split.labels[:, None]], 1)
        rises = (np.diff(order.astype(int), axis=1) >= 0).all(axis=1)
        wrong = np.flatnonzero(~rises | ~_same_counts(split.inputs[:, :size], order))
        if len(wrong):
            raise DataError(
                f"sort, {name} split: {len(wrong):,} rows are not sorted, the first is "
                f"example {wrong[0]}"
            )
        total += len(split)
    return f"every row has its symbols again, in order ({total:,} compared)"


def _same_counts(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return which rows of ids (n, l) have each id equally often, bool (n,)."""
    return np.all(
        [
            (first == symbol).sum(axis=1) == (second == symbol).sum(axis=1)
            for symbol in range(1, SEPARATOR)
        ],
        axis=0,
    )
