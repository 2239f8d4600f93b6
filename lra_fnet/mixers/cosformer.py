"""cosFormer: linear attention with weights that favor neighbors."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._attention import from_heads, kernel_attention, to_heads


class Mixer(nn.Module):
    """Mix by weights relu(q_i) . relu(k_j) cos(pi (i - j) / (2 l)), normalized.

    The cosine of a difference is a sum of two products, so keys and values are summed
    once for all queries. It is 1 at distance 0 and falls to 0 at the length l.

    Cost O(l d^2 / h + l d^2), h heads.

    References:
      Qin et al., cosFormer (2022), https://arxiv.org/abs/2202.08791, section 2, the
        cosine re-weighting.
    """

    num_heads: int = 8  # LRA
    qkv_dim: int = 0  # over all heads together; 0: the width of x, as LRA

    formula: ClassVar[str] = "y_i = sum_j w_ij v_j / sum_j w_ij, by relu and cosine"
    cost: ClassVar[str] = "l d^2"
    exponent: ClassVar[float] = 1.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Attend from every position to the real ones."""
        query, key, value = (
            to_heads(x, self.num_heads, self.qkv_dim, name)
            for name in ("query", "key", "value")
        )
        key = jnp.where(mask[:, :, None, None], nn.relu(key), 0)
        query, key = with_cosines(nn.relu(query)), with_cosines(key)
        heads = kernel_attention(query, key, value.astype(jnp.float32))
        return from_heads(heads.astype(x.dtype), x.shape[-1])


def with_cosines(heads: Float[Array, "b l h k"]) -> Float[Array, "b l h 2*k"]:
    """Return the vectors times the cosine and times the sine, side by side, float32.

    Their dot products are those of the vectors times cos(pi (i - j) / (2 l)).
    """
    length = heads.shape[1]
    angles = jnp.pi / (2 * length) * jnp.arange(length)[:, None, None]
    heads = heads.astype(jnp.float32)
    return jnp.concatenate([heads * jnp.cos(angles), heads * jnp.sin(angles)], axis=-1)
