"""The transform alone: its shapes, its rounding, and the choices made of rows."""

import argparse
import json

import numpy as np
import pytest

from lra_fnet.compile.fourier import (
    ESTIMATE,
    PRECISIONS,
    Transform,
    estimated_choices,
    keep_choices,
    make_transforms,
)
from lra_fnet.compile.sweep import run_cells
from lra_fnet.compile.tables import COMPILES, FAILED, fourier_table, with_tables
from lra_fnet.compile.transform import (
    ROUNDING,
    cut,
    estimated_cycles,
    largest_error,
    rounded_product,
)
from lra_fnet.mixers._fourier import choices, chosen_algorithm


def transforms(tasks="listops", recipe="lra2020", mixers="", devices=1):
    return make_transforms(
        argparse.Namespace(
            tasks=tasks, recipe=recipe, mixers=mixers, devices=devices, flags=()
        )
    )


def row(algorithm, cycles, length=2000, precision="highest", status=COMPILES):
    shape = {"task": "listops", "batch": 32, "length": length, "width": 512}
    return {
        **shape,
        "algorithm": algorithm,
        "precision": precision,
        "cycles": cycles,
        "status": status,
        "error": 1e-6,
    }


def random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# --- What is compiled ----------------------------------------------------------------


def test_a_batch_has_the_shape_that_a_run_has_on_one_device():
    shapes = {each.task: each[1:4] for each in transforms("listops retrieval pathx")}
    assert shapes == {
        "listops": (32, 2000, 512),
        "retrieval": (64, 4000, 128),  # two documents an example
        "pathx": (64, 16_384, 32),
    }


def test_the_exact_forms_come_first_and_every_form_that_can_be_made():
    found = transforms("listops pathx")
    first = found[: len(found) - 6]
    assert {each.precision for each in first} == {"highest"}
    of_pathx = {each.algorithm for each in found if each.task == "pathx"}
    assert of_pathx == {"real_fft", "two_stage"}  # its table would be too large
    # Precision does not reach what XLA makes of a transform.
    assert sum(each.algorithm == "real_fft" for each in found) == 2


def test_tasks_of_one_shape_are_compiled_once():
    found = transforms("image listops image")
    assert len({each[1:] for each in found}) == len(found)


@pytest.mark.parametrize("wrong", [{"mixers": "fnet"}, {"devices": 4}])
def test_a_transform_alone_has_no_mixer_and_one_device(wrong):
    with pytest.raises(ValueError, match="one device and no mixer"):
        transforms(**wrong)


def test_rows_are_kept_and_continued_as_those_of_runs(tmp_path):
    path, todo = tmp_path / "v5e.json", transforms()[:2]
    given = []

    def compiler(transform):
        given.append(transform)
        if transform.algorithm == "matrix" and len(given) < 3:
            raise ValueError("no such product")
        return {"needed_bytes": 1, "limit_bytes": 2, "compile_seconds": 1.0}

    assert [r["status"] for r in run_cells(todo, path, compiler)] == [COMPILES, FAILED]
    assert [r["status"] for r in run_cells(todo, path, compiler)] == [COMPILES] * 2
    assert [each.algorithm for each in given] == ["real_fft", "matrix", "matrix"]


def test_cycles_are_added_up_and_unknown_where_the_compiler_leaves_them_out():
    text = 'config={"estimated_cycles":"120"}\nconfig={"estimated_cycles": 3}'
    assert estimated_cycles(text) == 123
    assert estimated_cycles("ROOT %add = f32[2] add(a, b)") is None


# --- Rounding ------------------------------------------------------------------------


def test_terms_add_up_to_the_number_and_have_few_bits():
    x = random(1000)
    first, second, third = map(np.asarray, cut(x, 7, 3))
    assert np.abs(first - x).max() < 2**-8 * np.abs(x).max()
    assert (first + second + third == x).all()
    mantissas, _ = np.frexp(first)
    assert (mantissas * 2**8 % 1 == 0).all()


