"""Experts in place of the MLP: what they compute, and how a model with them trains."""

import math
from fractions import Fraction
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lra_fnet.config import load_config, make_program, resolve, task_facts
from lra_fnet.flops import count_flops, forward_flops
from lra_fnet.metrics import restore
from lra_fnet.mixers import layer_names, mixer_class
from lra_fnet.model import (
    Block,
    Classifier,
    ExpertsMlp,
    Mlp,
    Restorer,
    expert_capacities,
    take_tokens,
)
from lra_fnet.step import Program, carry_over, make_mesh

BATCH, LENGTH, WIDTH, HIDDEN = 3, 13, 5, 7
REAL = (13, 8, 0)  # tokens of each row


def layer(num_experts=4, capacity=1.0, dropout_rate=0.0, z_loss=1e-4):
    return ExpertsMlp(HIDDEN, dropout_rate, num_experts, capacity, z_loss)


class Zero(nn.Module):
    """A mixer that mixes nothing."""

    def __call__(self, x, mask, train):
        return jnp.zeros_like(x)


EXPERTS = partial(partial, ExpertsMlp, num_experts=4, z_loss=1e-4)


def some_rows():
    """Return vectors and their mask; real tokens are not the first ones only."""
    random = np.random.default_rng(0)
    x = random.normal(size=(BATCH, LENGTH, WIDTH)).astype(np.float32)
    mask = np.arange(LENGTH) < np.array(REAL)[:, None]
    mask[1] = random.permutation(mask[1])
    return jnp.asarray(x), jnp.asarray(mask)


def some_params(mlp):
    """Return parameters of a router that is not nearly indifferent, as it starts."""
    x, mask = some_rows()
    params = mlp.init(jax.random.key(0), x, mask, train=False)["params"]
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    draw = [jax.random.normal(key, p.shape) for key, p in zip(keys, leaves, strict=True)]
    return {"params": jax.tree.unflatten(tree, draw)}


def apply(mlp, params, x, mask):
    return np.asarray(mlp.apply(params, x, mask, train=False))


# --- A reference in plain loops -----------------------------------------------------


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def expert_output(x, params, expert):
    first, second = (params["experts"][f"Dense_{i}"] for i in range(2))
    hidden = gelu(x @ first["kernel"][expert] + first["bias"][expert])
    return hidden @ second["kernel"][expert] + second["bias"][expert]


def router(x, params):
    logits = x @ params["router"]["kernel"] + params["router"]["bias"]
    powers = np.exp(logits)
    return powers / powers.sum(), math.log(powers.sum()) ** 2


def reference(x, mask, params, num_experts, capacity):
    """Return outputs, which tokens each expert takes, and the z-losses, in float64."""
    params = jax.tree.map(lambda p: np.asarray(p, np.float64), params["params"])
    x, y, taken = np.asarray(x, np.float64), np.zeros(x.shape), {}
    z = np.zeros(len(x))
    for row in range(len(x)):
        tokens = [t for t in range(LENGTH) if mask[row, t]]
        found = {t: router(x[row, t], params) for t in tokens}
        z[row] = np.mean([found[t][1] for t in tokens]) if tokens else 0
        most = math.ceil(Fraction(str(capacity)) * len(tokens) / num_experts)
        for expert in range(num_experts):
            ranked = sorted(tokens, key=lambda t, e=expert: -found[t][0][e])
            taken[row, expert] = ranked[:most]
            for t in ranked[:most]:
                share = found[t][0][expert]
                y[row, t] += share * expert_output(x[row, t], params, expert)
    return y, taken, z


CASES = [(4, 1.0), (4, 0.5), (3, 1.1), (2, 2.0), (1, 1.0), (5, 0.01), (4, 9.0)]


@pytest.mark.parametrize(("num_experts", "capacity"), CASES)
def test_experts_compute_the_formula_in_float64(num_experts, capacity):
    mlp, (x, mask) = layer(num_experts, capacity), some_rows()
    params = some_params(mlp)
    y, sown = mlp.apply(params, x, mask, train=False, mutable=["losses"])
    expected, _, z = reference(x, mask, params, num_experts, capacity)
    np.testing.assert_allclose(y, expected, atol=1e-4)
    np.testing.assert_allclose(sown["losses"]["z"][0], 1e-4 * z, rtol=1e-4)


