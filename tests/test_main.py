"""What a user types, right and wrong."""

import importlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from configs.listops import get_config
from lra_fnet.cli import with_recipe
from lra_fnet.config import (
    OUTSIDE_HASH,
    config_hash,
    config_mixers,
    make_program,
    resolved_config,
)
from lra_fnet.workdir import default_workdir
from tasks import make_task, task_names
from tiny_runs import ROOT, command, run

RECIPES = ("quick", "lra2020", "strong")


def identity_of(config):
    return resolved_config(config, config_mixers(config))


@pytest.mark.parametrize("name", task_names())
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_of_every_task_builds(name, recipe):
    config = importlib.import_module(f"configs.{name}").get_config(recipe)
    if name in ("text", "image", "retrieval"):
        config.data.source = "sample"
    program = make_program(config, make_task(config.task, **config.data))
    assert len(program.model.mixers) == config.num_layers
    assert identity_of(config)["recipe"] == recipe


# Parameters of the Transformer of the released configs, less what is not here.
RELEASED_PARAMETERS = {
    "listops": 8_948_746 - 512,  # an out-of-vocabulary id
    "text": 3_486_722,
    "retrieval": 1_087_618,
    "image": 248_458 - 2 * 128,  # CLS vector and its position
    "pathfinder": 26_530,
    "pathx": 537_954,
}


@pytest.mark.parametrize("name", RELEASED_PARAMETERS)
def test_lra2020_has_the_parameter_counts_of_the_release(name):
    config = importlib.import_module(f"configs.{name}").get_config("lra2020")
    config.model = "transformer"
    if name in ("text", "retrieval"):
        config.data.source = "sample"
    task = make_task(config.task, **config.data)
    program = make_program(config, task)
    shape = (2, task.max_length) if task.num_documents == 2 else (task.max_length,)
    inputs = jnp.zeros((1, *shape), jnp.uint8)
    state = jax.eval_shape(program.init, jnp.array([0]), inputs)
    count = sum(p.size for p in jax.tree.leaves(state.params))
    assert count == RELEASED_PARAMETERS[name]


def test_lra2020_is_the_released_configuration():
    config = get_config("lra2020")
    assert config.train.num_steps == 5000 and config.train.batch_size == 32
    assert config.schedule.learning_rate == 0.05
    assert config.schedule.warmup_steps == 1000
    assert (config.encoder.width, config.encoder.mlp_dim) == (512, 1024)
    assert (config.num_layers, config.mixers.transformer.num_heads) == (4, 8)
    assert config.data.num_train == 96_000 and config.data.max_length == 2000


def test_quick_keeps_the_sequences():
    quick, full = get_config("quick").data, get_config("lra2020").data
    for key in ("min_length", "max_length", "max_depth", "max_args", "num_test"):
        assert quick[key] == full[key]


def test_the_hash_names_the_protocol_and_not_the_seed():
    config = get_config("lra2020")
    before = config_hash(identity_of(config))
    for section in OUTSIDE_HASH:
        if section == "run":
            config.run.log_every = 7
        else:
            config[section] = 7
    assert config_hash(identity_of(config)) == before
    config.encoder.dropout_rate = 0.2
    assert config_hash(identity_of(config)) != before


def test_another_baseline_in_the_suite_changes_no_hash():
    config = get_config("lra2020")
    before = config_hash(identity_of(config))
    with config.unlocked():
        config.mixers.newcomer = {"rank": 3}
    assert config_hash(identity_of(config)) == before


def test_no_two_configs_share_a_default_workdir():
    config = get_config("quick")
    folders = {default_workdir(identity_of(config))}
    config.seed = 1
    folders.add(default_workdir(identity_of(config)))
    config.num_seeds = 5
    folders.add(default_workdir(identity_of(config)))
    config.train.num_steps = 3
    folders.add(default_workdir(identity_of(config)))
    assert len(folders) == 4


def test_without_a_recipe_the_devices_decide_and_it_is_said(capsys):
    assert jax.devices()[0].platform in ("cpu", "gpu", "tpu")
    chosen = with_recipe(["main", "--config=configs/listops.py"])[1]
    expected = "quick" if jax.devices()[0].platform == "cpu" else "lra2020"
    assert chosen == f"--config=configs/listops.py:{expected}"
    assert f"recipe {expected}, because JAX sees" in capsys.readouterr().out
    given = ["main", "--config=configs/listops.py:strong"]
    assert with_recipe(given) == given


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ({"model": "fnett"}, "unknown model 'fnett'; did you mean 'fnet'?"),
        ({"encoder__pool": "max"}, "encoder.pool is 'max'; choose from"),
        ({"train__accumulate": 3}, "does not divide train.batch_size, 8"),
        ({"train__batch_size": 0}, "train.batch_size is 0; it must be >= 1"),
        ({"schedule__schedule": "step"}, "schedule.schedule is 'step'"),
        ({"data__source": "oficial"}, "did you mean 'official'?"),
        ({"data__source": "official"}, "needs directory"),
        ({"hybrid__num_layers": 9}, "hybrid.num_layers is 9; choose from 0 to 2"),
        ({"trian__num_steps": 9}, "Did you mean"),
        ({"train__num_steps": "many"}, "num_steps"),
    ],
)
def test_a_wrong_value_is_one_clear_line(tmp_path, override, expected):
    done = run(command(tmp_path / "run", **override), tmp_path)
    assert done.returncode != 0
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("configs/listops.py:quik", "did you mean 'quick'? have: quick, lra2020"),
        ("configs/listop.py:quick", "no config file 'configs/listop.py'; have: "),
    ],
)
def test_a_wrong_config_is_one_clear_line(config, expected):
    arguments = [sys.executable, "-m", "lra_fnet.main", f"--config={config}"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0 and expected in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["task=listop"], 'unknown task "listop"; have: '),
        (["task=listops", "accel=gpu"], 'unknown accel "gpu"; choose cpu'),
        (["eval"], "which run?"),
    ],
)
def test_make_teaches(arguments, expected):
    done = subprocess.run(
        ["make", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode != 0 and expected in done.stderr


@pytest.mark.parametrize("arguments", [[], ["help"]])
def test_make_alone_says_what_there_is(arguments):
    done = subprocess.run(
        ["make", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0 and "make task=TASK" in done.stdout
