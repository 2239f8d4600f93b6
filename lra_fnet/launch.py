"""What the environment of a process says about the others of the same run."""

from collections.abc import Mapping
from typing import Any

ALONE = "LRA_ALONE"  # set to 1: compute alone, whatever else the environment says
ADDRESS, COUNT, NUMBER = BY_HAND = (
    "JAX_COORDINATOR_ADDRESS",
    "JAX_NUM_PROCESSES",
    "JAX_PROCESS_ID",
)
# What srun gives to each task of a step; a batch script or an array job has no step.
STEP = "SLURM_STEP_NODELIST"
OF_A_STEP = ("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
# The hosts of a TPU pod, with commas between them.
POD_HOSTS = ("TPU_PROCESS_ADDRESSES", "TPU_WORKER_HOSTNAMES")


class LaunchError(Exception):
    """The environment says half of what a run on several hosts needs."""


def launch_arguments(environment: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the arguments of `jax.distributed.initialize`; None for one process.

    Raises:
      LaunchError: a variable is missing or out of its range.

    >>> launch_arguments({"SLURM_NTASKS": "4", "SLURM_ARRAY_TASK_ID": "2"})
    """
    if environment.get(ALONE, "0") not in ("", "0"):
        return None
    if any(environment.get(name) for name in BY_HAND):
        return _by_hand(environment)
    if STEP in environment and _tasks_of_step(environment) > 1:
        return _by_slurm(environment)
    return {} if _is_tpu_pod(environment) else None


def _by_hand(environment: Mapping[str, str]) -> dict[str, Any] | None:
    """Return what JAX's three variables say."""
    _check_given(environment, BY_HAND, because="the others of these three are set")
    count, number = (_whole_number(environment, name) for name in (COUNT, NUMBER))
    if not 0 <= number < count:
        raise LaunchError(
            f"{NUMBER} is {number}; with {COUNT}={count} it must be from 0 to "
            f"{count - 1}, another one in each process"
        )
    if ":" not in environment[ADDRESS]:
        raise LaunchError(
            f"{ADDRESS} is {environment[ADDRESS]!r}; it must be the host of process 0 "
            "and a free port there, as host:port"
        )
    if count == 1:
        return None
    return {
        "coordinator_address": environment[ADDRESS],
        "num_processes": count,
        "process_id": number,
        "cluster_detection_method": "deactivate",
    }


def _by_slurm(environment: Mapping[str, str]) -> dict[str, Any]:
    """Let JAX read the variables of a SLURM step.

    It gives each task one accelerator. A task that has a node to itself takes all, or
    those that JAX_LOCAL_DEVICE_IDS lists.
    """
    _check_given(environment, OF_A_STEP, because=f"{STEP} is, as in a SLURM step")
    arguments: dict[str, Any] = {"cluster_detection_method": "slurm"}
    has_node = environment.get("SLURM_STEP_NUM_NODES") == environment["SLURM_NTASKS"]
    if has_node and not environment.get("JAX_LOCAL_DEVICE_IDS"):
        arguments["local_device_ids"] = []  # no restriction; None would be one
    return arguments


def _tasks_of_step(environment: Mapping[str, str]) -> int:
    """Return how many tasks a SLURM step has.

    An interactive step has one task in a job that may have several.
    """
    names = [
        name for name in ("SLURM_NTASKS", "SLURM_STEP_NUM_TASKS") if name in environment
    ]
    return min((_whole_number(environment, name) for name in names), default=1)


def _is_tpu_pod(environment: Mapping[str, str]) -> bool:
    """Tell whether the TPU of this host may be a part of a larger one.

    Where no variable lists the hosts, JAX must ask the machine's metadata server. JAX
    notes in these variables whether there is a TPU, and whether it has that server.
    """
    if environment.get("JAX_PLATFORMS", "tpu").split(",")[0] != "tpu":
        return False
    for name in POD_HOSTS:
        if name in environment:
            return "," in environment[name]
    has_tpu = environment.get("TPU_ML_PLATFORM") == "JAX"
    return has_tpu and "TPU_SKIP_MDS_QUERY" not in environment


def _check_given(
    environment: Mapping[str, str], names: tuple[str, ...], because: str
) -> None:
    """Check that variables are set.

    Raises:
      LaunchError: one is not.
    """
    missing = [name for name in names if not environment.get(name)]
    if missing:
        raise LaunchError(
            f"{' and '.join(missing)} must be set, since {because}; or set {ALONE}=1 "
            "to compute in this process alone"
        )


def _whole_number(environment: Mapping[str, str], name: str) -> int:
    """Return a variable as a number.

    Raises:
      LaunchError: it is not a whole one.
    """
    try:
        return int(environment[name])
    except ValueError:
        raise LaunchError(
            f"{name} is {environment[name]!r}; it must be a whole number"
        ) from None
