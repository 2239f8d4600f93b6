"""Accelerators that are not here, for which XLA compiles all the same.

A compiler needs a description of its target, no device and no driver. This module does
not import JAX, which reads the environment that `set_up_compiler` sets.
"""

import importlib.util
import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from tasks import check_choice

if TYPE_CHECKING:
    import jax


class Target(NamedTuple):
    """What `jax.experimental.topologies` is told about a kind of accelerator."""

    platform: str  # of JAX
    topology: str  # the smallest that JAX takes; of a GPU: slices x hosts x cards
    most_devices: int
    module: str  # where the compiler is installed
    environment: Mapping[str, str]


def _tpu(topology: str, most_devices: int) -> Target:
    environment = {
        "TPU_SKIP_MDS_QUERY": "1",  # else it asks a metadata server that is not there
        "TPU_WORKER_HOSTNAMES": "localhost",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # the library locks even an absent device
    }
    return Target("tpu", topology, most_devices, "libtpu", environment)


# Without a card XLA cannot time what it could choose, and its own tiling of products by
# Triton fails for some; cuBLASLt takes them instead.
_XLA_FLAGS = "--xla_gpu_enable_triton_gemm=false --xla_gpu_autotune_level=0"

TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        "h100": Target(
            "cuda", "1x1x{}", 8, "jax_cuda13_plugin", {"XLA_FLAGS": _XLA_FLAGS}
        ),
        "v4": _tpu("v4:2x2x1", 4),
        "v5e": _tpu("v5e:2x2", 4),
        "v5p": _tpu("v5p:2x2x1", 4),
        "v6e": _tpu("v6e:2x2", 4),
    }
)


class Peak(NamedTuple):
    """What one device cannot exceed, as its maker publishes it."""

    flops: float  # of matrix products at JAX's default precision, dense, a second
    bandwidth: float  # bytes a second of its memory


# By device kind. NVIDIA, H100 Tensor Core GPU datasheet, SXM: TF32 (half of what is
# given with sparsity), HBM3. Google Cloud, TPU system architecture, v4 to v6e: bfloat16
# and HBM of a chip, of which an absent v4's device is one of two cores.
PEAKS: Mapping[str, Peak] = MappingProxyType(
    {
        "NVIDIA H100 80GB HBM3": Peak(494.7e12, 3.35e12),
        "TPU v4": Peak(275e12 / 2, 1.228e12 / 2),
        "TPU v5 lite": Peak(197e12, 0.819e12),
        "TPU v5": Peak(459e12, 2.765e12),
        "TPU v6 lite": Peak(918e12, 1.64e12),
    }
)


def check_target(accel: str, devices: int) -> None:
    """Check that there is a compiler for so many devices of a kind.

    Raises:
      ValueError: an unknown kind, a wrong number, or no compiler is installed here.
    """
    check_choice("accel", accel, TARGETS)
    target = TARGETS[accel]
    if not 1 <= devices <= target.most_devices:
        raise ValueError(
            f"devices is {devices}; for {accel} it must be from 1 to "
            f"{target.most_devices}"
        )
    if importlib.util.find_spec(target.module) is None:
        raise ValueError(
            f"the compiler for {accel}, {target.module}, is not installed here; "
            f"`make compile accel={accel}` installs it into an environment of its own"
        )


def set_up_compiler(
    accel: str, environment: MutableMapping[str, str] = os.environ
) -> None:
    """Set what the compiler reads; to be called before JAX is imported."""
    own = dict(TARGETS[accel].environment)
    flags = [environment.get("XLA_FLAGS", ""), own.pop("XLA_FLAGS", "")]
    environment.update(own, JAX_PLATFORMS="cpu", XLA_FLAGS=" ".join(flags).strip())


def absent_devices(accel: str, count: int) -> "list[jax.Device]":
    """Return devices that programs can be compiled for and that cannot run them."""
    from jax.experimental import topologies

    target = TARGETS[accel]
    options = {"topology_name": target.topology}
    if target.platform == "cuda":
        description = Path(__file__).with_name(f"{accel}.txtpb").read_text()
        topology = target.topology.format(count)
        options = {
            "topology_name": "",
            "topology": topology,
            "target_config": description,
        }
    found = topologies.get_topology_desc(platform=target.platform, **options)
    # Of a TPU v4 both cores are listed, and JAX's meshes take one of a chip.
    of_chips = [d for d in found.devices if getattr(d, "core_on_chip", 0) == 0]
    return of_chips[:count]
