"""Comparisons: that both sides compute the same sizes, and how speed-ups are told."""

import json
from argparse import Namespace

import jax
import numpy as np
import pytest

from lra_fnet.config import load_config
from lra_fnet.speed import compare, fourier
from lra_fnet.speed.compare import (
    FORMULA,
    PlainProgram,
    Plan,
    compare_all,
    compared,
    plain,
    run_sections,
    section_text,
    step,
    step_of_trainer,
    task_workload,
    trainer,
)
from lra_fnet.speed.timing import Sample

PLAN = Plan(("image",), rounds=2, seconds=0.0)
TINY = {"num_layers": 1, "encoder.width": 8, "encoder.mlp_dim": 8}


def samples(*seconds):
    return [Sample(value, value) for value in seconds]


@pytest.fixture
def tiny(monkeypatch):
    """Shrink models and batches; other values of the config can be set, too."""

    def shrink(**more):
        def load_tiny(task, recipe, changes=None):
            return load_config(task, recipe, {**(changes or {}), **TINY, **more})

        monkeypatch.setattr(compare, "load_config", load_tiny)

    monkeypatch.setattr(fourier, "ELEMENTS", {jax.default_backend(): 2**14})
    shrink()
    return shrink


# --- Speed-ups -----------------------------------------------------------------------


def test_a_speed_up_is_the_median_over_rounds():
    times = {"fnet": samples(1.0, 1.0, 1.0), "transformer": samples(2.0, 3.0, 5.0)}
    (row,) = compared(times, "fnet", "tiny", 4)
    assert row["speed_up"] == {"median": 3.0, "low": 2.0, "high": 5.0, "repeats": 3}
    assert row["seconds"] == 1.0  # of fnet
    text = section_text([row], "")
    assert "| fnet / transformer | 3.00       | 2.00 to 5.00 | 3.00 " in text


def test_a_step_is_compared_with_that_of_the_published_formula(tiny):
    tiny(mixer="ff_only")  # which compiles sooner
    (row,) = step(PLAN)
    assert (row["of"], row["to"], row["batch_size"]) == ("fnet", "published", 2)
    assert row["speed_up"]["median"] > 0 and row["speed_up"]["repeats"] == 2


def test_attention_that_does_not_fit_is_left_out(tiny, monkeypatch):
    fits = iter([True, False, True, True, True, True])
    monkeypatch.setattr(compare, "fits", lambda workload: next(fits))
    monkeypatch.setattr(compare, "Workload", lambda config, length: config)
    turns = lambda workloads, plan: {name: samples(1.0) for name in workloads}  # noqa: E731
    monkeypatch.setattr(compare, "in_turns", turns)
    found = [(row["sizes"], row["to"]) for row in compare.attention(PLAN)]
    first, second = "length 2,048, width 8", "length 4,096, width 8"
    assert sorted(found) == [
        (first, compare.FUSED),
        (second, "transformer"),
        (second, compare.FUSED),
    ]


# --- Sections ------------------------------------------------------------------------


def test_a_section_that_fails_is_reported_and_the_rest_continue(tmp_path, monkeypatch):
    (row,) = compared({"a": samples(1.0), "b": samples(2.0)}, "a", "tiny", 4)

    def measured(name, plan):
        if name == "step":
            raise ChildProcessError("RuntimeError: broken")
        return [row]

    monkeypatch.setattr(compare, "measure_section", measured)
    assert run_sections(["step", "trainer"], PLAN, tmp_path, {"kind": "compare"}) == 1
    written = json.loads((tmp_path / "compare.json").read_text())
    assert written["sections"] == {
        "step": {"rows": [], "reason": "failed: RuntimeError: broken"},
        "trainer": {"rows": [row], "reason": ""},
    }
    text = (tmp_path / "compare.md").read_text()
    assert "failed: RuntimeError: broken" in text and "| a / b " in text


def test_a_section_runs_in_a_process_of_its_own(monkeypatch):
    called = []
    monkeypatch.setattr(compare, "in_own_process", lambda *a: called.append(a) or [])
    compare.measure_section("step", PLAN)
    assert called == [(compare._after_set_up, step, PLAN)]


@pytest.mark.parametrize(
    ("argument", "message"),
    [({"sections": "stp"}, "mean 'step'"), ({"task": "txt"}, "mean 'text'")],
)
def test_a_misspelt_section_or_task_names_the_closest(argument, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        compare_all(
            Namespace(**{"sections": "", "task": "", "to": tmp_path} | argument)
        )


# --- The trainer and a plain one -----------------------------------------------------


def test_the_plain_trainer_differs_in_its_dropout_masks_alone(tiny):
    changes = {"encoder.dropout_rate": 0.5, "mixer": "ff_only"}
    workload = task_workload("image", 2, changes)
    params = jax.tree.map(lambda p: p[0], workload._state.params)
    inputs, key = workload._batches[0], jax.random.key(1)

    def logits(program, *key):
        return np.asarray(jax.jit(program._outputs)(params, inputs, *key)[0])

    program, other = workload.program, plain(workload.program)
    np.testing.assert_array_equal(logits(other), logits(program))
    assert (logits(other, key) != logits(program, key)).any()


def test_whole_and_plain_trainer_take_steps_of_the_same_sizes(tiny):
    whole, other = task_workload("image", 2), task_workload("image", 2, FORMULA, plain)
    assert whole._batches[0].shape == other._batches[0].shape == (2, 1024)
    assert whole.program.model != other.program.model  # by the algorithm
    assert isinstance(other.program, PlainProgram)
    assert (other.program.micro_batches, other.program.compiler_options) == (1, ())


def test_a_step_of_the_plain_trainer_is_timed(tiny, monkeypatch, tmp_path):
    tiny(mixer="ff_only")
    updates = {}
    monkeypatch.setattr(compare.jax.config, "update", updates.__setitem__)
    monkeypatch.setattr(compare, "Plan", lambda: PLAN)
    sample = step_of_trainer("image", 2, True, str(tmp_path))
    assert sample.wall > 0 and updates["jax_num_cpu_devices"] == 1


def test_the_speed_up_of_the_trainer_is_that_of_processes_in_turns(monkeypatch):
    order = []

    def measured(function, *arguments):
        if function is not step_of_trainer:
            return 32  # examples
        _, batch_size, is_plain, _ = arguments
        order.append(is_plain)
        assert batch_size == 32
        return Sample(3.0, 6.0) if is_plain else Sample(2.0, 4.0)

    monkeypatch.setattr(compare, "in_own_process", measured)
    (row,) = trainer(PLAN)
    assert order == [False, True] * compare.PAIRS
    assert row["speed_up"]["median"] == 1.5 and row["batch_size"] == 32
    assert (row["of"], row["to"]) == ("trainer", "plain trainer")