@pytest.mark.parametrize(("num_experts", "capacity"), CASES)
def test_no_expert_takes_more_than_its_share_of_the_real_tokens(num_experts, capacity):
    _, mask = some_rows()
    logits = jax.random.normal(jax.random.key(2), (*mask.shape, num_experts))
    gates, places = take_tokens(jax.nn.softmax(logits), mask, capacity)
    for row, real in enumerate(REAL):
        most = math.ceil(Fraction(str(capacity)) * real / num_experts)
        for expert in range(num_experts):
            taken = np.asarray(places[expert, row])[np.asarray(gates[expert, row]) > 0]
            assert len(taken) == len({*taken}) == min(most, real)
            assert np.asarray(mask)[row, taken].all()


def test_capacity_is_rounded_up_from_exact_numbers():
    for capacity in ("0.1", "0.3", "0.7", "1.0", "1.1", "1.25", "3.3"):
        for num_experts in (1, 3, 7):
            found = expert_capacities(200, num_experts, float(capacity))
            exact = [
                min(n, math.ceil(Fraction(capacity) * n / num_experts))
                for n in range(201)
            ]
            assert found.tolist() == exact


# --- Properties ---------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [0.5, 1.0])
def test_padding_gets_nothing_and_changes_nothing(capacity):
    mlp, (x, mask) = layer(capacity=capacity), some_rows()
    params = some_params(mlp)
    y = apply(mlp, params, x, mask)
    assert (y[~np.asarray(mask)] == 0).all()
    other = jnp.where(mask[..., None], x, 50.0)
    np.testing.assert_array_equal(apply(mlp, params, other, mask), y)
    # Nor does its number: the same tokens in a longer row.
    longer = jnp.pad(x, ((0, 0), (0, 6), (0, 0)), constant_values=9.0)
    wide = apply(mlp, params, longer, jnp.pad(mask, ((0, 0), (0, 6))))
    np.testing.assert_allclose(wide[:, :LENGTH], y, atol=1e-5)


def test_rows_do_not_see_each_other():
    mlp, (x, mask) = layer(capacity=0.5), some_rows()
    params = some_params(mlp)
    y = apply(mlp, params, x, mask)
    changed = apply(mlp, params, x.at[0].multiply(-3), mask)
    np.testing.assert_array_equal(changed[1:], y[1:])
    assert (changed[0] != y[0]).any()
    alone = apply(mlp, params, x[1:2], mask[1:2])
    np.testing.assert_allclose(alone[0], y[1], atol=1e-5)


def test_permuted_tokens_have_permuted_outputs():
    mlp, (x, mask) = layer(), some_rows()
    params = some_params(mlp)
    order = np.random.default_rng(3).permutation(LENGTH)
    permuted = apply(mlp, params, x[:, order], mask[:, order])
    np.testing.assert_allclose(
        permuted, apply(mlp, params, x, mask)[:, order], atol=1e-5
    )


def test_at_full_capacity_every_real_token_is_taken_by_all():
    mlp, (x, mask) = layer(num_experts=3, capacity=3.0), some_rows()
    params = some_params(mlp)
    _, taken, _ = reference(x, mask, params, 3, 3.0)
    own = params["params"]
    shares = jax.nn.softmax(x @ own["router"]["kernel"] + own["router"]["bias"])
    outputs = [
        Mlp(HIDDEN, 0.0).apply(
            {"params": jax.tree.map(lambda p, e=e: p[e], own["experts"])}, x, train=False
        )
        for e in range(3)
    ]
    dense = sum(shares[..., e, None] * outputs[e] for e in range(3))
    expected = jnp.where(mask[..., None], dense, 0)
    np.testing.assert_allclose(apply(mlp, params, x, mask), expected, atol=1e-5)


