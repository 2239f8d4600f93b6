"""State spaces, recurrences and long convolutions against plain loops in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import toeplitz
from scipy.special import erf, expit

from lra_fnet.mixers import mixer_class
from lra_fnet.mixers._convolution import depthwise_conv, exponential_sum
from lra_fnet.mixers._recurrence import linear_recurrence
from lra_fnet.mixers.hyena import decay_windows, position_encoding
from lra_fnet.mixers.mega import laplace
from lra_fnet.mixers.retnet import head_log_decays
from lra_fnet.mixers.s5 import hippo_eigenvectors

LENGTH, WIDTH = 19, 23
HYPERPARAMETERS = {
    "lru": {"state_dim": 7, "min_radius": 0.5, "max_radius": 0.99, "max_phase": 3.0},
    "s5": {"state_dim": 12, "num_blocks": 3, "min_step": 0.01, "max_step": 0.5},
    "s4d": {"state_dim": 6, "initialization": "inverse"}
    | {"min_step": 0.01, "max_step": 0.5},
    "mega": {"ema_dim": 3, "attention_dim": 5, "value_factor": 2, "chunk_size": 7}
    | {"attention_function": "softmax", "dropout_rate": 0.1},
    "hyena": {"order": 2, "short_kernel_size": 3, "filter_dim": 8, "filter_depth": 3}
    | {"num_bands": 4, "sine_frequency": 2.0},
    "retnet": {"num_heads": 2, "qkv_dim": 10, "value_factor": 2, "chunk_size": 5},
    "mamba2": {"num_heads": 2, "state_dim": 5, "expansion": 2}
    | {"kernel_size": 7, "chunk_size": 5},
    "b2s6": {"num_blocks": 1, "state_dim": 6, "chunk_size": 5}
    | {"min_step": 0.01, "max_step": 0.5},
}


def draw(shape, seed=0):
    values = np.random.default_rng(seed).normal(size=shape)
    return jnp.asarray(values, jnp.float32)


def some_mask():
    """Three rows: no padding; padding at the end; holes."""
    holes = np.random.default_rng(1).random(LENGTH) < 0.6
    rows = [np.arange(LENGTH) < LENGTH, np.arange(LENGTH) < 11, holes]
    return jnp.asarray(np.stack(rows))


def computed(name, settings, x, mask):
    """Return the mixer's output, and its parameters, drawn here."""
    mixer = mixer_class(name)(**settings)
    init = jax.eval_shape(
        lambda key: mixer.init(key, x, mask, False), jax.random.key(0)
    )
    leaves, tree = jax.tree.flatten(init)
    values = [0.4 * draw(leaf.shape, seed) for seed, leaf in enumerate(leaves)]
    params = jax.tree.unflatten(tree, values)
    y = jax.jit(lambda params, x: mixer.apply(params, x, mask, False))(params, x)
    return np.asarray(y), jax.tree.map(as_float64, params["params"])


def as_float64(leaf):
    return np.asarray(leaf, np.float64)


def gelu(x):
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def silu(x):
    return x * expit(x)


def dense(params, x):
    return x @ params["kernel"] + params.get("bias", 0)


def glu(x):
    return np.split(x, 2, -1)[0] * expit(np.split(x, 2, -1)[1])


def masked(x, mask):
    return np.where(np.asarray(mask)[..., None], as_float64(x), 0)


def complex_of(parts):
    return parts[0] + 1j * parts[1]


def both_ways(step, u):
    """Run `step(state, u_t)` from either end; return the states at every position."""
    ways = []
    for order in (range(u.shape[1]), reversed(range(u.shape[1]))):
        state, states = 0, {}
        for t in order:
            state = states[t] = step(state, u[:, t])
        ways.append(np.stack([states[t] for t in range(u.shape[1])], axis=1))
    return ways


def lru_reference(p, x, mask, **_):
    u = masked(x, mask)
    decay = np.exp(-np.exp(p["ssm_log_nu"]) + 1j * np.exp(p["ssm_log_theta"]))
    matrix = complex_of(p["ssm_B"]) * np.exp(p["ssm_log_gain"])
    states = both_ways(lambda h, now: decay * h + now @ matrix, u)
    # Where there is no matrix for the future, the form is causal.
    y = sum((h @ c).real for h, c in zip(states, complex_of(p["C"]), strict=False))
    return glu(dense(p["out"], gelu(y + p["D"] * u)))


