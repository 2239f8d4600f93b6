"""FNet's ablation with the magnitude of the transform instead of its real part."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._fourier import widened
from lra_fnet.mixers._fourier_algorithms import mirrored_rows, with_mirrored_columns


class Mixer(nn.Module):
    """Mix by y = |F_l F_d x|, unnormalized.

    A cyclic shift of the input changes nothing but the phase: order over the whole
    length reaches the output through positions and residuals only.

    Cost O(l d (log l + log d)), no parameters.

    References:
      Lee-Thorp et al., FNet (2021), https://arxiv.org/abs/2105.03824, the ablation
        of other parts of the transform.
    """

    formula: ClassVar[str] = "y = |F_l F_d x|"
    cost: ClassVar[str] = "l d (log l + log d)"
    exponent: ClassVar[float] = 1.0
    norm_placement: ClassVar[str] = "post"  # as FNet
    mixes_padding: ClassVar[str] = "every output is made of all l positions"

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Mix over length and width, padding included, as FNet does."""
        half = jnp.abs(jnp.fft.rfft2(widened(x)))
        mirrored = mirrored_rows(half)
        return with_mirrored_columns(half, mirrored, x.shape[-1]).astype(x.dtype)
