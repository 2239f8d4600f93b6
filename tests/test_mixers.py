"""The contract every file of lra_fnet/mixers is held to, for free."""

from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.common import common_config
from lra_fnet.mixers import mixer_class, mixer_names

GOLDEN = Path(__file__).parent / "golden"
BATCH, LENGTH, WIDTH = 3, 37, 24  # a length that is no multiple of any block
NAMES = mixer_names()


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def mixer(name) -> nn.Module:
    return mixer_class(name)(**common_config().mixers[name])


def some_x(seed=0, dtype=jnp.float32):
    values = np.random.default_rng(seed).normal(size=(BATCH, LENGTH, WIDTH))
    return jnp.asarray(values, dtype)


def some_mask():
    return jnp.arange(LENGTH) < jnp.array([[LENGTH], [LENGTH - 1], [LENGTH // 2]])


def initialised(mixer):
    return mixer.init(jax.random.key(0), some_x(), some_mask(), train=False)


def apply(mixer, params, x, mask, train=False, seed=0):
    rngs = {"dropout": jax.random.key(seed)}
    return mixer.apply(params, x, mask, train=train, rngs=rngs)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_shape_and_dtype_are_kept(mixer, dtype):
    y = apply(mixer, initialised(mixer), some_x(dtype=dtype), some_mask())
    assert y.shape == (BATCH, LENGTH, WIDTH) and y.dtype == dtype
    assert bool(jnp.isfinite(y).all())


def test_padding_reaches_real_tokens_only_where_the_mixer_says_so(mixer):
    x, mask, params = some_x(), some_mask(), initialised(mixer)
    poisoned = jnp.where(mask[..., None], x, 1e3)
    clean, dirty = (apply(mixer, params, v, mask) for v in (x, poisoned))
    reached = float(jnp.abs(clean - dirty)[mask].max())
    if getattr(mixer, "mixes_padding", ""):
        assert reached > 1, "the class says that it mixes padding; it does not"
    else:
        assert reached < 1e-5


def test_rows_of_padding_alone_stay_finite(mixer):
    y = apply(mixer, initialised(mixer), some_x(), jnp.zeros((BATCH, LENGTH), bool))
    assert bool(jnp.isfinite(y).all())


def test_permuting_the_batch_permutes_the_output(mixer):
    x, mask, params = some_x(), some_mask(), initialised(mixer)
    order = jnp.array([2, 0, 1])
    np.testing.assert_allclose(
        apply(mixer, params, x[order], mask[order]),
        apply(mixer, params, x, mask)[order],
        atol=1e-4,
    )


def test_evaluation_is_deterministic_and_training_follows_its_key(mixer):
    x, mask, params = some_x(), some_mask(), initialised(mixer)
    first, second = (apply(mixer, params, x, mask, seed=s) for s in (0, 1))
    np.testing.assert_array_equal(first, second)
    if getattr(mixer, "dropout_rate", 0):
        trained = [apply(mixer, params, x, mask, train=True, seed=s) for s in (0, 0, 1)]
        np.testing.assert_array_equal(trained[0], trained[1])
        assert float(jnp.abs(trained[0] - trained[2]).max()) > 1e-4


def test_every_parameter_gets_a_finite_gradient_that_is_not_zero(mixer):
    def loss(params):
        return jnp.sum(jnp.sin(apply(mixer, params, some_x(), some_mask())))

    for path, gradient in jax.tree.leaves_with_path(jax.grad(loss)(initialised(mixer))):
        assert bool(jnp.isfinite(gradient).all()), path
        assert float(jnp.abs(gradient).max()) > 0, path


def test_a_second_call_does_not_compile(mixer):
    traces = []

    @jax.jit
    def traced(params, x, mask):
        traces.append(x.shape)
        return apply(mixer, params, x, mask)

    params = initialised(mixer)
    traced(params, some_x(0), some_mask())
    traced(params, some_x(1), ~some_mask())
    assert len(traces) == 1


def parameter_list(mixer):
    """One line per parameter: path and shape, at width 24 and length 37."""
    leaves = jax.tree.leaves_with_path(initialised(mixer).get("params", {}))
    return "".join(
        f"{jax.tree_util.keystr(path, simple=True, separator='/')} {leaf.shape}\n"
        for path, leaf in leaves
    )


def test_parameters_are_the_golden_ones(name, mixer):
    golden = (GOLDEN / f"{name}.txt").read_text()
    assert parameter_list(mixer) == golden, (
        "a change here changes every published count and breaks old checkpoints; if "
        "the mixer was meant to change, run: python -m tests.test_mixers"
    )


def test_every_mixer_has_its_line_in_the_config():
    assert sorted(common_config().mixers) == NAMES


def test_attention_equals_softmax_over_the_real_tokens_in_float64():
    mixer = mixer_class("transformer")(num_heads=1, qkv_dim=19, dropout_rate=0.0)
    x, mask = some_x(), some_mask()
    params = initialised(mixer)
    weights = {
        name: np.asarray(leaf["kernel"], np.float64)
        for name, leaf in params["params"]["MultiHeadDotProductAttention_0"].items()
    }
    q, k, v = (
        np.asarray(x, np.float64) @ weights[n][:, 0] for n in ("query", "key", "value")
    )
    scores = q @ k.transpose(0, 2, 1) / np.sqrt(19)
    scores[~np.broadcast_to(mask[:, None], scores.shape)] = -np.inf
    attention = np.exp(scores - scores.max(-1, keepdims=True))
    attention /= attention.sum(-1, keepdims=True)
    expected = attention @ v @ weights["out"][0]
    np.testing.assert_allclose(apply(mixer, params, x, mask), expected, atol=1e-5)


if __name__ == "__main__":  # write the golden lists anew
    for each in NAMES:
        text = parameter_list(mixer_class(each)(**common_config().mixers[each]))
        (GOLDEN / f"{each}.txt").write_text(text)
