"""Recipes, changes of single keys, what is checked, and what a config's hash is of."""

import copy
import json
import shlex
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from lra_fnet.config import (
    ADDED_SINCE,
    OUTSIDE_HASH,
    RECIPES,
    as_config,
    config_hash,
    load_config,
    make_program,
    read_flags,
    resolve,
    task_facts,
    with_todays_keys,
)
from lra_fnet.mixers import mixer_names
from lra_fnet.rules import count_parameters
from lra_fnet.workdir import default_workdir
from tasks import task_names
from tiny_runs import ROOT

MASKED = {"pretrain.objective": "masked", "pretrain.num_steps": 100}


@pytest.mark.parametrize("task", task_names())
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_of_every_task_builds(task, recipe):
    config = load_config(task, recipe)
    program = make_program(config, task_facts(config))
    assert len(program.model.mixers) == config.num_layers
    assert resolve(config)["recipe"] == recipe


# Parameters of the Transformer of the released configs, less what is not here.
RELEASED_PARAMETERS = {
    "listops": 8_948_746 - 512,  # an out-of-vocabulary id
    "text": 3_486_722,
    "retrieval": 1_087_618,
    "image": 248_458 - 2 * 128,  # CLS vector and its position
    "pathfinder": 26_530,
    "pathx": 537_954,
}


@pytest.mark.parametrize("task", RELEASED_PARAMETERS)
def test_lra2020_has_the_parameter_counts_of_the_release(task):
    config = load_config(task, "lra2020", {"mixer": "transformer"})
    assert count_parameters(config, task_facts(config)) == RELEASED_PARAMETERS[task]


def test_lra2020_is_the_released_configuration():
    config = load_config("listops", "lra2020", {"mixer": "transformer"})
    assert config.train.num_steps == 5000 and config.train.batch_size == 32
    assert config.schedule.learning_rate == 0.05
    assert config.schedule.warmup_steps == 1000
    assert (config.encoder.width, config.encoder.mlp_dim) == (512, 1024)
    assert (config.num_layers, config.mixers.transformer.num_heads) == (4, 8)
    assert config.data.num_train == 96_000 and config.data.max_length == 2000


def test_quick_keeps_the_sequences():
    quick, full = (load_config("listops", r).data for r in ("quick", "lra2020"))
    for key in ("min_length", "max_length", "max_depth", "max_args", "num_test"):
        assert quick[key] == full[key]


# --- Changes ------------------------------------------------------------------------


def test_texts_are_read_as_the_type_of_the_value_they_replace():
    changes = {
        "train.num_steps": "7",
        "schedule.learning_rate": "1e-3",
        "run.tensorboard": "true",
        "encoder.pool": "mean",
        "encoder.dropout_rate": 0,
        "mixers.linformer.rank": "8",
        "mixer": "linformer",
    }
    config = load_config("listops", "quick", changes)
    assert config.train.num_steps == 7 and config.schedule.learning_rate == 1e-3
    assert config.run.tensorboard is True and config.encoder.pool == "mean"
    assert config.mixers.linformer.rank == 8
    assert isinstance(config.encoder.dropout_rate, float)


def test_a_recipe_sets_what_every_mixer_has_and_a_flag_what_one_has():
    changes = {"mixer": "transformer", "mixers.transformer.num_heads": "4"}
    config = load_config("listops", "quick", changes)
    assert config.mixers.transformer.to_dict() == {
        "num_heads": 4,  # 2 in quick
        "qkv_dim": 0,
        "dropout_rate": 0.0,  # 0.1 in the class
    }


