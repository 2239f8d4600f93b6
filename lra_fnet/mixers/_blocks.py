"""Sequences cut into blocks, and attention of blocks to the few that each may read."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from lra_fnet.hardware import target
from lra_fnet.mixers._products import pair_products, weighted_sums
from lra_fnet.mixers._tiled_attention import MOST_WEIGHTS_ELSEWHERE, largest_divisor

NOT_ALLOWED = -1e30  # a score; finite, so that gradients are


def split_chunks(
    x: Shaped[Array, "b l ..."], chunk_size: int
) -> Shaped[Array, "b c s ..."]:
    """Append zeros up to a multiple of chunk_size and cut axis 1.

    >>> split_chunks(jnp.arange(1, 6)[None], 3).tolist()
    [[[1, 2, 3], [4, 5, 0]]]
    """
    batch, length, *rest = x.shape
    missing = -length % chunk_size
    x = jnp.pad(x, [(0, 0), (0, missing)] + [(0, 0)] * len(rest))
    return x.reshape(batch, -1, chunk_size, *rest)


def join_chunks(x: Shaped[Array, "b c s ..."], length: int) -> Shaped[Array, "b l ..."]:
    """Undo `split_chunks`."""
    batch, chunks, size, *rest = x.shape
    return x.reshape(batch, chunks * size, *rest)[:, :length]


class Keys(NamedTuple):
    """Keys and values of every block, and which query may read which of them.

    Axes of size 1 stand for all blocks, heads or queries alike.
    """

    key: Float[Array, "b n m h k"]
    value: Float[Array, "b n m h k"]
    allowed: Bool[Array, "b n h q m"]


def attend(
    query: Float[Array, "b n q h k"], groups: Sequence[Keys], dropout: nn.Dropout
) -> Float[Array, "b n q h k"]:
    """Return softmax(Q K^T / sqrt(k)) V, one softmax over all groups of keys.

    A query that may read nothing gets zeros. Where a batch has more weights than
    accelerators should hold, a few examples are computed at a time, and once more in
    the derivative, as attention between all pairs is. CPUs have few examples at a time.
    """
    most = MOST_WEIGHTS_ELSEWHERE // max(_weights_of_an_example(query, groups), 1)
    if target().platform == "cpu" or most >= len(query):
        return _attend(query, groups, dropout)

    @jax.checkpoint
    def attend_one(example: tuple) -> Float[Array, "n q h k"]:
        query, groups, key = example
        groups = jax.tree.map(lambda x: x[None], groups)
        return _attend(query[None], groups, functools.partial(dropout, rng=key))[0]

    keys = None
    if dropout.rate and not dropout.deterministic:
        keys = jax.random.split(dropout.make_rng("dropout"), len(query))
    # Parts of one size: a smaller last one would be compiled for itself.
    at_once = largest_divisor(len(query), max(most, 1), fewest=1)
    return jax.lax.map(attend_one, (query, groups, keys), batch_size=at_once)


def _weights_of_an_example(
    query: Float[Array, "b n q h k"], groups: Sequence[Keys]
) -> int:
    """Return how many pairs of a query and a key there are, in all heads."""
    _, num_blocks, queries, heads, _ = query.shape
    return num_blocks * queries * heads * sum(keys.key.shape[2] for keys in groups)


def _attend(
    query: Float[Array, "b n q h k"], groups: Sequence[Keys], dropout: Callable
) -> Float[Array, "b n q h k"]:
    """Attend with all examples at once.

    Heads come before blocks, so that products with keys of all blocks leave the weights
    as they lie; turning them around took up to half of the time of a training step.
    """
    heads = jnp.moveaxis(query, 3, 1)
    scores = [_scores(heads, group) for group in groups]
    tops = [part.max(axis=-1, keepdims=True, initial=NOT_ALLOWED) for part in scores]
    highest = jax.lax.stop_gradient(functools.reduce(jnp.maximum, tops))
    mixed = total = jnp.float32(0)
    for part, group in zip(scores, groups, strict=True):
        weights = jnp.where(part > NOT_ALLOWED, jnp.exp(part - highest), 0)
        total = total + weights.sum(axis=-1, keepdims=True)
        weights = dropout(weights).astype(group.value.dtype)
        mixed = mixed + _by_block(weighted_sums, weights, group.value)
    mixed = mixed / jnp.where(total > 0, total, 1)
    return jnp.moveaxis(mixed.astype(query.dtype), 1, 3)


def with_neighbors(blocks: Shaped[Array, "b n w ..."]) -> Shaped[Array, "b n 3*w ..."]:
    """Put the block before and the block after beside each; zeros beyond the ends.

    >>> with_neighbors(jnp.arange(1, 5).reshape(1, 2, 2)).tolist()
    [[[0, 0, 1, 2, 3, 4], [1, 2, 3, 4, 0, 0]]]
    """
    num_blocks = blocks.shape[1]
    padded = jnp.pad(blocks, [(0, 0), (1, 1)] + [(0, 0)] * (blocks.ndim - 2))
    shifted = [padded[:, shift : shift + num_blocks] for shift in range(3)]
    return jnp.concatenate(shifted, axis=2)


def _scores(query: Float[Array, "b h n q k"], keys: Keys) -> Float[Array, "b h n q m"]:
    """Return Q K^T / sqrt(k) in float32 where allowed, NOT_ALLOWED elsewhere."""
    scores = _by_block(pair_products, query, keys.key) * query.shape[-1] ** -0.5
    return jnp.where(jnp.swapaxes(keys.allowed, 1, 2), scores, NOT_ALLOWED)


def _by_block(
    product: Callable, rows: Float[Array, "b h n q r"], keys: Float[Array, "b #n m h k"]
) -> Float[Array, "b h n q c"]:
    """Apply a product to the rows of each block, or of all if the keys are of all."""
    keys = jnp.moveaxis(keys, 3, 1)
    if keys.shape[2] != 1:
        return product(rows, keys)
    batch, heads, blocks, queries, width = rows.shape
    result = product(rows.reshape(batch, heads, blocks * queries, width), keys[:, :, 0])
    return result.reshape(batch, heads, blocks, queries, result.shape[-1])
