"""template: say in one line what mixes the tokens."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lra_fnet.model import masked_mean


class Mixer(nn.Module):
    """Mix by y = gelu(x U + mean(x) V) W, the mean over the real tokens.

    A working start, to be replaced. `make check-mixer mixer=template` checks what every
    mixer promises:

    - The result has the shape and dtype of x, float32 or bfloat16.
    - No real position depends on a padded one (mask is True on real tokens), or a
      ClassVar `mixes_padding` gives the reason. Rows of padding alone stay finite.
    - Rows of the batch do not see each other.
    - Only training is random, by the "dropout" key.
    - All state is parameters, and each gets a gradient: no batch statistics, no cache.
    - Any length works with the same parameters, or a ClassVar `length_bound` says why
      not.
    - Memory grows with the length as l^exponent at most, logarithms aside.
    - A field `causal: bool = False` promises a causal form: where the encoder sets it
      to True, no output reads a later position.

    The encoder adds the residual, the norm and dropout; a ClassVar `norm_placement`
    "post" puts the norm after the residual sum. Parameters whose names begin with ssm_
    can be given a learning rate of their own. Fields are hyperparameters: each has a
    default, here, with its unit or source.

    Cost O(l d h).

    References:
      Author et al., Title (2026), https://example.org/paper, section 1.
    """

    hidden_dim: int = 0  # h, hidden units; 0: the width of x

    formula: ClassVar[str] = "y = gelu(x U + mean(x) V) W"
    cost: ClassVar[str] = "l d h"
    exponent: ClassVar[float] = 1.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Show every position the mean of the real ones."""
        width = x.shape[-1]
        hidden_dim = self.hidden_dim or width
        mean = masked_mean(x, mask)
        own = nn.Dense(hidden_dim, dtype=x.dtype, name="own")(x)
        shared = nn.Dense(hidden_dim, use_bias=False, dtype=x.dtype, name="shared")
        hidden = nn.gelu(own + jnp.expand_dims(shared(mean), axis=1))
        return nn.Dense(width, dtype=x.dtype, name="out")(hidden)
