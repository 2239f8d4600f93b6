"""The document of all mixers, and mixers made from the template."""

import importlib.util
import re
import sys

import pytest

from configs import grid
from lra_fnet.__main__ import main
from lra_fnet.config import load_config, task_facts
from lra_fnet.mixers import contract, listing, mixer_class, mixer_names
from lra_fnet.rules import count_parameters
from tiny_runs import ROOT

COMMITTED = (ROOT / "docs" / "mixers.md").read_text()


@pytest.mark.parametrize("name", ["transformer", "linformer"])
def test_the_sum_over_layers_is_the_count_of_the_whole_model(name, monkeypatch):
    monkeypatch.setattr(grid, "TASKS", ["listops", "retrieval"])
    for task, count in listing.model_parameters([name])[name].items():
        config = load_config(task, "lra2020", {"mixer": name})
        assert count == count_parameters(config, task_facts(config))


def test_the_transformer_of_listops_has_four_square_matrices_a_layer(monkeypatch):
    monkeypatch.setattr(grid, "TASKS", ["listops"])
    counts = listing.model_parameters(["transformer", "fnet"])
    difference = counts["transformer"]["listops"] - counts["fnet"]["listops"]
    assert difference == 4 * 4 * 512**2


def test_reasons_are_printed_and_bars_do_not_end_a_cell():
    class Reasoned:
        mixes_padding = "it must, |x|"
        length_bound = "so it is"

    headers = ["padding", "length", "causal", "references"]
    text = listing.table(headers, [listing.note(Reasoned)])
    assert r"mixed: it must, \|x\|" in text and "bound: so it is" in text


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("A et al., T (2021), https://x.y/1, part 3.", ["A et al., T (2021)"]),
        ("A et al.,\n    T (2021), https://x.y/1.", ["A et al., T (2021)"]),
        ("A, T: U (2023), https://x.y/1,\n    2.1, 3.", ["A, T: U (2023)"]),
        (
            "A (2021), https://x.y/1.\n  B (2022), https://x.y/1.",
            ["A (2021)", "B (2022)"],
        ),
    ],
)
def test_references_are_read_from_docstrings(docstring, expected):
    found = listing.references(f"Mix.\n\nReferences:\n  {docstring}")
    assert found == [f"[{what}](https://x.y/1)" for what in expected]
    assert listing.references("Mix by (2021), https://x.y/1.") == []


@pytest.mark.parametrize("name", mixer_names())
def test_every_mixer_names_its_references(name):
    links = listing.references(mixer_class(name).__doc__)
    assert links
    for link in links:
        assert re.fullmatch(
            r"\[[A-Z].* \(\d{4}\)\]\(https://arxiv.org/abs/[\d.]+\)", link
        )


def cells(text):
    return {
        c.strip() for row in text.splitlines() for c in row.strip("| ").split(" | ")
    }


def test_the_committed_document_says_what_the_classes_say(monkeypatch):
    monkeypatch.setattr(grid, "TASKS", ["image"])
    tables = [line for line in listing.document().splitlines() if "---" not in line]
    assert cells("\n".join(tables)) <= cells(COMMITTED), "run: make docs"


@pytest.mark.slow
def test_the_committed_document_is_current():
    assert listing.document() == COMMITTED, "run: make docs"


# ---------------------------------------------------------------------------
# A new mixer


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout of this package with the template alone."""
    folder = tmp_path / "lra_fnet" / "mixers"
    folder.mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    (folder / "template.py").write_text((listing.FOLDER / "template.py").read_text())
    monkeypatch.setattr(listing, "FOLDER", folder)
    return folder


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def class_of(path):
    spec = importlib.util.spec_from_file_location("mymixer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Mixer


def test_the_template_keeps_the_contract_and_its_copy_has_another_name(checkout):
    before = files(checkout)
    path = listing.create_mixer("mymixer")
    after = files(checkout)
    assert after.pop("mymixer.py").startswith(b'"""mymixer: ') and after == before
    text = path.read_text()
    assert "check-mixer mixer=mymixer`" in text and "template" not in text
    assert all(f.passed for f in contract.check_mixer(class_of(path)))


def test_the_template_is_a_mixer_by_its_module_and_is_not_listed():
    assert mixer_class("lra_fnet.mixers.template")().hidden_dim == 0
    assert "template" not in mixer_names()


@pytest.mark.parametrize(
    "name",
    [
        "fnet",
        "template",
        "contract",
        "_own",
        "my-mixer",
        "2fast",
        "class",
        "items",
        "../up",
        "né",
    ],
)
def test_a_name_that_cannot_be_one_changes_nothing(checkout, name):
    before = files(checkout)
    with pytest.raises(ValueError, match=r"mixer|_|key"):
        listing.create_mixer(name)
    assert files(checkout) == before


def test_no_file_is_overwritten_and_no_failure_leaves_one(checkout, monkeypatch):
    (checkout / "mymixer.py").write_text("mine")
    before = files(checkout)
    with pytest.raises(ValueError, match="already"):
        listing.create_mixer("mymixer")

    def fail(*paths):
        raise OSError("no room")

    monkeypatch.setattr(listing.os, "link", fail)
    with pytest.raises(OSError, match="no room"):
        listing.create_mixer("other")
    assert files(checkout) == before


@pytest.mark.parametrize("why", ["not writable", "not a checkout"])
def test_elsewhere_a_mixer_is_a_file_of_the_current_folder(
    checkout, why, tmp_path, monkeypatch, capsys
):
    if why == "not writable":
        monkeypatch.setattr(listing.os, "access", lambda path, mode: False)
    else:
        (tmp_path / "pyproject.toml").unlink()
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(here)
    assert main(["new-mixer", "--name=mymixer"]) == 0
    assert "python -m lra_fnet check-mixer --mixer=mymixer" in capsys.readouterr().out
    assert mixer_class("mymixer")().hidden_dim == 0
    config = load_config("listops", "quick", {"mixer": "mymixer"})
    assert config.mixers.mymixer.to_dict() == {"hidden_dim": 0}
    del sys.modules["mymixer"]
    assert main(["new-mixer", "--name=json"]) == 1
    assert "is a module of Python" in capsys.readouterr().err
