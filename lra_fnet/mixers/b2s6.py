"""B2S6: selective state spaces of blocks of channels, with a bias for every channel."""

from functools import partial
from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Inexact

from lra_fnet.mixers._blocks import join_chunks, split_chunks
from lra_fnet.mixers._recurrence import draw_step_bias, linear_recurrence
from lra_fnet.model import zero_padding


class Tokens(NamedTuple):
    """What a recurrence reads at every token, by blocks h of p channels."""

    u: Float[Array, "b l h p"]
    keys: Complex[Array, "b l h n"]
    queries: Float[Array, "b l h n"]
    steps: Float[Array, "b l 2 h p"]  # of both directions


class Mixer(nn.Module):
    """Mix by h_t = exp(s_t A) h_{t-1} + (exp(s_t A) - 1) / A (B x_t + b) x_t[i].

    The output is GLU(gelu(2 Re(C x_t . h_t) + D x_t)). Each channel i has a state h of
    its own. The channels are cut into blocks; B, C and the steps
    s_t = softplus(w . x_t + c_i) of a channel read its block alone, and all channels
    of a block share B, C and w. What no input changes, b and c, is each channel's own.
    A, B and b are complex, A is diagonal and the same in all channels, C is real.

    Of the paper: blocks, bias, complex numbers and zero-order hold. It leaves open, and
    chosen here is:
    - both directions, each with A, w and c of its own; they share the rest, as Mamba-2
      here;
    - what surrounds the recurrence: what surrounds S4D's. In its LRA runs a block is an
      eighth of the model's width, so that nothing expands the width first;
    - the number of states; one state of each pair of conjugates; real parts of A below
      0; the start of A, as S4D-Lin;
    - b = 1 at the start, S4D's B; B x and C x of variance 1, S4D's C, for x of 1.

    Parameters that begin with ssm_ learn slowly and do not decay: w and c, slow in the
    paper too, and A, which it says matters little. B, b and C learn and decay as other
    matrices: frozen, it found, B and C never worked.

    Cost O(l n d + l d^2).

    References:
      Yu and Erichson, Block-Biased Mamba for Long-Range Sequence Processing (2025),
        https://arxiv.org/abs/2505.09022, section 6 (algorithm 2), section 7 and
        appendix F.
    """

    num_blocks: int = 8  # h, which must divide the width; the paper's LRA runs
    # Real numbers per channel, twice the n complex states kept: Mamba's 16, complex.
    state_dim: int = 32
    chunk_size: int = 64  # tokens whose states are in memory at once; changes no result
    # Steps begin log-uniform between these, for x_t = 0, as S4D's: a step of s scales
    # the memory to about 1 / s tokens.
    min_step: float = 0.001
    max_step: float = 0.1

    formula: ClassVar[str] = (
        "h_t = exp(s_t A) h_{t-1} + (exp(s_t A) - 1) / A (B x_t + b) x_t; "
        "y = GLU(gelu(2 Re(C x_t . h_t) + D x_t))"
    )
    cost: ClassVar[str] = "l n d + l d^2"
    exponent: ClassVar[float] = 1.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Run both recurrences in float32 over the real tokens, then gate.

        Raises:
          ValueError: the width does not make num_blocks blocks.
        """
        length, width = x.shape[1:]
        if width % self.num_blocks:
            raise ValueError(f"width {width} does not make {self.num_blocks} blocks")
        u = zero_padding(x, mask).astype(jnp.float32)
        blocks = u.reshape(*u.shape[:2], self.num_blocks, -1)
        tokens = self._tokens(blocks, mask)
        y = two_way_selection(
            tokens, self._rates(), self._bias(width), min(self.chunk_size, length)
        )
        skip = self.param("D", nn.initializers.normal(1.0), (width,))
        y = nn.gelu(2 * y.reshape(u.shape) + skip * u).astype(x.dtype)
        return nn.glu(nn.Dense(2 * width, dtype=x.dtype, name="out")(y))

    def _tokens(
        self, blocks: Float[Array, "b l h p"], mask: Bool[Array, "b l"]
    ) -> Tokens:
        """Return what every token selects from its blocks."""
        count, size = blocks.shape[2:]
        shape, scale = (count, size, self.state_dim // 2), size**-0.5
        init = nn.initializers.normal
        input_parts = self.param("B", init(0.5**0.5 * scale), (2, *shape))
        output = self.param("C", init(scale), shape)
        keys = [jnp.einsum("blhp,hpn->blhn", blocks, each) for each in input_parts]
        queries = jnp.einsum("blhp,hpn->blhn", blocks, output)
        # A step of 0 neither decays a state nor adds to it.
        steps = jnp.where(mask[..., None, None, None], self._steps(blocks), 0)
        return Tokens(blocks, jax.lax.complex(*keys), queries, steps)

    def _steps(self, blocks: Float[Array, "b l h p"]) -> Float[Array, "b l 2 h p"]:
        """Return the steps of both directions: one reading of a block, p biases."""
        shape = (2, *blocks.shape[2:])
        init = nn.initializers.normal(shape[-1] ** -0.5)
        weight = self.param("ssm_step_weight", init, shape)
        draw = partial(draw_step_bias, min_step=self.min_step, max_step=self.max_step)
        bias = self.param("ssm_step_bias", draw, shape)
        read = jnp.einsum("blhp,khp->blkh", blocks, weight)
        return nn.softplus(read[..., None] + bias)

    def _rates(self) -> Complex[Array, "2 n"]:
        """Return A of both directions, whose real part stays negative."""
        shape = (2, self.state_dim // 2)
        init = nn.initializers.constant(np.log(0.5))
        log_decay = self.param("ssm_log_decay", init, shape)
        start = np.pi * np.arange(shape[1], dtype=np.float32)
        frequency = self.param(
            "ssm_frequency", lambda _: jnp.broadcast_to(jnp.asarray(start), shape)
        )
        return jax.lax.complex(-jnp.exp(log_decay), frequency)

    def _bias(self, width: int) -> Complex[Array, "h p n"]:
        """Return b, what every channel's input goes to whatever the input is."""
        shape = (self.num_blocks, width // self.num_blocks, self.state_dim // 2)
        real = self.param("B_bias_re", nn.initializers.ones, shape)
        imag = self.param("B_bias_im", nn.initializers.zeros, shape)
        return jax.lax.complex(real, imag)


def two_way_selection(
    tokens: Tokens,
    rates: Complex[Array, "2 n"],
    bias: Complex[Array, "h p n"],
    chunk_size: int,
) -> Float[Array, "b l h p"]:
    """Return Re(q_t . h_t + q_t . g_t), states of the past h and of the future g.

    h_t = exp(s_t A) h_{t-1} + (exp(s_t A) - 1) / A (k_t + bias) u_t, and g_t the same
    from g_{t+1}, with the rates A and steps s of the other direction.

    States of n d numbers a token would not fit for long sequences: those of one chunk
    at a time are computed, and once more in the derivative.
    """
    length = tokens.u.shape[1]
    chunks = jax.tree.map(partial(_chunks_first, chunk_size=chunk_size), tokens)
    start = jnp.zeros((tokens.u.shape[0], *bias.shape), bias.dtype)
    y = jnp.zeros_like(chunks.u)
    for reverse in (False, True):
        of_way = chunks._replace(steps=chunks.steps[:, :, :, int(reverse)])
        one_chunk = jax.checkpoint(
            partial(_one_chunk, rates[int(reverse)], bias, reverse),
            prevent_cse=False,  # in a scan there is nothing to prevent
        )
        y += jax.lax.scan(one_chunk, start, of_way, reverse=reverse)[1]
    return join_chunks(y.swapaxes(0, 1), length)


def _chunks_first(
    x: Inexact[Array, "b l ..."], chunk_size: int
) -> Inexact[Array, "c b s ..."]:
    """Cut axis 1 and put the chunks first; appended zeros are steps of 0."""
    return split_chunks(x, chunk_size).swapaxes(0, 1)


def _one_chunk(
    rates: Complex[Array, "n"],
    bias: Complex[Array, "h p n"],
    reverse: bool,
    state: Complex[Array, "b h p n"],
    chunk: Tokens,
) -> tuple[Complex[Array, "b h p n"], Float[Array, "b s h p"]]:
    """Return the state that leaves a chunk, and what its tokens read."""
    first, last = (-1, 0) if reverse else (0, -1)
    growth = jnp.expm1(chunk.steps[..., None] * rates)  # exact where steps are small
    decay = 1 + growth
    matrix = chunk.keys[..., None, :] + bias
    inputs = growth / rates * matrix * chunk.u[..., None]
    inputs = inputs.at[:, first].add(decay[:, first] * state)
    states = linear_recurrence(decay, inputs, reverse)
    y = jnp.einsum("bshn,bshpn->bshp", chunk.queries, states.real)
    return states[:, last], y
