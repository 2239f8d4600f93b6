from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lra_fnet.mixers import layer_names, mixer_class, mixer_names
from lra_fnet.model import (
    DTYPES,
    NORM_PLACEMENTS,
    PADDINGS,
    POOLINGS,
    POSITIONS,
    Block,
    Classifier,
    Embedder,
    Encoder,
    Restorer,
    compared,
    last_real,
    masked_max,
    masked_mean,
    sinusoid_positions,
)
from tiny_runs import MODEL_CHOICES

LENGTH, WIDTH, CLASSES = 19, 23, 5
FNET = mixer_class("fnet")
TRANSFORMER = partial(mixer_class("transformer"), 1, 0, 0.1)


def classifier(**options):
    defaults = MODEL_CHOICES | {
        "mixers": (FNET, FNET),
        "num_classes": CLASSES,
        "vocab_size": 11,
        "pad_id": 0,
        "width": WIDTH,
        "mlp_dim": 29,
        "dropout_rate": 0.1,
        "pool": "mean",
    }
    return Classifier(**defaults | options)


def some_inputs(num_padded=4):
    inputs = np.random.default_rng(0).integers(1, 11, (3, LENGTH)).astype(np.uint8)
    inputs[:, LENGTH - num_padded :] = 0
    return jnp.asarray(inputs)


def initialised(model, inputs):
    return model.init(jax.random.key(0), inputs, train=False)


# --- A float64 reference of the published block -------------------------------------


