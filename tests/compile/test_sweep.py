"""Cells, rows, resuming and tables of `compile`, with a compiler that is made up."""

import argparse
import importlib.util
import json
import subprocess
import sys

import jax
import pytest

from lra_fnet.compile import sweep
from lra_fnet.compile.sweep import make_cells, run_cells
from lra_fnet.compile.tables import (
    COMPILES,
    FAILED,
    TOO_LARGE,
    bound_ms,
    matrix,
    needed_gib,
    shortest_step,
    table,
    with_tables,
)
from lra_fnet.compile.target import PEAKS, TARGETS, check_target, set_up_compiler
from lra_fnet.hardware import MEMORY, OutOfMemory
from lra_fnet.result import git_commit
from tiny_runs import ROOT, TINY

FLAGS = [f"--config.{key}={value}" for key, value in TINY.items()]


def cells(mixers="fnet,linear", tasks="listops", flags=(), devices=1):
    return make_cells(
        argparse.Namespace(
            accel="h100",
            tasks=tasks,
            mixers=mixers,
            recipe="quick",
            devices=devices,
            flags=flags,
        )
    )


def facts(needed=3 * 2**30, parts=1):
    call = {
        "compile_seconds": 2.0,
        "flops_of_a_step": 5e9,
        "bytes": 2**30,
        "compiler_flops": None,
        "batch_size": 8,
        "fft": 4,
        "custom_calls": {"__cublas$lt$matmul": 12},
        "collectives": {},
    }
    return {
        "micro_batches": parts,
        "needed_bytes": needed,
        "limit_bytes": 8 * 2**30,
        "training": call,
        "evaluation": call,
    }


class Compiler:
    """What compiles, or fails, and remembers what it was given."""

    def __init__(self, **errors):
        self.errors, self.given = errors, []

    def __call__(self, cell):
        self.given.append(cell.config.mixer)
        if cell.mixer in self.errors:
            raise self.errors[cell.mixer]
        return facts()


def statuses(rows):
    return {row["mixer"]: row["status"] for row in rows}


def test_a_row_is_written_after_each_cell_and_the_next_command_continues(tmp_path):
    path, compiler = tmp_path / "to" / "h100.json", Compiler(linear=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run_cells(cells(), path, compiler)
    assert statuses(json.loads(path.read_text())["rows"]) == {"fnet": COMPILES}
    compiler = Compiler()
    rows = run_cells(cells(), path, compiler)
    assert compiler.given == ["linear"]
    assert statuses(rows) == {"fnet": COMPILES, "linear": COMPILES}
    assert json.loads(path.read_text())["rows"] == rows


def test_a_cell_that_fails_is_a_row_with_its_reason_and_is_tried_again_last(tmp_path):
    path = tmp_path / "h100.json"
    compiler = Compiler(fnet=jax.errors.JaxRuntimeError("INTERNAL: no tiling\nat 0x7f"))
    row, other = run_cells(cells(), path, compiler)
    assert (row["status"], row["reason"]) == (
        FAILED,
        "JaxRuntimeError: INTERNAL: no tiling",
    )
    assert other["status"] == COMPILES
    compiler = Compiler()
    rows = run_cells(cells("fnet linear dct"), path, compiler)
    assert compiler.given == ["dct", "fnet"]
    assert set(statuses(rows).values()) == {COMPILES}


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemory("needs 70.0 GiB"),
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Ran out of memory on HBM"),
    ],
)
def test_what_does_not_fit_is_a_finding_and_is_not_tried_again(tmp_path, error):
    path = tmp_path / "h100.json"
    rows = run_cells(cells(), path, Compiler(fnet=error))
    assert statuses(rows) == {"fnet": TOO_LARGE, "linear": COMPILES}
    compiler = Compiler()
    run_cells(cells(), path, compiler)
    assert compiler.given == []


def test_a_run_that_needs_more_than_the_device_has_is_too_large(tmp_path):
    rows = run_cells(cells("fnet"), tmp_path / "a.json", lambda _: facts(9 * 2**30))
    assert statuses(rows) == {"fnet": TOO_LARGE}


def test_another_config_or_compiler_is_another_row(tmp_path, monkeypatch):
    path = tmp_path / "h100.json"
    run_cells(cells("fnet"), path, Compiler())
    for other in (cells("fnet", flags=FLAGS), cells("fnet", devices=2)):
        compiler = Compiler()
        assert len(run_cells(other, path, compiler)) == 1
        assert compiler.given == ["fnet"]
    monkeypatch.setattr(sweep, "compiler_versions", lambda: {"jax": "99"})
    compiler = Compiler()
    run_cells(cells("fnet"), path, compiler)
    assert compiler.given == ["fnet"]
    assert len(json.loads(path.read_text())["rows"]) == 3


