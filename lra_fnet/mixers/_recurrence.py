"""Linear recurrences h_t = a_t h_{t-1} + x_t, in the way that suits the device."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Inexact

from lra_fnet.hardware import target


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def linear_recurrence(
    decay: Inexact[Array, "..."], inputs: Inexact[Array, "b l ..."], reverse: bool
) -> Inexact[Array, "b l ..."]:
    """Return every state h_t = decay_t h_{t-1} + inputs_t, beginning with h = 0.

    Time is axis 1; `reverse` runs from the last step to the first. An axis of decay
    may be 1 where it does not vary. Work O(l); depth O(l) on CPUs, which take one step
    after the other, and O(log l) elsewhere, by a parallel scan.

    >>> linear_recurrence(jnp.full((1, 1), 0.5), jnp.ones((1, 3)), False)
    Array([[1.  , 1.5 , 1.75]], dtype=float32)
    """
    return _states(decay, inputs, reverse, target().platform)


# Compiled as one: step by step, outside a compiled function, it takes ten times longer.
@partial(jax.jit, static_argnames=("reverse", "platform"))
def _states(decay: Array, inputs: Array, reverse: bool, platform: str) -> Array:
    """Return every state.

    A few cores do no two steps at once, and the tree of a parallel scan, which reads
    and writes several times as much, takes them two to three times as long.
    """
    shape = (decay.shape[0], inputs.shape[1], *decay.shape[2:])
    if platform != "cpu":
        pairs = (jnp.broadcast_to(decay, shape), inputs)
        scan = jax.lax.associative_scan
        return scan(_compose, pairs, reverse=reverse, axis=1)[1]

    def step(number: Array, so_far: tuple[Array, Array]) -> tuple[Array, Array]:
        """Write the next state over the inputs of its step."""
        state, states = so_far
        time = shape[1] - 1 - number if reverse else number
        row = decay[:, 0]
        if decay.shape[1] > 1:
            row = jax.lax.dynamic_index_in_dim(decay, time, 1, keepdims=False)
        state = row * state + jax.lax.dynamic_index_in_dim(states, time, 1, False)
        return state, jax.lax.dynamic_update_index_in_dim(states, state, time, 1)

    start = jnp.zeros_like(inputs[:, 0]), inputs
    return jax.lax.fori_loop(0, shape[1], step, start)[1]


def _compose(
    earlier: tuple[Array, Array], later: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Compose two maps h -> a h + x, each given as (a, x)."""
    return earlier[0] * later[0], later[0] * earlier[1] + later[1]


def _forward(decay: Array, inputs: Array, reverse: bool) -> tuple:
    """Save the states alone, not what every level of the scan computes."""
    states = linear_recurrence(decay, inputs, reverse)
    return states, (decay, states)


def _backward(reverse: bool, saved: tuple[Array, Array], gradient: Array) -> tuple:
    """Run the transposed recurrence, which is the same one in the other direction."""
    decay, states = saved
    varies = decay.shape[1] > 1
    following = delayed(decay, not reverse) if varies else decay
    to_inputs = linear_recurrence(following, gradient, not reverse)
    to_decay = to_inputs * delayed(states, reverse)
    constant = [axis for axis, size in enumerate(decay.shape) if size == 1]
    return to_decay.sum(axis=constant, keepdims=True), to_inputs


linear_recurrence.defvjp(_forward, _backward)


def delayed(x: Inexact[Array, "b l ..."], reverse: bool) -> Inexact[Array, "b l ..."]:
    """Return x of one step before (after, if `reverse`), zero where there is none."""
    nothing = jnp.zeros_like(x[:, :1])
    if reverse:
        return jnp.concatenate([x[:, 1:], nothing], axis=1)
    return jnp.concatenate([nothing, x[:, :-1]], axis=1)


def state_space(
    x: Float[Array, "b l d"],
    decay: Complex[Array, "n"],
    input_matrix: Complex[Array, "d n"],
    output_matrices: Complex[Array, "w n d"],
) -> Float[Array, "b l d"]:
    """Return Re(h_t C_0 + g_t C_1) with states of the past h and of the future g.

    h_t = decay h_{t-1} + x_t B and g_t = decay g_{t+1} + x_t B. With C_0 alone there is
    no g.
    """
    parts = _project(x, input_matrix.real), _project(x, input_matrix.imag)
    inputs = jax.lax.complex(*parts)
    y = jnp.zeros_like(x)
    for matrix, reverse in zip(output_matrices, (False, True), strict=False):
        states = linear_recurrence(decay[None, None], inputs, reverse)
        y += states.real @ matrix.real - states.imag @ matrix.imag
    return y


@jax.custom_vjp
def _project(x: Float[Array, "b l d"], matrix: Float[Array, "d n"]) -> Array:
    """Return x times the matrix.

    The derivative multiplies x^T by the gradient. JAX would turn the gradient around,
    which is wider and, being part of a complex number, in pieces: on CPUs a third of
    the time of a layer.
    """
    return x @ matrix


_project.defvjp(
    lambda x, matrix: (x @ matrix, (x, matrix)),
    lambda saved, g: (g @ saved[1].T, jnp.einsum("bld,bln->dn", saved[0], g)),
)


def draw_log_steps(
    key: Array, shape: tuple[int, ...], min_step: float, max_step: float
) -> Float[Array, "*shape"]:
    """Draw logarithms of the steps that make a continuous system discrete, uniform."""
    bounds = np.log([min_step, max_step])
    return jax.random.uniform(key, shape, jnp.float32, *bounds)


def draw_step_bias(
    key: Array, shape: tuple[int, ...], min_step: float, max_step: float
) -> Float[Array, "*shape"]:
    """Draw what softplus makes steps of min_step to max_step of, log-uniform.

    >>> bias = draw_step_bias(jax.random.key(0), (999,), 0.001, 0.1)
    >>> steps = jax.nn.softplus(bias)
    >>> bool(steps.min() > 0.00099), bool(steps.max() < 0.101)
    (True, True)
    """
    steps = jnp.exp(draw_log_steps(key, shape, min_step, max_step))
    return steps + jnp.log(-jnp.expm1(-steps))