def layer_norm(x, params):
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
    return x * params["scale"] + params["bias"]


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def mlp(x, params):
    hidden = gelu(x @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"])
    return hidden @ params["Dense_1"]["kernel"] + params["Dense_1"]["bias"]


def published_fnet_block(x, params):
    """x = LN(x + Re FFT FFT x); x = LN(x + MLP(x)): FNet paper, figure 1."""
    mixed = np.fft.fft(np.fft.fft(x, axis=-1), axis=-2).real
    x = layer_norm(x + mixed, params["mixer_norm"])
    return layer_norm(x + mlp(x, params["mlp"]), params["mlp_norm"])


def test_fnet_block_equals_the_published_one_in_float64():
    x = np.random.default_rng(1).normal(size=(2, LENGTH, WIDTH))
    mask = jnp.ones((2, LENGTH), bool)
    block = Block(FNET, mlp_dim=29, dropout_rate=0.1, norm_placement="post")
    x32 = jnp.asarray(x, jnp.float32)
    params = block.init(jax.random.key(0), x32, mask, train=False)["params"]
    # Scales and biases that are not one and zero, so that a swap would show.
    params = jax.tree.map(
        lambda p: p + 0.1 * jnp.cos(jnp.arange(p.size)).reshape(p.shape), params
    )
    result = block.apply({"params": params}, x32, mask, train=False)
    expected = published_fnet_block(
        x, jax.tree.map(lambda p: np.asarray(p, np.float64), params)
    )
    np.testing.assert_allclose(result, expected, atol=2e-5)


def test_pre_norm_leaves_the_residual_stream_alone():
    class Zero(nn.Module):
        def __call__(self, x, mask, train):
            return jnp.zeros_like(x)

    x = jnp.asarray(np.random.default_rng(1).normal(size=(2, 7, 4)), jnp.float32)
    mask = jnp.ones((2, 7), bool)
    block = Block(lambda name: Zero(name=name), 8, 0.0, "pre")
    params = block.init(jax.random.key(0), x, mask, train=False)["params"]
    params["mlp"] = jax.tree.map(jnp.zeros_like, params["mlp"])
    np.testing.assert_array_equal(block.apply({"params": params}, x, mask, False), x)


# --- The classifier -----------------------------------------------------------------


@pytest.mark.parametrize("norm_placement", NORM_PLACEMENTS)
@pytest.mark.parametrize("pool", POOLINGS)
@pytest.mark.parametrize("mixer", [FNET, TRANSFORMER], ids=["fnet", "transformer"])
def test_every_mixer_runs_in_every_encoder(mixer, pool, norm_placement):
    model = classifier(mixers=(mixer,), pool=pool, norm_placement=norm_placement)
    inputs = some_inputs()
    logits = model.apply(initialised(model, inputs), inputs, train=False)
    assert logits.shape == (3, CLASSES) and bool(jnp.isfinite(logits).all())


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_choice_gives_float32_logits(positions, padding, dtype):
    model = classifier(positions=positions, padding=padding, dtype=dtype)
    inputs = some_inputs()
    logits = model.apply(initialised(model, inputs), inputs, train=False)
    assert logits.dtype == jnp.float32 and bool(jnp.isfinite(logits).all())


def encoded(model, inputs):
    """Return the vectors of all positions."""
    _, found = model.apply(
        initialised(model, inputs),
        inputs,
        train=False,
        capture_intermediates=lambda module, _: isinstance(module, Encoder),
    )
    return found["intermediates"]["Encoder_0"]["__call__"][0]


@pytest.mark.parametrize("name", ["fnet", "transformer", "s5"])
@pytest.mark.parametrize("norm_placement", ["pre", "post"])
@pytest.mark.parametrize("causal", [False, True])
def test_a_causal_encoder_reads_no_later_position(name, norm_placement, causal):
    model = classifier(
        mixers=(mixer_class(name), mixer_class("cnn")),
        norm_placement=norm_placement,
        causal=causal,
        pad_id=None,
        width=24,
    )
    inputs = some_inputs()
    other = inputs.at[:, 9].set(inputs[:, 9] % 10 + 1)
    change = abs(encoded(model, other) - encoded(model, inputs)).max(axis=(0, 2))
    assert float(change[9:].min()) > 1e-4
    assert float(change[:9].max()) < 1e-5 if causal else float(change[:9].min()) > 1e-4


@pytest.mark.parametrize("pool", ["cls", "first", "first_and_mean"])
def test_a_causal_encoder_is_not_read_at_its_first_position(pool):
    with pytest.raises(ValueError, match=f"pool is '{pool}'.*'mean', 'max', 'last'"):
        classifier(causal=True, pool=pool)


@pytest.mark.parametrize("pool", ["mean", "max", "last"])
def test_a_causal_encoder_is_read_where_later_positions_are(pool):
    assert classifier(causal=True, pool=pool).pool == pool


def test_a_mixer_without_a_causal_form_is_named_with_those_that_have_one():
    mixers = (FNET, partial(mixer_class("linformer"), rank=3))
    with pytest.raises(ValueError) as caught:
        classifier(causal=True, mixers=mixers)
    message = str(caught.value)
    assert "mixer 'linformer' has no causal form" in message
    names = message.partition("these have one: ")[2].split(", ")
    assert {"fnet", "transformer", "mamba2"} < set(names) < set(mixer_names())


def test_bfloat16_activations_stay_close_to_float32():
    inputs = some_inputs()
    params = initialised(classifier(), inputs)
    exact = classifier().apply(params, inputs, train=False)
    rounded = classifier(dtype="bfloat16").apply(params, inputs, train=False)
    assert float(jnp.abs(rounded - exact).max()) < 0.05 * float(jnp.abs(exact).max())
    kinds = jax.tree.map(lambda p: p.dtype, params)
    assert set(jax.tree.leaves(kinds)) == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    "key",
    [
        "inputs",
        "positions",
        "norm_placement",
        "padding",
        "pool",
        "comparison",
        "dtype",
        "precision",
    ],
)
def test_a_misspelt_choice_names_the_key_and_the_choices(key):
    with pytest.raises(ValueError, match=f"encoder.{key} is 'wrong'; choose from"):
        classifier(**{key: "wrong"})


def test_transformer_does_not_see_how_much_padding_there_is():
    model = classifier(mixers=(TRANSFORMER, TRANSFORMER))
    short, long = some_inputs()[:, : LENGTH - 3], some_inputs()
    params = initialised(model, long)
    np.testing.assert_allclose(
        model.apply(params, short, train=False),
        model.apply(params, long, train=False),
        atol=1e-5,
    )


