import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lra_fnet import evaluate
from lra_fnet.batches import call_indices
from lra_fnet.evaluate import Evaluator
from lra_fnet.hardware import OutOfMemory
from lra_fnet.metrics import restore
from lra_fnet.mixers import mixer_class
from lra_fnet.model import Classifier, Restorer
from lra_fnet.step import Best, DeviceSplit, Program, carry_over, keep_best, make_mesh
from tiny_runs import MODEL_CHOICES

NUM_EXAMPLES, LENGTH, BATCH = 40, 13, 8

# Loss sums of the first three steps of FNet and Transformer on the data below. If you
# did not mean to change the model, its initialisation, the dropout or the order of
# examples, a difference here is a bug.
GOLDEN_LOSSES = {
    "fnet": [8.1229, 11.9418, 7.8207],
    "transformer": [9.9718, 9.7971, 8.8326],
}


def make_program(
    mixer="fnet",
    devices=1,
    micro_batches=1,
    dropout_rate=0.1,
    mask_rate=None,
    **options,
):
    mixers = {
        "fnet": mixer_class("fnet"),
        "transformer": partial(mixer_class("transformer"), 2, 0, dropout_rate),
    }
    defaults = MODEL_CHOICES | {
        "mixers": (mixers[mixer],) * 2,
        "num_classes": 3,
        "vocab_size": 7,
        "pad_id": 0,
        "width": 16,
        "mlp_dim": 24,
        "dropout_rate": dropout_rate,
        "pool": "cls",
    }
    model = Classifier(**defaults | options)
    if mask_rate:
        model = Restorer(**defaults | options, mask_rate=mask_rate)
    mesh = make_mesh(devices)
    if mesh.size < devices:  # conftest makes two on a CPU
        pytest.skip(f"this machine has {mesh.size} accelerator")
    program = Program(
        model, optax.adamw(1e-2), optax.constant_schedule(1e-2), mesh, micro_batches
    )
    return dataclasses.replace(program, objective=restore) if mask_rate else program


def make_data(program):
    random = np.random.default_rng(0)
    inputs = random.integers(1, 7, (NUM_EXAMPLES, LENGTH)).astype(np.uint8)
    inputs[:10, 9:] = 0
    return program.put(inputs, random.integers(0, 3, NUM_EXAMPLES).astype(np.int32))


def train(program, num_steps=3, seeds=(0,), steps_per_call=1, first_step=0, state=None):
    """Return the state and the loss sums of every call."""
    full, rest = divmod(num_steps, steps_per_call)
    counts = [steps_per_call] * full + [rest] * (rest > 0)
    return train_by(counts, program, seeds, steps_per_call, first_step, state)


def train_by(counts, program, seeds=(0,), most=7, first_step=0, state=None):
    """Take so many steps in each call, all of the same shape."""
    data = make_data(program)
    state = state or program.init(jnp.array(seeds), data.inputs)
    losses, step = [], first_step
    for count in counts:
        indices = call_indices(seeds, step, count, most, BATCH, NUM_EXAMPLES)
        state, sums, bad_step = program.train(state, *data, indices, np.int32(count))
        assert (np.asarray(bad_step) == -1).all()
        losses.append(np.asarray(sums.loss))
        step += count
    return state, np.array(losses)


def assert_close(tree, other, tolerance=2e-5):
    for (path, a), b in zip(
        jax.tree.leaves_with_path(tree), jax.tree.leaves(other), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=tolerance, err_msg=str(path))


def test_every_example_lies_in_one_piece_on_the_devices():
    program = make_program(devices=2)
    one, two = make_data(program), program.put(np.ones((4, 2, 5), np.uint8), np.ones(4))
    assert one.inputs.format.layout.major_to_minor == (0, 1)
    assert two.inputs.format.layout.major_to_minor == (0, 1, 2)
    assert one.inputs.sharding == program.replicated


@pytest.mark.parametrize("mixer", ["fnet", "transformer"])
def test_the_first_steps_are_the_golden_ones(mixer):
    _, losses = train(make_program(mixer))
    expected = GOLDEN_LOSSES[mixer]
    np.testing.assert_allclose(losses[:, 0], expected, rtol=1e-3)


