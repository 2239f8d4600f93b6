"""Reformer: attention among the tokens that locality-sensitive hashing puts together.

Here g is batch and heads together, r rounds of hashing, c all of these; s is the length
filled up to n whole chunks of w positions.
"""

from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from lra_fnet.mixers._attention import from_heads, to_heads
from lra_fnet.mixers._blocks import NOT_ALLOWED, with_neighbors
from lra_fnet.mixers._products import pair_products, weighted_sums
from lra_fnet.mixers._seeds import layer_seed

ONESELF = -1e5  # what is added to the score of a token with itself (appendix A)


class Mixer(nn.Module):
    """Mix by softmax(q_i . q_j / (|q_j| sqrt(k))) V over the j hashed like i.

    A hash is the index of the largest of the 2 n numbers [q R, -q R], R random. Tokens
    are sorted by it and cut into n chunks of w; i reads those of its hash in its chunk
    and in the ones before and after, and itself only where there is no other. The sets
    of r hashes are united. R comes from `seed`, in training from the dropout key.

    Cost O(r l (w + l / w) d + l d^2), and r sorts of l numbers per head.

    References:
      Kitaev et al., Reformer (2020), https://arxiv.org/abs/2001.04451, section 2 and
        appendix A.
    """

    num_heads: int = 8  # LRA
    qkv_dim: int = 0  # over all heads together; 0: the width of x, as LRA
    dropout_rate: float = 0.1  # of the attention weights; LRA
    # w, positions; a hash value has half as many on average. LRA: 10 chunks per
    # sequence, whatever its length.
    chunk_size: int = 64
    # r, LRA's. The paper's 4 to 8 come closer to attention between all pairs.
    num_hashes: int = 1
    # Of the hashes in evaluation; the seed of the run does not change them.
    seed: int = 0

    formula: ClassVar[str] = (
        "y_i = softmax(q_i . q_j / (|q_j| sqrt(k))) V W over j with the hash of i"
    )
    cost: ClassVar[str] = "r l (w + l / w) d + l d^2"
    exponent: ClassVar[float] = 2.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Attend from every position to the real ones its hashes bring near."""
        # LRA: has 10 chunks at every length, multiplies scores by sqrt(k), mixes up
        # heads and positions, has no projection afterwards and ignores the mask.
        length, width = x.shape[1:]
        chunk = min(self.chunk_size, length)
        missing = -length % chunk
        x = jnp.pad(x, ((0, 0), (0, missing), (0, 0)))
        mask = jnp.pad(mask, ((0, 0), (0, missing)))
        query, value = (
            to_heads(x, self.num_heads, self.qkv_dim, name)
            for name in ("query_key", "value")
        )
        rotations = self._rotations(query.shape[-1], x.shape[1] // chunk, train)
        tokens = hashed_tokens(query, value, mask, hashes(query, mask, rotations))
        dropout = nn.Dropout(self.dropout_rate, deterministic=not train)
        heads = united(read_rounds(tokens, chunk, dropout))
        heads = heads.reshape(len(x), self.num_heads, *heads.shape[1:])
        heads = heads.swapaxes(1, 2)[:, :length]
        return from_heads(heads.astype(x.dtype), width)

    def _rotations(
        self, head_dim: int, num_chunks: int, train: bool
    ) -> Float[Array, "h k r n"]:
        """Draw R for every head and round."""
        seed = layer_seed(self.seed, self.path)
        key = self.make_rng("dropout") if train else jax.random.key(seed)
        shape = (self.num_heads, head_dim, self.num_hashes, num_chunks)
        return jax.random.normal(key, shape)


class Tokens(NamedTuple):
    """What tokens take with them when they are sorted."""

    query: Float[Array, "g s k"]
    key: Float[Array, "g s k"]
    value: Float[Array, "g s k"]
    position: Int[Array, "g s"]
    real: Bool[Array, "g s"]
    bucket: Int[Array, "g s r"]  # the hash of every round
    place: Int[Array, "g s r"]  # in the order of every round


class Reading(NamedTuple):
    """What every round of hashing reads, and how much its scores add up to."""

    heads: Float[Array, "r g s k"]
    log_total: Float[Array, "r g s"]  # of the exponentials of the scores


def hashes(
    query: Float[Array, "b s h k"],
    mask: Bool[Array, "b s"],
    rotations: Float[Array, "h k r n"],
) -> Int[Array, "b s h r"]:
    """Return values below 2 n for real tokens and 2 n, the last bucket, for padding."""
    rotated = jnp.einsum("bshk,hkrn->bshrn", query.astype(jnp.float32), rotations)
    both = jnp.concatenate([rotated, -rotated], axis=-1)
    return jnp.where(mask[:, :, None, None], both.argmax(axis=-1), both.shape[-1])


def hashed_tokens(
    query: Float[Array, "b s h k"],
    value: Float[Array, "b s h k"],
    mask: Bool[Array, "b s"],
    bucket: Int[Array, "b s h r"],
) -> Tokens:
    """Return the tokens of every head as a sequence of its own, with their places."""
    squares = jnp.sum(query.astype(jnp.float32) ** 2, axis=-1, keepdims=True)
    key = (query * jax.lax.rsqrt(squares + 1e-6)).astype(query.dtype)
    real = jnp.broadcast_to(mask[..., None], query.shape[:3])
    position = jnp.broadcast_to(jnp.arange(mask.shape[1])[:, None], real.shape)
    order = jnp.argsort(bucket, axis=1)  # stable: by position within a bucket
    parts = (query, key, value, position, real, bucket, jnp.argsort(order, axis=1))
    return Tokens(*(_sequences(part) for part in parts))


def read_rounds(tokens: Tokens, chunk_size: int, dropout: nn.Dropout) -> Reading:
    """Sort the tokens as in every round, and attend within three chunks."""
    bucket, place = (jnp.moveaxis(x, -1, 0) for x in (tokens.bucket, tokens.place))
    order = jnp.argsort(place, axis=-1)
    own = jax.tree.map(lambda x: _chunks(x[None], order, chunk_size), tokens)
    around = jax.tree.map(with_neighbors, own)
    bucket = _chunks(bucket, order, chunk_size)
    allowed = _same(bucket, with_neighbors(bucket)) & around.real[:, :, None]
    scores = jnp.where(allowed, pair_scores(own, around, chunk_size), NOT_ALLOWED)
    weights = jnp.where(allowed, jax.nn.softmax(scores, axis=-1), 0)
    weights = dropout(weights).astype(tokens.value.dtype)
    heads = weighted_sums(weights, around.value).astype(weights.dtype)
    reading = Reading(heads, jax.nn.logsumexp(scores, axis=-1))
    return jax.tree.map(
        lambda x: _taken(x.reshape(*place.shape, *x.shape[3:]), place), reading
    )


def pair_scores(
    own: Tokens, around: Tokens, chunk_size: int
) -> Float[Array, "c n w 3*w"]:
    """Return the scores, less log N for a key that N of the rounds bring near.

    Several rounds add up; that way each key counts once.
    """
    scores = pair_products(own.query, around.key) * own.query.shape[-1] ** -0.5
    count = jnp.zeros_like(scores)
    for i in range(own.bucket.shape[-1]):
        chunks = (x.place[..., i] // chunk_size for x in (own, around))
        count += _same(own.bucket[..., i], around.bucket[..., i]) & _adjacent(*chunks)
    oneself = _same(own.position, around.position)
    return scores + jnp.where(oneself, ONESELF, -jnp.log(jnp.maximum(count, 1)))


def united(reading: Reading) -> Float[Array, "g s k"]:
    """Return the softmax over the keys of all rounds from the softmax over each."""
    weights = jax.nn.softmax(reading.log_total, axis=0)[..., None]
    return jnp.sum(weights * reading.heads, axis=0)


def _sequences(part: Shaped[Array, "b s h ..."]) -> Shaped[Array, "g s ..."]:
    """Move the heads beside the batch."""
    part = part.swapaxes(1, 2)
    return part.reshape(-1, *part.shape[2:])


def _taken(
    part: Shaped[Array, "#r g s ..."], order: Int[Array, "r g s"]
) -> Shaped[Array, "r g s ..."]:
    """Return the tokens in the order of every round."""
    order = order.reshape(order.shape + (1,) * (part.ndim - 3))
    return jnp.take_along_axis(part, order, axis=2)


def _chunks(
    part: Shaped[Array, "#r g s ..."], order: Int[Array, "r g s"], chunk_size: int
) -> Shaped[Array, "c n w ..."]:
    """Return the tokens in chunks of every round, rounds beside the batch."""
    part = _taken(part, order)
    return part.reshape(-1, part.shape[2] // chunk_size, chunk_size, *part.shape[3:])


def _same(
    own: Int[Array, "c n q"], around: Int[Array, "c n m"]
) -> Bool[Array, "c n q m"]:
    """Tell which pairs of a query and a key have the same number."""
    return own[..., :, None] == around[..., None, :]


def _adjacent(
    own: Int[Array, "c n q"], around: Int[Array, "c n m"]
) -> Bool[Array, "c n q m"]:
    """Tell which pairs of a query and a key are in the same chunk or in neighbors."""
    return jnp.abs(own[..., :, None] - around[..., None, :]) <= 1