def test_fnet_mixes_padding_unless_it_is_zeroed():
    inputs = some_inputs()

    def effect_of_padding(padding):
        encoder = Encoder((FNET,), 29, 0.0, "post", padding)
        x = jnp.asarray(np.random.default_rng(2).normal(size=(3, LENGTH, WIDTH)))
        x, mask = x.astype(jnp.float32), inputs != 0
        params = encoder.init(jax.random.key(0), x, mask, train=False)
        other = jnp.where(mask[..., None], x, 7.0)
        difference = [encoder.apply(params, v, mask, train=False) for v in (x, other)]
        return float(jnp.abs(difference[0] - difference[1])[mask].max())

    assert effect_of_padding("keep") > 1e-2
    assert effect_of_padding("zero_embeddings") == 0
    assert effect_of_padding("zero_layers") == 0


def test_zeroing_every_layer_differs_from_zeroing_the_embeddings():
    inputs = some_inputs()
    params = initialised(classifier(), inputs)
    first, second = (
        classifier(padding=padding).apply(params, inputs, train=False)
        for padding in ("zero_embeddings", "zero_layers")
    )
    assert float(jnp.abs(first - second).max()) > 1e-4


@pytest.mark.parametrize("mixer", [FNET, TRANSFORMER], ids=["fnet", "transformer"])
def test_both_documents_go_through_one_encoder(mixer):
    model = classifier(mixers=(mixer,), num_documents=2)
    one, other = some_inputs(num_padded=4), some_inputs(num_padded=7)
    pairs = [jnp.stack(pair, axis=1) for pair in ((one, other), (other, one))]
    params = initialised(model, pairs[0])
    logits = model.apply(params, pairs[0], train=False)
    assert logits.shape == (3, CLASSES)
    # With the halves of the first dense layer exchanged, exchanged documents give
    # the same answer: nothing else tells the first from the second.
    kernel = params["params"]["Head_0"]["Dense_0"]["kernel"]
    params["params"]["Head_0"]["Dense_0"]["kernel"] = jnp.roll(kernel, WIDTH, axis=0)
    np.testing.assert_allclose(
        model.apply(params, pairs[1], train=False), logits, atol=1e-5
    )


def test_two_documents_stand_side_by_side_or_are_matched():
    pooled = jnp.array([[[1.0, -2.0], [3.0, 0.5]]])
    assert compared(pooled, "concat").tolist() == [[1, -2, 3, 0.5]]
    assert compared(pooled, "match").tolist() == [[2, 2.5, 3, -1]]
    assert (compared(pooled[:, ::-1], "match") == compared(pooled, "match")).all()


def test_values_are_pixels_scaled_to_minus_one_and_one():
    model = classifier(inputs="values", pad_id=None, vocab_size=256, positions="none")
    inputs = jnp.array([[0, 255, 51]], jnp.uint8)
    params = initialised(model, inputs)
    kernel = params["params"]["Embedder_0"]["values"]["kernel"][0]
    embedder = Embedder(256, "values", WIDTH, "none", False, "float32")
    vectors = embedder.apply({"params": params["params"]["Embedder_0"]}, inputs)
    expected = np.outer([-1, 1, -0.6], kernel)
    np.testing.assert_allclose(vectors[0], expected, atol=1e-6)


def test_ids_of_text_are_not_taken_for_quantities():
    with pytest.raises(ValueError, match="use 'tokens'"):
        classifier(inputs="values", pad_id=0)


def test_without_a_padding_id_every_position_is_data():
    model = classifier(mixers=(TRANSFORMER,), pad_id=None)
    inputs = some_inputs()
    params = initialised(model, inputs)
    changed = inputs.at[:, -1].set(5)  # id 0 before: black, not padding
    assert not np.allclose(
        model.apply(params, inputs, train=False),
        model.apply(params, changed, train=False),
    )


def test_the_cls_slot_takes_one_of_the_positions():
    model = classifier(pool="cls", positions="learned")
    params = initialised(model, some_inputs())["params"]
    assert params["Embedder_0"]["positions"].shape == (LENGTH, WIDTH)
    assert params["Embedder_0"]["cls"].shape == (WIDTH,)


