"""FNet's ablation with the cosine transform instead of the Fourier transform."""

from typing import ClassVar

import flax.linen as nn
import jax
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._fourier import widened


class Mixer(nn.Module):
    """Mix by y = C_l x C_d^T with C_l[n, m] = cos(pi n (2 m + 1) / (2 l)).

    The discrete cosine transform of type II over length and width, unnormalized as
    FNet's transform is.

    Cost O(l d (log l + log d)), no parameters.

    References:
      Lee-Thorp et al., FNet (2021), https://arxiv.org/abs/2105.03824, the ablation
        of other transforms.
    """

    formula: ClassVar[str] = "y = C_l x C_d^T, C the cosine transform"
    cost: ClassVar[str] = "l d (log l + log d)"
    exponent: ClassVar[float] = 1.0
    norm_placement: ClassVar[str] = "post"  # as FNet
    mixes_padding: ClassVar[str] = "every output is a sum over all l positions"

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Mix over length and width, padding included, as FNet does."""
        doubled_twice = jax.scipy.fft.dctn(widened(x), type=2, axes=(-2, -1))
        return (doubled_twice / 4).astype(x.dtype)
