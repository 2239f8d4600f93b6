"""Attention and its rivals against slow dense formulas in float64."""

import functools
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from lra_fnet.dropout import dropout_key
from lra_fnet.mixers import _tiled_attention, mixer_class, mixer_names
from lra_fnet.mixers._products import pair_products, weighted_sums
from lra_fnet.mixers._tiled_attention import Tile, attend_in_tiles, tile_for
from lra_fnet.mixers.chordmixer import chord_offsets
from lra_fnet.mixers.nystromformer import pseudoinverse, segment_means
from lra_fnet.mixers.transformer_rope import real_first

LENGTH, WIDTH = 19, 24
HEADS = {"num_heads": 8, "qkv_dim": 0}
ROPE = {**HEADS, "rotary_base": 1e4, "implementation": "auto"}
NYSTROM = {
    **HEADS,
    "dropout_rate": 0.1,
    "num_landmarks": 5,
    "num_iterations": 6,
    "kernel_size": 3,
}
LUNA = {**HEADS, "dropout_rate": 0.1, "num_slots": 5}
FAMILY = {
    "transformer": {**HEADS, "dropout_rate": 0.1},
    "transformer_rope": ROPE,
    "linear_transformer": HEADS,
    "nystromformer": NYSTROM,
    "cnn": {"kernel_size": 5, "depthwise": True},
    "chordmixer": {},
    "gmlp": {"hidden_dim": 0},
    "cosformer": HEADS,
    "luna": LUNA,
}


def some_x(length=LENGTH, width=WIDTH, seed=0):
    x = np.random.default_rng(seed).normal(size=(3, length, width))
    return jnp.asarray(x, jnp.float32)


def some_mask(length=LENGTH):
    """Whole, one short, and real tokens with gaps."""
    gaps = np.random.default_rng(0).random(length) < 0.6
    return jnp.asarray([[True] * length, [True] * (length - 1) + [False], gaps])


def made(name, x, mask, **changes):
    mixer = mixer_class(name)(**{**FAMILY[name], **changes})
    # A copy: some tests change a parameter.
    return mixer, jax.tree.map(jnp.copy, drawn(mixer, *x.shape))


@functools.cache
def drawn(mixer, *shape):
    """Initialize once for all tests of a mixer."""
    init = jax.jit(partial(mixer.init, train=False))
    return init(jax.random.key(0), jnp.ones(shape), jnp.ones(shape[:2], bool))


@partial(jax.jit, static_argnums=0)
def run(mixer, params, x, mask):
    return mixer.apply(params, x, mask, train=False)


def float64(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def heads(params, x, name):
    """Project in float64, to (b, h, l, k)."""
    return np.einsum(
        "bld,dhk->bhlk", float64(x), float64(params["params"][name]["kernel"])
    )


def out(params, values):
    return np.einsum(
        "bhlk,hkd->bld", values, float64(params["params"]["out"]["kernel"])
    )


def softmax(scores, mask=None):
    if mask is not None:
        scores = np.where(np.asarray(mask)[:, None, None], scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def weights(query, key, mask=None):
    return softmax(query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1]), mask)


def attention(params, x, mask):
    query, key, value = (heads(params, x, n) for n in ("query", "key", "value"))
    return out(params, weights(query, key, mask) @ value)


def error(actual, expected, mask=None):
    """The largest error at a real position, against the largest value."""
    difference = np.abs(np.asarray(actual, np.float64) - expected)
    if mask is not None:
        difference = difference[np.asarray(mask)]
    return difference.max() / np.abs(expected).max()


def whole_attention(query, key, value, mask):
    """Attend by Flax's function, with the weights of all heads in memory."""
    return nn.dot_product_attention(query, key, value, mask=mask[:, None, None])


