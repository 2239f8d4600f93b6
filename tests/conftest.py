"""What holds for every test: two CPU devices, and programs that compile fast.

Two devices, so that data parallelism is tested on any machine. Tests mostly compile;
without the compiler's optimizations, and with its older emitter of fused loops, that
takes a quarter of the time, here and in the processes that tests start, and programs
compute the same.
"""

import os

import jax

jax.config.update("jax_num_cpu_devices", 2)
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false",
)