def s5_reference(p, x, mask, **_):
    u = masked(x, mask)
    rates = np.minimum(p["ssm_lambda_re"], -1e-4) + 1j * p["ssm_lambda_im"]
    decay = np.exp(rates * np.exp(p["ssm_log_step"]))
    matrix = complex_of(p["ssm_B"]) * (decay - 1) / rates
    states = both_ways(lambda h, now: decay * h + now @ matrix, u)
    ways = zip(states, complex_of(p["C"]), strict=False)
    y = sum(2 * (h @ c.T).real for h, c in ways)
    hidden = gelu(y + p["D"] * u)
    return hidden * expit(dense(p["gate"], hidden))


def s4d_reference(p, x, mask, **_):
    u = masked(x, mask)
    rates = -np.exp(p["ssm_log_decay"]) + 1j * p["ssm_frequency"]
    decay = np.exp(rates * np.exp(p["ssm_log_step"]))
    gain = (decay - 1) / rates
    past, future = both_ways(lambda h, now: decay * h + gain * now[..., None], u)
    future = np.concatenate([future[:, 1:], 0 * future[:, :1]], axis=1)
    ways = zip((past, future), complex_of(p["C"]), strict=False)
    y = sum(2 * (h * c).sum(-1).real for h, c in ways)
    return glu(dense(p["out"], gelu(y + p["D"] * u)))


def mega_reference(p, x, mask, chunk_size, attention_function, causal=False, **_):
    moved = averages(p["ema"], masked(x, mask))
    x, mask = as_float64(x), np.asarray(mask)
    shared = silu(dense(p["shared"], moved))
    query = shared * p["query_scale"] + p["query_shift"]
    key = shared * p["key_scale"] + p.get("key_shift", 0)
    position = np.arange(x.shape[1])
    chunk = position // (chunk_size or len(position))
    seen = (chunk[:, None] == chunk) & mask[:, None]
    if causal:
        seen = np.tril(seen)
    scores = query @ key.swapaxes(1, 2)
    bias = np.vectorize(lambda gap: distance_bias(p["bias"], gap))
    bias = bias(position[:, None] - position)
    if attention_function == "softmax":
        weights = np.exp(scores / np.sqrt(5) + bias) * seen
        weights /= np.maximum(weights.sum(-1, keepdims=True), 1e-300)
    else:
        scores = scores / np.maximum(seen.sum(-1, keepdims=True), 1) + bias
        deviation = np.sqrt(1 / (4 * np.pi))
        z = (scores - np.sqrt(1 / 2)) / (deviation * np.sqrt(2))
        weights = (1 + erf(z)) / 2 * seen
    heads = silu(dense(p["reset"], moved)) * (weights @ silu(dense(p["value"], x)))
    candidate = dense(p["from_average"], moved) + dense(p["from_heads"], heads)
    update = expit(dense(p["update"], moved))
    return (1 - update) * x + update * silu(candidate) - x


def averages(p, u):
    a, e = expit(p["rate"]), expit(p["damping"])
    ways = []
    for way in range(len(a)):
        states = both_ways(
            lambda s, now, way=way: (
                a[way] * p["expansion"][way] * now[..., None]
                + (1 - a[way] * e[way]) * s
            ),
            u,
        )[way]
        ways.append((states * p["readout"][way]).sum(-1))
    if len(ways) == 1:
        return silu(ways[0] + p["skip"] * u)
    future = np.concatenate([ways[1][:, 1:], 0 * ways[1][:, :1]], axis=1)
    return silu(ways[0] + future + p["skip"] * u)


def distance_bias(bias, gap):
    """For 5 columns: two pairs that turn, and one column that does not."""
    left, right = bias
    turns = np.exp(1j * gap * 10_000.0 ** (-np.arange(2) / 2))
    pairs = (left[:2] + 1j * left[2:4]) * (right[:2] - 1j * right[2:4])
    return (pairs * turns).sum().real + left[4] * right[4]


