"""Set up a process that computes, before JAX looks for devices."""

import os

import jax

from lra_fnet.allocator import keep_freed_memory
from lra_fnet.compile_cache import keep_compiled_programs

# XLA on CPUs runs a Fourier transform that follows other work on one thread. Devices of
# their own keep several cores busy; more than these were not measured to pay.
MOST_CPU_DEVICES = 8


def set_up() -> None:
    """Use every core, keep freed memory and compiled programs."""
    use_every_core()
    keep_compiled_programs()
    if jax.default_backend() == "cpu":
        keep_freed_memory()


def use_every_core() -> None:
    """Make a CPU device of each core; JAX_NUM_CPU_DEVICES says how many instead.

    Batches are shared by the devices. Nothing changes where there is an accelerator.
    """
    if jax.config.values["jax_num_cpu_devices"] < 0:
        cores = len(os.sched_getaffinity(0))
        jax.config.update("jax_num_cpu_devices", min(cores, MOST_CPU_DEVICES))
