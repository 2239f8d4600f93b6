"""FNet with a learned filter: a spectral gate for far, a short kernel for near."""

import math
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float

from lra_fnet.mixers._convolution import depthwise_conv
from lra_fnet.model import zero_padding


class Mixer(nn.Module):
    """Mix by y = GLU(gelu(F^-1(G * F u) + conv(u))), u = x with zeros for padding.

    F is the Fourier transform over positions, conv a short depthwise convolution, GLU
    a dense layer whose one half gates the other by its sigmoid. G, a complex factor
    per channel and frequency, is learned at some frequencies and interpolated between
    them: at multiples of 1 / (2 num_bands), which resolves any pattern over offsets
    up to num_bands, and at octaves below, down to 1 / max_period, which adds smooth
    kernels over all the length. It begins as exponential averages: channels in pairs,
    one over the past and one over the future, of 1 to max_period tokens.

    The length is free, frequencies being counted in cycles per token. Padding is
    zeroed and never read, but the filter wraps around at the padded length.

    The gate in place of the fixed transform is GFNet's, whose filter has the length of
    the input; dense layer and GLU are S4D's.

    Cost O(l d log l + l d^2).

    References:
      Rao et al., GFNet (2021), https://arxiv.org/abs/2107.00645, section 3.2.
      Gu et al., S4D (2022), https://arxiv.org/abs/2206.11893, the output layer.
      Lee-Thorp et al., FNet (2021), https://arxiv.org/abs/2105.03824, the model.
    """

    # Equal parts of the frequencies from 0 to 1/2 cycle per token. With 256, Path-X's
    # width, a token can be told from those of the row above.
    num_bands: int = 256
    # Tokens per cycle at the lowest frequency learned: the length of Path-X.
    max_period: int = 16384
    kernel_size: int = 5  # positions of the depthwise convolution; not tuned

    formula: ClassVar[str] = "y = GLU(gelu(F^-1(G * F x) + conv(x)))"
    cost: ClassVar[str] = "l d log l + l d^2"
    exponent: ClassVar[float] = 1.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Filter every channel, then combine the channels of each position."""
        width = x.shape[-1]
        x = zero_padding(x, mask)
        init = nn.initializers.normal(self.kernel_size**-0.5)
        kernel = self.param("kernel", init, (self.kernel_size, width))
        mixed = self._global_filter(x) + depthwise_conv(x, kernel)
        halves = nn.Dense(2 * width, dtype=x.dtype, name="out")(nn.gelu(mixed))
        return nn.glu(halves)

    def _global_filter(self, x: Float[Array, "b l d"]) -> Float[Array, "b l d"]:
        """Multiply the spectrum over positions by the gate, in float32."""
        length = x.shape[1]
        spectrum = jnp.fft.rfft(x.astype(jnp.float32), axis=1)
        filtered = jnp.fft.irfft(spectrum * self._gate(*x.shape[1:]), length, axis=1)
        return filtered.astype(x.dtype)

    def _gate(self, length: int, width: int) -> Complex[Array, "f d"]:
        """Interpolate the learned factors at the frequencies of this length."""
        bands = band_frequencies(self.num_bands, self.max_period)
        start = averaging_gate(bands, width, self.max_period)
        real = self.param("gate_real", lambda _: jnp.asarray(start.real))
        imag = self.param("gate_imag", lambda _: jnp.asarray(start.imag))
        frequencies = np.arange(length // 2 + 1) / length
        above = np.clip(np.searchsorted(bands, frequencies), 1, len(bands) - 1)
        gaps = bands[above] - bands[above - 1]
        share = jnp.asarray((frequencies - bands[above - 1]) / gaps, jnp.float32)
        return _between(jax.lax.complex(real, imag), above, share[:, None])


def _between(
    table: Complex[Array, "k d"], above: np.ndarray, share: Float[Array, "f 1"]
) -> Complex[Array, "f d"]:
    """Return the points that are a share of the way from one row to the next."""
    return table[above - 1] * (1 - share) + table[above] * share


def band_frequencies(num_bands: int, max_period: int) -> np.ndarray:
    """Return 0, octaves from 1 / max_period on, and num_bands equal steps up to 1/2.

    >>> band_frequencies(2, 16).tolist()
    [0.0, 0.0625, 0.125, 0.25, 0.5]
    """
    steps = np.arange(1, num_bands + 1) / (2 * num_bands)
    num_octaves = max(math.ceil(math.log2(max_period * steps[0])), 0)
    return np.concatenate([[0.0], 2.0 ** np.arange(num_octaves) / max_period, steps])


def averaging_gate(
    frequencies: np.ndarray, width: int, max_period: int
) -> Complex[np.ndarray, "k d"]:
    """Return 1 / (1 +- 2 pi i f t): an average over t tokens before or after.

    t grows geometrically with the channel; even channels average over the past.
    """
    tokens = np.geomspace(1, max_period, (width + 1) // 2).repeat(2)[:width]
    signs = np.where(np.arange(width) % 2, -1, 1)
    angles = 2 * np.pi * frequencies[:, None] * tokens * signs
    return (1 / (1 + 1j * angles)).astype(np.complex64)
