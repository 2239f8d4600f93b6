"""Exact softmax attention that keeps few weights at a time and skips padding."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

MOST_WEIGHTS = 2**20  # of a tile: what a processor's cache holds
FEWEST_KEYS = 32  # of a tile; numbers without such a divisor are taken whole
LOWEST = jnp.finfo(jnp.float32).min  # the logit of padding


def attend_by_head(
    query: Float[Array, "b l h k"],
    key: Float[Array, "b m h k"],
    value: Float[Array, "b m h v"],
    mask: Bool[Array, "b m"],
    dropout_key: jax.Array | None = None,
    dropout_rate: float = 0.0,
) -> Float[Array, "b l h v"]:
    """Return softmax(Q K^T / sqrt(k)) V over the keys of the mask.

    One head of one example after the other, and a tile of keys at a time, unless they
    are all padding. The derivative computes the weights again (Dao et al.,
    FlashAttention (2022), section 3.1, with tiles of keys alone). A row without any
    key has equal weights.

    Args:
      query: of every head.
      key: likewise.
      value: likewise.
      mask: True on real keys.
      dropout_key: for the share `dropout_rate` of weights that are dropped; None: none
        are.
      dropout_rate: in [0, 1).
    """
    batch, _, num_heads, head_dim = query.shape
    heads = [
        jnp.swapaxes(x, 1, 2).reshape(-1, *x.shape[1::2])
        for x in (query * head_dim**-0.5, key, value)
    ]
    masks = jnp.repeat(mask, num_heads, axis=0)
    keys = None
    if dropout_key is not None and dropout_rate > 0:
        keys = jax.random.split(dropout_key, batch * num_heads)
    attend = partial(_attend, dropout_rate)
    mixed = jax.lax.map(lambda head: attend(*head), (*heads, masks, keys))
    return jnp.swapaxes(mixed.reshape(batch, num_heads, *mixed.shape[1:]), 1, 2)


def keys_of_a_tile(num_queries: int, num_keys: int) -> int:
    """Return how many keys to take at a time, a divisor of their number.

    >>> keys_of_a_tile(1024, 1024), keys_of_a_tile(2000, 2000)
    (1024, 500)
    >>> keys_of_a_tile(4001, 4001)
    4001
    """
    most = min(MOST_WEIGHTS // num_queries, num_keys)
    sizes = (n for n in range(most, FEWEST_KEYS - 1, -1) if num_keys % n == 0)
    return next(sizes, num_keys)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attend(rate, query, key, value, mask, dropout_key):
    """Attend with one head: (l, k), (m, k), (m, v) and (m,) to (l, v)."""
    return _forward(rate, query, key, value, mask, dropout_key)[0]


def _forward(rate, query, key, value, mask, dropout_key):
    """Return the result and what the derivative reads: of the weights, their sums."""

    def add(so_far, tile):
        """Add the values of a tile by weights relative to the highest logit so far."""
        mixed, highest, total = so_far
        number, key, value, mask = tile
        scores = _scores(query, key, mask)
        new_highest = jnp.maximum(highest, scores.max(axis=1, keepdims=True))
        weights = jnp.exp(scores - new_highest)
        shrunk = jnp.exp(highest - new_highest)
        total = total * shrunk + weights.sum(axis=1, keepdims=True)
        weights *= _kept(rate, dropout_key, number, weights.shape)
        mixed = mixed * shrunk + _product(weights.astype(value.dtype), value)
        return mixed, new_highest, total

    def add_unless_padding(so_far, tile):
        is_read, *tile = tile
        return jax.lax.cond(is_read, add, lambda old, _: old, so_far, tile), None

    column = (len(query), 1)
    no_values = _zeros((len(query), value.shape[1]))
    nothing = no_values, _zeros(column) + LOWEST, _zeros(column)
    tiles = _tiles(len(query), key, value, mask)
    (mixed, highest, total), _ = jax.lax.scan(add_unless_padding, nothing, tiles)
    mixed = (mixed / total).astype(value.dtype)
    log_total = highest + jnp.log(total)
    return mixed, (query, key, value, mask, dropout_key, mixed, log_total)


def _backward(rate, saved, gradient):
    """Return the gradients of query, key and value."""
    query, key, value, mask, dropout_key, mixed, log_total = saved
    # Without any key the weights are equal, whatever query and key are; below they are
    # then computed as 1, since the logarithm of their sum is lost beside their logits.
    of_scores = jnp.where(mask.any(), gradient, 0)
    of_values = jnp.where(mask.any(), gradient, gradient / len(key))
    mean = (of_scores * mixed).astype(jnp.float32).sum(axis=1, keepdims=True)

    def add(by_query, tile):
        """Add the gradient of the queries, and return those of a tile."""
        number, key, value, mask = tile
        weights = jnp.exp(_scores(query, key, mask) - log_total)
        kept = _kept(rate, dropout_key, number, weights.shape)
        by_score = weights * (kept * _product(of_scores, value.T) - mean)
        by_score = by_score.astype(query.dtype)
        by_value = _product((kept * weights).T.astype(value.dtype), of_values)
        by_query = by_query + _product(by_score, key)
        return by_query, (_product(by_score.T, query), by_value)

    def leave(by_query, tile):
        return by_query, tuple(_zeros(x.shape) for x in tile[1:3])

    def add_unless_padding(by_query, tile):
        is_read, *tile = tile
        return jax.lax.cond(is_read, add, leave, by_query, tile)

    tiles = _tiles(len(query), key, value, mask)
    by_query, others = jax.lax.scan(add_unless_padding, _zeros(query.shape), tiles)
    by_key, by_value = (x.reshape(-1, x.shape[-1]) for x in others)
    gradients = (by_query, by_key, by_value)
    return *(g.astype(query.dtype) for g in gradients), None, None


_attend.defvjp(_forward, _backward)


def _tiles(num_queries, key, value, mask):
    """Divide key, value, mask; before them, whether a tile counts, and its number."""
    size = keys_of_a_tile(num_queries, len(key))
    key, value = (x.reshape(-1, size, x.shape[1]) for x in (key, value))
    mask = mask.reshape(-1, size)
    return mask.any(axis=1) | ~mask.any(), jnp.arange(len(mask)), key, value, mask


def _kept(rate, key, number, shape):
    """Return what the weights of a tile are multiplied by: 0, or more than 1."""
    if key is None:
        return jnp.float32(1)
    kept = jax.random.bernoulli(jax.random.fold_in(key, number), 1 - rate, shape)
    return kept / jnp.float32(1 - rate)


def _scores(query, key, mask):
    """Return the logits (l, m) in float32."""
    return jnp.where(mask, _product(query, key.T), LOWEST)


def _zeros(shape):
    """Return zeros in float32, also where JAX's default is wider."""
    return jnp.zeros(shape, jnp.float32)


def _product(a, b):
    """Multiply matrices and add up in float32."""
    return jnp.matmul(a, b, preferred_element_type=jnp.float32)