def heads_and_mask(length=24):
    """Return query, key, value (3, l, 2, 8), and a mask with a row of padding alone."""
    query, key, value = jax.random.normal(jax.random.key(0), (3, 3, length, 2, 8))
    count = jnp.array([length, length // 3, 0])
    return 3 * query, key, value, jnp.arange(length) < count[:, None]


# Most weights and queries of a tile, and the tile for 24 queries, 24 keys and 6 heads.
TILES = {
    "a tile a head": ("cpu", 24 * 24, 24, Tile(1, 24, 24)),
    "three tiles a head": ("cpu", 24 * 8, 24, Tile(1, 24, 8)),
    "a key at a time": ("cpu", 24, 24, Tile(1, 24, 1)),
    "a query at a time": ("cpu", 24, 1, Tile(1, 1, 24)),
    "two by three tiles": ("cpu", 12 * 8, 12, Tile(1, 12, 8)),
    "four by two tiles": ("cpu", 6 * 12, 6, Tile(1, 6, 12)),
    "everything at once": ("gpu", 6 * 24 * 24, 24, Tile(6, 24, 24)),
    "heads of two examples": ("gpu", 3 * 24 * 24, 24, Tile(3, 24, 24)),
    "an example at a time": ("tpu", 5 * 24 * 12, 24, Tile(2, 24, 24)),
    "a part of one head": ("gpu", 24 * 12, 24, Tile(1, 24, 12)),
}


@pytest.fixture(params=TILES.values(), ids=TILES)
def platform(request, monkeypatch):
    """Return a platform whose tiles have few weights."""
    name, most_weights, most_queries, tile = request.param
    monkeypatch.setattr(_tiled_attention, "FEWEST_OF_A_TILE", 1)
    monkeypatch.setattr(_tiled_attention, "MOST_QUERIES", most_queries)
    for limit in ("MOST_WEIGHTS", "MOST_WEIGHTS_ELSEWHERE"):
        monkeypatch.setattr(_tiled_attention, limit, most_weights)
    assert tile_for(name, 6, 24, 24) == tile
    return name


def test_attention_in_tiles_and_its_gradients_are_those_of_whole_attention(platform):
    *heads, mask = heads_and_mask()
    assert_equals_whole(partial(attend_in_tiles, platform=platform), heads, mask)


@pytest.mark.parametrize("causal", [False, True])
def test_queries_that_are_not_wanted_read_zeros_and_change_nothing(platform, causal):
    """Whether their whole tile is skipped or only they."""
    *heads, mask = heads_and_mask()
    wanted = jnp.stack([jnp.arange(24) < 7, jnp.arange(24) >= 20, some_mask(24)[0]])
    settings = {"platform": platform, "causal": causal}

    def all_read(query, key, value, mask):
        mixed = attend_in_tiles(query, key, value, mask, **settings)
        return jnp.where(wanted[..., None, None], mixed, 0)

    attend = partial(attend_in_tiles, query_mask=wanted, **settings)
    assert_equals_whole(attend, heads, mask, all_read)


@pytest.mark.parametrize("causal", [False, True])
def test_tiles_of_padding_and_of_the_future_are_not_computed(causal, monkeypatch):
    """Numbers in them that are not finite would reach the sums."""
    tile = Tile(1, 8, 8)
    monkeypatch.setattr(_tiled_attention, "tile_for", lambda *_: tile)
    query, key, value, _ = (x[:1] for x in heads_and_mask())
    mask = jnp.arange(24)[None] < 16
    needed = mask & (jnp.arange(24) < 8) if causal else mask
    attend = partial(attend_in_tiles, mask=mask, causal=causal, query_mask=needed)
    outcomes = []
    for other in (0, jnp.inf):
        query, key, value = (
            jnp.where(needed[..., None, None], x, other) for x in (query, key, value)
        )
        mixed, pulled = jax.vjp(attend, query, key, value)
        outcomes.append((mixed, *pulled(jnp.cos(mixed))))
    for own, reference in zip(*outcomes, strict=True):
        assert jnp.isfinite(own).all()
        np.testing.assert_array_equal(own, reference)


def assert_equals_whole(attend, heads, mask, whole=whole_attention):
    outcomes = []
    for function in (attend, whole):
        mixed, pulled = jax.vjp(partial(function, mask=mask), *heads)
        outcomes.append((mixed, *pulled(jnp.cos(mixed))))
    for own, reference in zip(*outcomes, strict=True):
        np.testing.assert_allclose(own, reference, rtol=2e-5, atol=2e-6)


def whole_causal_attention(query, key, value, mask):
    """Attend with all weights in memory; zeros where there is nothing to read."""
    scores = jnp.einsum("blhk,bmhk->bhlm", query, key) / query.shape[-1] ** 0.5
    seen = jnp.tril(mask[:, None, None] & jnp.ones(scores.shape[-2:], bool))
    weights = jnp.exp(scores - scores.max(axis=-1, keepdims=True)) * seen
    total = weights.sum(axis=-1, keepdims=True)
    return jnp.einsum(
        "bhlm,bmhk->blhk", weights / jnp.where(total > 0, total, 1), value
    )


@pytest.mark.parametrize("padding", ["last", "first", "gaps"])
def test_causal_attention_in_tiles_and_its_gradients_are_dense_ones(platform, padding):
    *heads, mask = heads_and_mask()
    mask = {"last": mask, "first": mask[:, ::-1], "gaps": some_mask(24)}[padding]
    attend = partial(attend_in_tiles, platform=platform, causal=True)
    assert_equals_whole(attend, heads, mask, whole_causal_attention)


def test_attention_in_tiles_skips_no_tile_that_one_of_its_heads_reads(monkeypatch):
    """Of examples whose real keys lie in different tiles, some without any."""
    monkeypatch.setattr(_tiled_attention, "tile_for", lambda *_: Tile(6, 24, 8))
    *heads, _ = heads_and_mask()
    places = jnp.arange(24) // 8
    for real in ([0, 2, 9], [0, 0, 0], [1, 2, 1]):
        mask = places == jnp.array(real)[:, None]
        assert_equals_whole(partial(attend_in_tiles, platform="gpu"), heads, mask)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_in_tiles_differentiates_what_it_dropped(platform, causal):
    *heads, mask = heads_and_mask()
    heads = [x / 3 for x in heads]
    key = dropout_key(jax.random.key(1))
    settings = {"dropout_rate": 0.5, "platform": platform, "causal": causal}
    attend = partial(attend_in_tiles, mask=mask, **settings)

    def mixed(*heads):
        return attend(*map(jnp.asarray, heads), dropout_key=key)

    check_grads(mixed, heads, 1, ["rev"], rtol=1e-2, eps=1e-2)


def test_attention_in_tiles_drops_weights_and_keeps_their_mean(platform):
    *heads, mask = heads_and_mask()
    attend = partial(attend_in_tiles, *heads, mask, platform=platform)
    draws = jax.lax.map(
        lambda key: attend(dropout_key(key), 0.5),
        jax.random.split(jax.random.key(2), 4_000),
    )
    error = draws.std(axis=0) / len(draws) ** 0.5
    assert (error > 0).all()
    off = (draws.mean(axis=0) - attend()) / error
    assert abs(off).max() < 6 and 0.9 < off.std() < 1.1


@pytest.mark.parametrize("keys", [24, 8])
def test_a_group_of_heads_drops_what_each_head_alone_does(keys, monkeypatch):
    *heads, mask = heads_and_mask()
    outcomes = []
    for platform, at_once in (("cpu", 1), ("gpu", 1), ("gpu", 6)):
        tile = Tile(at_once, 24, keys)
        monkeypatch.setattr(_tiled_attention, "tile_for", lambda *_, t=tile: t)
        key = dropout_key(jax.random.key(1))
        outcomes.append(attend_in_tiles(*heads, mask, key, 0.5, platform))
    np.testing.assert_allclose(outcomes[1], outcomes[0], atol=2e-6)
    np.testing.assert_allclose(outcomes[2], outcomes[0], atol=2e-6)


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_attention_in_tiles_keeps_the_weights_of_few_heads(platform, monkeypatch):
    length = 512
    monkeypatch.setattr(_tiled_attention, "MOST_WEIGHTS_ELSEWHERE", length**2)
    *heads, mask = heads_and_mask(length)
    attend = partial(attend_in_tiles, platform=platform)

    def gradients(*heads):
        return jax.grad(lambda *h: attend(*h, mask).sum(), (0, 1, 2))(*heads)

    analysis = jax.jit(gradients).lower(*heads).compile().memory_analysis()
    weights_of_all = 4 * length**2 * 3 * 2
    assert analysis.temp_size_in_bytes < weights_of_all


@pytest.mark.parametrize("num_heads", [1, 7, 32 * 8])
@pytest.mark.parametrize("length", [1024, 2000, 4000, 16384])
def test_a_tile_divides_heads_and_keys_and_its_weights_are_bounded(num_heads, length):
    for platform, most in (
        ("cpu", _tiled_attention.MOST_WEIGHTS),
        ("gpu", _tiled_attention.MOST_WEIGHTS_ELSEWHERE),
    ):
        heads, queries, keys = tile_for(platform, num_heads, length, length)
        assert num_heads % heads == 0
        assert length % queries == 0 and length % keys == 0
        assert heads * queries * keys <= most
    assert queries == length
    assert heads == 1 or keys == length


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_products_of_attention_and_their_derivatives_are_those_of_jax(
    for_platform, dtype
):
    def draw(*shape):
        values = np.random.default_rng(shape).normal(size=(2, 3, *shape))
        return jnp.asarray(values, jnp.float32).astype(dtype)

    def result_and_derivatives(formula, *factors):
        result, derivative = jax.vjp(lambda *x: jnp.einsum(formula, *x), *factors)
        return result, *derivative(ahead.astype(result.dtype))

    tolerance = 1e-5 if dtype == "float32" else 2e-2
    cases = {
        pair_products: ("...qk,...mk->...qm", draw(7, 4), draw(5, 4), draw(7, 5)),
        weighted_sums: ("...qm,...mk->...qk", draw(7, 5), draw(5, 4), draw(7, 4)),
    }
    for function, (formula, *factors, ahead) in cases.items():
        result, derivative = jax.vjp(function, *factors)
        assert result.dtype == jnp.float32
        own = result, *derivative(ahead.astype(jnp.float32))
        expected = result_and_derivatives(formula, *factors)
        assert [x.dtype for x in own[1:]] == [dtype] * 2
        for one, other in zip(own, expected, strict=True):
            one, other = (np.asarray(x, np.float64) for x in (one, other))
            np.testing.assert_allclose(one, other, tolerance, tolerance)


@pytest.mark.parametrize("implementation", ["auto", "xla"])
@pytest.mark.parametrize("num_heads", [8, 3])  # of 3 channels, and of 8
def test_rotary_attention_is_softmax_of_turned_vectors(num_heads, implementation):
    x, mask = some_x(), some_mask()
    options = {"num_heads": num_heads, "implementation": implementation}
    mixer, params = made("transformer_rope", x, mask, **options)
    query, key, value = (heads(params, x, n) for n in ("query", "key", "value"))
    half = query.shape[-1] // 2
    turns = np.exp(1j * np.arange(LENGTH)[:, None] * 1e4 ** (-np.arange(half) / half))

    def turned(vectors):
        pairs = (vectors[..., :half] + 1j * vectors[..., half : 2 * half]) * turns
        return np.concatenate([pairs.real, pairs.imag, vectors[..., 2 * half :]], -1)

    expected = out(params, weights(turned(query), turned(key), mask) @ value)
    assert error(run(mixer, params, x, mask), expected, mask) < 2e-6


def causal_out(params, scores, value, mask):
    """Project the values by scores of positions so far, which sum up to 1."""
    scores = np.tril(scores * np.asarray(mask)[:, None, None])
    total = scores.sum(-1, keepdims=True)
    return out(params, scores / np.where(total > 0, total, 1) @ value)


@pytest.mark.parametrize("padding", ["last", "first"])
@pytest.mark.parametrize("name", ["transformer", "linear_transformer"])
def test_causal_attention_is_dense_attention_to_the_positions_so_far(name, padding):
    length = 131  # two chunks of linear attention, and three tokens
    x, mask = some_x(length), some_mask(length)
    mask = mask if padding == "last" else mask[:, ::-1]
    mixer, params = made(name, x, mask, causal=True)
    y = run(mixer, params, x, mask)
    inner = params["params"].get("MultiHeadDotProductAttention_0")  # Flax's own module
    params = {"params": inner} if inner else params
    query, key, value = (heads(params, x, n) for n in ("query", "key", "value"))
    if name == "transformer":
        scores = np.exp(query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1]))
    else:
        query, key = (np.where(z > 0, z + 1, np.exp(z)) for z in (query, key))
        scores = query @ key.swapaxes(-1, -2)
    assert error(y, causal_out(params, scores, value, mask), mask) < 2e-6


