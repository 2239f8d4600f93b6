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
MOST_QUERIES = 1024  # of a tile on CPUs; fewer save more padding
FEWEST_OF_A_TILE = 32  # numbers without such a divisor are taken whole
LOWEST = jnp.finfo(jnp.float32).min  # the logit of padding


class Tile(NamedTuple):
    """How much is computed at a time."""

    heads: int  # of one example or several
    queries: int
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
    query_mask: Bool[Array, "b l"] | None = None,
) -> Float[Array, "b l h v"]:
    """Return softmax(Q K^T / sqrt(k)) V over the keys of the mask.

    Some heads after the other, and some queries with some keys at a time, unless these
    or those are all padding. The derivative computes the weights again (Dao et al.,
    FlashAttention (2022), section 3.1). A row without any key has equal weights; if
    `causal`, a query without any key so far reads zeros.

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
      query_mask: True on queries that read; the others have zeros. None: all read.
    """
    batch, num_queries, num_heads, head_dim = query.shape
    heads = [
        jnp.swapaxes(x, 1, 2).reshape(-1, *x.shape[1::2])
        for x in (query * head_dim**-0.5, key, value)
    ]
    if query_mask is None:
        query_mask = jnp.ones(query.shape[:2], bool)
    masks = [jnp.repeat(each, num_heads, axis=0) for each in (query_mask, mask)]
    keys = None
    if dropout_key is not None and dropout_rate > 0:
        keys = jax.random.split(dropout_key, batch * num_heads)
    tile = tile_for(platform, batch * num_heads, num_queries, key.shape[1])
    groups = (*heads, *masks, keys)
    if platform != "cpu":  # there the axis of a group of one would only be in the way
        groups = jax.tree.map(lambda x: x.reshape(-1, tile.heads, *x.shape[1:]), groups)
    attend = partial(_attend, dropout_rate, tile, causal)
    mixed = jax.lax.map(lambda group: attend(*group), groups)
    mixed = jnp.swapaxes(mixed.reshape(batch, num_heads, *mixed.shape[-2:]), 1, 2)
    return jnp.where(query_mask[..., None, None], mixed, 0)


