"""One small cell for each kind of accelerator, by its own compiler."""

import json
import subprocess

import pytest

from lra_fnet.compile.target import TARGETS
from tiny_runs import ROOT, TINY, environment

FLAGS = [f"--config.{key}={value}" for key, value in TINY.items()]


@pytest.mark.slow
@pytest.mark.parametrize("accel", TARGETS)
def test_a_small_cell_compiles_for(accel, tmp_path):
    folder = ROOT / (".venv-cuda13" if accel == "h100" else ".venv-tpu")
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        pytest.skip(f"its compiler is not installed: make compile accel={accel}")
    command = [python, "-m", "lra_fnet", "compile", f"--accel={accel}"]
    command += ["--tasks=listops", "--mixers=fnet transformer", "--recipe=quick"]
    command += ["--devices=2", f"--to={tmp_path}", *FLAGS]
    done = subprocess.run(
        command, env=environment(tmp_path), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / f"{accel}.json").read_text())["rows"]
    fnet, transformer = rows
    for row in rows:
        assert row["status"] == "compiles" and row["devices_used"] == 2
        assert row["micro_batches"] == 1  # on CPUs it would be one example a device
        assert 0 < row["needed_bytes"] < row["limit_bytes"]
        assert row["training"]["collectives"].get("all-reduce")
    # XLA for TPUs makes products of transforms.
    assert (fnet["training"]["fft"] > 0) == (accel == "h100")
    assert transformer["training"]["fft"] == 0