def test_causal_rotary_attention_is_that_of_the_sequence_cut_after_it():
    x, mask = some_x(), some_mask()
    mixer, params = made("transformer_rope", x, mask, causal=True)
    y = np.asarray(run(mixer, params, x, mask))
    whole = mixer_class("transformer_rope")(**ROPE)
    for length in (1, 7, LENGTH):  # the last position reads all there are
        cut = run(whole, params, x[:, :length], mask[:, :length])
        real = np.asarray(mask)[:, :length].any(axis=1)  # else it reads nothing
        assert error(cut[real, -1], y[real, length - 1]) < 2e-6


def test_the_kernels_that_are_not_causal_are_told():
    for implementation in ("cudnn", "xla"):
        with pytest.raises(ValueError, match="is not causal; take 'tiled'"):
            made(
                "transformer_rope",
                some_x(),
                some_mask(),
                implementation=implementation,
                causal=True,
            )


def test_rotary_attention_knows_distances_and_no_positions():
    x, mask = some_x(), some_mask()
    mixer, params = made("transformer_rope", x, mask)
    later = jnp.pad(x, ((0, 0), (7, 0), (0, 0))), jnp.pad(mask, ((0, 0), (7, 0)))
    y = run(mixer, params, x, mask)
    assert error(run(mixer, params, *later)[:, 7:], np.asarray(y)) < 1e-5
    reversed_ = run(mixer, params, x[:, ::-1], mask[:, ::-1])[:, ::-1]
    assert error(reversed_, np.asarray(y)) > 1e-2


