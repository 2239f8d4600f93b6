"""FNet's control with random matrices instead of the Fourier transform."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._seeds import layer_seed


class Mixer(nn.Module):
    """Mix by y = S x W with fixed random S and W, others in every layer.

    The entries are normal with variance 1 / l in S and 1 / d in W (LeCun). They are
    constants, made anew from the seed and the layer's path at every call and stored
    nowhere: at l^2 numbers that is little beside the product, and the seeds that are
    trained together share them.

    Cost O(l^2 d + l d^2), no parameters.

    References:
      Lee-Thorp et al., FNet (2021), https://arxiv.org/abs/2105.03824, section 4,
        Random.
    """

    seed: int = 0  # of the matrices; the seed of the run does not change them

    formula: ClassVar[str] = "y = S x W, S and W random"
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
        over_length, over_width = self._matrices(*x.shape[1:])
        x = x @ over_width.astype(x.dtype)
        return jnp.einsum("nm,bmd->bnd", over_length.astype(x.dtype), x)

    def _matrices(
        self, length: int, width: int
    ) -> tuple[Float[Array, "l l"], Float[Array, "d d"]]:
        """Draw S and W from a key that only the seed and the layer decide."""
        key = jax.random.key(layer_seed(self.seed, self.path))
        # The barrier keeps the compiler from drawing the numbers while it compiles.
        length_key, width_key = jax.random.split(jax.lax.optimization_barrier(key))
        init = nn.initializers.lecun_normal()
        return init(length_key, (length, length)), init(width_key, (width, width))
