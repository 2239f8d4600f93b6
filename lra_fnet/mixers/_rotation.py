"""Rotary positions: vectors turned by angles proportional to their position."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def rotated(heads: Float[Array, "b l h k"], base: float) -> Float[Array, "b l h k"]:
    """Turn channels j and j + k // 2 at position n by the angle n base^(-2 j / k).

    Inner products of two such vectors depend on the distance of their positions. The
    last channel of an odd k is not turned.
    """
    length, half = heads.shape[1], heads.shape[-1] // 2
    frequencies = base ** (-jnp.arange(half) / max(half, 1))
    angles = jnp.arange(length)[:, None, None] * frequencies
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    first, second, rest = jnp.split(heads.astype(jnp.float32), (half, 2 * half), -1)
    turned = (first * cos - second * sin, first * sin + second * cos, rest)
    return jnp.concatenate(turned, axis=-1).astype(heads.dtype)