def test_counting_the_keys_after_sorting_them_equals_masking_them():
    query, key, value = (
        some_x(width=16, seed=s).reshape(3, -1, 2, 8) for s in range(3)
    )
    mask = some_mask()
    masked = jax.nn.dot_product_attention(query, key, value, mask=mask[:, None, None])
    key, value, count = real_first(key, value, mask)
    counted = jax.nn.dot_product_attention(
        query, key, value, key_value_seq_lengths=count
    )
    assert error(counted, np.asarray(masked)) < 1e-6
    assert real_first(key, value, mask & False)[2].tolist() == [1, 1, 1]


def test_an_unknown_kernel_is_told():
    with pytest.raises(ValueError, match=r"'flash'; choose from \('auto', 'cudnn'"):
        made("transformer_rope", some_x(), some_mask(), implementation="flash")


def test_heads_that_do_not_divide_the_width_are_told_by_every_mixer_with_heads():
    with_heads = [
        name for name in mixer_names() if hasattr(mixer_class(name), "num_heads")
    ]
    assert {"transformer", "mamba2", "performer"} <= {*with_heads}
    for name in with_heads:
        with pytest.raises(ValueError, match=r"num_heads is 5; it must divide the wid"):
            drawn(mixer_class(name)(num_heads=5), 2, 8, 24)


