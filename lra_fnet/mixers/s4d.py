"""S4D: a diagonal state space model per channel, as a convolution."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float

from lra_fnet.mixers._convolution import exponential_sum, long_convolution
from lra_fnet.mixers._recurrence import draw_log_steps
from lra_fnet.model import zero_padding


class Mixer(nn.Module):
    """Mix by y = GLU(gelu(K * x + D x)), a convolution with K for every channel.

    K_t = 2 Re sum over n of C_n (exp(s A_n) - 1) / A_n exp(s A_n t) is the response
    of a diagonal system with rates A, a learned step s and zero-order hold. Past and
    future have kernels of their own, which differ in C alone; the causal form has that
    of the past.

    Parameters that begin with ssm_ are those the paper trains slowly and does not
    decay.

    Cost O(l d log l + l n d + l d^2).

    References:
      Gu et al., On the Parameterization and Initialization of Diagonal State Space
        Models (2022), https://arxiv.org/abs/2206.11893, sections 3 and 4.
    """

    # Real numbers per channel, twice the n complex states kept; the paper's.
    state_dim: int = 64
    # Of A: "inverse" (S4D-Inv, chosen and not tuned) or "linear" (S4D-Lin).
    initialization: str = "inverse"
    # Steps begin log-uniform between these, the paper's: a step of s scales the memory
    # to about 1 / s tokens.
    min_step: float = 0.001
    max_step: float = 0.1
    causal: bool = False  # encoder.causal sets it

    formula: ClassVar[str] = (
        "y = GLU(gelu(K * x + D x)), "
        "K_t = 2 Re sum_n C_n (exp(s A_n) - 1) / A_n exp(s A_n t)"
    )
    cost: ClassVar[str] = "l d log l + l n d + l d^2"
    exponent: ClassVar[float] = 1.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Convolve every channel in float32, then combine the channels by a GLU."""
        length, width = x.shape[1:]
        u = zero_padding(x, mask).astype(jnp.float32)
        y = long_convolution(u, *self._kernels(length, width))
        skip = self.param("D", nn.initializers.normal(1.0), (width,))
        y = nn.gelu(y + skip * u).astype(x.dtype)
        return nn.glu(nn.Dense(2 * width, dtype=x.dtype, name="out")(y))

    def _kernels(self, length: int, width: int) -> list[Float[Array, "l d"]]:
        """Return the kernel of the past and, unless causal, that of the future."""
        ways = 1 if self.causal else 2
        shape = (width, self.state_dim // 2)
        rates = self._rates(shape)
        bounds = self.min_step, self.max_step
        log_steps = self.param("ssm_log_step", draw_log_steps, (width, 1), *bounds)
        steps = jnp.exp(log_steps)
        init = nn.initializers.normal(0.5**0.5)
        output_re, output_im = self.param("C", init, (2, ways, *shape))
        gain = jnp.expm1(rates * steps) / rates
        weights = 2 * gain * jax.lax.complex(output_re, output_im)
        return [exponential_sum(each, rates * steps, length).real for each in weights]

    def _rates(self, shape: tuple[int, int]) -> Complex[Array, "d n"]:
        """Return A, whose real part stays negative."""
        start = initial_frequencies(self.state_dim, self.initialization)
        log_decay = self.param(
            "ssm_log_decay", nn.initializers.constant(np.log(0.5)), shape
        )
        frequency = self.param(
            "ssm_frequency", lambda _: jnp.broadcast_to(jnp.asarray(start), shape)
        )
        return jax.lax.complex(-jnp.exp(log_decay), frequency)


def initial_frequencies(state_dim: int, initialization: str) -> Float[np.ndarray, "n"]:
    """Return the imaginary parts that A begins with; its real part begins at -1/2.

    Raises:
      ValueError: unknown initialization.

    >>> initial_frequencies(4, "linear").tolist()
    [0.0, 3.1415927410125732]
    """
    n = np.arange(state_dim // 2, dtype=np.float32)
    choices = {
        "linear": np.pi * n,
        "inverse": state_dim / np.pi * (state_dim / (2 * n + 1) - 1),
    }
    if initialization not in choices:
        raise ValueError(
            f"initialization is {initialization!r}; choose from {[*choices]}"
        )
    return choices[initialization]
