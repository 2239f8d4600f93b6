"""The encoder of one run as the start of another."""

import flax.traverse_util
import jax.numpy as jnp
import numpy as np
import pytest

from lra_fnet.config import as_config, config_hash, load_config, make_program, resolve
from lra_fnet.report.load import run_row
from lra_fnet.rules import repeat_command
from lra_fnet.step import of_encoder
from lra_fnet.train import train_and_evaluate
from lra_fnet.trained.initial import encoder_of, weights_of
from lra_fnet.trained.restore import restore
from lra_fnet.workdir import WorkdirError
from tasks import make_task
from tiny_runs import TINY, tiny_config

SHORT = {"train__num_steps": 20, "train__eval_every": 10}
MASKED = {"pretrain__objective": "masked", "pretrain__num_steps": 10}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run from scratch, one that was pre-trained, and a third with two seeds."""
    folder = tmp_path_factory.mktemp("initial")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LRA_DATA", str(folder / "data"))
        for name, changes in {
            "scratch": {},
            "pretrained": MASKED,
            "two": {"num_seeds": 2, "seed": 4},
        }.items():
            train_and_evaluate(tiny_config(**SHORT, **changes), folder / name)
        yield folder


def begun_from(workdir, **changes):
    return tiny_config(**SHORT, init__from_run=str(workdir), **changes)


def leaves(params):
    return flax.traverse_util.flatten_dict(params, sep="/")


def start_of(config):
    """Return this run's parameters before its first step, and those drawn for it."""
    from lra_fnet.train import _with_encoder_of_run

    program = make_program(config, make_task("listops", **config.data))
    state = program.init(jnp.array([config.seed]), jnp.zeros((1, 40), jnp.uint8))
    return leaves(_with_encoder_of_run(config, state).params), leaves(state.params)


@pytest.mark.parametrize("name", ["scratch", "pretrained"])
def test_the_encoder_is_taken_over_to_the_bit_and_the_head_is_new(runs, name):
    found, drawn = start_of(begun_from(runs / name))
    learned = leaves(restore(runs / name, pretraining=name == "pretrained").best.params)
    for path, array in found.items():
        source = drawn if path.startswith("Head") else learned
        np.testing.assert_array_equal(array, source[path])
    assert any((found[path] != drawn[path]).any() for path in found)


def test_of_several_seeds_each_run_takes_its_own(runs):
    learned = restore(runs / "two").best.params
    taken = leaves(encoder_of(begun_from(runs / "two", seed=5), learned))
    for path, array in leaves(of_encoder(learned)).items():
        np.testing.assert_array_equal(taken[path], array[1:])
    with pytest.raises(ValueError, match="has seeds 4, 5, not 0"):
        encoder_of(begun_from(runs / "two"), learned)


def test_a_run_says_what_it_began_from_and_not_where_that_lay(runs, monkeypatch):
    monkeypatch.setenv("LRA_DATA", str(runs / "data"))
    config = begun_from(runs / "pretrained")
    result = train_and_evaluate(config, runs / "tuned")[0]
    weights = weights_of(runs / "pretrained")
    assert result.config["init"] == {"from_run": "", "weights": weights}
    assert str(runs) not in result.command and "init_from=RUN" in result.command
    assert f"--config.init.weights={weights}" in repeat_command(config)
    assert run_row(runs / "tuned" / "result.json")["row"] == f"fnet, from {weights}"
    again = train_and_evaluate(begun_from(runs / "pretrained"), runs / "again")[0]
    assert (again.test, again.curves) == (result.test, result.curves)


def test_the_hash_is_about_the_weights_and_not_about_their_folder(runs, tmp_path):
    config = resolve(begun_from(runs / "scratch"))
    assert config_hash(config) != config_hash(resolve(tiny_config(**SHORT)))
    (tmp_path / "moved").symlink_to(runs / "scratch")
    moved = resolve(begun_from(tmp_path / "moved"))
    assert config_hash(moved) == config_hash(config)
    other = resolve(begun_from(runs / "pretrained"))
    assert config_hash(other) != config_hash(config)
    assert resolve(as_config(config)) == config


def test_an_encoder_that_does_not_fit_is_named_with_both_shapes(runs):
    with pytest.raises(ValueError, match=r"does not fit: .* \(16.*there and \(16, 24"):
        start_of(begun_from(runs / "scratch", encoder__width=24))
    with pytest.raises(ValueError, match="does not fit: .*block_2.* none there"):
        start_of(begun_from(runs / "scratch", num_layers=3))
    other = {"mixers.fnet.orthonormal": True, "encoder.norm_placement": "pre"}
    with pytest.raises(ValueError, match="norm_placement: published -> pre.*False -> "):
        start_of(begun_from(runs / "scratch", **other))


def test_weights_that_have_changed_or_are_not_there_are_refused(runs, tmp_path):
    with pytest.raises(WorkdirError, match="where there is no checkpoint"):
        load_config("listops", "quick", TINY | {"init.from_run": str(tmp_path)})
    config = begun_from(runs / "scratch", init__weights="0123456789ab")
    with pytest.raises(WorkdirError, match="began from 0123456789ab"):
        start_of(config)