def test_nystromformer_is_attention_through_means_of_segments():
    # Vectors that differ much: landmarks alike have no inverse worth comparing.
    x, mask = 3 * some_x(), some_mask()
    mixer, params = made("nystromformer", x, mask, num_iterations=30)
    query, key, value = (heads(params, x, n) for n in ("query", "key", "value"))
    expected = nystrom_reference(query, key, value, np.asarray(mask))
    expected = expected + skip_reference(params, value, np.asarray(mask))
    actual = run(mixer, params, x, mask)
    assert error(actual, out(params, expected)) < 1e-4


def nystrom_reference(query, key, value, mask, segment=4):
    """One row at a time, over those segments that have a real token."""
    rows = []
    for q, k, v, real in zip(query, key, value, mask, strict=True):
        parts = [
            np.arange(i, min(i + segment, len(real)))
            for i in range(0, len(real), segment)
        ]
        parts = [part[real[part]] for part in parts]
        means = [
            np.stack([z[:, part].mean(axis=1) for part in parts if len(part)], axis=1)
            for z in (q, k)
        ]
        inverse = np.linalg.pinv(weights(means[0], means[1]))
        read = weights(means[0], k[:, real]) @ v[:, real]
        rows.append(weights(q, means[1]) @ (inverse @ read))
    return np.stack(rows)


