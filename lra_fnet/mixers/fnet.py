"""FNet: mix tokens by a Fourier transform without parameters."""

from typing import ClassVar

import flax.linen as nn
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._fourier import check_algorithm, fourier_mix


class Mixer(nn.Module):
    """Mix by y = Re(F_l F_d x), the published unnormalized transform.

    Cost O(l d (log l + log d)), no parameters.

    References:
      Lee-Thorp et al., FNet (2021), https://arxiv.org/abs/2105.03824, section
        3.2.
    """

    algorithm: str = "auto"  # a name in lra_fnet.mixers._fourier.ALGORITHMS

    formula: ClassVar[str] = "y = Re(F_l F_d x)"
    cost: ClassVar[str] = "l d (log l + log d)"
    exponent: ClassVar[float] = 1.0
    # The transform multiplies the standard deviation by sqrt(l d / 2), hundreds at
    # the lengths here: a normalization must follow the residual sum.
    norm_placement: ClassVar[str] = "post"
    mixes_padding: ClassVar[str] = "every output is a sum over all l positions"

    def __post_init__(self) -> None:
        """Check the name of the algorithm.

        Raises:
          ValueError: there is none of that name.
        """
        check_algorithm(self.algorithm)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Mix over length and width, padding included, as in the published model."""
        return fourier_mix(x, self.algorithm)
