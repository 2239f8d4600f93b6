"""Linformer: softmax attention to a few learned sums of the keys and values."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._attention import (
    attention_weights,
    from_heads,
    to_heads,
    weighted_values,
)
from lra_fnet.model import zero_padding


class Mixer(nn.Module):
    """Mix by softmax(Q (E K)^T / sqrt(k)) E V in parallel heads, then project.

    E is r x l. Equation 7 has one for the keys and another, F, for the values of each
    head; here E = F is shared by keys, values and heads of a layer, as in LRA and as
    the paper's key-value sharing. Padding is zeroed before E.

    Cost O(l r d + l d^2), r l parameters among others.

    References:
      Wang et al., Linformer (2020), https://arxiv.org/abs/2006.04768, equation 7 and
        section 4 (key-value sharing).
    """

    num_heads: int = 8  # LRA
    qkv_dim: int = 0  # over all heads together; 0: the width of x, as LRA
    dropout_rate: float = 0.1  # of the attention weights; LRA
    rank: int = 16  # r, sums; LRA (its text config says 32 where nothing reads it)

    formula: ClassVar[str] = "y = softmax(Q (E K)^T / sqrt(k)) E V W"
    cost: ClassVar[str] = "l r d + l d^2"
    exponent: ClassVar[float] = 1.0
    length_bound: ClassVar[str] = "E has a column for every position"

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Attend from every position to the sums over real ones."""
        query = to_heads(x, self.num_heads, self.qkv_dim, "query")
        # LRA: sums the padding too. Without a bias, zeros give zero keys and values.
        x = zero_padding(x, mask)
        init = nn.initializers.xavier_uniform()
        matrix = self.param("over_length", init, (x.shape[1], self.rank))
        key, value = (
            jnp.einsum(
                "blhk,lr->brhk",
                to_heads(x, self.num_heads, self.qkv_dim, name),
                matrix.astype(x.dtype),
            )
            for name in ("key", "value")
        )
        weights = attention_weights(query, key, jnp.ones(key.shape[:2], bool))
        weights = nn.Dropout(self.dropout_rate, deterministic=not train)(weights)
        return from_heads(weighted_values(weights, value), x.shape[-1])
