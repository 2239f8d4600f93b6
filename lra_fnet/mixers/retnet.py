"""RetNet: linear attention whose weights decay with distance, in chunks."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._attention import from_heads, retention, rotated, to_heads
from lra_fnet.model import zero_padding


class Mixer(nn.Module):
    """Mix by (silu(W_g x) * norm((R(Q) R(K)^T * D) V)) W, D_ij = g^|i - j| per head.

    R turns channels by their position, norm is over the channels of each head, and the
    decays are g = 1 - 2^(-5 - head). Both directions are in D: a row is the sum of a
    retention over the past and one over the future.

    The paper's D is causal, and so is that of the causal form. Its scale factors of D
    and of its row sums are left out, since the norm cancels them.

    Cost O(l c d + l d^2 / h + l d^2), chunks of c and h heads.

    References:
      Sun et al., Retentive Network (2023), https://arxiv.org/abs/2307.08621, equations
        5 to 8 and section 2.3 (chunkwise form).
    """

    num_heads: int = 8  # as the others here
    qkv_dim: int = 0  # of queries and keys over all heads; 0: the width of x
    # Width of values and of the gate, in widths of the queries; the paper's.
    value_factor: int = 2
    chunk_size: int = (
        64  # tokens whose pairs are computed one by one; changes no result
    )
    causal: bool = False  # encoder.causal sets it

    formula: ClassVar[str] = "y = (silu(W_g x) norm((R(Q) R(K)^T * g^|i-j|) V)) W"
    cost: ClassVar[str] = "l c d + l d^2"
    exponent: ClassVar[float] = 1.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Retain the real tokens, normalize every head, and gate."""
        width, key_dim = x.shape[-1], self.qkv_dim or x.shape[-1]
        # Projections without bias keep the zeros.
        x = zero_padding(x, mask)
        query, key, value, gate = (
            to_heads(x, self.num_heads, features, name)
            for name, features in (
                ("query", key_dim),
                ("key", key_dim),
                ("value", self.value_factor * key_dim),
                ("gate", self.value_factor * key_dim),
            )
        )
        query, key = (rotated(heads, 1e4) for heads in (query, key))
        key = key * query.shape[-1] ** -0.5
        log_decay = jnp.asarray(head_log_decays(self.num_heads))
        heads = retention(query, key, value, log_decay, self.chunk_size, self.causal)
        shape, heads = heads.shape, heads.reshape(*x.shape[:2], -1)
        norm = nn.GroupNorm(self.num_heads, reduction_axes=(-1,), dtype=x.dtype)
        return from_heads(nn.silu(gate) * norm(heads).reshape(shape), width)


def head_log_decays(num_heads: int) -> Float[np.ndarray, "h"]:
    """Return log(1 - 2^(-5 - head)): memories of 32, 64, 128, ... tokens."""
    return np.log1p(-(2.0 ** (-5 - np.arange(num_heads)))).astype(np.float32)
