"""LRU: a linear recurrence with a diagonal, complex, stable state matrix."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float

from lra_fnet.mixers._recurrence import state_space
from lra_fnet.model import zero_padding


class Mixer(nn.Module):
    """Mix by h_t = a h_{t-1} + g * B x_t, y = GLU(gelu(Re(C h) + D x)), both ways.

    a = exp(-exp(nu) + i exp(theta)) is complex and diagonal, inside the unit circle
    whatever nu and theta; g begins as sqrt(1 - |a|^2), so that states keep the scale
    of the input. The paper writes the recurrence forward; here past and future have
    states of their own and share a, g and B. The causal form is the paper's.

    Parameters that begin with ssm_ are those the paper trains slowly and does not
    decay.

    Cost O(l n d + l d^2).

    References:
      Orvieto et al., Resurrecting Recurrent Neural Networks for Long Sequences (2023),
        https://arxiv.org/abs/2303.06349, sections 3.2 to 3.4 and appendix A.
    """

    state_dim: int = 256  # n, complex numbers; chosen
    # |a| begins between these; a state remembers about 1 / (1 - |a|) tokens. Chosen for
    # memories of 10 to 1,000.
    min_radius: float = 0.9
    max_radius: float = 0.999
    max_phase: float = 6.28  # radians per token: a begins at angles up to it; here any
    causal: bool = False  # encoder.causal sets it

    formula: ClassVar[str] = "h_t = a h_{t-1} + g B x_t; y = GLU(gelu(Re(C h) + D x))"
    cost: ClassVar[str] = "l n d + l d^2"
    exponent: ClassVar[float] = 1.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Run the recurrence in float32 over the real tokens, then gate."""
        width = x.shape[-1]
        u = zero_padding(x, mask).astype(jnp.float32)
        ways = 1 if self.causal else 2
        init = nn.initializers.normal((ways * self.state_dim) ** -0.5)
        output_re, output_im = self.param("C", init, (2, ways, self.state_dim, width))
        output_matrices = jax.lax.complex(output_re, output_im)
        y = state_space(u, *self._recurrence(width), output_matrices)
        skip = self.param("D", nn.initializers.normal(1.0), (width,))
        y = nn.gelu(y + skip * u).astype(x.dtype)
        return nn.glu(nn.Dense(2 * width, dtype=x.dtype, name="out")(y))

    def _recurrence(
        self, width: int
    ) -> tuple[Complex[Array, "n"], Complex[Array, "d n"]]:
        """Return the decays a and the input matrix g B."""
        log_nu = self.param("ssm_log_nu", self._draw_log_nu)
        log_theta = self.param("ssm_log_theta", self._draw_log_theta)
        decay = jnp.exp(jax.lax.complex(-jnp.exp(log_nu), jnp.exp(log_theta)))
        log_gain = self.param(
            "ssm_log_gain", lambda _: jnp.log(1 - jnp.abs(decay) ** 2) / 2
        )
        init = nn.initializers.normal((2 * width) ** -0.5)
        input_re, input_im = self.param("ssm_B", init, (2, width, self.state_dim))
        return decay, jnp.exp(log_gain) * jax.lax.complex(input_re, input_im)

    def _draw_log_nu(self, key: Array) -> Float[Array, "n"]:
        """Draw |a| = exp(-nu) so that a is uniform over the ring's area."""
        low, high = self.min_radius**2, self.max_radius**2
        square = high - (high - low) * jax.random.uniform(key, (self.state_dim,))
        return jnp.log(-jnp.log(square) / 2)

    def _draw_log_theta(self, key: Array) -> Float[Array, "n"]:
        """Draw the angles of a uniformly; never 0, which has no logarithm."""
        share = 1 - jax.random.uniform(key, (self.state_dim,))
        return jnp.log(self.max_phase * share)
