"""Luna: attention through a few slots, packed and unpacked."""

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


class Mixer(nn.Module):
    """Mix by packing, P = S(M, C) C, and unpacking, y = S(Q, K) K W with K = P W_k.

    S(Q, K) = softmax(Q K^T / sqrt(k)). C and Q are projections of x; keys are their
    own values. M are m learned slots, as queries.

    Keys and values are tied as in the paper's base model. There the slots are handed on
    from layer to layer; here each layer learns its own, so that they need no projection
    to queries.

    Cost O(l m d + l d^2).

    References:
      Ma et al., Luna (2021), https://arxiv.org/abs/2106.01540, section 3.
    """

    num_heads: int = 8  # LRA
    qkv_dim: int = 0  # over all heads together; 0: the width of x, as LRA
    dropout_rate: float = 0.1  # of the attention weights; LRA
    num_slots: int = 256  # m, the extra sequence; the Luna-256 of published tables

    formula: ClassVar[str] = "P = S(M, C) C; y = S(Q, P W_k) P W_k W"
    cost: ClassVar[str] = "l m d + l d^2"
    exponent: ClassVar[float] = 1.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Let the slots attend to the real tokens, and every position to the slots."""
        dropout = nn.Dropout(self.dropout_rate, deterministic=not train)
        tokens = to_heads(x, self.num_heads, self.qkv_dim, "pack")
        slots = self._slots(tokens)
        weights = dropout(attention_weights(slots, tokens, mask))
        packed = weighted_values(weights, tokens)
        packed = packed.reshape(*packed.shape[:2], -1)
        packed = to_heads(packed, self.num_heads, self.qkv_dim, "unpack")
        query = to_heads(x, self.num_heads, self.qkv_dim, "query")
        is_slot = jnp.ones(packed.shape[:2], bool)
        weights = dropout(attention_weights(query, packed, is_slot))
        return from_heads(weighted_values(weights, packed), x.shape[-1])

    def _slots(self, tokens: Float[Array, "b l h k"]) -> Float[Array, "b m h k"]:
        """Return the learned slots, the same for the whole batch."""
        batch, _, *heads = tokens.shape
        shape = (self.num_slots, *heads)
        slots = self.param("slots", nn.initializers.normal(1.0), shape)
        return jnp.broadcast_to(slots.astype(tokens.dtype), (batch, *shape))
