"""A residual convolution: the control that sees its neighbors and no further."""

from typing import ClassVar

import flax.linen as nn
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._convolution import depthwise_conv
from lra_fnet.model import zero_padding


class Mixer(nn.Module):
    """Mix by y = W gelu(conv(x) + b) + c, a convolution over w positions.

    N layers see N (w - 1) / 2 positions to either side: what such a model scores is
    no evidence of long-range dependencies.

    The causal form convolves the position itself and the w - 1 before it.

    Cost O(l w d + l d^2) depthwise, O(l w d^2) else.

    References:
      Miralles-Gonzalez et al. (2025), https://arxiv.org/abs/2501.14850, on locality in
        the Long Range Arena.
      Chollet, Xception (2016), https://arxiv.org/abs/1610.02357, depthwise.
    """

    kernel_size: int = 5  # w, positions; chosen small, for a control of locality
    depthwise: bool = True  # a kernel per channel; False: one from all channels to all
    causal: bool = False  # encoder.causal sets it

    formula: ClassVar[str] = "y = W gelu(conv(x) + b) + c"
    cost: ClassVar[str] = "l w d + l d^2"
    exponent: ClassVar[float] = 1.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Convolve with zeros for padding, then combine channels."""
        width = x.shape[-1]
        x = zero_padding(x, mask)
        if self.depthwise:
            init = nn.initializers.normal(self.kernel_size**-0.5)
            kernel = self.param("kernel", init, (self.kernel_size, width))
            bias = self.param("bias", nn.initializers.zeros, (width,))
            mixed = depthwise_conv(x, kernel, self.causal) + bias.astype(x.dtype)
        else:
            padding = "CAUSAL" if self.causal else "SAME"
            mixed = nn.Conv(
                width, (self.kernel_size,), padding=padding, dtype=x.dtype, name="conv"
            )(x)
        return nn.Dense(width, dtype=x.dtype, name="out")(nn.gelu(mixed))
