"""Even pairs: is the number of changes in a row of bits even (0) or odd (1).

A probe beside the arena's tasks: it takes the parity of all changes, 01 and 10, or to
see that the first and the last bit are equal exactly if that is even. A model that
reads less than the whole row cannot be better than a guess.

Vocabulary (3 ids): 0 padding, 1 and 2 the bits 0 and 1. Rows are padded at the right.

Deletang et al., Neural Networks and the Chomsky Hierarchy (2023),
https://arxiv.org/abs/2207.02098: a regular language.
"""

import numpy as np

from tasks.generators import generated_task
from tasks.task import Splits, Task, check_labels, check_range, lazily

TITLE = "Even pairs"
ORDER = 12

PAD, ZERO, ONE = range(3)

# Raise it with every change that makes other examples from the same options.
GENERATOR_VERSION = 1


def make_task(
    source: str = "generated",
    seed: int = 0,
    num_train: int = 100_000,
    num_validation: int = 2_000,
    num_test: int = 2_000,
    min_length: int = 500,
    max_length: int = 1_024,
) -> Task:
    """Return the task of even pairs.

    Args:
      source: "generated", the only one.
      seed: of the generator.
      num_train: examples.
      num_validation: likewise.
      num_test: likewise.
      min_length: fewest bits of a row.
      max_length: positions of a row, which has fewer bits.

    Raises:
      ValueError: an option is out of its range.
    """
    check_range(2, min_length=min_length)
    check_range(min_length + 1, max_length=max_length)
    return generated_task(
        draw,
        verify,
        GENERATOR_VERSION,
        source,
        seed,
        sizes={"train": num_train, "validation": num_validation, "test": num_test},
        options={"min_length": min_length, "max_length": max_length},
        name="even_pairs",
        vocab_size=3,
        classes=("even", "odd"),
        max_length=max_length,
        trivial_baselines=lazily("tasks.trivial", "even_pairs_baselines"),
    )


def draw(
    seed: np.uint64, start: int, rows: int, min_length: int, max_length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs, uint8 (rows, max_length), and labels, from number `start` on."""
    from tasks.generators.random import words

    drawn = words(seed, start, rows, max_length + 1)
    lengths = min_length + drawn[:, :1] % (max_length - min_length)
    is_real = np.arange(max_length) < lengths
    bits = drawn[:, 1:] >> np.uint64(63)
    changes = (bits[:, 1:] != bits[:, :-1]) & is_real[:, 1:]
    inputs = np.where(is_real, ZERO + bits, PAD).astype(np.uint8)
    return inputs, (changes.sum(axis=1) % 2).astype(np.int32)


def verify(splits: Splits) -> str:
    """Compare the ends of every row; return a sentence on what was compared.

    Raises:
      DataError: a label is 1 where they are equal, or 0 where they differ.
    """
    total = check_labels("even_pairs", splits, even_pairs, "what their row's ends say")
    return f"every label says whether the ends of its row differ ({total:,} compared)"


def even_pairs(inputs: np.ndarray) -> np.ndarray:
    """Return whether the ends of rows of ids (n, l) differ, int (n,).

    >>> even_pairs(np.array([[1, 2, 1, 0], [1, 1, 2, 0]])).tolist()
    [0, 1]
    """
    last = np.count_nonzero(inputs, axis=1) - 1
    return (inputs[:, 0] != inputs[np.arange(len(inputs)), last]).astype(np.int32)
