"""gMLP: a gate computed by a learned matrix over positions."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lra_fnet.model import zero_padding


class Mixer(nn.Module):
    """Mix by y = (z1 * (S norm(z2) + b)) V with z1, z2 the halves of gelu(x U).

    S is l x l, b has an entry per position. They begin near 0 and at 1, so that the
    mixer begins as an MLP. In the paper the unit replaces the whole layer; here the
    encoder's MLP follows. Padding is zeroed before S.

    Cost O(l^2 h + l d h), l^2 parameters among others.

    References:
      Liu et al., Pay Attention to MLPs (2021), https://arxiv.org/abs/2105.08050,
        section 2.
    """

    hidden_dim: int = 0  # h, of each half; 0: the width of x, chosen for equal cost

    formula: ClassVar[str] = "y = (z1 * (S norm(z2) + b)) V; z1, z2 = gelu(x U)"
    cost: ClassVar[str] = "l^2 h + l d h"
    exponent: ClassVar[float] = 2.0
    length_bound: ClassVar[str] = "S has a row and a column for every position"

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Widen, gate one half by the other's mix over positions, and come back."""
        hidden_dim, width = self.hidden_dim or x.shape[-1], x.shape[-1]
        halves = nn.gelu(nn.Dense(2 * hidden_dim, dtype=x.dtype, name="in")(x))
        passed, gate = jnp.split(halves, 2, axis=-1)
        gate = nn.LayerNorm(dtype=x.dtype, name="norm")(gate)
        gate = self._over_positions(zero_padding(gate, mask))
        return nn.Dense(width, dtype=x.dtype, name="out")(passed * gate)

    def _over_positions(self, gate: Float[Array, "b l h"]) -> Float[Array, "b l h"]:
        """Return S times the gate, plus a bias per position."""
        length = gate.shape[1]
        # Near zero is all the paper says; entries of a whole row sum to about 0.01.
        init = nn.initializers.normal(0.01 * length**-0.5)
        matrix = self.param("over_length", init, (length, length))
        bias = self.param("bias", nn.initializers.ones, (length, 1))
        mixed = jnp.einsum("nm,bmh->bnh", matrix.astype(gate.dtype), gate)
        return mixed + bias.astype(gate.dtype)
