"""S5: one state space model for all channels, diagonalized, by a parallel scan."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float

from lra_fnet.mixers._recurrence import draw_log_steps, state_space
from lra_fnet.model import zero_padding


class Mixer(nn.Module):
    """Mix by h_t = exp(s L) h_{t-1} + (exp(s L) - 1) / L * B x_t in both directions.

    The output is u * sigmoid(W u), u = gelu(2 Re(C h) + D x). L is complex and
    diagonal and begins as the eigenvalues of HiPPO-N, in blocks; s are learned steps,
    and the zero-order hold makes the continuous system discrete. One of each pair of
    conjugate states is kept. Past and future share all but C; the causal form has the
    past alone. Real parts of L are kept below -1e-4, an option of the released code.

    Parameters that begin with ssm_ are those the paper trains slowly and does not
    decay.

    Cost O(l n d + l d^2).

    References:
      Smith et al., Simplified State Space Layers for Sequence Modeling (2022),
        https://arxiv.org/abs/2208.04933, sections 3 and 4 and appendix B.
    """

    # Real numbers, twice the n complex states kept; the paper's Pathfinder runs.
    state_dim: int = 256
    num_blocks: int = 8  # HiPPO matrices on the diagonal of the first state matrix
    # Steps begin log-uniform between these, the paper's: a step of s scales the memory
    # to about 1 / s tokens.
    min_step: float = 0.001
    max_step: float = 0.1
    causal: bool = False  # encoder.causal sets it

    formula: ClassVar[str] = (
        "h_t = exp(s L) h_{t-1} + (exp(s L) - 1) / L B x_t; "
        "y = u sigmoid(W u), u = gelu(2 Re(C h) + D x)"
    )
    cost: ClassVar[str] = "l n d + l d^2"
    exponent: ClassVar[float] = 1.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Run the recurrence in float32 over the real tokens, then gate."""
        width = x.shape[-1]
        u = zero_padding(x, mask).astype(jnp.float32)
        eigenvalues, basis = hippo_eigenvectors(self.state_dim, self.num_blocks)
        decay, input_matrix = self._recurrence(width, eigenvalues, basis)
        output_matrices = self._output_matrices(width, basis)
        y = state_space(u, decay, input_matrix, output_matrices)
        skip = self.param("D", nn.initializers.normal(1.0), (width,))
        y = nn.gelu(y + skip * u).astype(x.dtype)
        return y * nn.sigmoid(nn.Dense(width, dtype=x.dtype, name="gate")(y))

    def _recurrence(
        self, width: int, eigenvalues: np.ndarray, basis: np.ndarray
    ) -> tuple[Complex[Array, "n"], Complex[Array, "d n"]]:
        """Discretize the continuous system: decays per token, and input matrix."""
        real = self.param("ssm_lambda_re", lambda _: jnp.asarray(eigenvalues.real))
        imag = self.param("ssm_lambda_im", lambda _: jnp.asarray(eigenvalues.imag))
        # A real part that training pushed above 0 would make the states explode.
        rates = jax.lax.complex(jnp.minimum(real, -1e-4), imag)
        bounds = self.min_step, self.max_step
        log_steps = self.param("ssm_log_step", draw_log_steps, rates.shape, *bounds)
        steps = jnp.exp(log_steps)
        shape, stddev = (width, self.state_dim), width**-0.5
        input_re, input_im = self.param(
            "ssm_B", lambda key: _in_basis(basis.conj(), stddev, key, shape)
        )
        gain = jnp.expm1(rates * steps) / rates
        return jnp.exp(rates * steps), gain * jax.lax.complex(input_re, input_im)

    def _output_matrices(
        self, width: int, basis: np.ndarray
    ) -> Complex[Array, "w n d"]:
        """Return C for the past and for the future, doubled for the conjugates."""
        ways = 1 if self.causal else 2
        # The states of all directions are summed.
        shape, stddev = (ways, width, self.state_dim), (ways * self.state_dim) ** -0.5
        output_re, output_im = self.param(
            "C", lambda key: _in_basis(basis, stddev, key, shape)
        )
        return 2 * jax.lax.complex(output_re, output_im).swapaxes(1, 2)


def _in_basis(
    basis: Complex[np.ndarray, "p n"], stddev: float, key: Array, shape: tuple[int, ...]
) -> Float[Array, "2 ... n"]:
    """Draw real vectors of p states and turn them into the basis; two real arrays."""
    turned = stddev * jax.random.normal(key, shape) @ jnp.asarray(basis)
    return jnp.stack([turned.real, turned.imag])


def hippo_eigenvectors(
    state_dim: int, num_blocks: int
) -> tuple[Complex[np.ndarray, "n"], Complex[np.ndarray, "p n"]]:
    """Diagonalize a block-diagonal matrix of HiPPO-N, the normal part of HiPPO-LegS.

    Its entries are -1/2 on the diagonal and -+ sqrt((i + 1/2) (j + 1/2)) below and
    above. Returned are the eigenvalues with positive imaginary part and, as columns,
    their eigenvectors; the others are the conjugates.

    Raises:
      ValueError: the blocks would not have an even number of states each.

    >>> hippo_eigenvectors(4, 2)[0]
    array([-0.5+0.8660254j, -0.5+0.8660254j], dtype=complex64)
    """
    if state_dim % (2 * num_blocks):
        raise ValueError(
            f"state_dim {state_dim} does not make {num_blocks} blocks of even size"
        )
    size = state_dim // num_blocks
    root = np.sqrt(np.arange(size) + 0.5)
    below = np.tril(np.outer(root, root), -1)
    frequencies, vectors = np.linalg.eigh(1j * (below - below.T))
    half = size // 2
    eigenvalues = np.tile(-0.5 + 1j * frequencies[half:], num_blocks)
    basis = np.kron(np.eye(num_blocks), vectors[:, half:])
    return eigenvalues.astype(np.complex64), basis.astype(np.complex64)
