"""Mixers of other packages: by the name of a module, or by an entry point."""

import importlib
import json

import pytest

from lra_fnet.config import (
    as_config,
    config_hash,
    default_values,
    load_config,
    make_program,
    resolve,
    task_facts,
)
from lra_fnet.mixers import (
    causal_mixers,
    has_causal_form,
    installed_mixers,
    mixer_class,
)
from tiny_runs import command, environment, run, tiny_config

MIXER = """
import flax.linen as nn
class Mixer(nn.Module):
    distance: int = 2
    @nn.compact
    def __call__(self, x, mask, train):
        neighbor = x[:, self.distance :]
        return nn.Dense(x.shape[-1])(x).at[:, : neighbor.shape[1]].add(neighbor)
"""


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder on the path with the package `someones`, forgotten afterwards."""
    (tmp_path / "someones").mkdir()
    (tmp_path / "someones" / "neighbors.py").write_text(MIXER)
    (tmp_path / "someones" / "nothing.py").write_text("Mixer = 3")
    (tmp_path / "someones" / "needy.py").write_text(
        MIXER.replace("distance: int = 2", "distance: int")
    )
    (tmp_path / "someones" / "broken.py").write_text("import not_installed_anywhere")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    return tmp_path


@pytest.fixture
def installed(elsewhere):
    """The same package with entry points, one of them a name this project has."""
    info = elsewhere / "someones-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: someones\nVersion: 1.0"
    )
    (info / "entry_points.txt").write_text(
        "[lra_fnet.mixers]\n"
        "neighbors = someones.neighbors:Mixer\n"
        "far_neighbors = someones.neighbors\n"
        "fnet = someones.neighbors\n"
    )
    importlib.invalidate_caches()


def test_a_module_is_found_by_its_name(elsewhere):
    assert mixer_class("someones.neighbors")().distance == 2


def test_an_entry_point_is_a_class_or_its_module_and_hides_no_file_here(installed):
    assert set(installed_mixers()) == {"neighbors", "far_neighbors"}
    assert mixer_class("neighbors") is mixer_class("far_neighbors")
    assert mixer_class("fnet").__module__ == "lra_fnet.mixers.fnet"
    with pytest.raises(ValueError, match="did you mean 'far_neighbors'"):
        mixer_class("far_neighbor")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("someones.neighbor", "there is no module 'someones.neighbor'"),
        ("no_ones.neighbors", "there is no module 'no_ones'"),
        ("someones.nothing", "has no class Mixer"),
    ],
)
def test_what_is_no_mixer_is_one_clear_error(elsewhere, name, expected):
    with pytest.raises(ValueError, match=expected):
        mixer_class(name)


def test_a_module_that_lacks_something_says_what(elsewhere):
    words = "'someones.broken' cannot be imported: .*not_installed_anywhere"
    with pytest.raises(ValueError, match=words):
        mixer_class("someones.broken")


@pytest.mark.parametrize(
    ("typed", "value"),
    [("8,16", (8, 16)), ("8", (8,)), ("(1, 2)", (1, 2)), ("x", None), ("8,", (8,))],
)
def test_several_numbers_are_a_tuple(elsewhere, typed, value):
    text = MIXER.replace("distance: int = 2", "sizes: tuple[int, ...] = (4, 6)")
    (elsewhere / "someones" / "sizes.py").write_text(text)
    changes = {"mixer": "someones.sizes", "mixers.someones.sizes.sizes": typed}
    if value is None:
        with pytest.raises(ValueError, match="sizes is 'x'; it must be numbers with"):
            load_config("listops", "quick", changes)
        return
    resolved = resolve(load_config("listops", "quick", changes))
    assert resolved["mixers"]["someones.sizes"]["sizes"] == value
    stored = as_config(json.loads(json.dumps(resolved)))
    assert config_hash(resolve(stored)) == config_hash(resolved)


def test_a_default_of_none_takes_a_number(elsewhere):
    text = MIXER.replace("distance: int = 2", "rank: int | None = None")
    (elsewhere / "someones" / "rank.py").write_text(text)
    changes = {"mixer": "someones.rank", "mixers.someones.rank.rank": "8"}
    resolved = resolve(load_config("listops", "quick", changes))
    assert resolved["mixers"]["someones.rank"] == {"rank": 8}


def test_a_decoder_takes_a_mixer_of_another_package(elsewhere):
    text = MIXER.replace("distance: int = 2", "causal: bool = False")
    (elsewhere / "someones" / "after.py").write_text(text)
    config = load_config("sort", "quick", {"decoder.mixer": "someones.after"})
    assert make_program(config, task_facts(config))
    config = load_config("sort", "quick", {"decoder.mixer": "someones.neighbors"})
    with pytest.raises(ValueError, match="has no causal form; these have one: .*fnet"):
        make_program(config, task_facts(config))


def test_a_mixer_that_nothing_uses_has_to_be_one(elsewhere):
    with pytest.raises(ValueError, match="did you mean 'transformer'"):
        load_config("listops", "quick", {"hybrid.mixer": "transformr"})


def test_its_defaults_are_its_hyperparameters_and_are_in_the_hash(elsewhere):
    resolved = resolve(tiny_config(mixer="someones.neighbors"))
    assert resolved["mixers"] == {"someones.neighbors": {"distance": 2}}
    other = resolved | {"mixers": {"someones.neighbors": {"distance": 3}}}
    assert config_hash(resolved) != config_hash(other)
    assert as_config(json.loads(json.dumps(resolved))).mixer == "someones.neighbors"


def test_a_field_without_a_default_is_named(elsewhere):
    with pytest.raises(ValueError, match="no default for distance"):
        default_values("someones.needy", {})


def test_a_file_of_the_current_folder_is_found_by_its_name(elsewhere, monkeypatch):
    (elsewhere / "mine.py").write_text(MIXER)
    with pytest.raises(ValueError, match="unknown mixer 'mine'"):
        mixer_class("mine")
    monkeypatch.chdir(elsewhere)
    assert mixer_class("mine")().distance == 2


@pytest.mark.slow
def test_it_trains_and_is_evaluated_again_from_the_command_line(elsewhere, tmp_path):
    workdir, data = tmp_path / "run", tmp_path / "data"
    path = f"{elsewhere}:{environment(data)['PYTHONPATH']}"
    arguments = command(workdir, mixer="someones.neighbors", train__num_steps=5)
    done = run(["env", f"PYTHONPATH={path}", *arguments], data)
    assert done.returncode == 0, done.stderr
    assert "someones.neighbors" in done.stdout
    again = run(["env", f"PYTHONPATH={path}", *command(workdir, "eval")], data)
    assert "every answer the same" in again.stdout, again.stderr


def test_mixers_with_a_field_causal_have_a_causal_form():
    names = causal_mixers()
    assert {"fnet", "transformer", "retnet"} <= set(names)
    assert not {"fnet_gate", "linformer"} & set(names)
    assert not any(mixer_class(name)().causal for name in names)


def test_the_causal_form_of_another_packages_mixer_is_no_hyperparameter(elsewhere):
    text = MIXER.replace("distance: int = 2", "causal: bool = False")
    (elsewhere / "someones" / "after.py").write_text(text)
    assert has_causal_form(mixer_class("someones.after"))
    assert not has_causal_form(mixer_class("someones.neighbors"))
    assert default_values("someones.after", {"causal": True}) == {}
