"""FNet's ablation with the Hartley transform instead of the Fourier transform."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._fourier import symmetric
from lra_fnet.mixers._fourier_algorithms import mirrored_rows, with_mirrored_columns


class Mixer(nn.Module):
    """Mix by y = Re(F_l F_d x) - Im(F_l F_d x), unnormalized.

    y[n, k] = sum over m, j of cas(2 pi (n m / l + k j / d)) x[m, j], where cas is
    cos + sin. Unlike the real part alone it is invertible.

    Cost O(l d (log l + log d)), no parameters.

    References:
      Lee-Thorp et al., FNet (2021), https://arxiv.org/abs/2105.03824, the ablation
        of other transforms.
    """

    formula: ClassVar[str] = "y = (Re - Im)(F_l F_d x)"
    cost: ClassVar[str] = "l d (log l + log d)"
    exponent: ClassVar[float] = 1.0
    norm_placement: ClassVar[str] = "post"  # as FNet
    mixes_padding: ClassVar[str] = "every output is a sum over all l positions"

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Mix over length and width, padding included, as FNet does."""
        return hartley_mix(x)


@symmetric
def hartley_mix(x: Float[Array, "*b l d"]) -> Float[Array, "*b l d"]:
    """Return Re - Im of the transform; where it is mirrored, Im changes its sign."""
    half = jnp.fft.rfft2(x)
    mirrored = mirrored_rows(half.real + half.imag)
    return with_mirrored_columns(half.real - half.imag, mirrored, x.shape[-1])