def test_mean_pooling_divides_by_the_real_positions():
    x = jnp.array([[[2.0], [4.0], [100.0]], [[7.0], [8.0], [9.0]]])
    mask = jnp.array([[True, True, False], [False, False, False]])
    np.testing.assert_array_equal(masked_mean(x, mask), [[3.0], [0.0]])


def test_max_pooling_reads_the_real_positions():
    x = jnp.array([[[2.0, -1.0], [4.0, -2.0], [9.0, 9.0]], [[7.0, 8.0]] * 3])
    mask = jnp.array([[True, True, False], [False, False, False]])
    np.testing.assert_array_equal(masked_max(x, mask), [[4.0, -1.0], [0.0, 0.0]])


def test_last_pooling_reads_the_last_real_position():
    x = jnp.array([[[2.0], [4.0], [9.0]], [[7.0], [8.0], [3.0]], [[1.0], [2.0], [3.0]]])
    mask = jnp.array([[True, True, False], [False, True, True], [False] * 3])
    np.testing.assert_array_equal(last_real(x, mask), [[4.0], [3.0], [0.0]])


def test_sinusoids_have_geometric_wavelengths_from_2_pi_to_20000_pi():
    waves = sinusoid_positions(100, 8).astype(np.float64)
    positions = np.arange(100)
    np.testing.assert_allclose(waves[:, 0], np.sin(positions), atol=1e-6)
    np.testing.assert_allclose(waves[:, 7], np.cos(positions / 10_000), atol=1e-6)
    assert sinusoid_positions(3, 5).shape == (3, 5)


def test_lra_sizes_have_the_parameter_counts_of_the_release():
    # The released code has one more token id (an out-of-vocabulary one): 512 numbers.
    sizes = {"transformer": 8_948_746 - 512, "fnet": 4_754_442 - 512}
    mixers = {"fnet": FNET, "transformer": partial(TRANSFORMER.func, 8, 0, 0.1)}
    for name, expected in sizes.items():
        model = classifier(
            mixers=(mixers[name],) * 4,
            num_classes=10,
            vocab_size=16,
            width=512,
            mlp_dim=1024,
            pool="cls",
        )
        shapes = jax.eval_shape(partial(initialised, model), some_inputs())
        assert sum(p.size for p in jax.tree.leaves(shapes)) == expected


# --- Hybrids ------------------------------------------------------------------------