def skip_reference(params, value, mask):
    kernel = float64(params["params"]["kernel"])
    value = np.where(mask[:, None, :, None], value, 0)
    padded = np.pad(value, ((0, 0), (0, 0), (1, 1), (0, 0)))
    length = value.shape[2]
    return sum(
        padded[:, :, i : i + length] * kernel[i][:, None, None] for i in range(3)
    )


def test_nystromformer_becomes_attention_with_a_landmark_per_token():
    x, mask = 2 * some_x(), some_mask()
    _, params = made("nystromformer", x, mask)
    params["params"]["kernel"] *= 0
    errors = []
    for num_landmarks, num_iterations in [(4, 6), (LENGTH, 6), (LENGTH, 15)]:
        sizes = {"num_landmarks": num_landmarks, "num_iterations": num_iterations}
        mixer = mixer_class("nystromformer")(**NYSTROM | sizes)
        y = run(mixer, params, x, mask)
        errors.append(error(y, attention(params, x, mask), mask))
    assert errors == sorted(errors, reverse=True), errors
    assert errors[-1] < 1e-3, errors


def test_the_iterated_pseudoinverse_is_moore_penrose_with_zero_rows_left_zero():
    scores = 3 * np.random.default_rng(0).normal(size=(2, 3, 7, 7))
    matrix = softmax(scores)
    matrix[:, :, 5:] = 0
    matrix[..., 5:] = 0
    actual = pseudoinverse(jnp.asarray(matrix, jnp.float32), 15)
    assert error(actual, np.linalg.pinv(matrix)) < 1e-3
    assert not bool(actual[:, :, 5:].any()) and not bool(actual[..., 5:].any())


def test_segments_of_padding_alone_are_no_landmarks():
    vectors = some_x().reshape(3, LENGTH, 8, 3)
    mask = jnp.arange(LENGTH) < jnp.array([[LENGTH], [9], [0]])
    means, is_real = segment_means(vectors, mask, 5)
    assert is_real.sum(axis=1).tolist() == [5, 3, 0]
    expected = np.asarray(vectors)[1, 8:9].mean(axis=0)
    np.testing.assert_allclose(means[1, 2], expected, atol=1e-6)
    assert not bool(means[2].any())


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


@pytest.mark.parametrize("depthwise", [True, False])
def test_the_convolution_is_a_loop_over_its_kernel(depthwise):
    x, mask = some_x(), some_mask()
    mixer, params = made("cnn", x, mask, depthwise=depthwise)
    leaf = float64(params["params"])
    if depthwise:
        kernel = np.stack([np.diag(row) for row in leaf["kernel"]])
        bias = leaf["bias"]
    else:
        kernel, bias = leaf["conv"]["kernel"], leaf["conv"]["bias"]
    real = np.where(np.asarray(mask)[..., None], float64(x), 0)
    padded = np.pad(real, ((0, 0), (2, 2), (0, 0)))
    summed = sum(padded[:, i : i + LENGTH] @ kernel[i] for i in range(5)) + bias
    expected = gelu(summed) @ leaf["out"]["kernel"] + leaf["out"]["bias"]
    assert error(run(mixer, params, x, mask), expected) < 2e-6


@pytest.mark.parametrize("depthwise", [True, False])
def test_the_convolution_sees_its_neighbors_and_no_further(depthwise):
    x, mask = some_x(), jnp.ones((3, LENGTH), bool)
    mixer, params = made("cnn", x, mask, depthwise=depthwise)
    gradient = jax.grad(lambda x: run(mixer, params, x, mask)[0, 9].sum())(x)
    assert np.flatnonzero(np.abs(gradient[0]).max(axis=-1)).tolist() == [*range(7, 12)]


@pytest.mark.parametrize("depthwise", [True, False])
def test_the_causal_convolution_sees_the_positions_before_it(depthwise):
    x, mask = some_x(), jnp.ones((3, LENGTH), bool)
    mixer, params = made("cnn", x, mask, depthwise=depthwise, causal=True)
    gradient = jax.grad(lambda x: run(mixer, params, x, mask)[0, 9].sum())(x)
    assert np.flatnonzero(np.abs(gradient[0]).max(axis=-1)).tolist() == [*range(5, 10)]
    centered, _ = made("cnn", x, mask, depthwise=depthwise)
    moved = run(centered, params, x, mask)[:, :-2]  # the same weights, two later
    assert error(run(mixer, params, x, mask)[:, 2:], np.asarray(moved)) < 2e-6


