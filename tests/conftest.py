"""Two CPU devices for every test, so that data parallelism is tested on any machine."""

import jax

jax.config.update("jax_num_cpu_devices", 2)
