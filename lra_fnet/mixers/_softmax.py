"""Exact softmax attention that keeps few weights at a time."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

MOST_WEIGHTS = 2**20  # of a tile: what a processor's cache holds
FEWEST_QUERIES = 32  # of a tile; lengths without such a divisor are taken whole


def attend_by_head(
    query: Float[Array, "b l h k"],
    key: Float[Array, "b m h k"],
    value: Float[Array, "b m h v"],
    mask: Bool[Array, "b m"],
) -> Float[Array, "b l h v"]:
    """Return softmax(Q K^T / sqrt(k)) V over the keys of the mask.

    One head of one example after the other, and a tile of queries at a time; the
    derivative computes the weights again (Dao et al., FlashAttention (2022), section
    3.1, with tiles of queries alone). A row without any key has equal weights.
    """
    batch, _, num_heads, head_dim = query.shape
    heads = (query * head_dim**-0.5, key, value)
    heads = tuple(jnp.swapaxes(x, 1, 2).reshape(-1, *x.shape[1::2]) for x in heads)
    masks = jnp.repeat(mask, num_heads, axis=0)
    mixed = jax.lax.map(lambda head: _attend(*head), (*heads, masks))
    return jnp.swapaxes(mixed.reshape(batch, num_heads, *mixed.shape[1:]), 1, 2)


def queries_of_a_tile(num_queries: int, num_keys: int) -> int:
    """Return how many queries to take at a time, a divisor of their number.

    >>> queries_of_a_tile(1024, 1024), queries_of_a_tile(2000, 2000)
    (1024, 500)
    >>> queries_of_a_tile(4001, 4001)
    4001
    """
    most = MOST_WEIGHTS // num_keys
    sizes = (n for n in range(min(most, num_queries), FEWEST_QUERIES - 1, -1))
    return next((n for n in sizes if num_queries % n == 0), num_queries)


@jax.custom_vjp
def _attend(query, key, value, mask):
    """Attend with one head: (l, k), (m, k), (m, v) and (m,) to (l, v)."""
    return _forward(query, key, value, mask)[0]


def _forward(query, key, value, mask):
    """Return the result and what the derivative reads: of the weights, their sums."""

    def of_tile(query):
        scores = _scores(query, key, mask)
        highest = scores.max(axis=1, keepdims=True)
        weights = jnp.exp(scores - highest)
        total = weights.sum(axis=1, keepdims=True)
        mixed = _product(weights.astype(value.dtype), value) / total
        return mixed.astype(value.dtype), highest + jnp.log(total)

    tiles = jax.lax.map(of_tile, _tiles(query, len(key)))
    mixed, log_total = (x.reshape(len(query), -1) for x in tiles)
    return mixed, (query, key, value, mask, mixed, log_total)


def _backward(saved, gradient):
    """Return the gradients of query, key and value."""
    query, key, value, mask, mixed, log_total = saved
    # Without any key the weights are equal, whatever query and key are; below they are
    # then computed as 1, since the logarithm of their sum is lost beside their logits.
    of_scores = jnp.where(mask.any(), gradient, 0)
    of_values = jnp.where(mask.any(), gradient, gradient / len(key))
    mean = (of_scores * mixed).astype(jnp.float32).sum(axis=1, keepdims=True)

    def of_tile(sums, tile):
        query, of_scores, of_values, mean, log_total = tile
        weights = jnp.exp(_scores(query, key, mask) - log_total)
        by_score = weights * (_product(of_scores, value.T) - mean)
        by_score = by_score.astype(query.dtype)
        weights = weights.astype(value.dtype)
        parts = _product(by_score.T, query), _product(weights.T, of_values)
        return jax.tree.map(jnp.add, sums, parts), _product(by_score, key)

    rows = (query, of_scores, of_values, mean, log_total)
    zeros = tuple(jnp.zeros(x.shape, jnp.float32) for x in (key, value))
    sums, by_query = jax.lax.scan(
        of_tile, zeros, tuple(_tiles(x, len(key)) for x in rows)
    )
    gradients = (by_query.reshape(query.shape), *sums)
    return *(g.astype(query.dtype) for g in gradients), None


_attend.defvjp(_forward, _backward)


def _tiles(rows, num_keys):
    """Divide (l, k) into tiles (n, l / n, k)."""
    size = queries_of_a_tile(len(rows), num_keys)
    return rows.reshape(-1, size, rows.shape[1])


def _scores(query, key, mask):
    """Return the logits (l, m) in float32."""
    return jnp.where(mask, _product(query, key.T), jnp.finfo(jnp.float32).min)


def _product(a, b):
    """Multiply matrices and add up in float32."""
    return jnp.matmul(a, b, preferred_element_type=jnp.float32)