@pytest.mark.parametrize("num_layers", [1, 4, 6, 12])
@pytest.mark.parametrize("num_attention", [0, 1, 2, 4])
def test_hybrid_layouts_are_those_of_the_fnet_paper(num_layers, num_attention):
    if num_attention > num_layers:
        with pytest.raises(ValueError, match=f"choose from 0 to {num_layers}"):
            layer_names("fnet", num_layers, "transformer", num_attention, "top")
        return
    layers = range(num_layers)
    k = num_attention
    expected = {
        "bottom": [i < k for i in layers],
        "middle": [num_layers - k <= 2 * i < num_layers + k for i in layers],
        "top": [i >= num_layers - k for i in layers],
    }
    if k and num_layers % k == 0:
        expected["mixed"] = [i % (num_layers // k) == 0 for i in layers]
    for layout, attends in expected.items():
        names = layer_names("fnet", num_layers, "transformer", k, layout)
        assert [name == "transformer" for name in names] == attends


def test_a_hybrid_holds_both_mixers():
    mixers = {"fnet": FNET, "transformer": TRANSFORMER}
    names = layer_names("fnet", 2, "transformer", 1, "top")
    model = classifier(mixers=tuple(mixers[name] for name in names))
    blocks = initialised(model, some_inputs())["params"]["Encoder_0"]
    assert "mixer" not in blocks["block_0"] and "mixer" in blocks["block_1"]


def test_unknown_layout_names_the_choices():
    with pytest.raises(ValueError, match="hybrid.layout is 'up'; choose from"):
        layer_names("fnet", 2, "transformer", 1, "up")


def test_unknown_mixer_names_the_closest():
    with pytest.raises(ValueError, match="did you mean 'transformer'"):
        mixer_class("transfomer")


# --- Pre-training -------------------------------------------------------------------


def restorer(mask_rate=0.5, **options):
    fields = vars(classifier(**options))
    own = {k: v for k, v in fields.items() if k in Classifier.__annotations__}
    return Restorer(**own, mask_rate=mask_rate)


def drawn(model, inputs, step):
    """Return what a step hides."""
    key = jax.random.fold_in(jax.random.key(0), step)
    return model.apply({}, inputs, True, rngs={"dropout": key}, method="_draw")


def restored(model, inputs):
    return model.apply(initialised(model, inputs), inputs, train=False)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_real_positions_are_hidden_at_the_rate_and_padding_never(rate):
    hidden = drawn(restorer(rate), jnp.tile(some_inputs(), (300, 1)), 0)
    assert not hidden[:, LENGTH - 4 :].any()
    masks = [drawn(restorer(rate), some_inputs(), step) for step in range(300)]
    shares = np.mean(masks, axis=(0, 1))[: LENGTH - 4]  # of each position
    np.testing.assert_allclose(shares, rate, atol=0.08)
    assert shares.mean() == pytest.approx(rate, abs=0.02)


def test_what_is_hidden_depends_on_the_step_and_in_a_validation_on_nothing():
    model, inputs = restorer(), some_inputs()
    first, again, other = (drawn(model, inputs, step) for step in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    whole, part = (restored(model, some).hidden for some in (inputs, inputs[1:]))
    np.testing.assert_array_equal(whole[1:], part)


@pytest.mark.parametrize("inputs", ["tokens", "values"])
def test_the_encoder_does_not_see_what_is_hidden(inputs):
    embedder = Embedder(11, inputs, WIDTH, "sinusoid", False, "float32")
    ids, hidden = some_inputs(), jnp.zeros((3, LENGTH), bool).at[:, 5].set(True)
    params = embedder.init(jax.random.key(0), ids, hidden)
    x, other = (
        embedder.apply(params, some, hidden) for some in (ids, ids.at[:, 5].set(9))
    )
    np.testing.assert_array_equal(x, other)
    np.testing.assert_array_equal(  # and the rest as it is without anything hidden
        jnp.delete(x, 5, axis=1), jnp.delete(embedder.apply(params, ids), 5, axis=1)
    )


@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_every_output_belongs_to_the_id_at_its_position(pool):
    alone = (mixer_class("ff_only"),)  # no position knows of another
    model, inputs = restorer(mixers=alone, pool=pool, mask_rate=0.2), some_inputs()
    found, params = restored(model, inputs), initialised(model, inputs)
    assert not (pool == "cls" and found.hidden[:, -1].any())
    a, b = np.flatnonzero(~np.asarray(found.hidden[0]))[:2]
    inputs = inputs.at[0, a].set(3).at[0, b].set(7)
    # The same ids in another order are hidden in the same places.
    swapped = inputs.at[0, a].set(7).at[0, b].set(3)
    x, y = (model.apply(params, some, train=False) for some in (inputs, swapped))
    np.testing.assert_array_equal(x.hidden, y.hidden)
    changed = np.flatnonzero(np.any(x.outputs[0] != y.outputs[0], axis=-1))
    assert set(changed) == {a, b} - set(np.flatnonzero(x.hidden[0]))


def test_documents_of_a_pair_are_restored_one_by_one():
    pairs = jnp.stack([some_inputs(), some_inputs()[::-1]], axis=1)
    found = restored(restorer(num_documents=2), pairs)
    alone = restored(restorer(), pairs[:, 1])
    assert found.outputs.shape == (3, 2, LENGTH, 11)
    np.testing.assert_array_equal(found.targets, pairs)
    np.testing.assert_array_equal(found.hidden[:, 1], alone.hidden)
    np.testing.assert_allclose(found.outputs[:, 1], alone.outputs, atol=1e-5)
