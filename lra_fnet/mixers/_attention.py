"""Parts of attention: heads, softmax with a mask, kernels, rotary positions."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def to_heads(
    x: Float[Array, "b l d"], num_heads: int, qkv_dim: int, name: str
) -> Float[Array, "b l h k"]:
    """Project to the heads, together as wide as x where qkv_dim is 0.

    LRA: projections without bias, Xavier uniform.

    Raises:
      ValueError: the heads cannot share that width evenly.
    """
    width = qkv_dim or x.shape[-1]
    if width % num_heads:
        raise ValueError(f"num_heads is {num_heads}; it must divide the width {width}")
    return nn.DenseGeneral(
        (num_heads, width // num_heads),
        use_bias=False,
        kernel_init=nn.initializers.xavier_uniform(),
        dtype=x.dtype,
        name=name,
    )(x)


def from_heads(heads: Float[Array, "b l h k"], width: int) -> Float[Array, "b l d"]:
    """Project the heads side by side to `width` channels."""
    return nn.DenseGeneral(
        width,
        axis=(-2, -1),
        use_bias=False,
        kernel_init=nn.initializers.xavier_uniform(),
        dtype=heads.dtype,
        name="out",
    )(heads)


def attention_weights(
    query: Float[Array, "b l h k"],
    key: Float[Array, "b m h k"],
    mask: Bool[Array, "b m"],
) -> Float[Array, "b h l m"]:
    """Return softmax(Q K^T / sqrt(k)) over the keys of the mask, in float32.

    Where the mask has none the weights are equal, and finite.
    """
    scores = jnp.einsum(
        "blhk,bmhk->bhlm", query, key, preferred_element_type=jnp.float32
    )
    scores = scores * query.shape[-1] ** -0.5
    lowest = jnp.finfo(jnp.float32).min
    return jax.nn.softmax(jnp.where(mask[:, None, None], scores, lowest), axis=-1)


def weighted_values(
    weights: Float[Array, "b h l m"], value: Float[Array, "b m h k"]
) -> Float[Array, "b l h k"]:
    """Return for every query the sum of values by its weights, in their dtype."""
    return jnp.einsum("bhlm,bmhk->blhk", weights.astype(value.dtype), value)


def kernel_attention(
    query: Float[Array, "b l h m"],
    key: Float[Array, "b l h m"],
    value: Float[Array, "b l h k"],
) -> Float[Array, "b l h k"]:
    """Return sum_j (q_i . k_j) v_j / sum_j (q_i . k_j) for features that are >= 0.

    Keys and values are summed once for all queries: cost O(l h m k). Keys of zeros
    count for nothing; a query that meets no other reads zeros.
    """
    summary = jnp.einsum("blhm,blhk->bhmk", key, value)
    total = jnp.einsum("blhm,bhm->blh", query, key.sum(axis=1))
    heads = jnp.einsum("blhm,bhmk->blhk", query, summary)
    return heads / jnp.where(total > 0, total, 1)[..., None]


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
