"""Sequences cut into blocks, and attention of blocks to the few that each may read."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

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
    query: Float[Array, "b n q h k"], groups: Sequence[Keys], dropout: Callable
) -> Float[Array, "b n q h k"]:
    """Return softmax(Q K^T / sqrt(k)) V, one softmax over all groups of keys.

    A query that may read nothing gets zeros.
    """
    scores = [_scores(query, group) for group in groups]
    weights = dropout(masked_softmax(jnp.concatenate(scores, axis=-1)))
    heads, start = jnp.zeros((), query.dtype), 0
    for group in groups:
        part = weights[..., start : start + group.key.shape[2]]
        heads = heads + _weighted(part, group.value)
        start += group.key.shape[2]
    return heads


def masked_softmax(scores: Float[Array, "*rows m"]) -> Float[Array, "*rows m"]:
    """Return the softmax over the last axis, exactly 0 at scores NOT_ALLOWED."""
    return jnp.where(scores > NOT_ALLOWED, jax.nn.softmax(scores, axis=-1), 0)


def with_neighbors(blocks: Shaped[Array, "b n w ..."]) -> Shaped[Array, "b n 3*w ..."]:
    """Put the block before and the block after beside each; zeros beyond the ends.

    >>> with_neighbors(jnp.arange(1, 5).reshape(1, 2, 2)).tolist()
    [[[0, 0, 1, 2, 3, 4], [1, 2, 3, 4, 0, 0]]]
    """
    num_blocks = blocks.shape[1]
    padded = jnp.pad(blocks, [(0, 0), (1, 1)] + [(0, 0)] * (blocks.ndim - 2))
    shifted = [padded[:, shift : shift + num_blocks] for shift in range(3)]
    return jnp.concatenate(shifted, axis=2)


def _scores(query: Float[Array, "b n q h k"], keys: Keys) -> Float[Array, "b n h q m"]:
    """Return Q K^T / sqrt(k) in float32 where allowed, NOT_ALLOWED elsewhere."""
    scores = jnp.einsum(
        "b...qhk,b...mhk->b...hqm",
        query,
        keys.key,
        preferred_element_type=jnp.float32,
    )
    return jnp.where(keys.allowed, scores * query.shape[-1] ** -0.5, NOT_ALLOWED)


def _weighted(
    weights: Float[Array, "b n h q m"], value: Float[Array, "b #n m h k"]
) -> Float[Array, "b n q h k"]:
    """Return for every query the sum of values by its weights, in their dtype."""
    weights = weights.astype(value.dtype)
    return jnp.einsum("b...hqm,b...mhk->b...qhk", weights, value)