def hyena_reference(p, x, mask, order, causal=False, **_):
    projected = masked(dense(p["projections"], as_float64(x)), mask)
    length = x.shape[1]
    mixed = short_convolution(projected, p["short_kernel"], causal)
    z, *gates = np.split(mixed, order + 1, axis=-1)
    kernels = hyena_kernels(p, order, length, 1 if causal else 2)
    for gate, kernel, skip in zip(gates, kernels, p["skip"], strict=True):
        z = masked(z, mask)
        z = gate * (direct_convolution(z, *kernel) + skip * z)
    return dense(p["out"], z)


def short_convolution(x, kernel, causal):
    """Go over the positions and the weights of the kernel, the last of them at 0."""
    last = len(kernel) - 1 if causal else (len(kernel) - 1) // 2
    y = np.zeros_like(x)
    for n in range(x.shape[1]):
        for i, weights in enumerate(kernel):
            if 0 <= n + i - last < x.shape[1]:
                y[:, n] += weights * x[:, n + i - last]
    return y


def hyena_kernels(p, order, length, ways):
    hidden = position_encoding(length, 4).astype(float)
    for layer in range(2):
        hidden = np.sin(2.0 * dense(p[f"filter_{layer}"], hidden))
    values = dense(p["filter_out"], hidden).reshape(length, order, ways, WIDTH)
    windows = decay_windows(length, WIDTH)[:, None, None] / np.sqrt(length)
    return (values * windows).transpose(1, 2, 0, 3)


def direct_convolution(z, past, future=None):
    """Multiply every channel by its Toeplitz matrix."""
    columns = []
    future = np.zeros_like(past) if future is None else future
    for channel in range(z.shape[-1]):
        row = np.concatenate([past[:1, channel], future[:-1, channel]])
        columns.append(z[..., channel] @ toeplitz(past[:, channel], row).T)
    return np.stack(columns, axis=-1)


def retnet_reference(p, x, mask, num_heads, causal=False, **_):
    u = masked(x, mask)
    query, key, value, gate = (
        np.einsum("bld,dhk->bhlk", u, p[name]["kernel"])
        for name in ("query", "key", "value", "gate")
    )
    position = np.arange(x.shape[1])
    turns = np.exp(1j * np.outer(position, 10_000.0 ** (-np.arange(2) / 2)))
    query, key = (turned(z, turns) for z in (query, key))
    decay = np.exp(head_log_decays(num_heads).astype(float))[:, None, None]
    weights = decay ** np.abs(position[:, None] - position)
    weights = np.tril(weights) if causal else weights
    y = (query @ key.swapaxes(2, 3) / np.sqrt(5) * weights) @ value
    y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-6)
    heads = y.transpose(0, 2, 1, 3).reshape(*u.shape[:2], -1)
    heads = heads * p["GroupNorm_0"]["scale"] + p["GroupNorm_0"]["bias"]
    heads = heads * silu(gate.transpose(0, 2, 1, 3).reshape(heads.shape))
    return heads @ p["out"]["kernel"].reshape(-1, WIDTH)


def turned(z, turns):
    """Turn the two pairs of five columns; the last one stays."""
    pairs = (z[..., :2] + 1j * z[..., 2:4]) * turns
    return np.concatenate([pairs.real, pairs.imag, z[..., 4:]], axis=-1)


def mamba2_reference(p, x, mask, num_heads, causal=False, **_):
    u = masked(x, mask) @ p["in"]["kernel"]
    inner, state_dim, length = 2 * WIDTH, 5, x.shape[1]
    gate, mixed, steps = np.split(u, [inner, 2 * inner + 2 * state_dim], axis=-1)
    assert len(p["kernel"]) == (4 if causal else 7)
    mixed = silu(short_convolution(mixed, p["kernel"], causal) + p["kernel_bias"])
    u, keys, queries = np.split(mixed, [inner, inner + state_dim], axis=-1)
    u = u.reshape(*u.shape[:2], num_heads, -1)
    steps = steps.reshape(*steps.shape[:2], -1, num_heads) + p["ssm_step_bias"]
    steps = np.log1p(np.exp(steps)) * np.asarray(mask)[..., None, None]
    y = p["D"] * u
    for way, rates in enumerate(np.exp(p["ssm_log_rate"])):
        state = np.zeros((len(u), num_heads, state_dim, u.shape[-1]))
        order = range(length) if way == 0 else reversed(range(length))
        for t in order:
            step = steps[:, t, way]
            added = np.einsum("bn,bh,bhp->bhnp", keys[:, t], step, u[:, t])
            state = np.exp(-rates * step)[..., None, None] * state + added
            y[:, t] += np.einsum("bn,bhnp->bhp", queries[:, t], state)
    y = y.reshape(*y.shape[:2], -1) * silu(gate)
    y = y / np.sqrt((y**2).mean(-1, keepdims=True) + 1e-6) * p["norm"]["scale"]
    return dense(p["out"], y)


