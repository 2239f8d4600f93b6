"""Which examples a step sees: the order of epochs, and batches that cover a split."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int


def epoch_order(seed: int, epoch: int, num_examples: int) -> Int[np.ndarray, "n"]:
    """Return the order of one epoch, a pure function of its arguments."""
    return np.random.default_rng([seed, epoch]).permutation(num_examples)


def batch_indices(
    seed: int,
    first_step: int,
    num_steps: int,
    batch_size: int,
    num_examples: int,
    num_first: int = 0,
    first_at: int = 0,
) -> Int[np.ndarray, "k b"]:
    """Return the examples of steps first_step, first_step + 1, ...

    Epochs follow each other without a gap: a batch may end one and begin the next, so
    every example is seen once an epoch and none is dropped. The first `num_first` of
    the examples are read once, in their order, from step `first_at` on; then the
    epochs, which are without them, go on.

    >>> batch_indices(0, first_step=1, num_steps=2, batch_size=2, num_examples=3).shape
    (2, 2)
    >>> batch_indices(0, 0, 2, batch_size=2, num_examples=5, num_first=4).tolist()
    [[0, 1], [2, 3]]
    """
    places = np.arange(first_step, first_step + num_steps)[:, None] * batch_size
    places = places + np.arange(batch_size)
    of_first = places - first_at * batch_size
    is_first = (of_first >= 0) & (of_first < num_first)
    of_epochs = np.where(of_first < 0, places, places - num_first)[~is_first]
    picked = of_first
    others = _from_epochs(seed, of_epochs, num_examples - num_first)
    picked[~is_first] = num_first + others
    return picked.astype(np.int32)


def _from_epochs(
    seed: int, places: Int[np.ndarray, "n"], num_examples: int
) -> Int[np.ndarray, "n"]:
    """Return what stands at rising places of the epochs, one after the other."""
    if not len(places):
        return places
    epochs = range(places[0] // num_examples, places[-1] // num_examples + 1)
    order = np.concatenate([epoch_order(seed, e, num_examples) for e in epochs])
    return order[places - epochs[0] * num_examples]


def call_indices(
    seeds: Sequence[int],
    first_step: int,
    num_steps: int,
    max_steps: int,
    batch_size: int,
    num_examples: int,
    num_first: int = 0,
    first_at: int = 0,
) -> Int[np.ndarray, "s k b"]:
    """Return the batches of every seed for one call; zeros fill it to max_steps."""
    indices = np.zeros((len(seeds), max_steps, batch_size), np.int32)
    for row, seed in enumerate(seeds):
        indices[row, :num_steps] = batch_indices(
            *(seed, first_step, num_steps, batch_size),
            *(num_examples, num_first, first_at),
        )
    return indices


def evaluation_batches(
    num_examples: int, batch_size: int, multiple: int = 1
) -> tuple[Int[np.ndarray, "k b"], Float[np.ndarray, "k b"]]:
    """Return indices and weights, (k, b), that cover every example exactly once.

    k is a multiple of `multiple`. What is left of the last batches is example 0 at
    weight 0: nothing is dropped.

    >>> evaluation_batches(3, 2)[1].tolist()
    [[1.0, 1.0], [1.0, 0.0]]
    """
    num_batches = -(-num_examples // (batch_size * multiple)) * multiple
    indices = np.arange(num_batches * batch_size, dtype=np.int32)
    weight = (indices < num_examples).astype(np.float32)
    shape = (num_batches, batch_size)
    return np.where(weight, indices, 0).reshape(shape), weight.reshape(shape)
