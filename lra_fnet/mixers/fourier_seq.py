"""FNet's ablation with a transform over the sequence alone."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._fourier import symmetric


class Mixer(nn.Module):
    """Mix by y = Re(F_l x), unnormalized: every channel alone.

    Cost O(l d log l), no parameters.

    References:
      Lee-Thorp et al., FNet (2021), https://arxiv.org/abs/2105.03824, the ablation
        of the transform over the hidden dimension.
    """

    formula: ClassVar[str] = "y = Re(F_l x)"
    cost: ClassVar[str] = "l d log l"
    exponent: ClassVar[float] = 1.0
    norm_placement: ClassVar[str] = "post"  # as FNet
    mixes_padding: ClassVar[str] = "every output is a sum over all l positions"

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Mix over length, padding included, as FNet does."""
        return fourier_sequence_mix(x)


@symmetric
def fourier_sequence_mix(x: Float[Array, "*b l d"]) -> Float[Array, "*b l d"]:
    """Return Re(F_l x); rows n and l - n are equal because x is real."""
    half = jnp.fft.rfft(x, axis=-2).real
    mirrored = jnp.flip(half[..., 1 : (x.shape[-2] + 1) // 2, :], axis=-2)
    return jnp.concatenate([half, mirrored], axis=-2)
