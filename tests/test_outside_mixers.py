"""Mixers of other packages: by the name of a module, or by an entry point."""

import importlib
import json

import pytest

from lra_fnet.config import (
    as_config,
    config_hash,
    config_mixers,
    mixer_values,
    resolved_config,
)
from lra_fnet.mixers import installed_mixers, mixer_class, mixer_names
from tiny_runs import command, environment, run, tiny_config

MIXER = """
import flax.linen as nn
class Mixer(nn.Module):
    distance: int = 2
    @nn.compact
    def __call__(self, x, mask, train):
        neighbour = x[:, self.distance :]
        return nn.Dense(x.shape[-1])(x).at[:, : neighbour.shape[1]].add(neighbour)
"""


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder on the path with the package `someones`, forgotten afterwards."""
    (tmp_path / "someones").mkdir()
    (tmp_path / "someones" / "neighbours.py").write_text(MIXER)
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
        "neighbours = someones.neighbours:Mixer\n"
        "far_neighbours = someones.neighbours\n"
        "fnet = someones.neighbours\n"
    )
    importlib.invalidate_caches()


def test_a_module_is_found_by_its_name(elsewhere):
    assert mixer_class("someones.neighbours")().distance == 2


def test_an_entry_point_is_a_class_or_its_module_and_hides_no_file_here(installed):
    assert set(installed_mixers()) == {"neighbours", "far_neighbours"}
    assert mixer_class("neighbours") is mixer_class("far_neighbours")
    assert mixer_class("fnet").__module__ == "lra_fnet.mixers.fnet"
    with pytest.raises(ValueError, match="did you mean 'far_neighbours'"):
        mixer_class("far_neighbour")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("someones.neighbour", "there is no module 'someones.neighbour'"),
        ("no_ones.neighbours", "there is no module 'no_ones'"),
        ("someones.nothing", "has no class Mixer"),
    ],
)
def test_what_is_no_mixer_is_one_clear_error(elsewhere, name, expected):
    with pytest.raises(ValueError, match=expected):
        mixer_class(name)


def test_a_module_that_lacks_something_says_what(elsewhere):
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        mixer_class("someones.broken")


def test_its_defaults_are_its_hyperparameters_and_are_in_the_hash(elsewhere):
    config = tiny_config(model="someones.neighbours")
    assert mixer_values(config, "someones.neighbours") == {"distance": 2}
    resolved = resolved_config(config, config_mixers(config))
    assert resolved["mixers"] == {"someones.neighbours": {"distance": 2}}
    other = resolved | {"mixers": {"someones.neighbours": {"distance": 3}}}
    assert config_hash(resolved) != config_hash(other)
    assert as_config(json.loads(json.dumps(resolved))).model == "someones.neighbours"


def test_a_field_without_a_default_is_named(elsewhere):
    with pytest.raises(ValueError, match="needs values for distance"):
        mixer_values(tiny_config(), "someones.needy")


@pytest.mark.parametrize("name", mixer_names())
def test_mixers_of_this_project_take_their_values_from_their_line(name):
    config = tiny_config()
    assert mixer_values(config, name) == config.mixers[name].to_dict()


def test_it_trains_and_is_evaluated_again_from_the_command_line(elsewhere, tmp_path):
    workdir, data = tmp_path / "run", tmp_path / "data"
    path = f"{elsewhere}:{environment(data)['PYTHONPATH']}"
    arguments = command(workdir, model="someones.neighbours", train__num_steps=5)
    done = run(["env", f"PYTHONPATH={path}", *arguments], data)
    assert done.returncode == 0, done.stderr
    assert "someones.neighbours (this run)" in done.stdout
    again = run(["env", f"PYTHONPATH={path}", *command(workdir, "evaluate")], data)
    assert "every answer the same" in again.stdout, again.stderr
