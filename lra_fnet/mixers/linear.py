"""FNet's control with learned matrices instead of the Fourier transform."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class Mixer(nn.Module):
    """Mix by y = S x W with learned S over positions and W over channels, no bias.

    Cost O(l^2 d + l d^2), l^2 + d^2 parameters.

    References:
      Lee-Thorp et al., FNet (2021), https://arxiv.org/abs/2105.03824, section 4,
        Linear.
    """

    formula: ClassVar[str] = "y = S x W, S and W learned"
    cost: ClassVar[str] = "l^2 d + l d^2"
    exponent: ClassVar[float] = 2.0
    norm_placement: ClassVar[str] = "post"  # as FNet
    mixes_padding: ClassVar[str] = "every output is a sum over all l positions"
    length_bound: ClassVar[str] = "S has a row and a column for every position"

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Mix over length and width, padding included, as in the published model."""
        length, width = x.shape[1:]
        init = nn.initializers.normal(0.02)  # the FNet authors' code
        over_length = self.param("over_length", init, (length, length))
        over_width = self.param("over_width", init, (width, width))
        x = x @ over_width.astype(x.dtype)
        return jnp.einsum("nm,bmd->bnd", over_length.astype(x.dtype), x)