def test_a_mixer_of_another_package_is_changed_by_its_modules_name():
    name = "lra_fnet.mixers.linformer"
    config = load_config("listops", "quick", {"mixer": name, f"mixers.{name}.rank": 7})
    resolved = resolve(config)
    assert resolved["mixers"][name]["rank"] == 7
    assert resolve(as_config(resolved)) == resolved


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"encoder.widht": 3}, "no key encoder.widht; did you mean encoder.width?"),
        ({"mixers.fnet.algoritm": "x"}, "did you mean mixers.fnet.algorithm?"),
        ({"mixers.fnett.algorithm": "x"}, "unknown mixer 'fnett'; did you mean 'fnet'"),
        ({"mixer": "fnett"}, "unknown mixer 'fnett'; did you mean 'fnet'?"),
        ({"task": "text"}, "no flag sets task; write task=text"),
        ({"train.num_steps": "many"}, "num_steps is 'many'; it must be a whole number"),
        ({"train.num_steps": 1.5}, "it must be a whole number"),
        ({"run.tensorboard": "ja"}, "it must be true or false"),
        ({"hybrid.num_layers": 9}, "hybrid.num_layers is 9; choose from 0 to 2"),
        ({"train.micro_batches": 3}, "does not divide train.batch_size, 16"),
        ({"pretrain.objective": "maskd"}, "'maskd'; did you mean 'masked'?"),
        ({"pretrain.num_steps": 5}, "is 5 and pretrain.objective 'none'; set both"),
        (MASKED | {"pretrain.num_steps": 0}, "num_steps is 0; it must be > 0 and less"),
        (MASKED | {"pretrain.num_steps": 600}, "less than train.num_steps, 600"),
        (MASKED | {"pretrain.mask_rate": 0.0}, "mask_rate is 0.0; it must be > 0 and"),
        (MASKED | {"pretrain.mask_rate": 1.0}, "mask_rate is 1.0; it must be > 0 and"),
    ],
)
def test_a_wrong_key_or_value_is_named(changes, expected):
    with pytest.raises(ValueError) as caught:
        load_config("listops", "quick", changes)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", -1),
        ("seed", 2**32),
        ("num_layers", 0),
        ("num_seeds", 0),
        ("encoder.width", 0),
        ("encoder.mlp_dim", -5),
        ("encoder.dropout_rate", 10.0),
        ("encoder.dropout_rate", -0.1),
        ("optimizer.b1", 2.0),
        ("optimizer.b2", 1.0),
        ("optimizer.eps", 0.0),
        ("optimizer.weight_decay", -1.0),
        ("optimizer.clip_norm", float("nan")),
        ("schedule.learning_rate", -1e-3),
        ("schedule.learning_rate", float("inf")),
        ("schedule.warmup_steps", -1),
        ("train.num_steps", 0),
        ("train.batch_size", 0),
        ("train.eval_every", 0),
        ("run.log_every", 0),
        ("mixers.cnn.kernel_size", -5),
        ("mixers.s5.min_step", -0.1),
        ("mixers.lru.max_radius", float("nan")),
        ("mixers.transformer.dropout_rate", 1.0),
        ("mixers.bigbird.dropout_rate", -0.1),
    ],
)
def test_a_number_out_of_its_range_is_refused_by_its_key(key, value):
    with pytest.raises(ValueError, match=f"{key} is {value}; it must be"):
        load_config("listops", "quick", {key: value})


def test_no_seed_of_a_run_may_be_too_large():
    with pytest.raises(ValueError, match=r"seed \+ num_seeds"):
        load_config("listops", "quick", {"seed": 2**32 - 1, "num_seeds": 2})


# --- What a run is ------------------------------------------------------------------


def test_the_hash_names_the_config_and_not_the_seed():
    plain = config_hash(resolve(load_config("listops", "lra2020")))
    same = {"seed": 7, "num_seeds": 7, "run.log_every": 7, "data.directory": "here"}
    assert {key.split(".")[0] for key in same} >= set(OUTSIDE_HASH)
    assert config_hash(resolve(load_config("listops", "lra2020", same))) == plain
    other = load_config("listops", "lra2020", {"encoder.dropout_rate": 0.2})
    assert config_hash(resolve(other)) != plain


def test_a_later_key_at_its_earlier_value_is_no_new_config():
    for key, value in ADDED_SINCE.items():
        config = resolve(load_config("retrieval", "lra2020", {key: value}))
        *sections, name = key.split(".")
        earlier = section = copy.deepcopy(config)
        for each in sections:
            section = section[each]
        del section[name]
        assert with_todays_keys(earlier) == config
        assert config_hash(earlier) == config_hash(config)
    others = {"comparison": "match", "precision": "highest", "moe_layers": 1}
    others |= {"causal": True, "pool": "mean"}
    for key, value in others.items():
        other = load_config("retrieval", "lra2020", {f"encoder.{key}": value})
        assert config_hash(resolve(other)) != config_hash(config)


def test_the_encoder_alone_makes_a_mixer_causal():
    changes = {"mixer": "fnet", "encoder.causal": "true", "encoder.pool": "mean"}
    config = load_config("listops", "quick", changes)
    assert "causal" not in resolve(config)["mixers"]["fnet"]
    assert make_program(config, task_facts(config)).model.causal
    with pytest.raises(ValueError, match=r"no key mixers\.fnet\.causal"):
        load_config("listops", "quick", {"mixers.fnet.causal": "true"})


