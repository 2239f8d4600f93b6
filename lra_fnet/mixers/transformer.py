"""The Transformer: softmax attention between all pairs of real tokens."""

from functools import partial
from typing import ClassVar

import flax.linen as nn
import jax
from jaxtyping import Array, Bool, Float

from lra_fnet.hardware import target
from lra_fnet.mixers._attention import check_heads
from lra_fnet.mixers._tiled_attention import attend_in_tiles


class Mixer(nn.Module):
    """Mix by softmax(Q K^T / sqrt(k)) V in parallel heads, then project.

    Cost O(l^2 d + l d^2).

    References:
      Vaswani et al., Attention Is All You Need (2017),
        https://arxiv.org/abs/1706.03762, section 3.2.
    """

    num_heads: int = 8  # LRA
    qkv_dim: int = 0  # over all heads together; 0: the width of x, as LRA
    dropout_rate: float = 0.1  # of the attention weights; LRA
    causal: bool = False  # encoder.causal sets it

    formula: ClassVar[str] = "y = softmax(Q K^T / sqrt(k)) V W"
    cost: ClassVar[str] = "l^2 d + l d^2"
    exponent: ClassVar[float] = 2.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Attend from real positions to real ones; padding reads zeros.

        Raises:
          ValueError: the heads cannot share their width evenly.
        """
        qkv_dim = self.qkv_dim or x.shape[-1]
        check_heads(self.num_heads, qkv_dim)
        # LRA: projections without bias, Xavier uniform.
        attention = nn.MultiHeadDotProductAttention(
            num_heads=self.num_heads,
            qkv_features=qkv_dim,
            dropout_rate=self.dropout_rate,
            broadcast_dropout=False,
            use_bias=False,
            kernel_init=nn.initializers.xavier_uniform(),
            dtype=x.dtype,
            attention_fn=partial(_in_tiles, causal=self.causal),
        )
        return attention(x, mask=mask[:, None, None, :], deterministic=not train)


def _in_tiles(
    query: Float[Array, "b l h k"],
    key: Float[Array, "b l h k"],
    value: Float[Array, "b l h k"],
    mask: Bool[Array, "b 1 1 l"],
    dropout_rng: jax.Array | None,
    dropout_rate: float,
    deterministic: bool,
    causal: bool,
) -> Float[Array, "b l h k"]:
    """Attend in tiles; Flax hands over the arguments of these names alone."""
    rate = 0.0 if deterministic else dropout_rate
    # LRA: queries of padding read zeros, not the real keys; only a layer that mixes
    # padding could tell.
    mask, platform = mask[:, 0, 0], target().platform
    return attend_in_tiles(
        query, key, value, mask, dropout_rng, rate, platform, causal, query_mask=mask
    )
