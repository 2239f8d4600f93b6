"""Find out what runs compute on here, in a process of its own that ends at once.

python -m lra_fnet.table.here
"""

import json
import os
import subprocess
import sys

import jax

from lra_fnet.hardware import describe_device
from lra_fnet.step import make_mesh
from lra_fnet.table.speeds import Device, device_of

SECONDS = 120  # an accelerator that does not answer by then is not waited for


def device_here() -> Device | None:
    """Return the device of runs started here; None if that cannot be told.

    The process of the table must not ask itself. On an accelerator, JAX would take
    most of the memory, or on a TPU the device, until the process ends, and the runs it
    starts would have none. So a process asks that takes no memory beforehand and is
    gone before any run begins. Where another run holds a TPU, it fails: then the
    results of the table's own runs will tell.
    """
    command = [sys.executable, "-m", "lra_fnet.table.here"]
    environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=SECONDS
        )
        return device_of(json.loads(done.stdout.splitlines()[-1]))
    except (subprocess.TimeoutExpired, IndexError, KeyError, ValueError):
        return None


if __name__ == "__main__":
    print(json.dumps(describe_device(make_mesh(jax.local_device_count()))))
