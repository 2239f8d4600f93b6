"""Faults provoked: what cannot be compiled, does not fit, or cannot be installed."""

import json
import os
import shutil
import subprocess

import pytest

from tiny_runs import ROOT, TINY, environment

ENVIRONMENT = ROOT / ".venv-tpu"
# XLA has no eigenvalues of a general matrix on TPUs.
MIXER = '''
import flax.linen as nn
import jax.numpy as jnp


class Mixer(nn.Module):
    """Add the eigenvalues of each example's second moments."""

    formula = "y = x + eig(x^T x)"
    cost = "l d^2"
    exponent = 1.0

    @nn.compact
    def __call__(self, x, mask, train):
        moments = jnp.einsum("bli,blj->bij", x, x)
        return x + jnp.linalg.eigvals(moments).real[:, None]
'''


def compiled(folder, mixers, **changes):
    """Compile tiny runs for a v5e; return the process and the rows by mixer."""
    if not (ENVIRONMENT / "installed").exists():
        pytest.skip("the compiler is not installed: make compile accel=v5e")
    named = TINY | {key.replace("__", "."): value for key, value in changes.items()}
    command = [
        ENVIRONMENT / "bin" / "python",
        "-m",
        "lra_fnet",
        "compile",
        "--accel=v5e",
        "--tasks=listops",
    ]
    command += ["--recipe=quick", f"--mixers={mixers}", f"--to={folder}"]
    command += [f"--config.{key}={value}" for key, value in named.items()]
    paths = os.pathsep.join([str(ROOT), str(folder)])
    done = subprocess.run(
        command,
        env=environment(folder) | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    rows = json.loads((folder / "v5e.json").read_text())["rows"]
    return done, {row["mixer"]: row for row in rows}


@pytest.mark.slow
def test_a_mixer_that_a_tpu_cannot_compute_is_a_row_with_its_reason(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "eigen.py").write_text(MIXER)
    done, rows = compiled(tmp_path, "own.eigen ff_only")
    assert done.returncode == 1
    assert rows["own.eigen"]["status"] == "failed"
    assert "eig" in rows["own.eigen"]["reason"] and "tpu" in rows["own.eigen"]["reason"]
    assert rows["ff_only"]["status"] == "compiles"
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_model_that_no_split_of_the_batch_makes_fit_is_too_large(tmp_path):
    """Its MLPs, with the optimizer's moments and a gradient, take some 34 GiB."""
    done, rows = compiled(tmp_path, "ff_only", encoder__mlp_dim=2**26, num_layers=1)
    assert done.returncode == 0, done.stderr
    assert rows["ff_only"]["status"] == "too large"
    assert "too large" in done.stdout and "Traceback" not in done.stderr


# --- A wheel that cannot be installed -------------------------------------------------

STUB = 'import sys\nprint("compiles with", sys.prefix)\n'


def make(folder):
    """Run `make compile` in a checkout, without any package index."""
    own = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    return subprocess.run(
        ["make", "compile", "accel=v5e"],
        cwd=folder,
        env=os.environ | own,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_a_wheel_that_cannot_be_installed_is_one_error_and_can_be_repeated(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    for name in ("configs", "requirements", "lra_fnet"):
        (tmp_path / name).mkdir()
    (tmp_path / "lra_fnet" / "__main__.py").write_text(STUB)
    wheels = tmp_path / "requirements" / "tpu.txt"
    wheels.write_text(f"no-such-wheel==1.0 --hash=sha256:{'0' * 64}\n")
    for _ in range(2):
        done = make(tmp_path)
        assert done.returncode == 2
        said = [line for line in done.stderr.splitlines() if line.startswith("error:")]
        assert said == [
            "error: requirements/tpu.txt cannot be installed, for the reason above; "
            "when that is mended, repeat the command: it continues"
        ]
        assert "no-such-wheel" in done.stderr and "compiles with" not in done.stdout
        assert not (tmp_path / ".venv-tpu" / "installed").exists()
    wheels.write_text("")
    done = make(tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"compiles with {tmp_path / '.venv-tpu'}" in done.stdout
