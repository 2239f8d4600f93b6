"""FNet: mix tokens by a Fourier transform without parameters."""

from typing import ClassVar

import flax.linen as nn
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._fourier import (
    AUTO,
    causal_fourier_mix,
    check_algorithm,
    fourier_mix,
)


class Mixer(nn.Module):
    """Mix by y = Re(F_l F_d x), the published unnormalized transform.

    The causal form is y = Re(tril(F_l) F_d x): output n is a sum over the inputs up to
    n, whose frequencies still depend on l. It is a convolution with a fixed chirp.

    Cost O(l d (log l + log d)), no parameters.

    References:
      Lee-Thorp et al., FNet (2021), https://arxiv.org/abs/2105.03824, section
        3.2.
    """

    algorithm: str = AUTO  # a name in lra_fnet.mixers._fourier.ALGORITHMS
    # Divide by sqrt(l d), as unitary transforms do. Else a position drowns in the sum
    # over all: its own vector is 1 / sqrt(l d) of what it becomes.
    orthonormal: bool = False
    causal: bool = False  # encoder.causal sets it

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
          ValueError: there is none of that name, or none for the causal form.
        """
        check_algorithm(self.algorithm)
        if self.causal and self.algorithm != AUTO:
            raise ValueError(
                f"algorithm is {self.algorithm!r}, but the causal form has one of its "
                f"own; take {AUTO!r}"
            )
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Mix over length and width, padding included, as in the published model."""
        mixed = causal_fourier_mix(x) if self.causal else fourier_mix(x, self.algorithm)
        return mixed * (mixed[0].size ** -0.5 if self.orthonormal else 1)
