"""Sequences cut into chunks of equal length."""

import jax.numpy as jnp
from jaxtyping import Array, Shaped


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
