"""Exact softmax attention that keeps few weights at a time and skips padding."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._products import product, turned, turned_product

# Most weights of a tile. On CPUs what a processor's cache holds. Elsewhere enough to
# keep a device busy, and a small part of its memory. Compiled with 2**24, 2**26 and
# 2**28, a training call of the Transformer needs 4.2, 4.5 and 7.5 GiB of an H100 on
# Path-X, and attention of 8 x 2,000 tokens with 8 heads of 64 channels takes 11, 18 and
# 15 ms of a TPU v5e, derivative included; in one piece 17. No time is measured.
MOST_WEIGHTS = 2**19
MOST_WEIGHTS_ELSEWHERE = 2**24
FEWEST_KEYS = 32  # of a tile; numbers without such a divisor are taken whole
LOWEST = jnp.finfo(jnp.float32).min  # the logit of padding


class Tile(NamedTuple):
    """How much is computed at a time: some heads, with all queries and some keys."""

    heads: int  # of one example or several
    keys: int


def attend_in_tiles(
    query: Float[Array, "b l h k"],
    key: Float[Array, "b m h k"],
    value: Float[Array, "b m h v"],
    mask: Bool[Array, "b m"],
    dropout_key: jax.Array | None = None,
    dropout_rate: float = 0.0,
    platform: str = "cpu",
    causal: bool = False,
) -> Float[Array, "b l h v"]:
    """Return softmax(Q K^T / sqrt(k)) V over the keys of the mask.

    Some heads after the other, and a tile of keys at a time, unless they are all
    padding. The derivative computes the weights again (Dao et al., FlashAttention
    (2022), section 3.1, with tiles of keys alone). A row without any key has equal
    weights; if `causal`, a query without any key so far reads zeros.

    Args:
      query: of every head.
      key: likewise.
      value: likewise.
      mask: True on real keys.
      dropout_key: for the share `dropout_rate` of weights that are dropped; None: none
        are.
      dropout_rate: in [0, 1).
      platform: of the devices that will run it, which chooses the tiles.
      causal: query i reads the keys up to i alone.
    """
    batch, num_queries, num_heads, head_dim = query.shape
    heads = [
        jnp.swapaxes(x, 1, 2).reshape(-1, *x.shape[1::2])
        for x in (query * head_dim**-0.5, key, value)
    ]
    masks = jnp.repeat(mask, num_heads, axis=0)
    keys = None
    if dropout_key is not None and dropout_rate > 0:
        keys = jax.random.split(dropout_key, batch * num_heads)
    tile = tile_for(platform, batch * num_heads, num_queries, key.shape[1])
    groups = (*heads, masks, keys)
    if platform != "cpu":  # there the axis of a group of one would only be in the way
        groups = jax.tree.map(lambda x: x.reshape(-1, tile.heads, *x.shape[1:]), groups)
    attend = partial(_attend, dropout_rate, tile.keys, causal)
    mixed = jax.lax.map(lambda group: attend(*group), groups)
    return jnp.swapaxes(mixed.reshape(batch, num_heads, *mixed.shape[-2:]), 1, 2)


def tile_for(platform: str, num_heads: int, num_queries: int, num_keys: int) -> Tile:
    """Return the tile for these devices and sizes; `num_heads` of all examples.

    On CPUs it is of one head. Elsewhere it takes as many keys, and then heads, as the
    most weights allow. Both numbers divide what there is.

    >>> tile_for("cpu", 256, 2000, 2000)
    Tile(heads=1, keys=250)
    >>> tile_for("gpu", 256, 2000, 2000), tile_for("gpu", 128, 16384, 16384)
    (Tile(heads=4, keys=2000), Tile(heads=1, keys=1024))
    """
    if platform == "cpu":
        return Tile(1, keys_of_a_tile(num_queries, num_keys, MOST_WEIGHTS))
    keys = keys_of_a_tile(num_queries, num_keys, MOST_WEIGHTS_ELSEWHERE)
    most = max(MOST_WEIGHTS_ELSEWHERE // (num_queries * keys), 1)
    return Tile(max(n for n in range(1, most + 1) if num_heads % n == 0), keys)


def keys_of_a_tile(num_queries: int, num_keys: int, most_weights: int) -> int:
    """Return how many keys to take at a time, a divisor of their number.

    >>> keys_of_a_tile(1024, 1024, 2**20), keys_of_a_tile(2000, 2000, 2**20)
    (1024, 500)
    >>> keys_of_a_tile(4001, 4001, 2**20)
    4001
    """
    most = min(most_weights // num_queries, num_keys)
    sizes = (n for n in range(most, FEWEST_KEYS - 1, -1) if num_keys % n == 0)
    return next(sizes, num_keys)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _attend(rate, size, causal, query, key, value, mask, dropout_key):
    """Attend with one head: (l, k), (m, k), (m, v) and (m,) to (l, v).

    Or with a group of heads, whose axis is in front of all these.
    """
    return _forward(rate, size, causal, query, key, value, mask, dropout_key)[0]


def _forward(rate, size, causal, query, key, value, mask, dropout_key):
    """Return the result and what the derivative reads: of the weights, their sums."""

    def add(so_far, tile):
        """Add the values of a tile by weights relative to the highest logit so far."""
        mixed, highest, total = so_far
        number, key, value, mask = tile
        scores = _scores(query, key, mask, number if causal else None)
        new_highest = jnp.maximum(highest, scores.max(axis=-1, keepdims=True))
        weights = jnp.exp(scores - new_highest)
        shrunk = jnp.exp(highest - new_highest)
        total = total * shrunk + weights.sum(axis=-1, keepdims=True)
        weights *= _kept(rate, dropout_key, number, weights.shape)
        mixed = mixed * shrunk + product(weights.astype(value.dtype), value)
        return (mixed, new_highest, total), None

    column = (*query.shape[:-1], 1)
    no_values = _zeros((*query.shape[:-1], value.shape[-1]))
    nothing = no_values, _zeros(column) + LOWEST, _zeros(column)
    tiles = _tiles(size, key, value, mask)
    (mixed, highest, total), _ = _over_tiles(
        add, lambda old, _: (old, None), nothing, tiles
    )
    if causal:  # a query may have read nothing
        total = jnp.where(total > 0, total, 1)
    mixed = (mixed / total).astype(value.dtype)
    log_total = highest + jnp.log(total)
    return mixed, (query, key, value, mask, dropout_key, mixed, log_total)


def _backward(rate, size, causal, saved, gradient):
    """Return the gradients of query, key and value."""
    query, key, value, mask, dropout_key, mixed, log_total = saved
    # Without any key the weights are equal, whatever query and key are; below they are
    # then computed as 1, since the logarithm of their sum is lost beside their logits.
    has_key = mask.any(axis=-1)[..., None, None]
    of_scores = jnp.where(has_key, gradient, 0)
    of_values = jnp.where(has_key, gradient, gradient / key.shape[-2])
    mean = (of_scores * mixed).astype(jnp.float32).sum(axis=-1, keepdims=True)

    def add(by_query, tile):
        """Add the gradient of the queries, and return those of a tile."""
        number, key, value, mask = tile
        scores = _scores(query, key, mask, number if causal else None)
        weights = jnp.exp(scores - log_total)
        kept = _kept(rate, dropout_key, number, weights.shape)
        by_score = weights * (kept * product(of_scores, turned(value)) - mean)
        by_score = by_score.astype(query.dtype)
        by_value = turned_product((kept * weights).astype(value.dtype), of_values)
        by_query = by_query + product(by_score, key)
        return by_query, (turned_product(by_score, query), by_value)

    def leave(by_query, tile):
        return by_query, tuple(_zeros(x.shape) for x in tile[1:3])

    tiles = _tiles(size, key, value, mask)
    by_query, others = _over_tiles(add, leave, _zeros(query.shape), tiles)
    by_key, by_value = (_joined(x) for x in others)
    gradients = (by_query, by_key, by_value)
    return *(g.astype(query.dtype) for g in gradients), None, None


_attend.defvjp(_forward, _backward)


def _tiles(size, key, value, mask):
    """Divide key, value, mask; before them, whether a tile counts, and its number.

    It counts if a head has real keys in it, or no real key at all.
    """
    key, value = (
        jnp.moveaxis(x.reshape(*x.shape[:-2], -1, size, x.shape[-1]), -3, 0)
        for x in (key, value)
    )
    mask = jnp.moveaxis(mask.reshape(*mask.shape[:-1], -1, size), -2, 0)
    of_tile = mask.any(axis=tuple(range(1, mask.ndim)))
    of_head = mask.any(axis=(0, -1))
    return of_tile | ~of_head.all(), jnp.arange(len(mask)), key, value, mask


def _over_tiles(add, skip, start, tiles):
    """Add or skip tile after tile; the only one of a group without asking.

    The answer is known, and an accelerator would wait for it.
    """
    is_read, *content = tiles
    if len(is_read) == 1 and content[1].ndim > 3:
        end, parts = add(start, [x[0] for x in content])
        return end, jax.tree.map(lambda x: x[None], parts)

    def step(so_far, tile):
        is_read, *content = tile
        return jax.lax.cond(is_read, add, skip, so_far, content)

    return jax.lax.scan(step, start, tiles)


def _joined(tiles):
    """Undo the division of keys or values into tiles."""
    tiles = jnp.moveaxis(tiles, 0, -3)
    return tiles.reshape(*tiles.shape[:-3], -1, tiles.shape[-1])


def _kept(rate, key, number, shape):
    """Return what the weights of a tile are multiplied by: 0, or more than 1."""
    if key is None:
        return jnp.float32(1)
    if key.ndim:
        return jax.vmap(lambda one: _kept(rate, one, number, shape[1:]))(key)
    kept = jax.random.bernoulli(jax.random.fold_in(key, number), 1 - rate, shape)
    return kept / jnp.float32(1 - rate)


def _scores(query, key, mask, causal_tile):
    """Return the logits (l, m) in float32; the number of a tile makes it causal.

    Causal attention gives padding and the future no weight at all: among equal weights
    the future would have some.
    """
    scores, mask = product(query, turned(key)), mask[..., None, :]
    if causal_tile is None:
        return jnp.where(mask, scores, LOWEST)
    size = key.shape[-2]
    positions = causal_tile * size + jnp.arange(size)
    is_past = positions <= jnp.arange(query.shape[-2])[:, None]
    return jnp.where(mask & is_past, scores, -jnp.inf)


def _zeros(shape):
    """Return zeros in float32, also where JAX's default is wider."""
    return jnp.zeros(shape, jnp.float32)
