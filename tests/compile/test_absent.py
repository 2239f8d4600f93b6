"""One small cell for each kind of accelerator, by its own compiler."""

import json
import subprocess

import pytest

from lra_fnet.compile.target import TARGETS
from tiny_runs import ROOT, TINY, environment

FLAGS = [f"--config.{key}={value}" for key, value in TINY.items()]


def python_for(accel):
    """The interpreter of an accelerator's compiler; the test is skipped without one."""
    folder = ROOT / (".venv-cuda13" if accel == "h100" else ".venv-tpu")
    if not (folder / "installed").exists():
        pytest.skip(f"its compiler is not installed: make compile accel={accel}")
    return folder / "bin" / "python"


def compiled(accel, folder, *arguments):
    """Rows of tiny ListOps cells, compiled by the command."""
    command = [python_for(accel), "-m", "lra_fnet", "compile", f"--accel={accel}"]
    command += ["--tasks=listops", "--recipe=quick", f"--to={folder}", *FLAGS]
    done = subprocess.run(
        [*command, *arguments],
        env=environment(folder),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (path,) = folder.rglob(f"{accel}.json")
    return json.loads(path.read_text())["rows"]


@pytest.mark.slow
@pytest.mark.parametrize("accel", TARGETS)
def test_a_small_cell_compiles_for(accel, tmp_path):
    rows = compiled(accel, tmp_path, "--mixers=fnet transformer", "--devices=2")
    fnet, transformer = rows
    for row in rows:
        assert row["status"] == "compiles" and row["devices_used"] == 2
        assert row["micro_batches"] == 1  # on CPUs it would be one example a device
        assert 0 < row["needed_bytes"] < row["limit_bytes"]
        assert row["training"]["collectives"].get("all-reduce")
    # XLA for TPUs makes products of transforms.
    assert (fnet["training"]["fft"] > 0) == (accel == "h100")
    assert transformer["training"]["fft"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("accel", ["h100", "v5e"])
def test_the_transform_alone_compiles_for(accel, tmp_path):
    rows = compiled(accel, tmp_path, "--fourier")
    assert len(rows) == 7 and {row["status"] for row in rows} == {"compiles"}
    for row in rows:
        is_fft = row["algorithm"] == "real_fft" and accel == "h100"
        assert (row["fft"] > 0) == is_fft and row["error"] < 5e-2
        # Only XLA for TPUs says what it counts and expects.
        for told in ("cycles", "compiler_flops", "compiler_bytes"):
            assert bool(row[told]) == (accel != "h100")


# The program of a call that gathers examples from all of ListOps' 96,000.
GATHERING = """
import jax, numpy as np
from lra_fnet.compile.target import absent_devices, set_up_compiler
set_up_compiler("v5e")
from lra_fnet.compile.cell import shapes_of_run
from lra_fnet.config import load_config, make_program, task_facts
from lra_fnet.step import Program
small = {"mixer": "ff_only", "num_layers": 1, "encoder.width": 16}
config = load_config("listops", "lra2020", small)
program = make_program(config, task_facts(config), absent_devices("v5e", 1))
state, splits = shapes_of_run(program, config, task_facts(config))
indices = jax.ShapeDtypeStruct((1, 10, 32), np.int32)
call = state, *splits["train"], indices, np.int32(1)
print(program.compile(Program.train.lower(program, *call)).as_text())
"""


@pytest.mark.slow
def test_a_tpu_does_not_copy_the_data_set_before_it_gathers_a_batch(tmp_path):
    done = subprocess.run(
        [python_for("v5e"), "-c", GATHERING],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    whole = [line for line in done.stdout.splitlines() if " = u8[96000,2000]" in line]
    assert whole and not any(" copy" in line for line in whole)