def tile_for(platform: str, num_heads: int, num_queries: int, num_keys: int) -> Tile:
    """Return the tile for these devices and sizes; `num_heads` of all examples.

    On CPUs it is of one head, and of some queries. Elsewhere it has all queries, as
    many keys as the most weights allow, and then heads. All three numbers divide what
    there is.

    >>> tile_for("cpu", 256, 2000, 2000)
    Tile(heads=1, queries=1000, keys=500)
    >>> tile_for("gpu", 256, 2000, 2000), tile_for("gpu", 128, 16384, 16384)
    (Tile(heads=4, queries=2000, keys=2000), Tile(heads=1, queries=16384, keys=1024))
    """
    if platform == "cpu":
        queries = largest_divisor(num_queries, MOST_QUERIES)
        return Tile(1, queries, largest_divisor(num_keys, MOST_WEIGHTS // queries))
    keys = largest_divisor(num_keys, MOST_WEIGHTS_ELSEWHERE // num_queries)
    most = max(MOST_WEIGHTS_ELSEWHERE // (num_queries * keys), 1)
    return Tile(largest_divisor(num_heads, most, fewest=1), num_queries, keys)


def largest_divisor(number: int, most: int, fewest: int = 0) -> int:
    """Return the largest size up to `most` of equal parts, or all if all are tiny.

    Tiny are those of less than `fewest`; 0: of less than FEWEST_OF_A_TILE.

    >>> largest_divisor(1024, 2048), largest_divisor(2000, 700)
    (1024, 500)
    >>> largest_divisor(4001, 700)
    4001
    """
    sizes = range(min(most, number), (fewest or FEWEST_OF_A_TILE) - 1, -1)
    return next((size for size in sizes if number % size == 0), number)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _attend(rate, tile, causal, query, key, value, query_mask, mask, dropout_key):
    """Attend with one head: (l, k), (m, k), (m, v), (l,) and (m,) to (l, v).

    Or with a group of heads, whose axis is in front of all these. What is read where no
    query of a tile is wanted, is zeros.
    """
    inputs = query, key, value, query_mask, mask, dropout_key
    return _forward(rate, tile, causal, *inputs)[0]


def _forward(rate, tile, causal, query, key, value, query_mask, mask, dropout_key):
    """Return the result and what the derivative reads: of the weights, their sums."""

    def attend(_, part):
        """Read all keys with the queries of a tile."""
        first_query, query = part

        def add(so_far, part):
            """Add the values by weights relative to the highest logit so far."""
            mixed, highest, total = so_far
            first_key, key, value, mask = part
            at = first_query, first_key
            scores = _scores(query, key, mask, at if causal else None)
            new_highest = jnp.maximum(highest, scores.max(axis=-1, keepdims=True))
            weights = jnp.exp(scores - new_highest)
            shrunk = jnp.exp(highest - new_highest)
            total = total * shrunk + weights.sum(axis=-1, keepdims=True)
            weights *= _kept(rate, dropout_key, at, weights.shape)
            mixed = mixed * shrunk + product(weights.astype(value.dtype), value)
            return (mixed, new_highest, total), None

        column = (*query.shape[:-1], 1)
        no_values = _zeros((*query.shape[:-1], value.shape[-1]))
        nothing = no_values, _zeros(column) + LOWEST, _zeros(column)
        past = _until(first_query + tile.queries, key_tiles) if causal else key_tiles
        (mixed, highest, total), _ = _over_tiles(
            add, lambda old, _: (old, None), nothing, past
        )
        if causal:  # a query may have read nothing
            total = jnp.where(total > 0, total, 1)
        return None, ((mixed / total).astype(value.dtype), highest + jnp.log(total))

    def leave(_, part):
        *shape, _ = part[1].shape
        mixed = jnp.zeros((*shape, value.shape[-1]), value.dtype)
        return None, (mixed, _zeros((*shape, 1)))

    key_tiles = _key_tiles(tile.keys, mask, key, value)
    _, parts = _over_tiles(
        attend, leave, None, _query_tiles(tile.queries, query_mask, query)
    )
    mixed, log_total = map(_joined, parts)
    return mixed, (query, key, value, query_mask, mask, dropout_key, mixed, log_total)


def _backward(rate, tile, causal, saved, gradient):
    """Return the gradients of query, key and value."""
    query, key, value, query_mask, mask, dropout_key, mixed, log_total = saved
    # Without any key the weights are equal, whatever query and key are; below they are
    # then computed as 1, since the logarithm of their sum is lost beside their logits.
    has_key = mask.any(axis=-1)[..., None, None]
    of_scores = jnp.where(has_key, gradient, 0)
    of_values = jnp.where(has_key, gradient, gradient / key.shape[-2])
    mean = (of_scores * mixed).astype(jnp.float32).sum(axis=-1, keepdims=True)

    def attend(so_far, part):
        """Add the gradients of the keys, and return those of a tile of queries."""
        first_query, query, log_total, of_scores, of_values, mean = part

        def add(by_query, part):
            """Add the gradient of the queries, and return those of a tile of keys."""
            first_key, key, value, mask = part
            at = first_query, first_key
            scores = _scores(query, key, mask, at if causal else None)
            weights = jnp.exp(scores - log_total)
            kept = _kept(rate, dropout_key, at, weights.shape)
            by_score = weights * (kept * product(of_scores, turned(value)) - mean)
            by_score = by_score.astype(query.dtype)
            by_value = turned_product((kept * weights).astype(value.dtype), of_values)
            by_query = by_query + product(by_score, key)
            return by_query, (turned_product(by_score, query), by_value)

        def leave(by_query, part):
            return by_query, tuple(_zeros(x.shape) for x in part[1:3])

        past = _until(first_query + tile.queries, key_tiles) if causal else key_tiles
        by_query, by_others = _over_tiles(add, leave, _zeros(query.shape), past)
        return jax.tree.map(jnp.add, so_far, by_others), by_query

    key_tiles = _key_tiles(tile.keys, mask, key, value)
    (by_key, by_value), by_query = _over_tiles(
        attend,
        lambda so_far, part: (so_far, _zeros(part[1].shape)),
        tuple(_zeros(x.shape) for x in key_tiles[2:4]),
        _query_tiles(
            tile.queries, query_mask, query, log_total, of_scores, of_values, mean
        ),
    )
    gradients = (_joined(x).astype(query.dtype) for x in (by_query, by_key, by_value))
    return *gradients, None, None, None


_attend.defvjp(_forward, _backward)


def _key_tiles(size, mask, key, value):
    """Divide what belongs to keys into tiles.

    A tile counts if a head has real keys in it, or no real key at all.
    """
    counts = _is_any(size, mask) | ~mask.any(axis=-1).all()
    return _tiles(size, counts, key, value, mask[..., None])


def _query_tiles(size, mask, *arrays):
    """Divide what belongs to queries; a tile counts if one of its queries reads."""
    return _tiles(size, _is_any(size, mask), *arrays)


def _tiles(size, counts, *arrays):
    """Divide arrays; before them, whether a tile counts, and its first position."""
    starts = jnp.arange(len(counts)) * size
    return counts, starts, *(_divided(size, x) for x in arrays)


def _is_any(size, mask):
    """Tell of every tile whether the mask has one of its positions, in any head."""
    tiles = _divided(size, mask[..., None])
    return tiles.any(axis=tuple(range(1, tiles.ndim)))


def _until(end, key_tiles):
    """Let the tiles from key `end` on not count."""
    counts, starts, *rest = key_tiles
    return counts & (starts < end), starts, *rest


def _over_tiles(add, skip, start, tiles):
    """Add or skip tile after tile; the only one of a group without asking.

    The answer is known, and an accelerator would wait for it.
    """
    counts, *content = tiles
    if len(counts) == 1 and content[1].ndim > 3:
        end, parts = add(start, [x[0] for x in content])
        return end, jax.tree.map(lambda x: x[None], parts)

    def step(so_far, tile):
        counts, *content = tile
        return jax.lax.cond(counts, add, skip, so_far, content)

    return jax.lax.scan(step, start, tiles)


def _divided(size, x):
    """Divide (..., l, c) into (n, ..., size, c)."""
    return jnp.moveaxis(x.reshape(*x.shape[:-2], -1, size, x.shape[-1]), -3, 0)


def _joined(tiles):
    """Undo the division into tiles."""
    tiles = jnp.moveaxis(tiles, 0, -3)
    return tiles.reshape(*tiles.shape[:-3], -1, tiles.shape[-1])


def _kept(rate, key, at, shape):
    """Return what the weights of a tile are multiplied by: 0, or more than 1."""
    if key is None:
        return jnp.float32(1)
    if key.ndim:
        return jax.vmap(lambda one: _kept(rate, one, at, shape[1:]))(key)
    for start in at:
        key = jax.random.fold_in(key, start)
    kept = jax.random.bernoulli(key, 1 - rate, shape)
    return kept / jnp.float32(1 - rate)


def _scores(query, key, mask, causal_at):
    """Return the logits (l, m) in float32; the first positions make them causal.

    Causal attention gives padding and the future no weight at all: among equal weights
    the future would have some.
    """
    scores, mask = product(query, turned(key)), jnp.swapaxes(mask, -1, -2)
    if causal_at is None:
        return jnp.where(mask, scores, LOWEST)
    first_query, first_key = causal_at
    queries = first_query + jnp.arange(query.shape[-2])
    is_past = first_key + jnp.arange(key.shape[-2]) <= queries[:, None]
    return jnp.where(mask & is_past, scores, -jnp.inf)


def _zeros(shape):
    """Return zeros in float32, also where JAX's default is wider."""
    return jnp.zeros(shape, jnp.float32)
