"""A mixer that is begun works, and a name that cannot be one leaves no trace."""

import importlib.util
import runpy
import shutil
import stat

import pytest

from lra_fnet import contract, new_mixer
from tiny_runs import ROOT


@pytest.fixture
def root(tmp_path):
    (tmp_path / "lra_fnet").mkdir()
    shutil.copytree(ROOT / "lra_fnet" / "mixers", tmp_path / "lra_fnet" / "mixers")
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    return tmp_path


def files(root):
    return {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}


def mixers_of(root):
    return runpy.run_path(str(root / "configs/common.py"))["common_config"]().mixers


def class_of(path):
    spec = importlib.util.spec_from_file_location("mymixer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Mixer


def test_a_new_mixer_keeps_every_promise_of_a_mixer(root):
    path = new_mixer.create_mixer("mymixer", root)
    hyperparameters = mixers_of(root).mymixer.to_dict()
    in_this_process = contract.PROPERTIES[:-1]  # another could not import it
    for finding in contract.check_mixer(
        class_of(path), hyperparameters, in_this_process
    ):
        assert finding.passed, finding.line()


def test_only_its_own_file_and_one_line_of_the_config_change(root):
    config = root / "configs/common.py"
    config.chmod(0o640)
    before = files(root)
    path = new_mixer.create_mixer("mymixer", root)
    after = files(root)
    assert {p for p in after if after[p] != before.get(p)} == {path, config}
    old, new = before[config].splitlines(), after[config].splitlines()
    added = [line for line in new if b"mymixer" in line]
    assert len(added) == 1 and [x for x in new if x not in added] == old
    assert stat.S_IMODE(config.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    "name", ["fnet", "_own", "my-mixer", "2fast", "", "class", "items", "../up", "né"]
)
def test_a_name_that_cannot_be_one_changes_nothing(root, name):
    before = files(root)
    with pytest.raises(ValueError, match=r"mixer|_|key"):
        new_mixer.create_mixer(name, root)
    assert files(root) == before


def test_a_name_that_only_the_config_has_is_taken(root):
    (root / "lra_fnet/mixers/fnet.py").unlink()
    before = files(root)
    with pytest.raises(ValueError, match="already"):
        new_mixer.create_mixer("fnet", root)
    assert files(root) == before


def test_a_failure_in_the_middle_leaves_nothing_behind(root, monkeypatch):
    def fail(*paths):
        raise OSError("no room")

    before = files(root)
    monkeypatch.setattr(new_mixer.os, "replace", fail)
    with pytest.raises(OSError, match="no room"):
        new_mixer.create_mixer("mymixer", root)
    assert files(root) == before
