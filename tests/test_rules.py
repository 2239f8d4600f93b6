"""What breaks the rules of the benchmark, what repeats a run, and equal parameters."""

import pytest

from configs import listops, pathfinder
from lra_fnet.config import count_parameters
from lra_fnet.rules import check_rules, match_parameters, repeat_command
from tasks import make_task


def checked(config, recipe, parameters=1_000, parity=""):
    task = make_task(recipe.task, **recipe.data)
    return check_rules(config, recipe, task, parameters, parity)


def pair(**changes):
    """A run's config and its recipe's."""
    recipe = pathfinder.get_config("lra2020")
    config = recipe.copy_and_resolve_references()
    config.update_from_flattened_dict(
        {key.replace("__", "."): value for key, value in changes.items()}
    )
    return config, recipe


def test_a_row_of_the_table_keeps_the_rules():
    for changes in (
        {"model": "linformer", "mixers__linformer__rank": 8},
        {"hybrid__num_layers": 2},
        {"seed": 3, "num_seeds": 2, "run__log_every": 7},
        {"data__source": "sample"},
        {"train__accumulate": 4},
    ):
        rules = checked(*pair(**changes))
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
    rules = checked(*pair(**{key.replace(".", "__"): value}))
    assert rules["free_for_all"]
    assert rules["reasons"] == [f"{key} is {value}, not the recipe's"]


def test_more_than_a_tenth_above_the_base_transformer_is_free_for_all():
    config, recipe = pair()
    base = checked(config, recipe)["base_parameters"]
    assert base == 26_530  # counted in the released code
    assert not checked(config, recipe, int(1.1 * base))["free_for_all"]
    rules = checked(config, recipe, int(1.1 * base) + 1)
    assert rules["free_for_all"] and "26,530" in rules["reasons"][0]


def test_the_base_is_the_recipes_transformer_whatever_the_run_changes():
    config, recipe = pair(encoder__width=8, model="fnet", data__num_train=100)
    assert checked(config, recipe)["base_parameters"] == 26_530


@pytest.mark.parametrize(
    ("model", "get_config"),
    [
        ("fnet", pathfinder.get_config),
        ("transformer", pathfinder.get_config),
        ("fnet", listops.get_config),
        ("linformer", listops.get_config),
        ("mega", listops.get_config),
    ],
)
def test_parity_gives_the_parameters_of_the_base_transformer_within_one_percent(
    model, get_config
):
    recipe = get_config("lra2020")
    config = recipe.copy_and_resolve_references()
    config.model = model
    match_parameters(config, recipe)
    task = make_task(config.task, **config.data)
    parameters = count_parameters(config, task)
    rules = checked(config, recipe, parameters, parity="params")
    assert parameters == pytest.approx(rules["base_parameters"], rel=0.01)
    assert not rules["free_for_all"] and rules["parity"] == "params"


def test_parity_that_cannot_be_had_says_how_close_it_comes():
    config, recipe = pair(model="linformer")  # its matrices alone are larger
    with pytest.raises(ValueError, match="cannot have the base .* the closest are"):
        match_parameters(config, recipe)


def test_the_command_names_what_is_not_the_recipes():
    config, recipe = pair(model="local", train__num_steps=7, run__log_every=3, seed=2)
    assert repeat_command(config, recipe) == (
        "make task=pathfinder model=local recipe=lra2020 seed=2 "
        'flags="--config.train.num_steps=7"'
    )


def test_the_command_does_not_tell_where_the_data_lay():
    config, recipe = pair(data__source="official", data__directory="/home/someone")
    assert repeat_command(config, recipe) == (
        "make task=pathfinder model=fnet recipe=lra2020 seed=0 source=official data=DIR"
    )
