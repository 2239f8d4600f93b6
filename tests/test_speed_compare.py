"""Comparisons: that both sides compute the same, and the choice among transforms."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from test_step import make_data, make_program

from lra_fnet.mixers import mixer_class
from lra_fnet.mixers._fourier import ALGORITHMS, fourier_mix
from lra_fnet.model import Mlp
from lra_fnet.speed import alone, compare, plan, regime, sections, transform
from lra_fnet.speed.comparison import compared, document
from lra_fnet.speed.plan import Case, Plan, recipe_setting
from lra_fnet.speed.regime import (
    PlainProgram,
    plain,
    seconds_of_a_step,
    trainer_setting,
)
from lra_fnet.speed.shares import PARTS, Without, peeled, shares_of
from lra_fnet.speed.timing import Sample
from lra_fnet.speed.transform import choice, measured_row, remake

PLAN = Plan(("image",), 2, 0.0, tokens=32, lengths=(16,), dtype="float32")


TINY = {
    "num_layers": 1,
    "encoder.width": 8,
    "encoder.mlp_dim": 8,
    "train.batch_size": 2,
}


def samples(*seconds):
    return [Sample(value, value) for value in seconds]


@pytest.fixture
def few_elements(monkeypatch):
    monkeypatch.setattr(alone, "ELEMENTS", {})
    monkeypatch.setattr(alone, "ELEMENTS_OF_AN_ACCELERATOR", 2**10)


# --- The transform alone -------------------------------------------------------------


def test_forward_and_backward_are_two_transforms_on_every_device():
    call = alone.transform_calls(["real_fft"], (4, 8, 6), "float32", False)["real_fft"]
    x = call.args[0]
    gradient, _ = call()
    expected = fourier_mix(fourier_mix(x, "published"), "published")
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-2)
    # Were both directions to transform the same numbers, one would be left of them.
    assert call.func.as_text().count(" fft(") == 2
    assert len(x.sharding.device_set) == 2


def test_in_a_network_every_algorithm_has_the_same_gradient():
    calls = alone.transform_calls([*ALGORITHMS], (2, 8, 6), "float32", True)
    expected, _ = calls.pop("published")()
    for call in calls.values():
        np.testing.assert_allclose(call()[0], expected, rtol=2e-2, atol=2e-2)


def test_a_batch_is_a_multiple_of_the_devices(few_elements):
    assert alone.batch_for(16, 8) == 8
    assert alone.batch_for(4096, 64) == jax.local_device_count()


# --- The choice ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([0.9] * 10, "folded_fft"),
        ([0.9] * 9 + [1.1], "folded_fft"),
        ([0.9] * 8 + [1.1] * 2, "real_fft"),  # too often slower
        ([0.98] * 10, "real_fft"),  # too little gained
        ([0.5] * 2, "real_fft"),  # too few rounds
    ],
)
def test_only_a_difference_beyond_the_noise_replaces_the_real_transform(
    seconds, expected
):
    times = {"real_fft": samples(*[1.0] * 10), "folded_fft": samples(*seconds)}
    assert choice(times, "wall") == expected


def test_the_fastest_of_several_is_taken_and_never_the_published_formula():
    times = {
        name: samples(*[value] * 10)
        for name, value in {
            "published": 0.1,
            "real_fft": 1.0,
            "matrix": 0.8,
            "two_stage": 0.7,
        }.items()
    }
    assert choice(times, "wall") == "two_stage"


def test_sixteen_bits_are_measured_for_bfloat16_alone(few_elements):
    exact = measured_row(16, 8, "float32", seconds=0.0)
    assert exact["algorithm"] == "real_fft"  # two rounds are too few to choose
    assert exact["speeds"]["published"] == 1.0
    assert not any(name.endswith("float16") for name in exact["speeds"])
    rounded = measured_row(16, 8, "bfloat16", seconds=0.0)
    assert set(rounded["speeds"]) == set(ALGORITHMS)


def test_other_backends_keep_their_part_of_the_table(tmp_path):
    path = tmp_path / "choice.json"
    path.write_text(json.dumps({"abacus": {"rows": []}}))
    rows = [{"length": 16, "width": 8, "dtype": "float32", "algorithm": "matrix"}]
    remake(rows, path)
    parts = json.loads(path.read_text())
    assert parts["abacus"] == {"rows": []}
    assert parts[jax.default_backend()]["rows"] == rows
    assert parts[jax.default_backend()]["device"]["kind"]


def test_the_table_that_is_shown_has_a_column_for_each_algorithm():
    row = {"length": 2048, "width": 8, "dtype": "float32", "algorithm": "real_fft"}
    text = transform.document([row | {"speeds": {"real_fft": 2.5}}])
    assert "| 2,048" in text and "2.5" in text and "two_stage_float16" in text


# --- Comparisons ---------------------------------------------------------------------


def test_a_ratio_says_how_many_times_as_fast():
    times = {"fnet": samples(1.0, 1.0, 1.0), "transformer": samples(2.0, 3.0, 5.0)}
    (found,) = compared("step", "tiny", times, [("fnet", "transformer")], 4)
    assert (found.wall["median"], found.wall["low"], found.wall["high"]) == (3, 2, 5)
    assert found.seconds == {"fnet": 1.0, "transformer": 3.0}
    assert "fnet / transformer | 3.00 " in document([found])


def test_steps_are_compared_at_the_sizes_of_the_recipe(monkeypatch):
    monkeypatch.setattr(plan, "CASES", {"image": Case(16, 2)})
    found = list(sections.step(PLAN))
    assert [c.to for c in found] == ["published", "published, one device"]
    for comparison in found:
        assert comparison.setting == "image: length 16, width 128, hidden 128"
        assert comparison.batch_size == 2
        assert comparison.wall["repeats"] == 2 and comparison.wall["median"] > 0


def test_the_other_program_has_one_device():
    setting = recipe_setting("image", TINY, changed=sections.on_one_device)
    assert (setting.program.mesh.size, setting.program.accumulate) == (1, 1)


def test_attention_that_does_not_fit_is_left_out(monkeypatch):
    monkeypatch.setattr(sections, "ATTENTION", TINY)
    fits = iter([True, False, True])
    monkeypatch.setattr(sections, "fits", lambda setting: next(fits))
    turns = lambda settings, plan: {name: samples(1.0) for name in settings}  # noqa: E731
    monkeypatch.setattr(sections, "in_turns", turns)
    found = list(sections.attention(PLAN))
    assert [c.to for c in found] == [sections.FUSED]


def test_a_section_that_fails_takes_no_finished_one_with_it(tmp_path, monkeypatch):
    def broken(plan):
        raise RuntimeError("broken")

    done = compared("step", "tiny", {"a": samples(1.0)}, [("a", "a")], 4)
    fakes = {"step": lambda plan: done, "trainer": broken}
    monkeypatch.setattr(compare, "MEASURED", fakes)
    path = tmp_path / "compare.json"
    with pytest.raises(RuntimeError, match="broken"):
        compare.measure(["step", "trainer"], PLAN, path, {"kind": "compare"})
    written = json.loads(path.read_text())
    assert written["sections"] == {"step": [done[0].as_json()]}


def test_without_pytorch_a_line_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(compare.frameworks, "missing", lambda: "torch")
    compare.measure(["pytorch"], PLAN, tmp_path / "compare.json", {})
    assert "skipped: torch is not installed" in capsys.readouterr().out


def test_a_misspelt_section_names_the_closest():
    with pytest.raises(ValueError, match="did you mean 'mixing'"):
        compare.parsed(["--sections=mixin"])


# --- Whole trainer, shares -----------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    """A program, its parameters, and a few examples."""
    program = make_program()
    inputs = make_data(program).inputs
    state = program.init(jnp.array([0]), inputs)
    return program, jax.tree.map(lambda p: p[0], state.params), inputs[:4]


def logits(program, params, inputs, key=None):
    return np.asarray(jax.jit(program._logits)(params, inputs, key))


def without(program, *parts):
    values = {f.name: getattr(program, f.name) for f in dataclasses.fields(program)}
    return Without(**values, parts=parts)


def test_the_plain_trainer_differs_in_its_dropout_masks_alone(model):
    program, *rest = model
    other, key = plain(program), jax.random.key(1)
    np.testing.assert_array_equal(logits(other, *rest), logits(program, *rest))
    assert (logits(other, *rest, key) != logits(program, *rest, key)).any()


def test_without_its_dropout_a_model_in_training_answers_as_in_a_test(model):
    program, *rest = model
    bare = logits(without(program, nn.Dropout), *rest, jax.random.key(1))
    np.testing.assert_allclose(bare, logits(program, *rest), rtol=1e-5, atol=1e-5)


def test_without_any_part_out_nothing_changes(model):
    program, *rest = model
    rest.append(jax.random.key(1))
    whole = logits(program, *rest)
    np.testing.assert_array_equal(logits(without(program), *rest), whole)


def test_each_part_that_is_taken_out_takes_its_operations_with_it():
    left = peeled(recipe_setting("image", TINY))
    texts = {name: s.lowered().as_text() for name, s in left.items()}
    assert list(left) == ["", *PARTS]
    assert ".fft " in texts["dropout"] and ".fft " not in texts["mixing"]
    assert "rsqrt" in texts["mixing"] and "rsqrt" not in texts["normalisation"]
    assert "tanh" in texts["normalisation"] and "tanh" not in texts["MLP"]
    assert left["MLP"].program.parts == (
        nn.Dropout,
        mixer_class("fnet"),
        nn.LayerNorm,
        Mlp,
    )


def test_shares_add_up_to_the_step():
    times = {"": samples(10.0, 20.0), "mixing": samples(6.0, 12.0)}
    times["MLP"] = samples(1.0, 2.0)
    found = list(shares_of(times, "tiny"))
    assert [round(s.share, 9) for s in found] == [0.4, 0.5, 0.1]


def test_whole_and_plain_trainer_take_steps_of_the_same_sizes(monkeypatch):
    monkeypatch.setattr(plan, "CASES", {"image": Case(16, 2)})
    whole, other = (trainer_setting("image", p, TINY) for p in (False, True))
    assert whole.split.inputs.shape == other.split.inputs.shape == (2, 16)
    assert whole.program.model != other.program.model  # by the algorithm
    assert isinstance(other.program, PlainProgram)
    assert (other.program.accumulate, other.program.compiler_options) == (1, ())
    assert seconds_of_a_step(other) > 0


def test_the_ratio_of_trainers_is_that_of_processes_in_turns(monkeypatch):
    order = []

    def measured(is_plain, cache):
        order.append(is_plain)
        return dict.fromkeys(regime.TASKS, 3.0 if is_plain else 2.0)

    monkeypatch.setattr(regime, "_measured", measured)
    trainers = regime.in_turns()
    assert order == [True, False] * regime.PAIRS
    found = list(regime.trainer(dataclasses.replace(PLAN, trainers=trainers)))
    assert {c.wall["median"] for c in found} == {1.5}
    assert all(c.processor is None for c in found)
