"""Convolutions over positions: short kernels, and kernels as long as the sequence."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from lra_fnet.hardware import target


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def depthwise_conv(
    x: Float[Array, "b l d"], kernel: Float[Array, "w d"], causal: bool = False
) -> Float[Array, "b l d"]:
    """Return y[n] = sum over i of kernel[i] x[n + i - (w - 1) // 2], zero outside.

    If `causal`, x[n + i - (w - 1)]: the last weight is that of the position itself.

    A sum of shifted products is one fused loop; XLA's grouped convolution takes many
    times longer for the same on a CPU. Sums are in the type of the kernel.
    """
    return _correlated(x, kernel, _positions_before(len(kernel), causal))


def _forward(x: Array, kernel: Array, causal: bool) -> tuple:
    """Save what is multiplied, not the shifted copies of it."""
    return depthwise_conv(x, kernel, causal), (x, kernel)


def _backward(causal: bool, saved: tuple[Array, Array], gradient: Array) -> tuple:
    """Return the gradients of both: the first is a convolution as well.

    JAX would add up as many padded copies as there are weights, and pass over all
    positions once for each. On CPUs the gradient of the kernel is added up position
    after position, where it stays in a core's cache.
    """
    x, kernel = saved
    taps, length = len(kernel), x.shape[1]
    before = _positions_before(taps, causal)
    to_x = _correlated(gradient, kernel[::-1], taps - 1 - before)
    padded, wide = _padded(x, taps, before), gradient.astype(kernel.dtype)
    if target().platform != "cpu":
        windows = (padded[:, i : i + length] for i in range(taps))
        return to_x, jnp.stack([(window * wide).sum((0, 1)) for window in windows])

    def add(position: Array, so_far: Array) -> Array:
        window = jax.lax.dynamic_slice_in_dim(padded, position, taps, 1)
        return so_far + window * jax.lax.dynamic_slice_in_dim(wide, position, 1, 1)

    start = jnp.zeros((len(x), *kernel.shape), kernel.dtype)
    return to_x, jax.lax.fori_loop(0, length, add, start).sum(0)


depthwise_conv.defvjp(_forward, _backward)


def _correlated(x: Array, kernel: Array, before: int) -> Array:
    """Return y[n] = sum over i of kernel[i] x[n + i - before]."""
    length, padded = x.shape[1], _padded(x, len(kernel), before)
    mixed = jnp.zeros(x.shape, kernel.dtype)
    for i in range(len(kernel)):
        mixed += padded[:, i : i + length] * kernel[i]
    return mixed.astype(x.dtype)


def _padded(x: Array, taps: int, before: int) -> Array:
    """Surround x by the zeros that a kernel reads."""
    return jnp.pad(x, ((0, 0), (before, taps - 1 - before), (0, 0)))


def _positions_before(taps: int, causal: bool) -> int:
    """Return how many positions before its own a kernel reads."""
    return taps - 1 if causal else (taps - 1) // 2


def long_convolution(
    x: Float[Array, "b l d"],
    past: Float[Array, "l d"],
    future: Float[Array, "l d"] | None = None,
) -> Float[Array, "b l d"]:
    """Return y[n] = sum over j >= 0 of past[j] x[n - j] + future[j] x[n + 1 + j].

    Without `future` the sum is causal. One transform of twice the length serves both
    directions, in float32 or wider. Cost O(l d log l).

    >>> x = jnp.eye(3)[1].reshape(1, 3, 1)
    >>> y = long_convolution(x, jnp.array([[1.0], [2], [3]]), 4 + jnp.zeros((3, 1)))
    >>> y[0, :, 0].round(3)
    Array([4., 1., 2.], dtype=float32)
    """
    length = x.shape[1]
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    kernel = past if future is None else jnp.concatenate([past, future[::-1]])
    spectrum = jnp.fft.rfft(wide, 2 * length, axis=1)
    spectrum *= jnp.fft.rfft(kernel, 2 * length, axis=0)
    return jnp.fft.irfft(spectrum, 2 * length, axis=1)[:, :length].astype(x.dtype)


def exponential_sum(
    weights: Inexact[Array, "d n"], rates: Inexact[Array, "d n"], length: int
) -> Inexact[Array, "l d"]:
    """Return sum over n of weights exp(rates t) at t = 0, 1, ..., length - 1.

    With t = q r + s the exponential is a product of two, one of q and one of s. So
    memory is O(sqrt(l) d n) where the table of all of them would be O(l d n).
    """
    block = math.isqrt(length - 1) + 1
    steps = jnp.arange(block)
    coarse = weights[..., None] * jnp.exp(rates[..., None] * (block * steps))
    fine = jnp.exp(rates[..., None] * steps)
    highest = jax.lax.Precision.HIGHEST
    sums = jnp.einsum("dnq,dns->qsd", coarse, fine, precision=highest)
    return sums.reshape(block * block, -1)[:length]
