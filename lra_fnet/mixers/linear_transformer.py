"""The Linear Transformer: attention by the kernel of elu(x) + 1."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._attention import (
    causal_kernel_attention,
    from_heads,
    kernel_attention,
    to_heads,
)


class Mixer(nn.Module):
    """Mix by weights f(q_i) . f(k_j) with f(z) = elu(z) + 1, normalized, then project.

    The causal form sums over j <= i, as the paper's section 3.3.

    Cost O(l d^2 / h + l d^2), h heads.

    References:
      Katharopoulos et al., Transformers are RNNs (2020),
        https://arxiv.org/abs/2006.16236, equations 5 and 7.
    """

    num_heads: int = 8  # LRA
    qkv_dim: int = 0  # over all heads together; 0: the width of x, as LRA
    causal: bool = False  # encoder.causal sets it

    formula: ClassVar[str] = (
        "y_i = sum_j w_ij v_j / sum_j w_ij W, w_ij = f(q_i) . f(k_j)"
    )
    cost: ClassVar[str] = "l d^2"
    exponent: ClassVar[float] = 1.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Attend from every position to the real ones, in float32."""
        query, key, value = (
            to_heads(x, self.num_heads, self.qkv_dim, name).astype(jnp.float32)
            for name in ("query", "key", "value")
        )
        # LRA: ignores the mask.
        key = jnp.where(mask[:, :, None, None], nn.elu(key) + 1, 0)
        attend = causal_kernel_attention if self.causal else kernel_attention
        heads = attend(nn.elu(query) + 1, key, value)
        return from_heads(heads.astype(x.dtype), x.shape[-1])