def b2s6_reference(p, x, mask, num_blocks, state_dim, **_):
    """Go through channels one by one; those of a block read the block alone."""
    u, size = masked(x, mask), x.shape[-1] // num_blocks
    rates = -np.exp(p["ssm_log_decay"]) + 1j * p["ssm_frequency"]
    bias = p["B_bias_re"] + 1j * p["B_bias_im"]
    y = p["D"] * u
    for channel in range(x.shape[-1]):
        block, i = divmod(channel, size)
        seen = u[..., block * size : (block + 1) * size]
        matrix = seen @ complex_of(p["B"])[block] + bias[block, i]
        for way, rate in enumerate(rates):
            read = seen @ p["ssm_step_weight"][way, block]
            steps = np.log1p(np.exp(read + p["ssm_step_bias"][way, block, i]))
            decay = np.exp((steps * np.asarray(mask))[..., None] * rate)
            gain = (decay - 1) / rate * matrix * u[..., channel, None]
            moves = np.stack([decay, gain], axis=-1)
            states = both_ways(lambda h, now: now[..., 0] * h + now[..., 1], moves)
            read = (states[way] * (seen @ p["C"][block])).sum(-1)
            y[..., channel] += 2 * read.real
    return glu(dense(p["out"], gelu(y)))


REFERENCES = {
    "lru": lru_reference,
    "s5": s5_reference,
    "s4d": s4d_reference,
    "mega": mega_reference,
    "hyena": hyena_reference,
    "retnet": retnet_reference,
    "mamba2": mamba2_reference,
    "b2s6": b2s6_reference,
}
CASES = [
    *((name, {}) for name in REFERENCES),
    ("s4d", {"initialization": "linear"}),
    ("mega", {"chunk_size": 0}),
    ("mega", {"attention_function": "laplace"}),
    ("mega", {"attention_function": "laplace", "chunk_size": 0}),
    ("hyena", {"order": 3}),
    ("retnet", {"chunk_size": 1}),
    ("retnet", {"chunk_size": 64}),
    ("mamba2", {"chunk_size": 1}),
    ("mamba2", {"chunk_size": 64}),
    ("b2s6", {"num_blocks": WIDTH}),
    ("b2s6", {"chunk_size": 1}),
    ("b2s6", {"chunk_size": 64}),
    *((name, {"causal": True}) for name in REFERENCES if name != "b2s6"),
    ("mega", {"causal": True, "attention_function": "laplace"}),
]


@pytest.fixture(params=CASES, ids=str, scope="module")
def case(request):
    """Compute one mixer's output once for all tests of it."""
    name, changes = request.param
    settings = HYPERPARAMETERS[name] | changes
    x, mask = draw((3, LENGTH, WIDTH)), some_mask()
    y, params = computed(name, settings, x, mask)

    def reference(x, mask):
        return REFERENCES[name](params, x, mask, **settings)

    return name, x, mask, y, reference


def relative_error(measured, expected):
    return np.abs(measured - expected).max() / np.abs(expected).max()


def test_mixer_equals_a_plain_loop_in_float64(case):
    _, x, mask, y, reference = case
    real = np.asarray(mask)
    assert relative_error(y[real], reference(x, mask)[real]) < 5e-6


def test_only_hyena_depends_on_how_much_padding_follows(case):
    name, x, mask, y, reference = case
    length = int(mask[1].sum())
    cut = reference(x[1:2, :length], mask[1:2, :length])[0]
    error = relative_error(y[1, :length], cut)
    assert error > 0.01 if name == "hyena" else error < 5e-6


CAUSAL = [name for name, changes in CASES if changes == {"causal": True}]