def test_a_row_says_its_commit_and_replaces_that_of_an_earlier_config(tmp_path):
    path = tmp_path / "h100.json"
    (row,) = run_cells(cells("fnet"), path, Compiler())
    # As written by earlier versions, from another config.
    old = {k: row[k] for k in row.keys() - {"changes", "commit"}} | {"config_hash": "0"}
    path.write_text(json.dumps({"rows": [old, old | {"devices": 4}]}))
    (again,) = run_cells(cells("fnet"), path, Compiler())
    assert again["config_hash"] == row["config_hash"]
    assert again["commit"] == git_commit()
    kept = json.loads(path.read_text())["rows"]
    assert [each["devices"] for each in kept] == [4, 1]


def test_a_row_without_changes_counts_as_one_of_the_recipe(tmp_path):
    path = tmp_path / "h100.json"
    (row,) = run_cells(cells("fnet"), path, Compiler())
    old = {k: row[k] for k in row.keys() - {"changes", "commit"}}
    path.write_text(json.dumps({"rows": [old]}))
    compiler = Compiler()
    assert run_cells(cells("fnet"), path, compiler) == [old]
    assert compiler.given == []


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "h100.json"
    path.write_text('{"rows": ')
    with pytest.raises(ValueError, match=r"h100.json is damaged .*; delete it"):
        run_cells(cells(), path, Compiler())


def test_tables_show_what_is_needed_and_what_went_wrong(tmp_path):
    compiler = Compiler(linear=ValueError("no such layer"))
    rows = run_cells(cells(), tmp_path / "h100.json", compiler)
    shown = table(rows)
    assert " 3 " in shown and "12 __cublas$lt$matmul" in shown
    assert "failed" in shown and "ValueError: no such layer" in shown
    for row in rows:  # also where none failed, and where all did
        assert row["mixer"] in table([row])
    rows.append(rows[0] | {"task": "text", "micro_batches": 4})
    lines = matrix(rows, needed_gib).splitlines()
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == [
        "fnet",
        "3.0",
        "3.0 (4)",
    ]
    assert "failed" in lines[3]


def test_a_step_takes_at_least_what_its_operations_and_bytes_take_at_the_peak():
    row = {"device": "TPU v5 lite", "devices": 4, "training": {}}
    flops, a_second = 4 * 197e12, 0.819e12
    row["training"] = {"flops_of_a_step": flops, "compiler_bytes": None}
    assert shortest_step(row) == pytest.approx(1.0)
    assert bound_ms(row) == "1000.00"
    row["training"]["compiler_bytes"] = 3 * a_second
    assert shortest_step(row) == pytest.approx(3.0)
    assert shortest_step(row | {"device": "an abacus"}) == 0
    assert bound_ms({"status": FAILED, "reason": "no such layer"}) == ""
    assert "3000" in table([row | {"status": COMPILES}])


@pytest.mark.parametrize("kind", MEMORY)
def test_every_accelerator_has_its_peaks(kind):
    assert PEAKS[kind].flops > PEAKS[kind].bandwidth > 0


def test_the_compiler_adds_to_the_flags_of_the_environment():
    environment = {"XLA_FLAGS": "--xla_dump_to=x"}
    set_up_compiler("h100", environment)
    assert environment["XLA_FLAGS"].startswith("--xla_dump_to=x --xla_gpu")
    assert environment["JAX_PLATFORMS"] == "cpu"
    environment = {}
    set_up_compiler("v5e", environment)
    assert environment["TPU_SKIP_MDS_QUERY"] == "1"


def test_a_compiler_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for accel in TARGETS:
        with pytest.raises(ValueError, match=f"make compile accel={accel}"):
            check_target(accel, 1)


def test_the_environment_is_set_before_jax_is_loaded():
    program = "import sys, lra_fnet.compile.sweep; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert not {"jax", "flax"} & set(done.stdout.split()), done.stderr


def test_documents_show_rows_of_the_recipe_as_it_is(tmp_path):
    path = tmp_path / "h100.json"
    marks = "<!-- h100 1 memory -->\n\n<!-- end -->\n"
    run_cells(cells("fnet"), path, Compiler())
    before = with_tables(marks, tmp_path)
    assert "| fnet" in before
    run_cells(cells("fnet", flags=FLAGS), path, lambda _: facts(6 * 2**30))
    assert with_tables(marks, tmp_path) == before


def test_the_tables_of_the_documentation_are_those_of_the_rows():
    text = (ROOT / "docs" / "accelerators.md").read_text()
    assert with_tables(text, ROOT / "results" / "compile") == text
    assert text.count("| fnet") >= 2
