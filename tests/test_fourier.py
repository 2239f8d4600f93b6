import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lra_fnet.fourier import fourier_mix

SHAPES = [(19, 23), (16, 8), (1, 1), (1, 7), (7, 1), (2, 2), (15, 8), (16, 9), (97, 4)]


def published(x):
    """Equation 3 of the FNet paper, in float64."""
    return np.fft.fft(np.fft.fft(np.asarray(x, np.float64), axis=-1), axis=-2).real


def random(shape, seed=0):
    values = np.random.default_rng(seed).normal(size=shape)
    return jnp.asarray(values, jnp.float32)


def relative_error(measured, expected):
    return np.linalg.norm(measured - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_transform_equals_numpy_in_float64(shape):
    x = random((3, *shape))
    assert relative_error(fourier_mix(x), published(x)) < 1e-6


@pytest.mark.parametrize("shape", SHAPES)
def test_derivative_equals_the_transposed_matrix(shape):
    x, gradient = random(shape), random(shape, seed=1)
    _, transposed = jax.vjp(fourier_mix, x)
    # <F x, g> = <x, F' g> for all x and g defines the transpose F'.
    basis = np.eye(x.size).reshape(x.size, *shape)
    expected = np.tensordot(published(basis), gradient, axes=2).reshape(shape)
    assert relative_error(transposed(gradient)[0], expected) < 1e-6


def test_bfloat16_is_transformed_in_float32():
    x = jnp.asarray(random((2, 64, 32)), jnp.bfloat16)
    result = fourier_mix(x)
    assert result.dtype == jnp.bfloat16
    exact = published(np.asarray(x, np.float32))
    # One rounding of the result, none inside: half a unit of 8 bits.
    assert relative_error(np.asarray(result, np.float32), exact) < 2**-8


def test_mapped_over_a_batch_it_equals_the_batched_call():
    x = random((5, 13, 11))
    np.testing.assert_array_equal(jax.vmap(fourier_mix)(x), fourier_mix(x))


def test_output_is_even_under_reflection_of_both_axes():
    y = np.asarray(fourier_mix(random((1, 19, 23))))[0]
    reflected = np.roll(y[::-1, ::-1], (1, 1), axis=(0, 1))
    np.testing.assert_allclose(reflected, y, atol=1e-3)
