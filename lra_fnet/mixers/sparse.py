"""The Sparse Transformer's fixed pattern: own block, and a summary of every other."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._attention import from_heads, to_heads
from lra_fnet.mixers._blocks import Keys, attend, join_chunks, split_chunks


class Mixer(nn.Module):
    """Mix by softmax(Q K^T / sqrt(k)) V over own block and c columns of all others.

    Position i reads j where floor(i / w) = floor(j / w), or j mod w < c. The paper
    generates and so reads the past only, whose summary is the end of a block; reading
    both ways, the start does, which no short last block lacks. The two kinds of
    columns share one softmax (the merged heads of section 5.2).

    Cost O(l (w + c l / w) d + l d^2).

    References:
      Child et al., Generating Long Sequences with Sparse Transformers (2019),
        https://arxiv.org/abs/1904.10509, section 4.3, fixed attention.
    """

    num_heads: int = 8  # LRA
    qkv_dim: int = 0  # over all heads together; 0: the width of x, as LRA
    dropout_rate: float = 0.1  # of the attention weights; LRA
    block_size: int = 50  # w, positions; LRA
    num_summaries: int = 10  # c, positions at the start of a block; LRA

    formula: ClassVar[str] = (
        "y = softmax(Q K^T / sqrt(k)) V W over own block and the first c of each"
    )
    cost: ClassVar[str] = "l (w + c l / w) d + l d^2"
    exponent: ClassVar[float] = 2.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Attend from every position to the real ones of its pattern."""
        length, width = x.shape[1:]
        # LRA: attends to the past alone, by masks over all pairs; its CLS position
        # reads and is read everywhere. Here position 0 is a summary as it stands.
        block = min(self.block_size, length)
        query, key, value = (
            split_chunks(to_heads(x, self.num_heads, self.qkv_dim, name), block)
            for name in ("query", "key", "value")
        )
        real = split_chunks(mask, block)
        own = Keys(key, value, real[:, :, None, None])
        others = summaries(key, value, real, self.num_summaries)
        dropout = nn.Dropout(self.dropout_rate, deterministic=not train)
        heads = attend(query, [own, others], dropout)
        return from_heads(join_chunks(heads, length), width)


def summaries(
    key: Float[Array, "b n w h k"],
    value: Float[Array, "b n w h k"],
    real: Bool[Array, "b n w"],
    num_summaries: int,
) -> Keys:
    """Return the first keys of each block, for the queries of the other blocks."""
    batch, num_blocks, block, *heads = key.shape
    count = min(num_summaries, block)
    key, value = (
        columns[:, :, :count].reshape(batch, 1, num_blocks * count, *heads)
        for columns in (key, value)
    )
    is_other = ~jnp.eye(num_blocks, dtype=bool).repeat(count, axis=1)
    allowed = is_other & real[:, None, :, :count].reshape(batch, 1, -1)
    return Keys(key, value, allowed[:, :, None, None])
