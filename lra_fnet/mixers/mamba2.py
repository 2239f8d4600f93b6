"""Mamba-2: state space duality, a linear attention whose decay depends on the input."""

import math
from functools import partial
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._attention import check_heads
from lra_fnet.mixers._blocks import join_chunks, split_chunks
from lra_fnet.mixers._convolution import depthwise_conv
from lra_fnet.mixers._recurrence import delayed, draw_step_bias, linear_recurrence
from lra_fnet.model import zero_padding


class Mixer(nn.Module):
    """Mix by h_t = exp(-a s_t) h_{t-1} + s_t B_t u_t, y_t = C_t h_t + D u_t, and gate.

    u, B and C are projections of x after a short convolution and a SiLU; each head has
    a rate a and, from a projection of x, steps s_t = softplus(...). The result is
    norm(y silu(W_z x)) W.

    The paper's model is causal, as the causal form is; else the recurrence runs in both
    directions, each with rates and steps of its own, and shares the rest. The short
    convolution is then centered and has 7 taps, the paper's 4 causal ones in both
    directions. The norm adds 1e-6 to the mean square, the released code 1e-5.

    Parameters that begin with ssm_ are those the paper does not decay.

    Cost O(l c e + l n e + l d e), chunks of c, states of n, e = expansion d.

    References:
      Dao and Gu, Transformers are SSMs (2024), https://arxiv.org/abs/2405.21060,
        sections 6 (chunks) and 7 (block).
    """

    num_heads: int = 8  # as the others here
    state_dim: int = 64  # n, rows of the state of each head; not tuned
    expansion: int = 2  # width of u in widths of x; the paper's
    kernel_size: int = 7  # positions of the short convolution: 4 causal, both ways
    chunk_size: int = (
        64  # tokens whose pairs are computed one by one; changes no result
    )
    causal: bool = False  # encoder.causal sets it

    formula: ClassVar[str] = (
        "h_t = exp(-a s_t) h_{t-1} + s_t B_t u_t; y = norm((C_t h_t + D u) silu(z)) W"
    )
    cost: ClassVar[str] = "l d (c + n + d)"
    exponent: ClassVar[float] = 1.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Run the recurrences over the real tokens, then gate, norm and project.

        Raises:
          ValueError: the heads cannot share the width of u evenly.
        """
        width = x.shape[-1]
        inner = self.expansion * width
        check_heads(self.num_heads, inner)
        gate, mixed, steps = self._projections(zero_padding(x, mask), inner)
        u, keys, queries = jnp.split(mixed, [inner, inner + self.state_dim], axis=-1)
        u = u.reshape(*u.shape[:2], self.num_heads, -1)
        # A step of 0 neither decays a state nor adds to it.
        steps = jnp.where(mask[:, None, :, None], steps, 0)
        y = state_space_dual(
            queries, keys, u, steps, self._rates(), min(self.chunk_size, x.shape[1])
        )
        skip = self.param("D", nn.initializers.ones, (self.num_heads, 1))
        y = (y + skip * u).reshape(*x.shape[:2], inner).astype(x.dtype)
        y = nn.RMSNorm(dtype=x.dtype, name="norm")(y * nn.silu(gate))
        return nn.Dense(width, use_bias=False, dtype=x.dtype, name="out")(y)

    def _projections(
        self, x: Float[Array, "b l d"], inner: int
    ) -> tuple[Float[Array, "b l e"], Float[Array, "b l m"], Float[Array, "b w l h"]]:
        """Return the gate, u with B and C, and the steps of every direction."""
        mixed_dim, of_steps = inner + 2 * self.state_dim, (self._ways, self.num_heads)
        features = inner + mixed_dim + math.prod(of_steps)
        projected = nn.Dense(features, use_bias=False, dtype=x.dtype, name="in")(x)
        gate, mixed, steps = jnp.split(projected, [inner, inner + mixed_dim], axis=-1)
        # Of the centered kernel the causal form has the half that looks back.
        taps = self.kernel_size // 2 + 1 if self.causal else self.kernel_size
        kernel = self.param(
            "kernel", nn.initializers.normal(taps**-0.5), (taps, mixed_dim)
        )
        bias = self.param("kernel_bias", nn.initializers.zeros, (mixed_dim,))
        mixed = depthwise_conv(mixed, kernel, self.causal) + bias.astype(x.dtype)
        draw = partial(draw_step_bias, min_step=1e-3, max_step=1e-1)
        bias = self.param("ssm_step_bias", draw, of_steps)
        steps = steps.astype(jnp.float32).reshape(*x.shape[:2], *of_steps)
        return gate, nn.silu(mixed), nn.softplus(steps + bias).swapaxes(1, 2)

    def _rates(self) -> Float[Array, "w h"]:
        """Return how fast the states of each direction and head decay."""
        shape = (self._ways, self.num_heads)
        return jnp.exp(self.param("ssm_log_rate", _draw_log_rates, shape))

    @property
    def _ways(self) -> int:
        """Return the number of directions."""
        return 1 if self.causal else 2


def _draw_log_rates(key: Array, shape: tuple[int, ...]) -> Float[Array, "*shape"]:
    """Draw rates from 1 to 16 (the released code's range)."""
    return jnp.log(jax.random.uniform(key, shape, minval=1.0, maxval=16.0))


def state_space_dual(
    queries: Float[Array, "b l n"],
    keys: Float[Array, "b l n"],
    u: Float[Array, "b l h p"],
    steps: Float[Array, "b w l h"],
    rates: Float[Array, "w h"],
    chunk_size: int,
) -> Float[Array, "b l h p"]:
    """Return y_i = sum over j of (q_i . k_j) w_ij u_j in float32.

    w_ij is s_j exp(-a (s_{j+1} + ... + s_i)) for j <= i, with rates and steps of the
    first direction, plus s_j exp(-a (s_i + ... + s_{j-1})) for j >= i, with those of
    the second, where there is one.

    Pairs inside a chunk are computed one by one. The chunks before and after come in
    by an n x p matrix per head, which a recurrence over chunks carries.
    """
    length = queries.shape[1]
    queries, keys, u = (
        split_chunks(each.astype(jnp.float32), chunk_size)
        for each in (queries, keys, u)
    )
    scores = jnp.einsum("bcin,bcjn->bcij", queries, keys)
    y = jnp.zeros_like(u)
    for reverse in (False, True)[: len(rates)]:
        step = split_chunks(steps[:, int(reverse)], chunk_size)
        log_decay = -rates[int(reverse)] * step
        y += _one_way(scores, queries, keys, u * step[..., None], log_decay, reverse)
    return join_chunks(y, length)


def _one_way(
    scores: Float[Array, "b c s s"],
    queries: Float[Array, "b c s n"],
    keys: Float[Array, "b c s n"],
    inputs: Float[Array, "b c s h p"],
    log_decay: Float[Array, "b c s h"],
    reverse: bool,
) -> Float[Array, "b c s h p"]:
    """Sum over the tokens on one side, the token itself included."""
    total = log_decay.sum(axis=2, keepdims=True)
    passed = jnp.cumsum(log_decay, axis=2)
    if reverse:  # what lies from a token to the end of its chunk, itself included
        passed = total - passed + log_decay
    weights = _decays(passed, reverse) * scores[:, :, None]
    y = jnp.einsum("bchij,bcjhp->bcihp", weights, inputs)
    leaving = jnp.exp(total - passed)[..., None] * inputs
    states = jnp.einsum("bcjn,bcjhp->bchnp", keys, leaving)
    per_chunk = jnp.exp(total[:, :, 0])[..., None, None]
    states = delayed(linear_recurrence(per_chunk, states, reverse), reverse)
    entering = jnp.einsum("bcin,bchnp->bcihp", queries, states)
    return y + entering * jnp.exp(passed)[..., None]


def _decays(
    passed: Float[Array, "b c s h"], reverse: bool
) -> Float[Array, "b c h s s"]:
    """Return exp(passed_i - passed_j) for j before i (after, if `reverse`), else 0."""
    passed = passed.swapaxes(2, 3)
    differences = passed[..., :, None] - passed[..., None, :]
    size = differences.shape[-1]
    seen = jnp.tril(jnp.ones((size, size), bool))
    seen = seen.T if reverse else seen
    # The other differences are positive: their exponentials might overflow.
    return jnp.exp(jnp.where(seen, differences, -jnp.inf))
