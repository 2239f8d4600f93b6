"""The Transformer: softmax attention between all pairs of real tokens."""

from typing import ClassVar

import flax.linen as nn
from jaxtyping import Array, Bool, Float


class Mixer(nn.Module):
    """Mix by softmax(Q K^T / sqrt(k)) V in parallel heads, then project.

    Cost O(l^2 d + l d^2).
    Vaswani et al., Attention Is All You Need (2017),
    https://arxiv.org/abs/1706.03762, section 3.2.
    """

    num_heads: int
    qkv_dim: int  # over all heads together; 0: the width of x
    dropout_rate: float  # of the attention weights

    formula: ClassVar[str] = "y = softmax(Q K^T / sqrt(k)) V W"
    cost: ClassVar[str] = "l^2 d + l d^2"

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Attend from every position to the real ones."""
        # LRA: projections without bias, Xavier uniform.
        attention = nn.MultiHeadDotProductAttention(
            num_heads=self.num_heads,
            qkv_features=self.qkv_dim or x.shape[-1],
            dropout_rate=self.dropout_rate,
            broadcast_dropout=False,
            use_bias=False,
            kernel_init=nn.initializers.xavier_uniform(),
            dtype=x.dtype,
        )
        return attention(x, mask=mask[:, None, None, :], deterministic=not train)