def test_more_terms_are_a_more_exact_product_and_23_bits_are_float32():
    a, b = random((64, 300)), random((300, 32), seed=1)
    exact = a.astype(float) @ b.astype(float)

    def error(bits, terms):
        product = rounded_product(bits, terms)("ij,jk->ik", a, b)
        return np.abs(product - exact).max() / np.abs(exact).max()

    one, two, three = (error(7, terms) for terms in (1, 2, 3))
    assert 1e-3 < one < 1e-2 and 1e-6 < two < 1e-4 and three < 1e-6
    assert one / 20 < error(10, 1) < one / 4
    assert error(23, 1) < 1e-6


@pytest.mark.parametrize("algorithm", ["matrix", "two_stage"])
@pytest.mark.parametrize("platform", ROUNDING)
def test_the_highest_precision_is_as_exact_as_float32(algorithm, platform):
    errors = {
        precision: largest_error(
            Transform("listops", 1, 100, 64, algorithm, precision), platform
        )
        for precision in PRECISIONS
    }
    assert errors["highest"] < 2e-6 < errors["high"] <= errors["default"]
    assert errors["default"] < 5e-2


# --- Choices -------------------------------------------------------------------------


def test_only_a_gain_that_an_estimate_can_show_replaces_the_real_transform():
    def algorithm(*rows):
        return {each["algorithm"] for each in estimated_choices(rows)}

    base = row("real_fft", 100)
    assert algorithm(base, row("matrix", 50), row("two_stage", 40)) == {"two_stage"}
    assert algorithm(base, row("matrix", 95)) == {"real_fft"}
    assert algorithm(base, row("matrix", 50, precision="default")) == {"real_fft"}
    assert algorithm(base, row("matrix", 50, status=FAILED)) == {"real_fft"}
    assert not [*estimated_choices([row("real_fft", None)])]


def test_estimates_choose_where_nothing_was_measured_and_never_instead(tmp_path):
    path = tmp_path / "choices.json"
    measured = {"device": {"kind": "abacus"}, "rows": []}
    path.write_text(json.dumps({"abacus": measured}))
    rows = [row("real_fft", 100), row("matrix", 50)]
    for kind in ("abacus", "quipu", "quipu"):
        keep_choices(kind, rows, path)
    parts = json.loads(path.read_text())
    assert parts["abacus"] == measured
    assert parts["quipu"]["method"] == ESTIMATE
    chosen = parts["quipu"]["rows"]
    assert [each["dtype"] for each in chosen] == ["float32", "bfloat16"]
    assert chosen[0]["speeds"] == {"real_fft": 1.0, "matrix": 2.0}
    with pytest.raises(ValueError, match="tells no time"):
        keep_choices("quipu", [row("real_fft", None)], path)


@pytest.mark.parametrize("kind", ["TPU v5 lite", "TPU v6 lite"])
def test_tpus_multiply_matrices_where_xla_would_take_a_dense_transform(kind):
    assert choices()[kind]["method"] == ESTIMATE
    assert chosen_algorithm(2000, 512, "float32", kind) == "matrix"
    assert chosen_algorithm(16_384, 32, "float32", kind) == "real_fft"


# --- Tables --------------------------------------------------------------------------


def test_a_table_has_the_rows_of_a_document_and_leaves_out_what_is_unknown(tmp_path):
    rows = [row("matrix", 2e6), row("real_fft", None)]
    (tmp_path / "fourier").mkdir()
    (tmp_path / "fourier" / "v5e.json").write_text(json.dumps({"rows": rows}))
    text = with_tables("<!-- v5e fourier -->\nold\n<!-- end -->\nrest", tmp_path)
    assert "old" not in text and text.endswith("<!-- end -->\nrest")
    first, second = text.splitlines()[4:6]
    assert [cell.strip() for cell in first.split("|")[1:-1]] == [
        *("listops", "32", "2000", "512", "matrix", "highest", "2", "", "", "", "1e-06")
    ]
    assert "real_fft" in second and fourier_table(rows)
