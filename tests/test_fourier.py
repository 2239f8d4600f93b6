"""Every algorithm of the transform against NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from lra_fnet import fourier
from lra_fnet.mixers import mixer_class
from lra_fnet.mixers._fourier import (
    ALGORITHMS,
    EXACT,
    chosen_algorithm,
    fourier_mix,
    measurements,
    supports,
)
from lra_fnet.step import make_mesh

SHAPES = [(19, 23), (16, 8), (1, 1), (1, 7), (7, 1), (2, 2), (15, 8), (16, 9), (97, 4)]
FEW_SHAPES = [(19, 23), (16, 8), (15, 8), (16, 9), (1, 7)]
LONG_SHAPES = [(4000, 16), (2048, 30), (3125, 7), (4093, 3)]  # the last is prime
IN_16_BITS = [name for name in ALGORITHMS if name not in EXACT]


def published(x):
    """Equation 3 of the FNet paper, in float64."""
    return np.fft.fft(np.fft.fft(np.asarray(x, np.float64), axis=-1), axis=-2).real


def random(shape, seed=0):
    values = np.random.default_rng(seed).normal(size=shape)
    return jnp.asarray(values, jnp.float32)


mix = jax.jit(fourier_mix, static_argnums=1)


def relative_error(measured, expected):
    measured, expected = (np.asarray(a, np.float64) for a in (measured, expected))
    return np.linalg.norm(measured - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("algorithm", EXACT)
@pytest.mark.parametrize("shape", SHAPES + LONG_SHAPES)
def test_transform_equals_numpy_in_float64(algorithm, shape):
    x = random((2, *shape))
    assert relative_error(mix(x, algorithm), published(x)) < 1e-6


@pytest.mark.parametrize("algorithm", EXACT)
@pytest.mark.parametrize("shape", FEW_SHAPES)
def test_derivative_equals_the_transposed_matrix(algorithm, shape):
    x, gradient = random(shape), random(shape, seed=1)
    _, transposed = jax.vjp(lambda x: mix(x, algorithm), x)
    # <F x, g> = <x, F' g> for all x and g defines the transpose F'.
    basis = np.eye(x.size).reshape(x.size, *shape)
    expected = np.tensordot(published(basis), gradient, axes=2).reshape(shape)
    assert relative_error(transposed(gradient)[0], expected) < 1e-6


@pytest.mark.parametrize("algorithm", IN_16_BITS)
@pytest.mark.parametrize("shape", [*SHAPES[:2], *LONG_SHAPES])
def test_the_error_of_sixteen_bits_is_the_stated_one(algorithm, shape):
    x, gradient = random((2, *shape)), random((2, *shape), seed=1)
    y, transposed = jax.vjp(lambda x: mix(x, algorithm), x)
    assert relative_error(y, published(x)) < 5e-4
    assert relative_error(transposed(gradient)[0], published(gradient)) < 5e-4


@pytest.mark.parametrize("algorithm", IN_16_BITS)
def test_a_large_mean_does_not_leak_into_other_rows_in_sixteen_bits(algorithm):
    x = random((2, 256, 32)) + 10.0
    y, expected = np.asarray(mix(x, algorithm)), published(x)
    assert relative_error(y[:, 1:], expected[:, 1:]) < 5e-4
    assert relative_error(y[:, 0], expected[:, 0]) < 5e-4


@pytest.mark.parametrize("algorithm", IN_16_BITS)
def test_the_size_of_an_example_does_not_matter_in_sixteen_bits(algorithm):
    sizes = jnp.array([1e-30, 1.0, 1e30])[:, None, None]
    x = random((1, 256, 32)) * sizes
    y, expected = np.asarray(mix(x, algorithm)), published(x)
    for row in range(3):
        assert relative_error(y[row], expected[row]) < 5e-4


@pytest.mark.parametrize(
    "algorithm", [name for name in ALGORITHMS if name != "published"]
)
def test_the_derivative_saves_nothing(algorithm):
    _, transposed = jax.vjp(lambda x: mix(x, algorithm), random((2, 16, 8)))
    assert jax.tree.leaves(transposed) == []


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_bfloat16_is_transformed_in_more_bits(algorithm):
    x = jnp.asarray(random((2, 64, 32)), jnp.bfloat16)
    result = mix(x, algorithm)
    assert result.dtype == jnp.bfloat16
    exact = published(np.asarray(x, np.float32))
    # One rounding of the result, none inside: half a unit of 8 bits.
    assert relative_error(np.asarray(result, np.float32), exact) < 2**-8


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_mapped_over_a_batch_it_equals_the_batched_call(algorithm):
    x = random((5, 13, 11))
    mapped = jax.vmap(lambda x: mix(x, algorithm))(x)
    assert relative_error(mapped, mix(x, algorithm)) < 1e-6


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_devices_that_share_a_batch_do_not_talk(algorithm):
    mesh = make_mesh(4)
    shared = jax.jit(
        jax.shard_map(
            jax.value_and_grad(lambda x: (mix(x, algorithm) ** 2).sum()),
            mesh=mesh,
            in_specs=P("data"),
            out_specs=(P(), P("data")),
            check_vma=False,
        )
    )
    x = random((4, 24, 10))
    text = shared.lower(x).compile().as_text()
    assert "all-gather" not in text and "all-reduce" not in text
    _, gradient = shared(x)
    assert relative_error(gradient, 2 * published(published(x))) < 1e-3


def test_output_is_even_under_reflection_of_both_axes():
    y = np.asarray(mix(random((1, 19, 23)), "auto"))[0]
    reflected = np.roll(y[::-1, ::-1], (1, 1), axis=(0, 1))
    np.testing.assert_allclose(reflected, y, atol=1e-3)


# --- Choice -------------------------------------------------------------------------


def test_a_misspelt_algorithm_names_the_closest():
    with pytest.raises(ValueError, match=r"'real-fft'; did you mean 'real_fft'\?"):
        mixer_class("fnet")(algorithm="real-fft")


def test_a_long_prime_is_refused_by_the_matrix_forms_and_never_chosen_for_them():
    assert not supports("two_stage", 8191, 64) and not supports("matrix", 8191, 64)
    with pytest.raises(ValueError, match="length 8191 .* take 'real_fft'"):
        fourier_mix(jnp.zeros((1, 8191, 64)), "two_stage")
    for backend in measurements():
        assert supports(chosen_algorithm(8191, 64, "float32", backend), 8191, 64)


def test_every_measured_choice_can_be_made_and_is_as_exact_as_its_dtype():
    for table in measurements().values():
        for row in table["rows"]:
            assert supports(row["algorithm"], row["length"], row["width"])
            assert row["algorithm"] in (
                EXACT if row["dtype"] == "float32" else ALGORITHMS
            )


def test_a_backend_that_was_not_measured_takes_the_real_transform():
    assert chosen_algorithm(2048, 512, "float32", backend="abacus") == "real_fft"


def test_the_closest_measured_shape_decides(monkeypatch):
    rows = [
        {"length": 512, "width": 64, "dtype": "float32", "algorithm": "matrix"},
        {"length": 8192, "width": 64, "dtype": "float32", "algorithm": "two_stage"},
        {"length": 512, "width": 64, "dtype": "bfloat16", "algorithm": "folded_fft"},
    ]
    monkeypatch.setattr(
        "lra_fnet.mixers._fourier.measurements", lambda: {"abacus": {"rows": rows}}
    )
    choose = lambda length, dtype: chosen_algorithm(length, 100, dtype, "abacus")  # noqa: E731
    assert choose(700, "float32") == "matrix"
    assert choose(6000, "float32") == "two_stage"
    assert choose(16_381, "float32") == "real_fft"  # prime: no two stages
    assert choose(6000, "bfloat16") == "folded_fft"
    assert choose(6000, "float64") == "real_fft"


def test_the_log_says_what_auto_stands_for():
    line = mixer_class("fnet")().choice(2048, 512, "float32")
    assert line.endswith(fourier.chosen_algorithm(2048, 512, "float32"))
    assert mixer_class("fnet")("matrix").choice(8, 8, "float32").endswith("matrix")
