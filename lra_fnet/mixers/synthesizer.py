"""Synthesizer: attention weights that are learned and do not look at the tokens."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._attention import from_heads, to_heads
from lra_fnet.mixers._products import pair_products, weighted_sums
from lra_fnet.model import zero_padding


class Mixer(nn.Module):
    """Mix by softmax(R) V in parallel heads, then project; R = A B^T per head.

    R is a parameter, l x l of rank r (factorized random), or whole where r is 0
    (random). It is the same for the batch, so its softmax is computed once.

    Cost O(l^2 d + l d^2), 2 l r h or l^2 h parameters among others, h heads.

    References:
      Tay et al., Synthesizer (2020), https://arxiv.org/abs/2005.00743, sections 3.3
        and 3.4.
    """

    num_heads: int = 8  # LRA
    qkv_dim: int = 0  # over all heads together; 0: the width of x, as LRA
    dropout_rate: float = 0.1  # of the attention weights; LRA
    rank: int = 32  # r, of R; 0: not factorized. LRA's text config

    formula: ClassVar[str] = "y = softmax(A B^T) V W, A and B learned"
    cost: ClassVar[str] = "l^2 d + l d^2"
    exponent: ClassVar[float] = 2.0
    length_bound: ClassVar[str] = "A and B have a row for every position"

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Weigh the real positions."""
        # LRA: whole matrices, added to Q K^T: its keys for the factorized mode are
        # where nothing reads them.
        value = to_heads(zero_padding(x, mask), self.num_heads, self.qkv_dim, "value")
        scores = self._scores(x.shape[1])
        top = jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True))
        weights = jnp.exp(scores - top)
        real = mask.T.astype(jnp.float32)  # j b
        real = jnp.broadcast_to(real, (self.num_heads, *real.shape))
        total = weighted_sums(weights, real).transpose(2, 1, 0)
        # One pattern of dropped weights for the batch, as there is one of weights.
        weights = nn.Dropout(self.dropout_rate, deterministic=not train)(weights)
        columns = value.transpose(2, 1, 0, 3)  # h j b k: one matrix for the batch
        shape = (*columns.shape[:2], -1)
        sums = weighted_sums(weights.astype(x.dtype), columns.reshape(shape))
        heads = sums.reshape(columns.shape).transpose(2, 1, 0, 3)
        heads = heads / jnp.where(total > 0, total, 1)[..., None]
        return from_heads(heads.astype(x.dtype), x.shape[-1])

    def _scores(self, length: int) -> Float[Array, "h l l"]:
        """Return R, with entries of variance 1 at the start."""
        if self.rank == 0:
            shape = (self.num_heads, length, length)
            return self.param("scores", nn.initializers.normal(1.0), shape)
        init = nn.initializers.normal(self.rank**-0.25)
        shape = (self.num_heads, length, self.rank)
        left, right = (self.param(name, init, shape) for name in ("left", "right"))
        return pair_products(left, right)
