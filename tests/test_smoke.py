"""Every mixer on every task at LRA's sizes: traced here, run by `make smoke`."""

import importlib
import itertools
import sys

import jax
import jax.numpy as jnp
import pytest

from lra_fnet import smoke
from lra_fnet.config import make_program
from lra_fnet.mixers import mixer_names
from lra_fnet.step import Program
from tasks import make_task, task_names


def trace_a_step(task_name, **changes):
    """Go through a training step at the sizes of lra2020; nothing is computed."""
    config = importlib.import_module(f"configs.{task_name}").get_config("lra2020")
    if task_name != "listops":
        config.data.source = "sample"
    named = {key.replace("__", "."): value for key, value in changes.items()}
    config.update_from_flattened_dict({"train.batch_size": 2} | named)
    task = make_task(config.task, **config.data)
    program = make_program(config, task)
    documents = (task.num_documents,) if task.num_documents > 1 else ()
    inputs = jax.ShapeDtypeStruct((4, *documents, task.max_length), jnp.uint8)
    integers = [
        jax.ShapeDtypeStruct(shape, jnp.int32) for shape in ((1,), (4,), (1, 1, 2), ())
    ]
    seeds, labels, indices, num_steps = integers
    state = jax.eval_shape(program.init, seeds, inputs)
    call = (state, inputs, labels, indices, num_steps)
    new_state, sums, _ = Program.train.trace(program, *call).out_info
    shapes = [jax.tree.map(lambda a: (a.shape, a.dtype), s) for s in (state, new_state)]
    assert shapes[0] == shapes[1] and sums.loss.shape == (1,)


@pytest.mark.parametrize("model", mixer_names())
def test_every_mixer_trains_on_two_documents_with_attention_in_a_layer(model):
    trace_a_step("retrieval", model=model, hybrid__num_layers=1)


@pytest.mark.parametrize("task_name", task_names())
@pytest.mark.parametrize("model", ["fnet", "transformer"])
def test_every_task_trains(task_name, model):
    trace_a_step(task_name, model=model)


def test_the_grid_is_complete_and_its_names_are_checked():
    grid = list(smoke.cells(task_names(), [*mixer_names(), smoke.HYBRID]))
    assert grid == [*itertools.product(task_names(), [*mixer_names(), "hybrid"])]
    with pytest.raises(ValueError, match="did you mean 'listops'"):
        smoke.cells(["listop"], ["fnet"])
    with pytest.raises(ValueError, match="did you mean 'fnet'"):
        smoke.cells(["listops"], ["fnett"])


def test_a_cell_runs_from_start_to_result(tmp_path):
    finding = smoke.run_cell("pathfinder", "ff_only", tmp_path)
    assert finding.passed, finding.line()


def test_a_cell_that_fails_says_why(tmp_path, monkeypatch):
    monkeypatch.setitem(smoke.SMALL, "encoder.pool", "median")
    finding = smoke.run_cell("pathfinder", "fnet", tmp_path)
    assert not finding.passed and "encoder.pool is 'median'" in finding.detail


@pytest.mark.parametrize(
    ("message", "passed"), [("error: a training call needs 9 GiB", True), ("no", False)]
)
def test_only_what_does_not_fit_is_no_failure(tmp_path, monkeypatch, message, passed):
    program = [sys.executable, "-c", f"raise SystemExit({message!r})"]
    monkeypatch.setattr(smoke, "command", lambda *_: program)
    finding = smoke.run_cell("pathfinder", "fnet", tmp_path)
    assert finding.passed is passed and message in finding.detail
