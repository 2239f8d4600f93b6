"""The table of mixers: its counts, its links, and that the committed one is current."""

import pytest

from lra_fnet import models
from lra_fnet.config import count_parameters, lra_config
from lra_fnet.mixers import mixer_names
from tasks import make_task
from tiny_runs import ROOT


@pytest.fixture(scope="module")
def sizes():
    return models.lra_sizes(ROOT / "configs")


@pytest.mark.parametrize("name", ["transformer", "linformer", "fnet"])
@pytest.mark.parametrize("task_name", ["listops", "pathfinder"])
def test_the_sum_over_layers_is_the_count_of_the_whole_model(sizes, name, task_name):
    row = models.describe(name, sizes)
    config = lra_config(task_name, {"model": name}, ROOT / "configs")
    task = make_task(config.task, **config.data)
    assert row.parameters[task_name] == count_parameters(config, task)


def test_the_transformer_of_listops_has_four_square_matrices_a_layer(sizes):
    rows = {name: models.describe(name, sizes) for name in ("transformer", "fnet")}
    difference = (
        rows["transformer"].parameters["listops"] - rows["fnet"].parameters["listops"]
    )
    layers = next(s for s in sizes if s.task.name == "listops").config.num_layers
    assert difference == layers * 4 * 512**2


def row(name, **facts):
    empty = {"formula": "", "cost": "", "mixes_padding": "", "length_bound": ""}
    return models.Row(**{"name": name, "references": [], **empty, **facts})


def test_more_than_a_tenth_above_the_base_is_free_for_all():
    rows = [
        row("transformer", parameters={"text": 1_000}),
        row("larger", parameters={"text": 1_100}),
        row("too_large", parameters={"text": 1_150}),
    ]
    text = models.document(rows)
    assert "1,100 (1.10) " in text and "1,150 (1.15*)" in text


def test_reasons_are_printed_and_bars_do_not_end_a_cell():
    facts = {
        "formula": "y = |x|",
        "mixes_padding": "it must",
        "length_bound": "so it is",
    }
    text = models.document([row("transformer", parameters={"text": 1}, **facts)])
    assert r"`y = \|x\|`" in text
    assert "mixed: it must" in text and "bound: so it is" in text


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        (
            "Cost O(l d).\nA et al., T (2021), https://x.y/1, part 3.",
            ["A et al., T (2021)"],
        ),
        ("Why so: A et al. (2021),\nhttps://x.y/1.", ["A et al. (2021)"]),
        (
            "x; as in A and B, M: More (2023), https://x.y/1",
            ["A and B, M: More (2023)"],
        ),
        ("A (2021), https://x.y/1. B (2022), https://x.y/2.", ["A (2021)", "B (2022)"]),
        ("No paper.", []),
    ],
)
def test_references_are_read_from_docstrings(docstring, expected):
    found = models.references(docstring)
    assert [link[1 : link.index("]")] for link in found] == expected
    assert all(link.endswith(("/1)", "/2)")) for link in found)


def test_the_committed_table_is_current(sizes):
    text = models.document([models.describe(name, sizes) for name in mixer_names()])
    assert (ROOT / "docs" / "mixers.md").read_text() == text, "run: make docs"
