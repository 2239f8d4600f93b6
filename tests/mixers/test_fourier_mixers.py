"""FNet and its kin against the matrices they stand for, in float64."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from lra_fnet.mixers import mixer_class
from lra_fnet.mixers.fnet_gate import averaging_gate, band_frequencies

SIZES = [(19, 23), (16, 8), (1, 5)]
TRANSFORMS = ["hartley", "dct", "hadamard", "fourier_seq", "fourier_abs"]
LINEAR = [name for name in TRANSFORMS if name != "fourier_abs"]
GATE = {"num_bands": 6, "max_period": 50, "kernel_size": 3}
FAMILY = {name: {} for name in [*TRANSFORMS, "linear", "ff_only"]} | {
    "random": {"seed": 0},
    "fnet_gate": GATE,
}


def some_x(length, width, seed=0):
    x = np.random.default_rng(seed).normal(size=(3, length, width))
    return jnp.asarray(x, jnp.float32)


def some_mask(length):
    return jnp.arange(length) < jnp.array([[length], [length - 1], [length // 2]])


def dense(name, x):
    """What the transform does to float64 arrays, by its defining matrices."""
    x = np.asarray(x, np.float64)
    length, width = x.shape[1:]
    spectrum = scipy.linalg.dft(length) @ x @ scipy.linalg.dft(width)
    if name == "hartley":
        return spectrum.real - spectrum.imag
    if name == "fourier_abs":
        return np.abs(spectrum)
    if name == "fourier_seq":
        return (scipy.linalg.dft(length) @ x).real
    matrix = {"dct": cosines, "hadamard": hadamard}[name]
    return matrix(length) @ x @ matrix(width).T


def cosines(size):
    n, m = np.mgrid[:size, :size]
    return np.cos(np.pi * n * (2 * m + 1) / (2 * size))


def hadamard(size):
    return scipy.linalg.hadamard(64)[:size, :size].astype(np.float64)


def made(name, x, mask=None):
    mask = some_mask(x.shape[1]) if mask is None else mask
    mixer = mixer_class(name)(**FAMILY[name])
    init = jax.jit(partial(mixer.init, train=False))
    return mixer, init(jax.random.key(0), x, mask), mask


@partial(jax.jit, static_argnums=0)
def run(mixer, params, x, mask):
    return mixer.apply(params, x, mask, train=False)


def mixed(name, x):
    mixer, params, mask = made(name, x)
    return run(mixer, params, x, mask)


def assert_close(actual, expected, tolerance=2e-6):
    error = np.abs(np.asarray(actual, np.float64) - expected).max()
    assert error <= tolerance * max(np.abs(expected).max(), 1), error


@pytest.mark.parametrize("length, width", SIZES)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_is_that_of_its_matrices(name, length, width):
    x = some_x(length, width)
    assert_close(mixed(name, x), dense(name, x))


@pytest.mark.parametrize("name", LINEAR)
def test_the_derivative_of_a_transform_is_its_transpose(name):
    x, cotangent = some_x(19, 23), some_x(19, 23, seed=1)
    _, transposed = jax.vjp(lambda x: mixed(name, x), x)
    # <y', T x> = <T^T y', x> for every x, here 3 of them.
    left = (np.asarray(cotangent, np.float64) * dense(name, x)).sum(axis=(1, 2))
    right = (np.asarray(transposed(cotangent)[0]) * x).sum(axis=(1, 2))
    assert_close(right, left)


def test_the_magnitude_has_a_finite_derivative_where_it_is_zero():
    gradient = jax.grad(lambda x: mixed("fourier_abs", x).sum())(jnp.zeros((3, 19, 23)))
    assert bool(jnp.isfinite(gradient).all())


def test_hartley_undoes_itself():
    x = some_x(19, 23)
    assert_close(mixed("hartley", mixed("hartley", x)) / (19 * 23), np.asarray(x))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_of_bfloat16_are_computed_in_float32(name):
    x = some_x(19, 23).astype(jnp.bfloat16)
    y = mixed(name, x)
    assert y.dtype == jnp.bfloat16
    assert_close(y, dense(name, x), 2**-8)


def test_ff_only_returns_its_input():
    x = some_x(19, 23)
    np.testing.assert_array_equal(mixed("ff_only", x), x)


def test_linear_multiplies_by_both_matrices():
    x = some_x(19, 23)
    mixer, params, mask = made("linear", x)
    over = {k: np.asarray(v, np.float64) for k, v in params["params"].items()}
    expected = over["over_length"] @ np.asarray(x) @ over["over_width"]
    assert_close(run(mixer, params, x, mask), expected)


def operator(mixer, length, width):
    """The matrix of a linear mixer: outputs (n, k) of every unit input (m, j)."""
    units = jnp.eye(length * width).reshape(-1, length, width)
    y = run(mixer, {}, units, jnp.ones(units.shape[:2], bool))
    return np.asarray(y).reshape(length, width, length, width)


def test_random_is_a_product_of_two_matrices_of_lecun_variance():
    length, width = 29, 18
    columns = operator(mixer_class("random")(seed=0), length, width)
    by_axis = columns.transpose(0, 2, 1, 3).reshape(length**2, width**2)
    singular = np.linalg.svd(by_axis, compute_uv=False)
    assert singular[1] < 1e-5 * singular[0], "not of the form S x W"
    # The sum of all squares is |S|^2 |W|^2, about l times d.
    assert 0.8 < (columns**2).sum() / (length * width) < 1.2


def test_random_matrices_depend_on_seed_and_layer_and_on_nothing_else():
    class Layers(nn.Module):
        seed: int

        @nn.compact
        def __call__(self, x, mask):
            mixer = mixer_class("random")
            names = ("first", "second")
            return [mixer(self.seed, name=n)(x, mask, train=False) for n in names]

    x, mask = some_x(19, 23), some_mask(19)
    variables = jax.jit(Layers(0).init)(jax.random.key(0), x, mask)
    assert not variables, "the matrices are constants"
    first, second = jax.jit(Layers(0).apply)({}, x, mask)
    again, _ = jax.jit(Layers(0).apply)({}, x, mask)
    other, _ = jax.jit(Layers(1).apply)({}, x, mask)
    assert_close(again, np.asarray(first))
    assert float(jnp.abs(first - second).max()) > 1
    assert float(jnp.abs(first - other).max()) > 1


def gate_reference(params, x, mask):
    """The mixer in float64: a dense Fourier matrix and a loop over the kernel."""
    leaf = {k: np.asarray(v, np.float64) for k, v in params.items() if k != "out"}
    x = np.where(np.asarray(mask)[..., None], np.asarray(x, np.float64), 0)
    length = x.shape[1]
    bands = band_frequencies(GATE["num_bands"], GATE["max_period"])
    signed = np.fft.fftfreq(length)[:, None]
    parts = [
        np.stack([np.interp(np.abs(signed[:, 0]), bands, c) for c in leaf[k].T], -1)
        for k in ("gate_real", "gate_imag")
    ]
    gate = parts[0] + 1j * np.sign(signed) * parts[1]
    if length % 2 == 0:
        gate[length // 2] = parts[0][length // 2]
    gate[0] = parts[0][0]
    fourier = scipy.linalg.dft(length)
    y = (fourier.conj() @ (gate * (fourier @ x)) / length).real
    for n in range(length):
        for i, weights in enumerate(leaf["kernel"]):
            m = n + i - (len(leaf["kernel"]) - 1) // 2
            y[:, n] += weights * x[:, m] if 0 <= m < length else 0
    y = 0.5 * y * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))
    out = {k: np.asarray(v, np.float64) for k, v in params["out"].items()}
    value, sigmoid = np.split(y @ out["kernel"] + out["bias"], 2, axis=-1)
    return value / (1 + np.exp(-sigmoid))


@pytest.mark.parametrize("length, width", [(19, 23), (16, 8)])
def test_the_gate_filters_as_in_float64(length, width):
    x = some_x(length, width)
    mixer, params, mask = made("fnet_gate", x)
    noise = jax.random.normal(jax.random.key(1), params["params"]["gate_real"].shape)
    params["params"]["gate_imag"] += noise
    y = run(mixer, params, x, mask)
    assert_close(y, gate_reference(params["params"], x, mask), 5e-6)


def reach(mixer, params, length, width, position):
    """Which inputs the output at one position depends on."""
    x, mask = some_x(length, width)[:1], jnp.ones((1, length), bool)
    gradient = jax.grad(
        lambda x: jnp.sin(run(mixer, params, x, mask)[0, position]).sum()
    )(x)
    return np.flatnonzero(np.abs(gradient[0]).max(axis=-1) > 1e-7)


def test_the_gate_reaches_everywhere_and_its_kernel_the_neighbors():
    x = some_x(37, 8)
    mixer, params, _ = made("fnet_gate", x)
    assert len(reach(mixer, params, 37, 8, 18)) == 37
    for name in ("gate_real", "gate_imag"):
        params["params"][name] *= 0
    assert reach(mixer, params, 37, 8, 18).tolist() == [17, 18, 19]


def test_the_gate_is_the_same_filter_at_every_length():
    x, mask = some_x(19, 8), jnp.ones((3, 19), bool)
    mixer, params, _ = made("fnet_gate", x, mask)
    params["params"]["kernel"] *= 0  # it does not wrap around
    once = run(mixer, params, x, mask)
    twice = jnp.tile(x, (1, 2, 1)), jnp.tile(mask, (1, 2))
    assert_close(run(mixer, params, *twice), np.tile(np.asarray(once), (1, 2, 1)))


def test_the_gate_begins_with_averages_over_past_and_future():
    kernels = np.fft.irfft(averaging_gate(np.arange(33) / 64, 8, 8), axis=0)
    np.testing.assert_allclose(kernels.sum(axis=0), 1, atol=1e-6)
    after, before = (
        np.abs(kernels[s]).sum(axis=0) for s in (slice(1, 32), slice(33, 64))
    )
    assert (after > before)[::2].all(), "even channels carry the past forward"
    assert (before > after)[1::2].all(), "odd channels carry the future back"


@pytest.mark.parametrize("causal", [False, True])
def test_the_orthonormal_transform_is_the_published_one_over_sqrt_l_d(causal):
    x = jax.random.normal(jax.random.key(0), (2, 64, 24))
    mask = jnp.ones((2, 64), bool)
    published, orthonormal = (
        mixer_class("fnet")(causal=causal, orthonormal=each).apply(
            {}, x, mask, train=False
        )
        for each in (False, True)
    )
    np.testing.assert_allclose(orthonormal * (64 * 24) ** 0.5, published, rtol=1e-5)
    # Of the real part of a unitary transform half of the energy is left, about; the
    # causal form has about half of that.
    assert 0.2 < float(jnp.mean(orthonormal**2)) < 0.6