def test_chordmixer_rolls_the_real_tokens_of_every_row():
    x, mask = some_x(), some_mask()
    mixer, params = made("chordmixer", x, mask)
    assert not params
    expected = np.array(x)
    for row, real in zip(expected, np.asarray(mask), strict=True):
        groups = np.array_split(np.arange(WIDTH), len(chord_offsets(LENGTH)))
        for channels, offset in zip(groups, chord_offsets(LENGTH), strict=True):
            place = np.ix_(np.flatnonzero(real), channels)
            row[place] = np.roll(row[place], -offset, axis=0)
    np.testing.assert_array_equal(run(mixer, params, x, mask), expected)


def test_chordmixer_differentiates_to_the_opposite_rotation():
    x, mask = some_x(), some_mask()
    mixer, params = made("chordmixer", x, mask)
    y, transposed = jax.vjp(lambda x: run(mixer, params, x, mask), x)
    np.testing.assert_array_equal(transposed(y)[0], x)


def test_chordmixer_reaches_every_token_in_log2_of_the_length_layers():
    reached = {0}
    for _ in range((LENGTH - 1).bit_length()):
        steps = chord_offsets(LENGTH)
        reached |= {(i + step) % LENGTH for i in reached for step in steps}
    assert reached == set(range(LENGTH))


def test_gmlp_gates_by_a_matrix_over_the_real_positions():
    x, mask = some_x(), some_mask()
    mixer, params = made("gmlp", x, mask, hidden_dim=11)
    params["params"]["over_length"] *= 100
    leaf = float64(params["params"])
    halves = gelu(float64(x) @ leaf["in"]["kernel"] + leaf["in"]["bias"])
    passed, gate = np.split(halves, 2, axis=-1)
    gate = gate - gate.mean(-1, keepdims=True)
    gate = gate / np.sqrt(gate.var(-1, keepdims=True) + 1e-6)
    gate = gate * leaf["norm"]["scale"] + leaf["norm"]["bias"]
    gate = np.where(np.asarray(mask)[..., None], gate, 0)
    gated = passed * (leaf["over_length"] @ gate + leaf["bias"])
    expected = gated @ leaf["out"]["kernel"] + leaf["out"]["bias"]
    assert error(run(mixer, params, x, mask), expected) < 2e-5


def test_gmlp_begins_as_an_mlp():
    x, mask = some_x(), some_mask()
    mixer, params = made("gmlp", x, mask)
    y = run(mixer, params, x, mask)
    params["params"]["over_length"] *= 0
    assert 0 < error(y, np.asarray(run(mixer, params, x, mask))) < 0.05


def test_cosformer_is_dense_attention_with_relu_and_cosine():
    x, mask = some_x(), some_mask()
    mixer, params = made("cosformer", x, mask)
    query, key, value = (heads(params, x, n) for n in ("query", "key", "value"))
    scores = np.maximum(query, 0) @ np.maximum(key, 0).swapaxes(-1, -2)
    distance = np.arange(LENGTH)[:, None] - np.arange(LENGTH)
    scores *= np.cos(np.pi / 2 * distance / LENGTH)
    scores *= np.asarray(mask)[:, None, None]
    total = np.maximum(scores.sum(-1, keepdims=True), 1e-6)
    expected = out(params, scores / total @ value)
    assert error(run(mixer, params, x, mask), expected) < 1e-5


def test_luna_packs_the_real_tokens_and_unpacks_for_every_position():
    x, mask = some_x(), some_mask()
    mixer, params = made("luna", x, mask)
    tokens = heads(params, x, "pack")
    slots = float64(params["params"]["slots"]).transpose(1, 0, 2)[None]
    packed = weights(slots, tokens, mask) @ tokens
    flat = packed.transpose(0, 2, 1, 3).reshape(3, LUNA["num_slots"], WIDTH)
    keys = heads(params, flat, "unpack")
    expected = out(params, weights(heads(params, x, "query"), keys) @ keys)
    assert error(run(mixer, params, x, mask), expected) < 2e-6
