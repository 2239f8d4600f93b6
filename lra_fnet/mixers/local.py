"""Local attention: blocks of the sequence attend within themselves."""

from typing import ClassVar

import flax.linen as nn
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._attention import from_heads, to_heads
from lra_fnet.mixers._blocks import Keys, attend, join_chunks, split_chunks


class Mixer(nn.Module):
    """Mix by softmax(Q K^T / sqrt(k)) V within each block of w positions, then project.

    Cost O(l w d + l d^2).

    References:
      Tay et al., Long Range Arena (2020), https://arxiv.org/abs/2011.04006, section 3,
        Local Attention.
    """

    num_heads: int = 8  # LRA
    qkv_dim: int = 0  # over all heads together; 0: the width of x, as LRA
    dropout_rate: float = 0.1  # of the attention weights; LRA
    block_size: int = 50  # w, positions; LRA

    formula: ClassVar[str] = "y = softmax(Q K^T / sqrt(k)) V W, block by block"
    cost: ClassVar[str] = "l w d + l d^2"
    exponent: ClassVar[float] = 1.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Attend from every position to the real ones of its block."""
        length, width = x.shape[1:]
        # LRA: strides the data (position j meets j + 50 n) and blocks the mask, and
        # takes the padding that fills the last block for real.
        block = min(self.block_size, length)
        query, key, value = (
            split_chunks(to_heads(x, self.num_heads, self.qkv_dim, name), block)
            for name in ("query", "key", "value")
        )
        real = split_chunks(mask, block)[:, :, None, None]
        dropout = nn.Dropout(self.dropout_rate, deterministic=not train)
        heads = attend(query, [Keys(key, value, real)], dropout)
        return from_heads(join_chunks(heads, length), width)
