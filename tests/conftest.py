"""What holds for every test: two CPU devices, fast compilation, the highest precision.

Two devices, so that data parallelism is tested on any machine. Tests mostly compile;
without the compiler's optimizations, and with its older emitter of fused loops, that
takes a quarter of the time, here and in the processes that tests start, and programs
compute the same. Products are asked for at the highest precision, so that formulas are
tested on any device: an accelerator's default is bfloat16 or TF32.
"""

import os

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 2)
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false",
)


@pytest.fixture(scope="module", autouse=True)
def no_program_of_other_modules():
    """Free the memory of programs that no later test will run.

    Without it a process of the whole suite grows to 5 GiB.
    """
    yield
    jax.clear_caches()


@pytest.fixture(scope="session", autouse=True)
def highest_precision():
    """Hold for what a test traces; a program has the precision of its config."""
    with jax.default_matmul_precision("highest"):
        yield