# Hyena counts positions in lengths, so a shorter sequence has another kernel.
@pytest.mark.parametrize("name", [name for name in CAUSAL if name != "hyena"])
def test_a_causal_output_is_that_of_the_sequence_cut_after_it(name):
    mixer = mixer_class(name)(**HYPERPARAMETERS[name], causal=True)
    x, mask = draw((3, LENGTH, WIDTH)), some_mask()
    params = jax.jit(mixer.init, static_argnums=3)(jax.random.key(0), x, mask, False)
    apply = jax.jit(mixer.apply, static_argnums=3)
    y = np.asarray(apply(params, x, mask, False))
    for length in (1, 7, 11):  # 7 ends a chunk of mega, and none of the others
        cut = apply(params, x[:, :length], mask[:, :length], False)
        assert relative_error(np.asarray(cut), y[:, :length]) < 5e-6


@pytest.mark.parametrize("name", CAUSAL)
def test_a_causal_form_has_no_parameters_of_the_other_direction(name):
    x, mask = draw((3, LENGTH, WIDTH)), some_mask()

    def size(causal):
        mixer = mixer_class(name)(**HYPERPARAMETERS[name], causal=causal)
        init = jax.eval_shape(
            lambda key: mixer.init(key, x, mask, False), jax.random.key(0)
        )
        return sum(leaf.size for leaf in jax.tree.leaves(init))

    assert size(True) == size(False) if name == "retnet" else size(True) < size(False)


@pytest.mark.parametrize("reverse", [False, True])
def test_recurrence_and_its_derivatives_equal_a_loop(reverse, for_platform):
    decay = jax.lax.complex(draw((3, 7, 5)), draw((3, 7, 5), 1)) / 2
    inputs = jax.lax.complex(draw((3, 7, 5), 2), draw((3, 7, 5), 3))

    def loop(decay, inputs):
        state, states = 0, [None] * 7
        for t in reversed(range(7)) if reverse else range(7):
            state = states[t] = decay[:, t] * state + inputs[:, t]
        return jnp.stack(states, axis=1)

    def scan(decay, inputs):
        return linear_recurrence(decay, inputs, reverse)

    gradient = jax.lax.complex(draw((3, 7, 5), 4), draw((3, 7, 5), 5))
    for shape in [(3, 7, 5), (1, 7, 1), (1, 1, 5)]:
        part = decay[tuple(slice(size) for size in shape)]
        wide = jnp.broadcast_to(part, decay.shape)
        expected, transposed = jax.vjp(loop, wide, inputs)
        measured, derivative = jax.vjp(scan, part, inputs)
        np.testing.assert_allclose(measured, expected, atol=1e-5)
        to_wide, to_inputs = transposed(gradient)
        axes = tuple(axis for axis in range(3) if shape[axis] == 1)
        to_part = to_wide.sum(axes, keepdims=True)
        np.testing.assert_allclose(derivative(gradient)[0], to_part, atol=1e-4)
        np.testing.assert_allclose(derivative(gradient)[1], to_inputs, atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("taps", [1, 4, 5])
def test_convolution_and_its_derivatives_equal_products_with_a_matrix(
    taps, causal, for_platform
):
    x, kernel, gradient = draw((2, 9, 3)), draw((taps, 3), 1), draw((2, 9, 3), 2)
    before = taps - 1 if causal else (taps - 1) // 2

    def by_matrix(x, kernel):
        bands = [jnp.eye(9, k=i - before)[..., None] * kernel[i] for i in range(taps)]
        return jnp.einsum("nmd,bmd->bnd", sum(bands), x, precision="highest")

    expected, transposed = jax.vjp(by_matrix, x, kernel)
    measured, derivative = jax.vjp(lambda *a: depthwise_conv(*a, causal), x, kernel)
    np.testing.assert_allclose(measured, expected, atol=1e-5)
    for own, of_matrix in zip(derivative(gradient), transposed(gradient), strict=True):
        np.testing.assert_allclose(own, of_matrix, atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 9, 1009])
