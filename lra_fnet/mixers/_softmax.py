"""Exact softmax attention, one head of one example at a time."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def attend_by_head(
    query: Float[Array, "b l h k"],
    key: Float[Array, "b m h k"],
    value: Float[Array, "b m h v"],
    mask: Bool[Array, "b m"],
) -> Float[Array, "b l h v"]:
    """Return softmax(Q K^T / sqrt(k)) V over the keys of the mask.

    Only the weights (l, m) of one head are in memory, in the derivative as well, which
    computes them again (as Dao et al., FlashAttention (2022), section 3.1, but for the
    tiles). That suits processors with a large cache and few heads at a time. A row
    without any key has equal weights.
    """
    batch, _, num_heads, _ = query.shape
    heads = tuple(_heads_first(x) for x in (query, key, value))
    masks = jnp.repeat(mask, num_heads, axis=0)
    mixed = jax.lax.map(lambda head: _attend(*head), (*heads, masks))
    return jnp.swapaxes(mixed.reshape(batch, num_heads, *mixed.shape[1:]), 1, 2)


def _heads_first(x: Float[Array, "b l h k"]) -> Float[Array, "bh l k"]:
    """Return one matrix after the other."""
    return jnp.swapaxes(x, 1, 2).reshape(-1, x.shape[1], x.shape[3])


@jax.custom_vjp
def _attend(query, key, value, mask):
    """Attend with one head: (l, k), (m, k), (m, v) and (m,) to (l, v)."""
    return _forward(query, key, value, mask)[0]


def _forward(query, key, value, mask):
    """Return the result, and what the derivative reads: no weights, but their sums."""
    scores = _scores(query, key, mask)
    highest = scores.max(axis=1, keepdims=True)
    weights = jnp.exp(scores - highest)
    total = weights.sum(axis=1, keepdims=True)
    mixed = _product(weights.astype(value.dtype), value) / total
    mixed = mixed.astype(value.dtype)
    # Apart: without any key the highest is too large for the sum of the two.
    return mixed, (query, key, value, mask, mixed, highest, total)


def _backward(saved, gradient):
    """Return the gradients of query, key and value."""
    query, key, value, mask, mixed, highest, total = saved
    weights = jnp.exp(_scores(query, key, mask) - highest) / total
    by_weight = _product(gradient, value.T)
    mean = (gradient * mixed).astype(jnp.float32).sum(axis=1, keepdims=True)
    by_score = weights * (by_weight - mean) * query.shape[-1] ** -0.5
    by_score = jnp.where(mask, by_score, 0).astype(query.dtype)
    gradients = (
        _product(by_score, key),
        _product(by_score.T, query),
        _product(weights.astype(value.dtype).T, gradient),
    )
    return *(g.astype(query.dtype) for g in gradients), None


_attend.defvjp(_forward, _backward)


def _scores(query, key, mask):
    """Return the logits (l, m) in float32."""
    scores = _product(query, key.T) * query.shape[-1] ** -0.5
    return jnp.where(mask, scores, jnp.finfo(jnp.float32).min)


def _product(a, b):
    """Multiply matrices and add up in float32."""
    return jnp.matmul(a, b, preferred_element_type=jnp.float32)
