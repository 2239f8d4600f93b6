"""What breaks the rules of the benchmark, what repeats a run, and equal parameters."""

import pytest

from lra_fnet.config import config_hash, load_config, read_flags, resolve, task_facts
from lra_fnet.mixers import mixer_class
from lra_fnet.rules import (
    base_parameters,
    check_rules,
    count_parameters,
    match_parameters,
    repeat_command,
)
from tasks import make_task, task_names


def config_of(task="pathfinder", **changes):
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return load_config(task, "lra2020", named)


def checked(config, parameters=1_000, parity=""):
    values = {**config.data, "source": "generated", "directory": ""}
    return check_rules(config, make_task(config.task, **values), parameters, parity)


def flags_of(config):
    return repeat_command(config).split('"')[1].split()


def test_a_row_of_the_table_keeps_the_rules():
    for changes in (
        {"mixer": "linformer", "mixers__linformer__rank": 8},
        {"hybrid__num_layers": 2},
        {"seed": 3, "num_seeds": 2, "run__log_every": 7},
        {"data__source": "sample"},
        {"train__micro_batches": 4},
        {"pretrain__mask_rate": 0.4},
    ):
        rules = checked(config_of(**changes))
        assert not rules["free_for_all"] and rules["reasons"] == [], changes


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.num_steps", 7),
        ("encoder.inputs", "values"),
        ("schedule.learning_rate", 1.0),
        ("data.num_train", 100),
        ("encoder.width", 8),
    ],
)
def test_another_budget_size_or_input_is_free_for_all_and_is_named(key, value):
    rules = checked(config_of(**{key.replace(".", "__"): value}))
    assert rules["free_for_all"]
    assert rules["reasons"] == [f"{key} is {value}, not the recipe's"]


def test_a_mixer_that_fails_with_values_of_the_user_is_one_line():
    config = config_of(mixer="cnn", mixers__cnn__kernel_size=0)
    with pytest.raises(ValueError, match="cannot be built with mixers.cnn.kernel_size"):
        count_parameters(config, task_facts(config))


def test_a_mixer_that_fails_by_itself_keeps_its_error(monkeypatch):
    monkeypatch.setattr(mixer_class("cnn"), "__call__", lambda *_, **__: 1 / 0)
    config = config_of(mixer="cnn")
    with pytest.raises(ZeroDivisionError):
        count_parameters(config, task_facts(config))


def test_pretraining_is_out_of_the_scope_of_the_released_budget_and_no_other():
    config = config_of(pretrain__objective="masked", pretrain__num_steps=9)
    (reason,) = checked(config)["reasons"]
    assert reason.startswith("pre-trained, which the benchmark leaves out")
    config = load_config("pathfinder", "quick", read_flags(flags_of(config)))
    assert not checked(config)["free_for_all"]


def test_more_than_a_tenth_above_the_base_transformer_is_free_for_all():
    config = config_of()
    base = checked(config)["base_parameters"]
    assert base == 26_530  # counted in the released code
    assert not checked(config, int(1.1 * base))["free_for_all"]
    rules = checked(config, int(1.1 * base) + 1)
    assert rules["free_for_all"] and "26,530" in rules["reasons"][0]
    small = load_config("pathfinder", "small", {"mixer": "fnet"})
    assert not checked(small, 10**9)["free_for_all"]


def test_the_base_is_the_recipes_transformer_whatever_the_run_changes():
    config = config_of(encoder__width=8, mixer="fnet", data__num_train=100)
    assert checked(config)["base_parameters"] == 26_530


@pytest.mark.parametrize(
    ("mixer", "task"),
    [
        ("fnet", "pathfinder"),
        ("transformer", "pathfinder"),
        ("fnet", "listops"),
        ("linformer", "listops"),
        ("mega", "listops"),
    ],
)
def test_parity_gives_the_parameters_of_the_base_transformer_within_one_percent(
    mixer, task
):
    config = config_of(task, mixer=mixer)
    match_parameters(config)
    parameters = count_parameters(config, make_task(config.task, **config.data))
    rules = checked(config, parameters, parity="params")
    assert parameters == pytest.approx(rules["base_parameters"], rel=0.01)
    assert not rules["free_for_all"] and rules["parity"] == "params"


@pytest.mark.parametrize("name", task_names())
def test_every_task_has_a_base_transformer_to_compare_sizes_with(name):
    changes = {"data.source": "sample"} if name == "retrieval" else {}
    config = load_config(name, "small", {**changes, "mixer": "fnet"})
    assert base_parameters(config, task_facts(config)) > 0


def test_parity_that_cannot_be_had_says_how_close_it_comes():
    config = config_of(mixer="linformer")  # its matrices alone are larger
    with pytest.raises(ValueError, match="cannot have the base .* the closest are"):
        match_parameters(config)


def test_the_command_names_what_is_not_the_recipes():
    config = config_of(mixer="local", train__num_steps=7, run__log_every=3, seed=2)
    assert repeat_command(config) == (
        "make task=pathfinder mixer=local recipe=lra2020 seed=2 "
        'flags="--config.train.num_steps=7"'
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"hybrid__num_layers": 1, "hybrid__layout": "bottom"},
        {"pretrain__objective": "masked", "pretrain__num_steps": 9},
    ],
)
def test_the_command_of_a_hybrid_or_a_pretrained_mixer_repeats_it(changes):
    config = config_of(**changes)
    again = load_config("pathfinder", "lra2020", read_flags(flags_of(config)))
    assert config_hash(resolve(again)) == config_hash(resolve(config))


def test_the_command_does_not_tell_where_the_data_lay():
    config = config_of(data__source="official", data__directory="/home/someone")
    assert repeat_command(config) == (
        "make task=pathfinder mixer=fnet recipe=lra2020 seed=0 source=official data=DIR"
    )