def test_sums_of_exponentials_equal_the_table_in_float64(length):
    weights = np.asarray(jax.lax.complex(draw((3, 5)), draw((3, 5), 1)))
    rates = np.asarray(-jnp.exp(draw((3, 5), 2)) / 9 + 3j * draw((3, 5), 3))
    table = np.exp(rates.astype(complex)[..., None] * np.arange(length))
    expected = (weights[..., None] * table).sum(1).T
    measured = exponential_sum(jnp.asarray(weights), jnp.asarray(rates), length)
    np.testing.assert_allclose(measured, expected, atol=3e-5)


def test_hippo_n_is_hippo_legs_plus_a_matrix_of_rank_one():
    eigenvalues, basis = hippo_eigenvectors(12, 2)
    half = (basis * eigenvalues) @ basis.conj().T
    order = np.arange(6)
    legs = -np.sqrt(np.outer(2 * order + 1, 2 * order + 1)) * (
        order[:, None] > order
    ) - np.diag(order + 1)
    low_rank = np.sqrt(np.outer(order + 0.5, order + 0.5))
    expected = np.kron(np.eye(2), legs + low_rank)
    np.testing.assert_allclose(2 * half.real, expected, atol=1e-5)


def test_lru_begins_on_its_ring_with_states_of_the_scale_of_its_input():
    settings = HYPERPARAMETERS["lru"] | {"state_dim": 999}
    x, mask = draw((1, 5, 2)), jnp.ones((1, 5), bool)
    init = jax.jit(mixer_class("lru")(**settings).init, static_argnums=3)
    params = init(jax.random.key(0), x, mask, False)
    radius = np.exp(-np.exp(as_float64(params["params"]["ssm_log_nu"])))
    assert 0.5 <= radius.min() < 0.51 and 0.98 < radius.max() <= 0.99
    # White noise of variance 1 gives a state of variance gain^2 / (1 - radius^2).
    gain = np.exp(as_float64(params["params"]["ssm_log_gain"]))
    np.testing.assert_allclose(gain**2 / (1 - radius**2), 1, rtol=1e-4)


def test_every_channel_of_b2s6_selects_by_its_own_block_of_several():
    settings = HYPERPARAMETERS["b2s6"] | {"num_blocks": 3}
    x, mask = draw((3, LENGTH, 21)), some_mask()
    y, params = computed("b2s6", settings, x, mask)
    real, expected = np.asarray(mask), b2s6_reference(params, x, mask, **settings)
    assert relative_error(y[real], expected[real]) < 5e-6


def test_derivatives_of_b2s6_pass_from_chunk_to_chunk():
    x, mask = draw((3, LENGTH, 6)), some_mask()

    def derivatives(chunk_size):
        settings = HYPERPARAMETERS["b2s6"] | {"num_blocks": 2, "chunk_size": chunk_size}
        mixer = mixer_class("b2s6")(**settings)
        init = jax.jit(mixer.init, static_argnums=3)
        params = init(jax.random.key(0), x, mask, False)

        def loss(params, x):
            return (mixer.apply(params, x, mask, True) ** 2).sum()

        return jax.jit(jax.grad(loss, argnums=(0, 1)))(params, x)

    whole, in_chunks = jax.tree.leaves(derivatives(64)), derivatives(4)
    for expected, measured in zip(whole, jax.tree.leaves(in_chunks), strict=True):
        assert relative_error(measured, expected) < 1e-5


def test_laplace_attention_touches_the_squared_relu():
    touching = jnp.sqrt(0.5)
    assert float(laplace(touching)) == pytest.approx(0.5)
    slope = float(jax.grad(laplace)(touching))
    assert slope == pytest.approx(2 * np.sqrt(0.5), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("s5", {"num_blocks": 4}, "state_dim 12 does not make 4 blocks"),
        ("b2s6", {"num_blocks": 8}, "width 2 does not make 8 blocks"),
        ("s4d", {"initialization": "legs"}, "choose from .'linear', 'inverse'"),
        ("mega", {"attention_function": "relu"}, "choose from .'softmax', 'laplace'"),
    ],
)
def test_unknown_choices_are_refused_by_name(name, changes, message):
    mixer = mixer_class(name)(**HYPERPARAMETERS[name] | changes)
    x, mask = draw((1, 3, 2)), jnp.ones((1, 3), bool)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda: mixer.init(jax.random.key(0), x, mask, False))
