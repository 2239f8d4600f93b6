"""Discrete Fourier transforms of real arrays, of which half is computed."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

Operator = Callable[[Array], Array]


def symmetric(operator: Operator) -> Operator:
    """Run a linear operator in float32 or wider, and again as its own derivative.

    A symmetric operator is its own transpose. Differentiating through the complex
    transform inside it would save and compute more.
    """

    @functools.wraps(operator)
    def wide(x: Array) -> Array:
        return operator(widened(x)).astype(x.dtype)

    mix = jax.custom_vjp(wide)
    mix.defvjp(lambda x: (wide(x), None), lambda _, gradient: (wide(gradient),))
    return mix


def widened(x: Float[Array, "*b l d"]) -> Float[Array, "*b l d"]:
    """Return x in float32 or wider: jax.numpy.fft has no bfloat16."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def half_spectrum(x: Float[Array, "*b l d"]) -> Complex[Array, "*b l half"]:
    """Return columns 0 to d // 2 of the unnormalised transform over both axes."""
    return jnp.fft.rfft2(x)


def reflect(
    left: Float[Array, "*b l half"], mirrored: Float[Array, "*b l half"], width: int
) -> Float[Array, "*b l d"]:
    """Append the other columns: column d - k of row n is `mirrored` at (-n mod l, k).

    The transform of a real array takes complex conjugates at (n, k) and (-n, -k).
    """
    inner = mirrored[..., 1 : (width + 1) // 2]
    reflected = jnp.roll(jnp.flip(inner, axis=(-2, -1)), 1, axis=-2)
    return jnp.concatenate([left, reflected], axis=-1)