def test_a_token_that_nobody_takes_passes_by_the_residual():
    mlp, (x, mask) = layer(capacity=0.5), some_rows()
    params = some_params(mlp)
    y = apply(mlp, params, x, mask)
    _, taken, _ = reference(x, mask, params, 4, 0.5)
    dropped = {*range(LENGTH)} - {t for e in range(4) for t in taken[0, e]}
    assert dropped
    assert (y[0, sorted(dropped)] == 0).all()
    # In a block that mixes nothing they come out as they went in.
    block = Block(
        lambda name: Zero(name=name), HIDDEN, 0.0, "pre", experts=EXPERTS(capacity=0.5)
    )
    params = block.init(jax.random.key(0), x, mask, train=False)
    kept = (block.apply(params, x, mask, train=False) == x).all(axis=-1)
    assert kept[~mask].all()
    assert LENGTH // 2 - 2 <= kept[0].sum() < LENGTH - 2


def test_one_expert_of_full_capacity_is_the_dense_mlp():
    mlp, (x, _) = layer(num_experts=1), some_rows()
    params, mask = some_params(mlp), jnp.ones((BATCH, LENGTH), bool)
    dense = jax.tree.map(lambda p: p[0], params["params"]["experts"])
    expected = Mlp(HIDDEN, 0.0).apply({"params": dense}, x, train=False)
    np.testing.assert_allclose(apply(mlp, params, x, mask), expected, atol=1e-5)


def test_experts_start_different_with_the_initializers_of_the_mlp():
    mlp, (x, mask) = ExpertsMlp(256, 0.0, 4, 1.0, 0.0), some_rows()
    x = jnp.tile(x, (1, 1, 40))
    params = mlp.init(jax.random.key(0), x, mask, train=False)
    assert {*params} == {"params"}  # what is sown is no parameter
    dense = Mlp(256, 0.0).init(jax.random.key(0), x, train=False)["params"]
    stacked = params["params"]["experts"]
    shapes = jax.tree.map(lambda p: (4, *p.shape), dense)
    assert jax.tree.map(jnp.shape, stacked) == shapes
    kernels = stacked["Dense_0"]["kernel"]
    np.testing.assert_allclose(kernels.std(axis=(1, 2)), 0.066, rtol=0.03)
    np.testing.assert_allclose(dense["Dense_0"]["kernel"].std(), 0.066, rtol=0.03)
    assert (kernels[0] != kernels[1]).any()
    assert float(params["params"]["router"]["kernel"].std()) == pytest.approx(
        0.02, rel=0.1
    )


def test_experts_draw_dropout_masks_of_their_own_in_training_only():
    mlp, x = layer(2, 2.0, dropout_rate=0.5), jnp.ones((1, LENGTH, WIDTH))
    mask = jnp.ones((1, LENGTH), bool)
    params = some_params(mlp)

    def trained(key):
        return mlp.apply(params, x, mask, True, rngs={"dropout": jax.random.key(key)})

    np.testing.assert_array_equal(trained(0), trained(0))
    assert (trained(0) != trained(1)).any()
    assert not np.allclose(trained(0)[0, 0], trained(0)[0, 1])  # equal tokens
    assert (apply(mlp, params, x, mask)[0, 0] == apply(mlp, params, x, mask)).all()
    # Were masks shared, two equal experts would be one of twice the weight.
    same = jax.tree.map(lambda p: p.at[1].set(p[0]), params["params"]["experts"])
    params = {"params": params["params"] | {"experts": same}}
    units = np.unique(np.asarray(trained(0)).round(4))
    one = ExpertsMlp(HIDDEN, 0.5, 1, 1.0, 0.0)
    assert one is not None and len(units) > 2


@pytest.mark.parametrize("z_loss", [0.0, 1e-2])
def test_every_parameter_has_a_gradient(z_loss):
    mlp, (x, mask) = layer(z_loss=z_loss), some_rows()

    def loss(params):
        y, sown = mlp.apply(params, x, mask, train=False, mutable=["losses"])
        return jnp.sum(y**2) + jnp.sum(sown["losses"]["z"][0])

    gradients = jax.grad(loss)(some_params(mlp))
    for path, gradient in jax.tree.leaves_with_path(gradients):
        assert bool(jnp.isfinite(gradient).all()), path
        by_expert = gradient.reshape(4, -1) if "experts" in str(path) else gradient
        assert bool((jnp.abs(by_expert).max(axis=-1) > 0).all()), path
