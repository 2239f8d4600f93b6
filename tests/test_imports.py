"""Who may import whom: each layer in a process of its own."""

import subprocess
import sys

import pytest

from tiny_runs import ROOT

FORBIDDEN = [
    ("configs.listops", ["jax", "flax", "numba", "lra_fnet"]),
    ("tasks.listops", ["jax", "flax", "lra_fnet", "tensorflow"]),
    (
        "lra_fnet.mixers.fnet",
        ["tasks.listops", "configs", "ml_collections", "tensorflow"],
    ),
    ("lra_fnet.mixers.transformer", ["tasks.listops", "configs", "ml_collections"]),
    ("lra_fnet.model", ["tasks", "configs", "ml_collections", "tensorflow"]),
    ("lra_fnet.step", ["tasks", "configs", "ml_collections", "tensorflow"]),
    ("lra_fnet.train", ["tensorflow", "tensorflow_datasets", "configs", "flax.nnx"]),
    ("lra_fnet.__main__", ["jax", "flax", "tensorflow", "configs"]),
    ("lra_fnet.result", ["jax", "flax", "tensorflow", "configs"]),
    ("lra_fnet.schema", ["jax", "flax", "tensorflow", "configs"]),
    ("lra_fnet.config", ["jax", "flax", "tensorflow", "configs"]),
    ("lra_fnet.mixers", ["jax", "flax", "tensorflow", "configs"]),
    ("lra_fnet.report.statistics", ["jax", "flax", "tensorflow"]),
    ("lra_fnet.report.published", ["jax", "flax", "tensorflow"]),
    ("lra_fnet.report.page", ["jax", "flax", "tensorflow", "matplotlib.pyplot"]),
]


@pytest.mark.parametrize(("module", "forbidden"), FORBIDDEN)
def test_a_layer_imports_only_what_lies_below_it(module, forbidden):
    program = f"import sys, {module}; print(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout.split()) & set(forbidden)
