"""Experts in place of the MLP: what they compute, and how a model with them trains."""

import dataclasses
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
    Mlp,
    Restorer,
    expert_capacities,
    take_tokens,
)
from lra_fnet.model import ExpertsMlp as Experts
from lra_fnet.step import Program, carry_over, make_mesh
from tiny_runs import MODEL_CHOICES

BATCH, LENGTH, WIDTH, HIDDEN = 3, 13, 5, 7
REAL = (13, 8, 0)  # tokens of each row

ExpertsMlp = partial(Experts, mlp=Mlp)


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
    draw = [
        jax.random.normal(key, p.shape) for key, p in zip(keys, leaves, strict=True)
    ]
    return {"params": jax.tree.unflatten(tree, draw)}


def apply(mlp, params, x, mask):
    return np.asarray(jax.jit(partial(mlp.apply, train=False))(params, x, mask))


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
    own = params["params"]
    shares = jax.nn.softmax(x @ own["router"]["kernel"] + own["router"]["bias"])
    outputs = [
        Mlp(HIDDEN, 0.0).apply(
            {"params": jax.tree.map(lambda p, e=e: p[e], own["experts"])},
            x,
            train=False,
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
    # Were masks shared, a unit of two experts that both return 1 were 0 or 2.
    ones = jax.tree.map(jnp.zeros_like, params["params"])
    ones["experts"]["Dense_1"]["bias"] += 1
    params = {"params": ones}
    assert {*np.unique(trained(0))} == {0, 1, 2}


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


# --- In a model ---------------------------------------------------------------------


def classifier(num_layers=2, mixer="fnet", mask_rate=None, **options):
    defaults = MODEL_CHOICES | {
        "mixers": (mixer_class(mixer),) * num_layers,
        "num_classes": 3,
        "vocab_size": 11,
        "pad_id": 0,
        "width": 16,
        "mlp_dim": 24,
        "dropout_rate": 0.0,
        "pool": "mean",
        "moe_layers": 1,
    }
    values = defaults | options
    return (
        Restorer(**values, mask_rate=mask_rate) if mask_rate else Classifier(**values)
    )


def some_inputs(rows=8, documents=1):
    """Return ids of documents of many lengths."""
    random = np.random.default_rng(0)
    ids = random.integers(1, 11, (rows, documents, LENGTH)).astype(np.uint8)
    lengths = random.integers(3, LENGTH + 1, (rows, documents, 1))
    ids = np.where(np.arange(LENGTH) < lengths, ids, 0).astype(np.uint8)
    return jnp.asarray(ids if documents > 1 else ids[:, 0])


@pytest.mark.parametrize("num_layers", [1, 2, 3, 4, 7])
def test_the_middle_layers_are_those_of_a_hybrid(num_layers):
    for moe_layers in range(num_layers + 1):
        model = classifier(num_layers, moe_layers=moe_layers)
        shapes = jax.eval_shape(
            partial(model.init, train=False), jax.random.key(0), some_inputs()
        )
        names = layer_names("mlp", num_layers, "experts", moe_layers, "middle")
        blocks = shapes["params"]["Encoder_0"]
        found = ["router" in blocks[f"block_{i}"]["mlp"] for i in range(num_layers)]
        assert found == [name == "experts" for name in names]


OPTIONS = [
    {"num_documents": 2, "norm_placement": "pre", "dtype": "bfloat16"},
    {"pool": "cls", "padding": "zero_layers", "norm_placement": "post"},
    {"inputs": "values", "pad_id": None, "mixer": "cnn", "moe_layers": 2},
    {"mask_rate": 0.5, "num_documents": 2, "pool": "cls"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_few_steps_lower_the_loss_of_several_seeds(options):
    program = make(dropout_rate=0.1, **options)
    data = make_data(program)
    state = program.init(jnp.array([0, 1]), data.inputs)
    whole = np.arange(len(data.labels), dtype=np.int32)
    losses = []
    for _ in range(12):
        indices = jnp.asarray(np.tile(whole, (2, 1, 1)))
        state, sums, bad = program.train(state, *data, indices, np.int32(1))
        losses.append(np.asarray(sums.loss / sums.weight))
        assert bad.tolist() == [-1, -1]
    assert (losses[-1] < losses[0]).all()
    sums, answers = program.evaluate(
        state.params, *data, whole[None], np.ones((1, len(whole)), np.float32)
    )
    assert np.isfinite(sums.loss).all() and answers.shape == (2, 1, len(whole))


def test_capacity_one_costs_the_operations_of_the_dense_mlp_and_the_router():
    rows, length, width, hidden = 2, 64, 32, 128
    x = jax.ShapeDtypeStruct((rows, length, width), jnp.float32)
    mask = jax.ShapeDtypeStruct((rows, length), jnp.bool_)

    def flops(mlp, *inputs):
        init = partial(mlp.init, train=False)
        params = jax.eval_shape(init, jax.random.key(0), *inputs)
        apply = partial(mlp.apply, train=False)
        return count_flops(jax.make_jaxpr(apply)(params, *inputs))

    dense = flops(Mlp(hidden, 0.0), x)
    tokens = rows * length
    route = 2 * tokens * width * 4
    experts = flops(ExpertsMlp(hidden, 0.0, 4, 1.0, 1e-4), x, mask)
    # What is more: the softmax and the z-loss, gates, and adding what comes back.
    assert dense + route < experts < dense + route + tokens * (2 * width + 40)
    assert experts < 1.05 * dense + route
    half = flops(ExpertsMlp(hidden, 0.0, 4, 0.5, 1e-4), x, mask)
    assert half == pytest.approx(dense / 2 + route, rel=0.05)
    inputs = some_inputs()
    whole, without = (
        forward_flops(classifier(moe_layers=number), inputs) for number in (1, 0)
    )
    assert without < whole < 1.3 * without  # 16 tokens for 13, at these sizes


# --- Training -----------------------------------------------------------------------


def make(devices=1, micro_batches=1, **options):
    mesh = make_mesh(devices)
    if mesh.size < devices:  # conftest makes two on a CPU
        pytest.skip(f"this machine has {mesh.size} accelerator")
    program = Program(
        classifier(**options),
        optax.sgd(0.1),
        optax.constant_schedule(0.1),
        mesh,
        micro_batches,
    )
    if "mask_rate" in options:
        program = dataclasses.replace(program, objective=restore)
    return program


def make_data(program):
    inputs = np.asarray(some_inputs(8, program.model.num_documents))
    return program.put(inputs, np.arange(len(inputs), dtype=np.int32) % 3)


def first_gradient(program):
    """Return the gradient of a step on all examples, and its sums."""
    program = dataclasses.replace(program, optimizer=optax.sgd(1.0))
    data = make_data(program)
    state = program.init(jnp.array([0]), data.inputs)
    before = jax.tree.map(np.asarray, state.params)
    indices = np.arange(len(data.labels), dtype=np.int32)[None, None]
    state, sums, _ = program.train(state, *data, indices, np.int32(1))
    return jax.tree.map(lambda old, new: old - new, before, state.params), sums


def assert_close(found, expected):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5)


def router_of(gradient):
    return gradient["Encoder_0"]["block_1"]["mlp"]["router"]["kernel"]


PAIRS = {"num_documents": 2, "router_z_loss": 3.0}  # a weight that shows


@pytest.fixture(scope="module")
def whole():
    """Gradient and sums of a whole batch on one device."""
    return first_gradient(make(**PAIRS))


def gradient_alone(z_loss, program, data):
    """Return the gradient of a z-loss that is written without the trainer.

    z_loss is a function of a number for each document, and of the model's outputs.
    """
    apply = partial(program.model.apply, train=False, mutable=["losses"])

    def of_params(params):
        outputs, sown = apply({"params": params}, data.inputs)
        (rows,) = jax.tree.leaves(sown)
        assert len(rows) == len(data.labels) * program.model.num_documents
        return z_loss(rows, outputs)

    params = program.init(jnp.array([0]), data.inputs).params
    return jax.jit(jax.grad(of_params))(jax.tree.map(lambda p: p[0], params))


def test_the_z_loss_is_in_the_gradient_and_not_in_the_reported_loss(whole):
    gradient, sums = whole
    without, plain_sums = first_gradient(make(**PAIRS | {"router_z_loss": 0.0}))
    np.testing.assert_allclose(sums.loss, plain_sums.loss, rtol=1e-6)
    program = make(**PAIRS)
    alone = gradient_alone(lambda rows, _: rows.mean(), program, make_data(program))
    for a, b, c in zip(
        *(jax.tree.leaves(tree) for tree in (gradient, without, alone)), strict=True
    ):
        np.testing.assert_allclose(a[0] - b[0], c, atol=2e-5)
    assert np.abs(router_of(alone)).max() > 1e-3


@pytest.mark.parametrize("options", [{"devices": 2}, {"micro_batches": 2}], ids=str)
def test_parts_of_a_batch_add_up_to_its_gradient(whole, options):
    assert_close(first_gradient(make(**options, **PAIRS)), whole)


class FixedRestorer(Restorer):
    """Hide the same positions in any part of a batch; the keys of parts do not."""

    def _draw(self, ids, train):
        return super()._draw(ids, False)


def make_pretraining(micro_batches=1, **options):
    program = make(micro_batches=micro_batches, mask_rate=0.5, **PAIRS | options)
    values = {k: v for k, v in vars(program.model).items() if k in FIELDS}
    return dataclasses.replace(program, model=FixedRestorer(**values))


FIELDS = {field.name for field in dataclasses.fields(Restorer)} - {"parent", "name"}


def test_pretraining_weighs_the_z_loss_by_hidden_positions_in_any_parts():
    program = make_pretraining()
    gradient, sums = first_gradient(program)
    assert_close(first_gradient(make_pretraining(micro_batches=2)), (gradient, sums))
    without, plain_sums = first_gradient(make_pretraining(router_z_loss=0.0))
    np.testing.assert_allclose(sums.loss, plain_sums.loss, rtol=1e-6)

    def z_loss(rows, found):
        hidden = found.hidden.reshape(-1, LENGTH).sum(axis=1)
        return rows @ hidden / hidden.sum()

    alone = gradient_alone(z_loss, program, make_data(program))
    difference = router_of(gradient)[0] - router_of(without)[0]
    np.testing.assert_allclose(difference, router_of(alone), atol=2e-5)
    assert np.abs(difference).max() > 1e-3


def test_pretrained_experts_carry_over():
    before, after = make(mask_rate=0.5), make()
    data = make_data(before)
    learned, fresh = (p.init(jnp.array([0]), data.inputs) for p in (before, after))
    state = carry_over(fresh, jax.tree.map(lambda p: p + 1, learned.params), 5)
    expected = jax.tree.map(lambda p: p + 1, learned.params["Encoder_0"])
    jax.tree.map(np.testing.assert_array_equal, state.params["Encoder_0"], expected)


# --- In a config --------------------------------------------------------------------


def test_flags_give_a_model_of_any_task_experts():
    for task in ("listops", "retrieval"):
        changes = {"encoder.moe_layers": "1", "encoder.expert_capacity": "0.5"}
        config = load_config(task, "quick", changes)
        model = make_program(config, task_facts(config)).model
        assert (model.moe_layers, model.num_experts) == (1, 4)
        assert (model.expert_capacity, model.router_z_loss) == (0.5, 1e-4)
        assert resolve(config)["encoder"]["moe_layers"] == 1


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("moe_layers", "9", "encoder.moe_layers is 9; it must be from 0 to num_layers"),
        ("moe_layers", "-1", "encoder.moe_layers is -1; it must be >= 0"),
        ("moe_layers", "some", "encoder.moe_layers is 'some'; it must be a whole"),
        ("num_experts", "0", "encoder.num_experts is 0; it must be >= 1"),
        ("expert_capacity", "0", "encoder.expert_capacity is 0.0; it must be > 0"),
        ("expert_capacity", "inf", "encoder.expert_capacity is inf; it must be finite"),
        ("router_z_loss", "-1", "encoder.router_z_loss is -1.0; it must be >= 0"),
        ("num_expert", "4", "did you mean encoder.num_experts"),
    ],
)
def test_values_that_cannot_be_are_named(key, value, message):
    with pytest.raises(ValueError, match=message):
        load_config("listops", "quick", {f"encoder.{key}": value})
