"""Parts of attention: heads, softmax with a mask, kernels, rotary positions."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._blocks import join_chunks, split_chunks
from lra_fnet.mixers._products import pair_products, turned_product, weighted_sums
from lra_fnet.mixers._recurrence import delayed, linear_recurrence

CHUNK_SIZE = 64  # tokens whose pairs are computed one by one; changes no result


def to_heads(
    x: Float[Array, "b l d"], num_heads: int, qkv_dim: int, name: str
) -> Float[Array, "b l h k"]:
    """Project to the heads, together as wide as x where qkv_dim is 0.

    LRA: projections without bias, Xavier uniform.

    Raises:
      ValueError: the heads cannot share that width evenly.
    """
    width = qkv_dim or x.shape[-1]
    check_heads(num_heads, width)
    return nn.DenseGeneral(
        (num_heads, width // num_heads),
        use_bias=False,
        kernel_init=nn.initializers.xavier_uniform(),
        dtype=x.dtype,
        name=name,
    )(x)


def check_heads(num_heads: int, width: int) -> None:
    """Check that heads share a width evenly.

    Raises:
      ValueError: they do not, or there are none.
    """
    if not num_heads or width % num_heads:
        raise ValueError(f"num_heads is {num_heads}; it must divide the width {width}")


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
    query, key = (jnp.swapaxes(x, 1, 2) for x in (query, key))
    scores = pair_products(query, key) * query.shape[-1] ** -0.5
    lowest = jnp.finfo(jnp.float32).min
    return jax.nn.softmax(jnp.where(mask[:, None, None], scores, lowest), axis=-1)


def weighted_values(
    weights: Float[Array, "b h l m"], value: Float[Array, "b m h k"]
) -> Float[Array, "b l h k"]:
    """Return for every query the sum of values by its weights, in their dtype."""
    heads = weighted_sums(weights.astype(value.dtype), jnp.swapaxes(value, 1, 2))
    return jnp.swapaxes(heads, 1, 2).astype(value.dtype)


def kernel_attention(
    query: Float[Array, "b l h m"],
    key: Float[Array, "b l h m"],
    value: Float[Array, "b l h k"],
) -> Float[Array, "b l h k"]:
    """Return sum_j (q_i . k_j) v_j / sum_j (q_i . k_j) for features that are >= 0.

    Keys and values are summed once for all queries: cost O(l h m k). Keys of zeros
    count for nothing; a query that meets no other reads zeros.
    """
    query, key, value = (jnp.swapaxes(x, 1, 2) for x in (query, key, value))
    summary = turned_product(key, value).astype(value.dtype)
    total = query @ key.sum(axis=2)[..., None]
    heads = weighted_sums(query, summary) / jnp.where(total > 0, total, 1)
    return jnp.swapaxes(heads, 1, 2).astype(value.dtype)


def causal_kernel_attention(
    query: Float[Array, "b l h m"],
    key: Float[Array, "b l h m"],
    value: Float[Array, "b l h k"],
) -> Float[Array, "b l h k"]:
    """Return `kernel_attention` with its sums over j <= i, in float32.

    Cost O(l h (c (m + k) + m k)) in chunks of c.
    """
    ones = jnp.ones_like(value[..., :1])  # what sums up the weights
    no_decay = jnp.zeros(value.shape[2], value.dtype)
    sums = retention(
        query, key, jnp.concatenate([value, ones], -1), no_decay, CHUNK_SIZE, True
    )
    total = sums[..., -1:]
    return sums[..., :-1] / jnp.where(total > 0, total, 1)


def retention(
    query: Float[Array, "b l h k"],
    key: Float[Array, "b l h k"],
    value: Float[Array, "b l h v"],
    log_decay: Float[Array, "h"],
    chunk_size: int,
    causal: bool = False,
) -> Float[Array, "b l h v"]:
    """Return sum over j of exp(log_decay |i - j|) (query_i . key_j) value_j, float32.

    If `causal`, over j <= i. Cost O(l h (c (k + v) + k v)) in chunks of c.

    Pairs inside a chunk are computed one by one. The chunks before and after come in
    by a k x v matrix per head, the sum of key_j value_j^T decayed to the chunk's edge.
    """
    length = query.shape[1]
    size = min(chunk_size, length)
    query, key, value = (
        split_chunks(each.astype(jnp.float32), size) for each in (query, key, value)
    )
    steps = jnp.arange(size)
    distances = steps[:, None] - steps
    scores = jnp.einsum("bcihk,bcjhk->bchij", query, key)
    scores *= jnp.exp(log_decay[:, None, None] * jnp.abs(distances))
    if causal:
        scores = jnp.where(distances >= 0, scores, 0)
    y = jnp.einsum("bchij,bcjhv->bcihv", scores, value)
    for reverse in (False,) if causal else (False, True):
        # Tokens from the edge that a state enters by, and to the one it leaves by.
        since, until = (steps[::-1], steps) if reverse else (steps, steps[::-1])
        leaving = jnp.exp(log_decay * until[:, None])[:, :, None]
        states = jnp.einsum("bcjhk,bcjhv->bchkv", key * leaving, value)
        per_chunk = jnp.exp(log_decay * size)[None, None, :, None, None]
        states = delayed(linear_recurrence(per_chunk, states, reverse), reverse)
        entering = jnp.exp(log_decay * (since[:, None] + 1))[:, :, None]
        y += jnp.einsum("bcihk,bchkv->bcihv", query * entering, states)
    return join_chunks(y, length)


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