def test_settings_of_pretraining_are_in_the_hash_where_there_is_some():
    plain = resolve(load_config("listops", "quick"))
    assert "pretrain" not in plain  # as in results from before there was any
    idle = load_config("listops", "quick", {"pretrain.mask_rate": 0.3})
    assert resolve(idle) == plain
    hashes = {
        config_hash(resolve(load_config("listops", "quick", MASKED | {key: value})))
        for key, value in (
            ("pretrain.num_steps", 300),
            ("pretrain.num_steps", 301),
            ("pretrain.mask_rate", 0.3),
            ("pretrain.learning_rate", 0.3),
        )
    }
    assert len(hashes | {config_hash(plain)}) == 5


def test_mixers_that_no_layer_uses_are_not_in_the_hash():
    plain = resolve(load_config("listops", "lra2020"))
    changed = {"mixers.linformer.rank": 3}
    assert resolve(load_config("listops", "lra2020", changed)) == plain


RESULTS = sorted((ROOT / "results").glob("*/*/result.json"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_todays_code_gives_the_config_of_a_result_that_is_kept(path):
    """A renamed key, a moved default or another order would break it."""
    kept = json.loads(path.read_text())
    config = with_todays_keys(kept["config"])
    assert config_hash(config) == kept["config_hash"]
    typed = dict(word.split("=", 1) for word in shlex.split(kept["command"])[1:])
    mixer = typed.get("mixer") or typed["model"]  # its name in earlier commands
    changed = {"mixer": mixer, "data.source": config["data"]["source"]}
    changed |= read_flags(typed.get("flags", "").split())
    again = load_config(typed["task"], typed["recipe"], changed)
    assert config_hash(resolve(again)) == kept["config_hash"]


def test_a_resolved_config_is_a_config_again():
    for more in ({}, MASKED, MASKED | {"train.num_steps": 101}):
        config = load_config(
            "text", "quick", {"hybrid.num_layers": 1, "seed": 3} | more
        )
        resolved = resolve(config)
        again = as_config(resolved)
        assert resolve(again) == resolved
        assert again.pretrain.mask_rate == 0.15


@pytest.mark.parametrize("mixer", mixer_names())
def test_every_mixer_can_be_pretrained(mixer):
    config = load_config("listops", "quick", MASKED | {"mixer": mixer})
    task = task_facts(config)
    model = make_program(config, task, pretraining=True).model
    inputs = jax.ShapeDtypeStruct((2, task.max_length), jnp.uint8)
    found, params = jax.eval_shape(
        partial(model.init_with_output, train=False), jax.random.key(0), inputs
    )
    assert found.outputs.shape == (2, task.max_length, task.vocab_size)
    assert params["params"]["restore"]["bias"].shape == (task.vocab_size,)


@pytest.mark.parametrize(
    ("task", "rate"),
    [("image", 0.5), ("pathfinder", 0.5), ("pathx", 0.5), ("listops", 0.1)],
)
def test_tasks_hide_as_much_as_amos_et_al(task, rate):
    assert load_config(task, "lra2020").pretrain.mask_rate == rate


def test_both_phases_have_a_schedule_over_their_own_steps():
    changes = MASKED | {"pretrain.learning_rate": 0.5, "train.num_steps": 400}
    config = load_config("listops", "quick", changes)
    rates = [
        make_program(config, task_facts(config), pretraining=pretraining).schedule
        for pretraining in (True, False)
    ]
    assert [float(rates[0](step)) for step in (0, 50, 100)] == pytest.approx(
        [0, 0.5, 0]
    )
    peak = config.schedule.learning_rate
    assert [float(rates[1](s)) for s in (100, 150, 400)] == pytest.approx([0, peak, 0])


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"encoder": {"width": 8}}, "it lacks encoder.dropout_rate, it lacks"),
        ({"extra": {"key": 1}}, "it has extra.key"),
        ({"hybrid": {"layers": 2}}, "no key hybrid.layers"),
        ({"mixer": ""}, "without task or recipe or mixer or hybrid"),
    ],
)
def test_a_config_of_another_version_is_told_by_its_keys(section, expected):
    resolved = resolve(load_config("listops", "quick")) | section
    with pytest.raises(ValueError, match=expected):
        as_config(resolved)


def test_no_two_configs_share_a_default_workdir():
    changes = [{}, {"seed": 1}, {"num_seeds": 5}, {"train.num_steps": 3}]
    configs = [load_config("listops", "quick", change) for change in changes]
    folders = {default_workdir(resolve(config)) for config in configs}
    assert len(folders) == 4 and all(isinstance(folder, Path) for folder in folders)
