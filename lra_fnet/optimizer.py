"""Learning-rate schedules and the optimizer."""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

SCHEDULES = ("rsqrt", "lra_cosine", "cosine", "constant")


def make_schedule(
    schedule: str, learning_rate: float, warmup_steps: int, num_steps: int
) -> optax.Schedule:
    """Return the learning rate as a function of the step, from 0 at step 0.

    rsqrt:    learning_rate min(1, t / w) / sqrt(max(t, w)), LRA's for text: the peak,
              at t = w, is learning_rate / sqrt(w).
    lra_cosine: linear to learning_rate over w steps, times half a cosine that starts
              at step w and would reach 0 w steps after the end, LRA's for images.
    cosine:   linear to learning_rate over w steps, then half a cosine to 0.
    constant: linear to learning_rate over w steps, then constant.

    Raises:
      ValueError: unknown schedule.

    >>> round(float(make_schedule("rsqrt", 0.05, 1000, 5000)(1000)), 6)
    0.001581
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule.schedule is {schedule!r}; choose from {SCHEDULES}")
    warmup = max(warmup_steps, 1)
    if schedule == "cosine":
        # A run of a few steps is all warm-up; optax wants at least one step after it.
        return optax.warmup_cosine_decay_schedule(
            0.0, learning_rate, warmup, max(num_steps, warmup + 1)
        )
    if schedule == "constant":
        return optax.linear_schedule(0.0, learning_rate, warmup)
    if schedule == "lra_cosine":
        return partial(_lra_cosine, learning_rate, warmup, num_steps)
    return partial(_rsqrt, learning_rate, warmup)


def _rsqrt(learning_rate: float, warmup: int, step: ArrayLike) -> jax.Array:
    """Return learning_rate min(1, t / w) / sqrt(max(t, w))."""
    rise = jnp.minimum(1.0, step / warmup)
    return learning_rate * rise / jnp.sqrt(jnp.maximum(step, warmup))


def _lra_cosine(
    learning_rate: float, warmup: int, num_steps: int, step: ArrayLike
) -> jax.Array:
    """Return learning_rate min(1, t / w) (1 + cos(pi max(0, t - w) / steps)) / 2."""
    rise = jnp.minimum(1.0, step / warmup)
    progress = jnp.maximum(0.0, step - warmup) / num_steps
    return learning_rate * rise * 0.5 * (1 + jnp.cos(jnp.pi * progress))


def make_optimizer(
    schedule: optax.Schedule,
    b1: float,
    b2: float,
    eps: float,
    weight_decay: float,
    decay_all: bool,
    clip_norm: float,
    ssm_factor: float,
) -> optax.GradientTransformation:
    """Return AdamW behind a clip of the global gradient norm (0: no clip).

    The decay is decoupled and multiplied by the learning rate. `decay_all` applies it
    to every parameter, as LRA does; otherwise to matrices alone, and not to parameters
    of state spaces, whose names begin with ssm_. `ssm_factor` multiplies the learning
    rate of these.
    """
    clip = optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity()
    adamw = optax.adamw(
        schedule,
        b1=b1,
        b2=b2,
        eps=eps,
        weight_decay=weight_decay,
        mask=None if decay_all else _is_decayed,
    )
    slower = optax.masked(optax.scale(ssm_factor), _is_of_state_space)
    return optax.chain(clip, adamw, slower)


def descent_direction(gradients: optax.Updates) -> optax.Updates:
    """Return gradients whose negative leads downhill for complex parameters, too.

    The gradient that JAX returns for a complex number is the conjugate of the direction
    of steepest ascent.
    """
    return jax.tree.map(jnp.conj, gradients)


def _is_decayed(params: optax.Params) -> optax.Params:
    """Tell matrices from biases, normalization scales and state spaces."""

    def is_decayed(path, p, of_state_space):
        # Experts have theirs stacked: a matrix has three axes, a bias two.
        stacked = any(getattr(part, "key", "") == "experts" for part in path)
        return p.ndim - stacked >= 2 and not of_state_space

    return jax.tree.map_with_path(is_decayed, params, _is_of_state_space(params))


def _is_of_state_space(params: optax.Params) -> optax.Params:
    """Tell parameters whose own names begin with ssm_."""
    return jax.tree.map_with_path(
        lambda path, _: str(getattr(path[-1], "key", "")).startswith("ssm_"), params
    )
