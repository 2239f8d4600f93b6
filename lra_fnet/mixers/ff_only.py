"""FNet's control without mixing: the layers are their MLPs."""

from typing import ClassVar

import flax.linen as nn
from jaxtyping import Array, Bool, Float


class Mixer(nn.Module):
    """Mix nothing: y = x, which is causal as it is.

    What a model with this mixer can do, it does with the token that is read and the
    pooling: the floor for every other mixer.

    Cost O(1), no parameters.

    References:
      Lee-Thorp et al., FNet (2021), https://arxiv.org/abs/2105.03824, section 4,
        FF-only.
    """

    causal: bool = False  # encoder.causal sets it

    formula: ClassVar[str] = "y = x"
    cost: ClassVar[str] = "1"
    exponent: ClassVar[float] = 0.0
    norm_placement: ClassVar[str] = "post"  # as FNet

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Return x."""
        return x
