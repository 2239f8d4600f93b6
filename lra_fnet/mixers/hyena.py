"""Hyena: gates and long convolutions in turns, with kernels from a small network."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._convolution import depthwise_conv, long_convolution
from lra_fnet.model import zero_padding


class Mixer(nn.Module):
    """Mix by z <- x_i (h_i * z + b_i z) for i = 1 to `order`, from z = v; then project.

    v and the gates x_i are projections of x, passed through a short convolution. The
    kernels h_i are what a network with sine activations makes of positions, times
    exponential windows and 1 / sqrt(l); past and future have kernels of their own.

    Positions are counted in lengths of the padded sequence, so a kernel stretches with
    it: the same tokens in a longer row give another result.

    The paper's model is causal, and so is the causal form. Its released code omits h_1
    and projects the gated convolution of x_1 v.

    Cost O(l d log l + l d^2).

    References:
      Poli et al., Hyena Hierarchy (2023), https://arxiv.org/abs/2302.10866, definition
        3.1, section 3.3 and table A.4.
    """

    order: int = 2  # long convolutions and gates; as published. The rest is not tuned
    short_kernel_size: int = 3  # positions of the convolution after the projections
    filter_dim: int = 64  # hidden units of the network that makes the kernels
    filter_depth: int = 4  # its dense layers
    num_bands: int = 16  # frequencies that encode a position, 1 to num_bands cycles
    sine_frequency: float = 14.0  # factor before each sine: radians per unit
    causal: bool = False  # encoder.causal sets it

    formula: ClassVar[str] = "z <- x_i (h_i * z + b_i z), h_i(t) = window(t) MLP(t)"
    cost: ClassVar[str] = "l d log l + l d^2"
    exponent: ClassVar[float] = 1.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Alternate convolutions over the real tokens and gates."""
        length, width = x.shape[1:]
        z, *gates = self._projections(zero_padding(x, mask), mask)
        kernels = self._kernels(length, width)
        skips = self.param("skip", nn.initializers.normal(1.0), (self.order, width))
        for gate, kernel, skip in zip(gates, kernels, skips, strict=True):
            # The gates reach into padding by the short convolution.
            z = zero_padding(z, mask)
            mixed = long_convolution(z, *kernel)
            z = gate * (mixed + skip.astype(z.dtype) * z)
        return nn.Dense(width, dtype=x.dtype, name="out")(z)

    def _projections(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"]
    ) -> list[Float[Array, "b l d"]]:
        """Return v and the gates."""
        features = (self.order + 1) * x.shape[-1]
        projected = nn.Dense(features, dtype=x.dtype, name="projections")(x)
        init = nn.initializers.normal(self.short_kernel_size**-0.5)
        kernel = self.param("short_kernel", init, (self.short_kernel_size, features))
        mixed = depthwise_conv(zero_padding(projected, mask), kernel, self.causal)
        return jnp.split(mixed, self.order + 1, axis=-1)

    def _kernels(self, length: int, width: int) -> Float[Array, "i w l d"]:
        """Return a kernel for each convolution and direction."""
        ways = 1 if self.causal else 2
        encoded = jnp.asarray(position_encoding(length, self.num_bands))
        values = self._network(encoded, ways * self.order * width)
        values = values.reshape(length, self.order, ways, width)
        # The paper has no factor; sums of l terms then begin 30 times x at l = 1,024.
        windows = jnp.asarray(decay_windows(length, width)) * length**-0.5
        return values.transpose(1, 2, 0, 3) * windows

    def _network(
        self, encoded: Float[Array, "l k"], features: int
    ) -> Float[Array, "l m"]:
        """Apply dense layers with sines in between, in float32."""
        # Uniform within 1 / sqrt(fan in): the sines begin slower than unit variance
        # at this frequency would make them.
        init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        hidden = encoded
        for layer in range(self.filter_depth - 1):
            dense = nn.Dense(self.filter_dim, kernel_init=init, name=f"filter_{layer}")
            hidden = jnp.sin(self.sine_frequency * dense(hidden))
        return nn.Dense(features, use_bias=False, kernel_init=init, name="filter_out")(
            hidden
        )


def position_encoding(length: int, num_bands: int) -> Float[np.ndarray, "l k"]:
    """Return t and the cosines and sines of 1 to num_bands cycles, t from 0 to 1.

    >>> position_encoding(3, 1).round(3).tolist()
    [[0.0, 1.0, 0.0], [0.5, -1.0, 0.0], [1.0, 1.0, -0.0]]
    """
    t = _unit_positions(length)
    angles = 2 * np.pi * t * np.arange(1, num_bands + 1)
    return np.concatenate([t, np.cos(angles), np.sin(angles)], 1).astype(np.float32)


def decay_windows(length: int, width: int) -> Float[np.ndarray, "l d"]:
    """Return 0.05 + exp(-a t), a evenly spaced over the channels.

    The exponential falls to 1 % after 0.3 to 1.5 lengths; the constant lets a kernel
    use the far end as well.
    """
    rates = np.linspace(np.log(100) / 1.5, np.log(100) / 0.3, width)
    decay = np.exp(-_unit_positions(length) * rates)
    return (0.05 + decay).astype(np.float32)


def _unit_positions(length: int) -> Float[np.ndarray, "l 1"]:
    """Return positions from 0 to 1."""
    return np.arange(length)[:, None] / max(length - 1, 1)