def test_steps_in_one_call_equal_steps_in_many():
    program = make_program()
    one_by_one, _ = train(program, num_steps=5)
    together, _ = train(program, num_steps=5, steps_per_call=7)
    assert_close(one_by_one.params, together.params)
    assert int(together.step[0]) == 5


@pytest.mark.parametrize("mixer", ["fnet", "transformer"])
def test_how_many_steps_each_call_takes_changes_no_bit(mixer):
    program = make_program(mixer)
    expected, _ = train_by((7, 3), program)
    for counts in [(1, 1, 7, 1), (1, 2, 3, 4), (1,) * 10]:
        state, _ = train_by(counts, program)
        for part in ("params", "opt_state"):
            pair = getattr(state, part), getattr(expected, part)
            jax.tree.map(np.testing.assert_array_equal, *pair)


def test_going_on_equals_not_stopping_to_the_bit():
    program = make_program()
    whole, _ = train(program, num_steps=6)
    half, _ = train(program, num_steps=3)
    rest, _ = train(program, num_steps=3, first_step=3, state=half)
    jax.tree.map(np.testing.assert_array_equal, whole.params, rest.params)


def test_a_seed_among_several_equals_the_seed_alone():
    program = make_program()
    several, losses = train(program, seeds=(3, 4, 5))
    for row, seed in enumerate((3, 4, 5)):
        alone, loss = train(program, seeds=(seed,))
        np.testing.assert_allclose(losses[:, row], loss[:, 0], rtol=1e-4)
        assert_close(
            jax.tree.map(lambda p, r=row: p[r : r + 1], several.params),
            alone.params,
            1e-4,
        )


def test_two_devices_equal_one():
    # Without dropout: its masks are drawn by each device for its own examples.
    one, losses = train(make_program(devices=1, dropout_rate=0.0))
    two, losses_of_two = train(make_program(devices=2, dropout_rate=0.0))
    np.testing.assert_allclose(losses, losses_of_two, rtol=1e-4)
    assert_close(one.params, two.params, 1e-4)


def test_devices_draw_different_dropout_masks():
    program = make_program(devices=2, dropout_rate=0.5)
    data = make_data(program)
    state = program.init(jnp.array([0]), data.inputs)
    same = np.zeros((1, 1, BATCH), np.int32)  # one example, in every place
    _, sums, _ = program.train(state, *data, same, np.int32(1))
    one = make_program(devices=1, dropout_rate=0.5)
    _, sums_of_one, _ = one.train(
        one.init(jnp.array([0]), data.inputs), *make_data(one), same, np.int32(1)
    )
    assert float(sums.loss[0]) != pytest.approx(float(sums_of_one.loss[0]), rel=1e-6)


def test_micro_batches_equal_the_whole_batch():
    whole, losses = train(make_program(dropout_rate=0.0))
    parts, losses_of_parts = train(make_program(dropout_rate=0.0, micro_batches=4))
    np.testing.assert_allclose(losses, losses_of_parts, rtol=1e-4)
    assert_close(whole.params, parts.params, 1e-4)


def test_bfloat16_trains_with_float32_parameters():
    state, losses = train(make_program(dtype="bfloat16"), num_steps=20)
    assert losses[-5:].mean() < losses[:5].mean()
    assert {p.dtype for p in jax.tree.leaves(state.params)} == {jnp.dtype("float32")}


def test_a_loss_that_is_not_finite_is_reported_with_its_step():
    program = make_program()
    data = make_data(program)
    state = program.init(jnp.array([0, 1]), data.inputs)
    # Infinite parameters in the second seed: its first loss is not finite.
    params = jax.tree.map(lambda p: p.at[1].set(jnp.inf), state.params)
    indices = call_indices((0, 1), 0, 3, 4, BATCH, NUM_EXAMPLES)
    state = state.replace(params=params)
    _, _, bad_step = program.train(state, *data, indices, np.int32(3))
    assert bad_step.tolist() == [-1, 1]


