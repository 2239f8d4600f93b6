"""Tiny ListOps runs, in this process or in one that can be killed."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from lra_fnet.config import load_config
from lra_fnet.report.load import run_row
from lra_fnet.schema import Result

ROOT = Path(__file__).parent.parent

# Fields of a Classifier that have no default; its mixers, sizes and reading are each
# test's own.
MODEL_CHOICES = {
    "num_documents": 1,
    "inputs": "tokens",
    "positions": "sinusoid",
    "norm_placement": "published",
    "padding": "keep",
    "causal": False,
    "comparison": "concat",
    "moe_layers": 0,
    "num_experts": 4,
    "expert_capacity": 1.0,
    "router_z_loss": 1e-4,
    "dtype": "float32",
    "precision": "highest",
}

# A model of a few thousand parameters, and expressions of 6 to 39 tokens.
TINY = {
    "data.num_train": 300,
    "data.num_validation": 100,
    "data.num_test": 101,
    "data.min_length": 5,
    "data.max_length": 40,
    "encoder.width": 16,
    "encoder.mlp_dim": 16,
    "encoder.dropout_rate": 0.1,
    "num_layers": 2,
    "train.batch_size": 8,
    "train.num_steps": 300,
    "train.eval_every": 100,
    "run.log_every": 10,
    "run.checkpoint_every": 5,
    "run.eval_batch_size": 16,
}


def kept_runs(task) -> Iterator[tuple[Result, str, str]]:
    """Yield the results of a task in results/, each with its row's name and score."""
    for path in (ROOT / "results" / task).glob("*/result.json"):
        result = Result.read(path)
        low, high = (100 * bound for bound in result.test.interval_95)
        score = f"{100 * result.test.accuracy:.1f} [{low:.1f} to {high:.1f}]"
        yield result, run_row(path)["row"], score


def tiny_config(**overrides) -> ConfigDict:
    """Return the tiny config; overrides name keys with __ for the dot."""
    named = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_config("listops", "quick", TINY | named)


def command(workdir, verb="train", **overrides) -> list[str]:
    """Return the command line of a tiny run."""
    program = [sys.executable, "-m", "lra_fnet", verb, f"--workdir={workdir}"]
    if verb == "eval":
        return program
    named = {key.replace("__", "."): value for key, value in overrides.items()}
    keys = [f"--config.{key}={value}" for key, value in (TINY | named).items()]
    return [*program, "--task=listops", "--recipe=quick", *keys]


def environment(data) -> dict[str, str]:
    """Return an environment with the data folder and the code on the path."""
    return os.environ | {"LRA_DATA": str(data), "PYTHONPATH": str(ROOT)}


def run(arguments, data, **options) -> subprocess.CompletedProcess:
    """Run a command to its end."""
    return subprocess.run(
        arguments,
        env=environment(data),
        capture_output=True,
        text=True,
        timeout=300,
        **options,
    )


def result_of(workdir) -> dict[str, Any]:
    """Return the result of a finished run."""
    return json.loads((workdir / "result.json").read_text())


def wait_for_step(workdir, step):
    """Wait until the logbook has reached a step."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        path = workdir / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        if any(json.loads(line)["step"] >= step for line in lines[:-1]):
            return
        time.sleep(0.002)
    raise AssertionError(f"step {step} was not reached")
