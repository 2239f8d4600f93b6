"""Every algorithm of the FNet transform against NumPy in float64."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from lra_fnet.config import load_config, make_program, task_facts
from lra_fnet.mixers import _fourier as fourier
from lra_fnet.mixers import mixer_class
from lra_fnet.mixers._fourier import (
    ALGORITHMS,
    causal_fourier_mix,
    choices,
    chosen_algorithm,
    fourier_mix,
    kind_of,
    supports,
)
from lra_fnet.step import make_mesh

SHAPES = [(19, 23), (16, 8), (1, 1), (1, 7), (7, 1), (2, 2), (15, 8), (16, 9), (97, 4)]
FEW_SHAPES = [(19, 23), (16, 8), (15, 8), (16, 9), (1, 7)]
LONG_SHAPES = [(4000, 16), (2048, 30), (3125, 7), (4093, 3)]  # the last is prime
OTHERS = [name for name in ALGORITHMS if name != "published"]

mix = jax.jit(fourier_mix, static_argnums=1)


def published(x):
    """Equation 3 of the FNet paper, in float64."""
    return np.fft.fft(np.fft.fft(np.asarray(x, np.float64), axis=-1), axis=-2).real


def random(shape, seed=0):
    values = np.random.default_rng(seed).normal(size=shape)
    return jnp.asarray(values, jnp.float32)


def relative_error(measured, expected):
    measured, expected = (np.asarray(a, np.float64) for a in (measured, expected))
    return np.linalg.norm(measured - expected) / np.linalg.norm(expected)


@pytest.fixture(params=ALGORITHMS)
def algorithm(request):
    return request.param


# --- The operator --------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES + LONG_SHAPES)
def test_transform_equals_numpy_in_float64(algorithm, shape):
    x = random((2, *shape))
    assert relative_error(mix(x, algorithm), published(x)) < 1e-6


@pytest.mark.parametrize("shape", FEW_SHAPES)
def test_derivative_equals_the_transposed_matrix(algorithm, shape):
    x, gradient = random(shape), random(shape, seed=1)
    _, transposed = jax.vjp(lambda x: mix(x, algorithm), x)
    # <F x, g> = <x, F' g> for all x and g defines the transpose F'.
    basis = np.eye(x.size).reshape(x.size, *shape)
    expected = np.tensordot(published(basis), gradient, axes=2).reshape(shape)
    assert relative_error(transposed(gradient)[0], expected) < 1e-6


@pytest.mark.parametrize("shape", [(0, 16, 8), (0, 7, 5), (2, 0, 13, 4)])
def test_an_empty_batch_and_its_gradient_are_empty(algorithm, shape):
    y, transposed = jax.vjp(lambda x: mix(x, algorithm), jnp.zeros(shape))
    assert y.shape == transposed(y)[0].shape == shape


@pytest.mark.parametrize("name", OTHERS)
def test_the_derivative_saves_nothing(name):
    _, transposed = jax.vjp(lambda x: mix(x, name), random((2, 16, 8)))
    assert jax.tree.leaves(transposed) == []


def test_bfloat16_is_transformed_in_more_bits(algorithm):
    x = jnp.asarray(random((2, 64, 32)), jnp.bfloat16)
    result = mix(x, algorithm)
    assert result.dtype == jnp.bfloat16
    exact = published(np.asarray(x, np.float32))
    # One rounding of the result, none inside: half a unit of 8 bits.
    assert relative_error(np.asarray(result, np.float32), exact) < 2**-8


def test_mapped_over_a_batch_it_equals_the_batched_call(algorithm):
    x = random((5, 13, 11))
    mapped = jax.vmap(lambda x: mix(x, algorithm))(x)
    assert relative_error(mapped, mix(x, algorithm)) < 1e-6


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


# --- The causal form -----------------------------------------------------------------

causal_mix = jax.jit(causal_fourier_mix)


def lower_triangle(x):
    """The dense matrix without what is above its diagonal, in float64."""
    n = np.arange(x.shape[-2])
    fourier = np.exp(-2j * np.pi / len(n) * (n[:, None] * n % len(n)))
    return (np.tril(fourier) @ np.fft.fft(np.asarray(x, np.float64), axis=-1)).real


@pytest.mark.parametrize("width", [8, 23])
@pytest.mark.parametrize("length", [1, 2, 3, 64, 100, 127, 1009])
def test_the_causal_form_is_the_lower_triangle_of_the_matrix(length, width):
    x = random((2, length, width))
    y, expected = np.asarray(causal_mix(x), np.float64), lower_triangle(x)
    assert relative_error(y, expected) < 1e-6
    assert np.abs(y - expected).max() < 1e-5 * np.abs(expected).max()


def test_phases_of_the_causal_form_are_exact_at_a_long_prime_length():
    x = random((1, 4093, 3))
    assert relative_error(causal_mix(x), lower_triangle(x)) < 1e-6


def test_the_last_row_of_the_causal_form_is_that_of_the_whole_transform():
    x = random((2, 37, 24))
    assert relative_error(causal_mix(x)[:, -1], published(x)[:, -1]) < 1e-6


@pytest.mark.parametrize("shape", FEW_SHAPES)
def test_the_derivative_of_the_causal_form_is_its_transpose(shape):
    x, gradient = random(shape), random(shape, seed=1)
    _, transposed = jax.vjp(causal_mix, x)
    basis = np.eye(x.size).reshape(x.size, *shape)
    expected = np.tensordot(lower_triangle(basis), gradient, axes=2).reshape(shape)
    assert relative_error(transposed(gradient)[0], expected) < 1e-6


def test_the_causal_form_of_bfloat16_is_computed_in_more_bits():
    x = jnp.asarray(random((2, 64, 32)), jnp.bfloat16)
    y = causal_mix(x)
    assert y.dtype == jnp.bfloat16
    exact = lower_triangle(np.asarray(x, np.float32))
    assert relative_error(np.asarray(y, np.float32), exact) < 2**-8


def test_an_empty_batch_in_causal_form_is_empty():
    y, transposed = jax.vjp(causal_mix, jnp.zeros((0, 7, 5)))
    assert y.shape == transposed(y)[0].shape == (0, 7, 5)


def test_the_mixer_takes_the_causal_form_and_no_algorithm_for_it():
    x, mask = random((2, 19, 8)), jnp.ones((2, 19), bool)
    y = mixer_class("fnet")(causal=True).apply({}, x, mask, train=False)
    assert relative_error(y, lower_triangle(x)) < 1e-6
    with pytest.raises(ValueError, match="'real_fft', but the causal form has one of"):
        mixer_class("fnet")(algorithm="real_fft", causal=True)


# --- Training ------------------------------------------------------------------------

NUM_STEPS = 10


def trained(algorithm):
    """The loss of every step and the parameters after the last."""
    changes = {
        "mixers.fnet.algorithm": algorithm,
        "num_layers": 1,
        "encoder.width": 16,
        "encoder.mlp_dim": 24,
        "train.batch_size": 4,
        "train.num_steps": NUM_STEPS,
    }
    config = load_config("image", "quick", changes)
    program = make_program(config, task_facts(config))
    source = np.random.default_rng(0)
    pixels = source.integers(0, 256, (8, 13)).astype(np.uint8)
    data = program.put(pixels, source.integers(0, 10, 8).astype(np.int32))
    state, losses = program.init(jnp.array([0]), data.inputs), []
    for step in range(NUM_STEPS):
        batch = np.arange(4, dtype=np.int32).reshape(1, 1, 4) + 4 * (step % 2)
        state, sums, _ = program.train(state, *data, batch, np.int32(1))
        losses.append(float(sums.loss[0]))
    return np.array(losses), state.params


@pytest.fixture(scope="module")
def reference():
    return trained("published")


@pytest.mark.parametrize("name", OTHERS)
def test_every_algorithm_trains_the_same_model(name, reference):
    losses, params = trained(name)
    expected, expected_params = reference
    # Rounding grows with the steps: Adam divides by gradients that may be small.
    np.testing.assert_allclose(losses[0], expected[0], rtol=1e-5)
    np.testing.assert_allclose(losses, expected, rtol=1e-3)
    pairs = zip(*map(jax.tree.leaves, (params, expected_params)), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a, b, atol=1e-2 * np.abs(b).max() + 1e-7)


# --- Choice --------------------------------------------------------------------------


def test_a_misspelt_algorithm_names_the_closest():
    with pytest.raises(ValueError, match=r"'real-fft'; did you mean 'real_fft'\?"):
        mixer_class("fnet")(algorithm="real-fft")


def test_a_long_prime_is_refused_by_the_matrix_forms_and_never_chosen_for_them():
    assert not supports("two_stage", 8191, 64) and not supports("matrix", 8191, 64)
    with pytest.raises(ValueError, match="length 8191 .* take 'real_fft'"):
        fourier_mix(jnp.zeros((1, 8191, 64)), "two_stage")
    for kind in choices():
        assert supports(chosen_algorithm(8191, 64, "float32", kind), 8191, 64)


def test_every_measured_choice_can_be_made():
    for table in choices().values():
        for row in table["rows"]:
            assert row["algorithm"] in OTHERS and row["speeds"].keys() <= {*ALGORITHMS}
            assert supports(row["algorithm"], row["length"], row["width"])


@pytest.mark.parametrize(
    ("length", "width", "expected"),
    [
        (1024, 64, "real_fft"),  # Image and Pathfinder
        (2000, 64, "real_fft"),  # ListOps: quick's 730 right answers with either
        # The kept results of Text and Retrieval are of folded_fft, the same but for
        # rounding.
        (4000, 64, "real_fft"),
        (16384, 32, "real_fft"),  # Path-X
    ],
)
def test_the_small_models_on_cpus_transform_as_the_last_measurement_says(
    length, width, expected
):
    assert chosen_algorithm(length, width, "float32", "cpu") == expected


def test_a_device_that_was_not_measured_takes_the_real_transform():
    assert chosen_algorithm(2048, 512, "float32", kind="abacus") == "real_fft"


def test_what_one_kind_of_accelerator_measured_does_not_choose_for_another():
    one, other = (
        SimpleNamespace(platform="tpu", device_kind=kind)
        for kind in ("TPU v5 lite", "TPU v6 lite")
    )
    assert kind_of(one) != kind_of(other)
    cores = (SimpleNamespace(platform="cpu", device_kind=kind) for kind in "ab")
    assert {kind_of(core) for core in cores} == {"cpu"}


def test_the_closest_measured_shape_decides(monkeypatch):
    rows = [
        {"length": 512, "width": 64, "dtype": "float32", "algorithm": "matrix"},
        {"length": 8192, "width": 64, "dtype": "float32", "algorithm": "two_stage"},
        {"length": 512, "width": 64, "dtype": "bfloat16", "algorithm": "folded_fft"},
    ]
    monkeypatch.setattr(fourier, "choices", lambda: {"abacus": {"rows": rows}})
    choose = lambda length, dtype: chosen_algorithm(length, 100, dtype, "abacus")  # noqa: E731
    assert choose(700, "float32") == "matrix"
    assert choose(6000, "float32") == "two_stage"
    assert choose(16_381, "float32") == "real_fft"  # prime: no two stages
    assert choose(6000, "bfloat16") == "folded_fft"
    assert choose(6000, "float64") == "real_fft"