def test_a_second_call_does_not_compile():
    program = make_program()
    train(program, num_steps=2, steps_per_call=4)
    compiled = Program.train._cache_size()
    train(program, num_steps=3, steps_per_call=4)  # another count, the same shapes
    assert Program.train._cache_size() == compiled


# One example a call: more calls than a CPU may have in flight.
@pytest.mark.parametrize(("devices", "batch_size"), [(1, 7), (1, 1), (2, 7)])
def test_evaluation_counts_each_example_once_on_any_number_of_devices(
    devices, batch_size
):
    program = make_program(devices=devices)
    data = make_data(program)
    state = program.init(jnp.array([0, 1]), data.inputs)
    sums, answers = Evaluator(program, batch_size)(state.params, data)
    assert sums.weight.tolist() == [NUM_EXAMPLES] * 2
    assert answers.shape == (2, NUM_EXAMPLES)
    np.testing.assert_array_equal(
        (answers == np.asarray(data.labels)).sum(axis=1), sums.correct
    )
    # The same answers as the model gives when asked directly, without batches.
    for row in range(2):
        params = jax.tree.map(lambda p, r=row: p[r], state.params)
        logits = program.model.apply({"params": params}, data.inputs, train=False)
        np.testing.assert_array_equal(answers[row], jnp.argmax(logits, axis=-1))


