"""FNet's ablation with the Walsh-Hadamard instead of the Fourier transform."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._fourier import symmetric


class Mixer(nn.Module):
    """Mix by y = H_l x H_d with H_l[n, m] = (-1)^(number of ones in n AND m).

    Only additions and subtractions. Length and width are padded with zeros to powers
    of two, transformed (Sylvester's order, unnormalized), and cut to l and d again:
    H_l is the upper left corner of a Hadamard matrix, which is invertible as a whole
    but need not be in that part; the residual keeps what is lost.

    Cost O(l d (log l + log d)) by butterflies; here each axis is split in two factors
    that are multiplied as matrices, O(l d (sqrt l + sqrt d)), which is fewer and
    faster passes over memory. No parameters.

    References:
      Lee-Thorp et al., FNet (2021), https://arxiv.org/abs/2105.03824, the ablation
        of other transforms.
    """

    formula: ClassVar[str] = "y = H_l x H_d, H of +1 and -1"
    cost: ClassVar[str] = "l d (sqrt l + sqrt d)"
    exponent: ClassVar[float] = 1.5
    norm_placement: ClassVar[str] = "post"  # as FNet
    mixes_padding: ClassVar[str] = "every output is a sum over all l positions"

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Mix over length and width, padding included, as FNet does."""
        return hadamard_mix(x)


@symmetric
def hadamard_mix(x: Float[Array, "*b l d"]) -> Float[Array, "*b l d"]:
    """Return H_l x H_d."""
    return _transform_last(
        jnp.swapaxes(_transform_last(jnp.swapaxes(x, -1, -2)), -1, -2)
    )


def _transform_last(x: Float[Array, "*b n"]) -> Float[Array, "*b n"]:
    """Multiply the last axis by H_n, as H of its high bits (x) H of its low bits."""
    size = x.shape[-1]
    bits = max(size - 1, 0).bit_length()
    high, low = 2 ** (bits // 2), 2 ** (bits - bits // 2)
    padded = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, high * low - size)])
    table = padded.reshape(*x.shape[:-1], high, low)
    table = jnp.einsum("...ij,ik,jm->...km", table, _hadamard(high), _hadamard(low))
    return table.reshape(padded.shape)[..., :size]


def _hadamard(size: int) -> Float[np.ndarray, "n n"]:
    """Return the Hadamard matrix of a power of two, in Sylvester's order."""
    index = np.arange(size)
    ones = np.bitwise_count(index[:, None] & index)
    return np.where(ones % 2, -1.0, 1.0).astype(np.float32)
