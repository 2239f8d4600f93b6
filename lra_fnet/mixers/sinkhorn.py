"""Sinkhorn attention: a block reads itself and the block a learned sort puts there."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._attention import from_heads, to_heads
from lra_fnet.mixers._blocks import NOT_ALLOWED, Keys, attend, join_chunks, split_chunks
from lra_fnet.model import zero_padding


class Mixer(nn.Module):
    """Mix by softmax(Q [K, S K]^T / sqrt(k)) [V, S V] within blocks, then project.

    S is n x n over blocks, one per head: a doubly stochastic matrix, in the limit a
    permutation, made by Sinkhorn normalization of exp(R / t). R comes from the sum X of
    each block's tokens by two layers, R = relu(X U + b) W. Blocks without a real token
    take no part. In training R gets Gumbel noise.

    Cost O(l w d + (l / w) l d + l d^2).

    References:
      Tay et al., Sparse Sinkhorn Attention (2020), https://arxiv.org/abs/2002.11296,
        section 3.
    """

    num_heads: int = 8  # LRA
    qkv_dim: int = 0  # over all heads together; 0: the width of x, as LRA
    dropout_rate: float = 0.1  # of the attention weights; LRA
    block_size: int = 50  # w, positions; LRA
    num_iterations: int = 8  # of the normalization: rows, then columns; usual
    temperature: float = 0.75  # t; the lower, the closer S is to a permutation; usual

    formula: ClassVar[str] = (
        "y = softmax(Q [K, S K]^T / sqrt(k)) [V, S V] W by blocks, S = sinkhorn(R(x))"
    )
    cost: ClassVar[str] = "l w d + (l / w) l d + l d^2"
    exponent: ClassVar[float] = 2.0
    length_bound: ClassVar[str] = "R has a column for every block of positions"

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Attend from every position to the real ones of two blocks."""
        length, width = x.shape[1:]
        block = min(self.block_size, length)
        # Without a bias, zeros give zero keys and values.
        x = zero_padding(x, mask)
        query, key, value = (
            split_chunks(to_heads(x, self.num_heads, self.qkv_dim, name), block)
            for name in ("query", "key", "value")
        )
        real = split_chunks(mask, block)
        groups = [Keys(key, value, real[:, :, None, None])]
        if real.shape[1] > 1:  # else there is nothing to sort
            order = self._order(split_chunks(x, block).sum(axis=2), real, train)
            groups.append(sorted_keys(order, key, value, real))
        dropout = nn.Dropout(self.dropout_rate, deterministic=not train)
        heads = attend(query, groups, dropout)
        return from_heads(join_chunks(heads, length), width)

    def _order(
        self, blocks: Float[Array, "b n d"], real: Bool[Array, "b n w"], train: bool
    ) -> Float[Array, "b h n n"]:
        """Return S, float32."""
        num_blocks, width = blocks.shape[1:]
        init = nn.initializers.xavier_uniform()
        hidden = nn.relu(nn.Dense(width, kernel_init=init, name="sort_in")(blocks))
        # No bias: it would be a constant per column, which the normalization takes out.
        logits = nn.DenseGeneral(
            (self.num_heads, num_blocks),
            use_bias=False,
            kernel_init=init,
            name="sort_out",
        )(hidden).astype(jnp.float32)
        logits = logits.transpose(0, 2, 1, 3)
        if train:
            noise = jax.random.gumbel(self.make_rng("dropout"), logits.shape)
            logits = logits + noise
        has_tokens = real.any(axis=-1)
        pairs = has_tokens[:, None, :, None] & has_tokens[:, None, None, :]
        return sinkhorn(logits / self.temperature, pairs, self.num_iterations)


def sinkhorn(
    logits: Float[Array, "b h n n"], pairs: Bool[Array, "b 1 n n"], num_iterations: int
) -> Float[Array, "b h n n"]:
    """Divide exp(logits) by the sums of its rows and columns, in turn; 0 beyond pairs.

    >>> order = sinkhorn(jnp.ones((1, 1, 2, 2)), jnp.ones((1, 1, 2, 2), bool), 1)
    >>> order.tolist()
    [[[[0.5, 0.5], [0.5, 0.5]]]]
    """

    def normalized(logits: Float[Array, "b h n n"], _: None) -> tuple[Array, None]:
        for axis in (-1, -2):
            logits = jax.nn.log_softmax(logits, axis=axis)
            logits = jnp.where(pairs, logits, NOT_ALLOWED)
        return logits, None

    # A loop that is unrolled takes XLA minutes to compile for GPUs.
    logits = jnp.where(pairs, logits, NOT_ALLOWED)
    logits, _ = jax.lax.scan(normalized, logits, length=num_iterations)
    return jnp.exp(logits)


def sorted_keys(
    order: Float[Array, "b h n n"],
    key: Float[Array, "b n w h k"],
    value: Float[Array, "b n w h k"],
    real: Bool[Array, "b n w"],
) -> Keys:
    """Return S K and S V, and which of their positions are made of real tokens.

    In a mixture of blocks that is where real tokens have at least half the weight: in
    the limit of a permutation exactly the sorted mask.
    """
    key, value = (
        jnp.einsum("bhij,bjwhk->biwhk", order.astype(part.dtype), part)
        for part in (key, value)
    )
    share = jnp.einsum("bhij,bjw->bihw", order, real.astype(jnp.float32))
    return Keys(key, value, (share >= 0.5)[:, :, :, None])