@pytest.mark.parametrize("most", [1, 2, 3, 99])
def test_evaluation_in_calls_of_few_batches_is_that_in_one_call(most, monkeypatch):
    """As on accelerators: whole batches, several a call, and a last call filled up."""
    monkeypatch.setattr(evaluate, "examples_at_once", lambda mesh, size: size)
    program = make_program()
    data = make_data(program)
    state = program.init(jnp.array([0, 1]), data.inputs)
    outcomes = []
    for number in (99, most):
        monkeypatch.setattr(evaluate, "default_batches_per_call", lambda _, n=number: n)
        evaluator = Evaluator(program, 9)  # 5 batches
        calls = evaluator._calls(NUM_EXAMPLES)
        assert {indices.shape for indices, _ in calls} == {(-(-5 // len(calls)), 9)}
        assert len(calls) == -(-5 // number)
        outcomes.append(evaluator(state.params, data))
    (expected, answers), (sums, others) = outcomes
    np.testing.assert_array_equal(answers, others)
    np.testing.assert_array_equal(sums.weight, [NUM_EXAMPLES] * 2)
    np.testing.assert_array_equal(sums.correct, expected.correct)
    np.testing.assert_allclose(sums.loss, expected.loss, rtol=1e-6)


def test_evaluation_that_the_compiler_refuses_takes_smaller_batches(monkeypatch):
    program = make_program(devices=2)
    data = make_data(program)
    state = program.init(jnp.array([0]), data.inputs)
    compile_it, refused = Program.compile, []

    def refusing(program, lowered):
        if len(refused) < most:
            refused.append(lowered)
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Ran out of memory")
        return compile_it(program, lowered)

    monkeypatch.setattr(Program, "compile", refusing)
    most = 2
    evaluator = Evaluator(program, 24)
    assert evaluator.compile(state.params, data)[1] == 6
    assert evaluator(state.params, data)[0].weight.tolist() == [NUM_EXAMPLES]
    # Another size of split, later.
    more = DeviceSplit(*(jnp.concatenate([array, array]) for array in data))
    most, refused[:] = 1, []
    assert evaluator(state.params, more)[0].weight.tolist() == [2 * NUM_EXAMPLES]
    assert evaluator.compile(state.params, data)[1] == 2
    most = 99
    for evaluation in (Evaluator.compile, Evaluator.__call__):
        with pytest.raises(OutOfMemory, match="one example on each"):
            evaluation(Evaluator(program, 24), state.params, data)


def test_the_best_parameters_are_kept_per_seed():
    program = make_program()
    data = make_data(program)
    state = program.init(jnp.array([0, 1]), data.inputs)
    best = keep_best(Best.before_training(state), state, jnp.array([0.5, 0.5]))
    later = state.replace(
        step=state.step + 10, params=jax.tree.map(lambda p: p + 1, state.params)
    )
    best = keep_best(best, later, jnp.array([0.4, 0.6]))
    assert best.step.tolist() == [0, 10]
    np.testing.assert_allclose(best.accuracy, [0.5, 0.6])
    for kept, old in zip(
        jax.tree.leaves(best.params), jax.tree.leaves(state.params), strict=True
    ):
        np.testing.assert_array_equal(kept[0], old[0])
        np.testing.assert_array_equal(kept[1], old[1] + 1)


def test_a_batch_uses_as_many_devices_as_divide_it():
    assert make_mesh(8).size == min(2, jax.local_device_count())
    assert make_mesh(7).size == 1


# --- Pre-training -------------------------------------------------------------------


def first_gradient(program, data):
    """Return the gradient of a first step, which plain descent leaves behind."""
    program = dataclasses.replace(program, optimizer=optax.sgd(1.0))
    state = program.init(jnp.array([0]), data.inputs)
    before = jax.tree.map(np.asarray, state.params)
    indices = np.arange(5, 5 + BATCH, dtype=np.int32)[None, None]  # padded and not
    state, sums, _ = program.train(state, *data, indices, np.int32(1))
    return jax.tree.map(lambda old, new: old - new, before, state.params), sums


def test_pretraining_minimizes_the_mean_over_the_hidden_positions_of_the_batch():
    program = make_program(dropout_rate=0.0, mask_rate=0.5)
    data = make_data(program)
    gradient, sums = first_gradient(program, data)
    state = program.init(jnp.array([0]), data.inputs)
    key = jax.random.fold_in(jax.random.fold_in(state.key[0], 0), 0)

    def mean_loss(params):
        outputs, _ = program._outputs(params, data.inputs[5 : 5 + BATCH], key)
        return restore(outputs, data.labels[:BATCH], jnp.ones(BATCH))[0].mean_loss()

    params = jax.tree.map(lambda leaf: leaf[0], state.params)
    loss, expected = jax.value_and_grad(mean_loss)(params)
    assert float(sums.mean_loss()[0]) == pytest.approx(float(loss), rel=1e-5)
    assert_close(jax.tree.map(lambda leaf: leaf[0], gradient), expected, 1e-5)


@pytest.mark.parametrize("options", [{"micro_batches": 4}, {"devices": 2}])
def test_hidden_positions_weigh_the_same_in_any_part_of_a_batch(options):
    # All are hidden, as each part has a key of its own; rows have 9 or 13 ids.
    found = []
    for own in ({}, options):
        program = make_program(dropout_rate=0.0, mask_rate=1.0, pool="mean", **own)
        found.append(first_gradient(program, make_data(program)))
    assert_close(*(gradient for gradient, _ in found), tolerance=1e-5)
    assert [float(sums.weight[0]) for _, sums in found] == [5 * 9 + 3 * 13] * 2


def test_pretraining_restores_better_and_better():
    for options in ({}, {"inputs": "values", "pad_id": None}):
        _, losses = train(make_program(mask_rate=0.5, **options), num_steps=40)
        assert losses[-5:].mean() < 0.9 * losses[:5].mean()


def test_the_encoder_carries_over_to_the_bit_and_the_head_is_new():
    restorer, program = make_program(mask_rate=0.5), make_program()
    learned, _ = train(restorer)
    fresh = program.init(jnp.array([0]), make_data(program).inputs)
    state = carry_over(fresh, learned.params, step=3)
    for module in ("Embedder_0", "Encoder_0"):
        for path, leaf in jax.tree.leaves_with_path(state.params[module]):
            found = learned.params[module]
            for key in path:
                found = found[key.key]
            np.testing.assert_array_equal(leaf, found)
    for fields in ("opt_state", "key"):
        assert getattr(state, fields) is getattr(fresh, fields)
    assert state.params["Head_0"] == fresh.params["Head_0"]
    assert jax.tree.structure(state) == jax.tree.structure(fresh)
    after, _ = train(program, first_step=3, state=state)
    assert int(after.step[0]) == 6
