"""What computes: a name for it, how much memory it took, how long a call should be."""

import os
import sys
from typing import Any

import jax
from jax.sharding import Mesh
from jax.stages import Compiled

from lra_fnet.processor import processor_name

# Calls dispatched beyond the one that computes: enough to keep a device busy, few
# enough that a stop signal is answered soon.
CALLS_AHEAD = 2


def describe_device(mesh: Mesh) -> dict[str, Any]:
    """Return platform, kind and number of the devices of a mesh, and of their hosts.

    The CPU cores are those of this host.
    """
    device = mesh.devices.flat[0]
    kind = processor_name() if device.platform == "cpu" else device.device_kind
    return {
        "platform": device.platform,
        "kind": kind,
        "count": mesh.size,
        "hosts": len({device.process_index for device in mesh.devices.flat}),
        "cpu_cores": len(os.sched_getaffinity(0)),
    }


def peak_memory(compiled: Compiled) -> dict[str, Any]:
    """Return the peak memory of one device in bytes, and how it was found.

    An accelerator's allocator knows its peak. A CPU has no such allocator, so there it
    is the compiler's figure for one training call: arguments, results, temporaries.
    """
    statistics = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in statistics:
        return {"bytes": statistics["peak_bytes_in_use"], "method": "allocator peak"}
    return {"bytes": call_memory(compiled), "method": "compiled memory analysis"}


def call_memory(compiled: Compiled) -> int:
    """Return the bytes one device needs for a call: arguments, results, temporaries."""
    analysis = compiled.memory_analysis()
    if analysis is None:
        return 0
    return (
        analysis.argument_size_in_bytes
        + analysis.output_size_in_bytes
        + analysis.temp_size_in_bytes
        - analysis.alias_size_in_bytes
    )


def usable_memory(mesh: Mesh) -> int:
    """Return the bytes of one device that a call may need, with a margin left.

    An accelerator's allocator tells its limit; CPU devices share the machine's memory.
    """
    device, *others = mesh.local_devices
    if device.platform != "cpu":
        limit = (device.memory_stats() or {}).get("bytes_limit", 0)
        return int(0.9 * limit) or sys.maxsize
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(0.6 * total) // (1 + len(others))


def examples_at_once(mesh: Mesh, batch_size: int) -> int:
    """Return how many examples of a batch these devices best compute together.

    On CPUs one on each device, since its numbers stay in a core's cache; elsewhere all.
    """
    return mesh.size if mesh.devices.flat[0].platform == "cpu" else batch_size


def default_steps_per_call(mesh: Mesh) -> int:
    """Return how many steps one compiled call takes on these devices.

    On an accelerator dispatch costs more than a small model's step, so many. On CPUs a
    step takes far longer, and a signal is answered sooner after one.
    """
    return 1 if mesh.devices.flat[0].platform == "cpu" else 100
