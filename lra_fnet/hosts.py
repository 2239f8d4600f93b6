"""One run on several hosts: signals, joining, leaving, agreeing, arrays on all devices.

A host is a process with devices of its own. All run the same program on the same data;
only the first one writes and prints. A process that computes alone pays nothing.
"""

import collections
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from threading import Thread
from typing import Any, NoReturn, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.layout import Format, Layout
from jax.experimental.multihost_utils import (
    broadcast_one_to_all,
    process_allgather,
    sync_global_devices,
)
from jax.sharding import Mesh, NamedSharding, Sharding
from jax.sharding import PartitionSpec as P

from lra_fnet.hardware import set_up

Value = TypeVar("Value")


class HostError(Exception):
    """Another host failed, or was started with something else than this one."""


class LaunchError(Exception):
    """Environment variables that do not say how the hosts of a run find each other."""


# -- Signals ---------------------------------------------------------------------------


class StopSignals:
    """The first SIGINT or SIGTERM, None before it; a second one acts as usual."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignals":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _remember(self, number: int, _: object) -> None:
        self.received = signal.Signals(number)
        self.__exit__()


# -- What the environment says ---------------------------------------------------------

ALONE = "LRA_ALONE"  # 1: compute in this process alone, whatever else is set
ADDRESS, COUNT = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES"
NUMBER = "JAX_PROCESS_ID"
JAX_VARIABLES = (ADDRESS, COUNT, NUMBER)
# What srun sets for each task of a step; a batch script or an array job has no step.
SLURM_STEP = "SLURM_STEP_NODELIST"
SLURM_VARIABLES = ("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
# The hosts of a TPU pod, separated by commas.
TPU_HOSTS = ("TPU_PROCESS_ADDRESSES", "TPU_WORKER_HOSTNAMES")


def launch_arguments(environment: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the arguments of `jax.distributed.initialize`; None for one process.

    Raises:
      LaunchError: a variable is missing or out of its range.

    >>> launch_arguments({"SLURM_NTASKS": "4", "SLURM_ARRAY_TASK_ID": "2"})
    """
    if environment.get(ALONE, "0") not in ("", "0"):
        return None
    if any(environment.get(name) for name in JAX_VARIABLES):
        _check_set(environment, JAX_VARIABLES, "the others of these three are set")
        return _from_jax_variables(environment)
    if SLURM_STEP in environment and _num_slurm_tasks(environment) > 1:
        _check_set(environment, SLURM_VARIABLES, f"{SLURM_STEP} is, as in a SLURM step")
        return _from_slurm(environment)
    return {} if _is_tpu_pod(environment) else None


def _from_jax_variables(environment: Mapping[str, str]) -> dict[str, Any] | None:
    address = environment[ADDRESS]
    count, number = _integer(environment, COUNT), _integer(environment, NUMBER)
    if not 0 <= number < count:
        raise LaunchError(
            f"{NUMBER} is {number}; with {COUNT}={count} it must be from 0 to "
            f"{count - 1}, different in each process"
        )
    if ":" not in address:
        raise LaunchError(
            f"{ADDRESS} is {address!r}; it must be host:port of process 0"
        )
    arguments = {
        "coordinator_address": address,
        "num_processes": count,
        "process_id": number,
        "cluster_detection_method": "deactivate",
    }
    return arguments if count > 1 else None


def _from_slurm(environment: Mapping[str, str]) -> dict[str, Any]:
    """Let JAX read SLURM's variables; it gives each task one accelerator.

    A task with a node of its own takes all of them, or what JAX_LOCAL_DEVICE_IDS lists.
    """
    arguments: dict[str, Any] = {"cluster_detection_method": "slurm"}
    has_node = environment.get("SLURM_STEP_NUM_NODES") == environment["SLURM_NTASKS"]
    if has_node and not environment.get("JAX_LOCAL_DEVICE_IDS"):
        arguments["local_device_ids"] = []  # no restriction; None would be one
    return arguments


def _num_slurm_tasks(environment: Mapping[str, str]) -> int:
    """Return the tasks of a step: one of an interactive step, whatever its job has."""
    names = {"SLURM_NTASKS", "SLURM_STEP_NUM_TASKS"} & environment.keys()
    return min((_integer(environment, name) for name in names), default=1)


def _is_tpu_pod(environment: Mapping[str, str]) -> bool:
    """Tell whether this host's TPU may be a part of a larger one.

    Where no variable lists the hosts, JAX must ask the metadata server. When it is
    imported it notes in variables whether there are a TPU and such a server.
    """
    if environment.get("JAX_PLATFORMS", "tpu").split(",")[0] != "tpu":
        return False
    for name in TPU_HOSTS:
        if name in environment:
            return "," in environment[name]
    has_tpu = environment.get("TPU_ML_PLATFORM") == "JAX"
    return has_tpu and "TPU_SKIP_MDS_QUERY" not in environment


def _check_set(environment: Mapping[str, str], names: tuple[str, ...], reason: str):
    missing = [name for name in names if not environment.get(name)]
    if missing:
        raise LaunchError(
            f"{' and '.join(missing)} must be set, since {reason}; or set {ALONE}=1 to "
            "compute in this process alone"
        )


def _integer(environment: Mapping[str, str], name: str) -> int:
    try:
        return int(environment[name])
    except ValueError:
        raise LaunchError(
            f"{name} is not a whole number: {environment[name]!r}"
        ) from None


# -- Joining and leaving ---------------------------------------------------------------

# A failing host waits this long for the others to fail as well, then vanishes. That
# fails what they compute together, at once or when JAX misses its heartbeat for 100 s.
FAREWELL_SECONDS = 10.0


@contextlib.contextmanager
def joined(tell: Callable[[BaseException], int]) -> Iterator[None]:
    """Join the hosts that the environment names, if any, and set this process up.

    Only the first host prints. One of several that fails ends here, since Python's
    usual end would wait for the others; `tell` prints the error before and returns the
    exit status.

    Raises:
      LaunchError: the environment is wrong, or the first host cannot be reached.
      ValueError: see `set_up`.
    """
    arguments = launch_arguments(os.environ)
    if arguments is None:
        set_up()
        yield
        return
    _join(arguments)
    try:
        set_up()
        with open(os.devnull, "w") as nowhere:
            printed = sys.stdout if is_first() else nowhere
            with contextlib.redirect_stdout(printed):
                yield
        sync_global_devices("the first host has written its results")
    except BaseException as error:
        _leave(error, tell)


def _join(arguments: dict[str, Any]) -> None:
    # JAX's preemption service would take SIGTERM for itself.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(**arguments)
    except (OSError, RuntimeError, ValueError) as error:
        raise LaunchError(
            f"cannot join the hosts of this run: {error}. Set {ALONE}=1 to compute in "
            "this process alone"
        ) from error


def _leave(error: BaseException, tell: Callable[[BaseException], int]) -> NoReturn:
    """Print the error and end this process, together with others that fail."""
    is_alone = any(library in str(error) for library in ("Gloo", "NCCL"))
    if is_alone:
        error = HostError(f"another host has ended or cannot be reached: {error}")
    status = tell(error)
    sys.stdout.flush()
    sys.stderr.flush()
    if not is_alone:
        farewell = Thread(target=jax.distributed.shutdown, daemon=True)
        farewell.start()
        farewell.join(FAREWELL_SECONDS)
    os._exit(status)


# -- Agreeing --------------------------------------------------------------------------

# The devices' network has time limits, so a host that is busy says so this often.
POLL_SECONDS = 10.0


def count() -> int:
    """Return how many hosts compute."""
    return jax.process_count()


def is_first() -> bool:
    """Tell whether this is the host that writes and prints."""
    return jax.process_index() == 0


def exchange(value: Any) -> list[Any]:
    """Return the values of all hosts, in their order; they are sent as JSON."""
    if count() == 1:
        return [value]
    text = json.dumps(value).encode()
    longest = int(process_allgather(np.int32(len(text))).max())
    # Few sizes, so that few programs are compiled.
    padded = np.frombuffer(text.ljust(1 << longest.bit_length()), np.uint8)
    return [json.loads(row.tobytes()) for row in process_allgather(padded)]


def bytes_from_first(content: bytes) -> bytes:
    """Return what the first host has; that of the others is ignored."""
    if count() == 1:
        return content
    size = exchange(len(content))[0]
    own = content if is_first() else bytes(size)
    return broadcast_one_to_all(np.frombuffer(own, np.uint8)).tobytes()


def check_equal(value: Any, describe: Callable[[Any, Any], str]) -> None:
    """Check that all hosts have the same value, of any kind that JSON can hold.

    Raises:
      HostError: they differ. It is raised on all hosts and describes the difference of
        the first value and another.
    """
    first, *others = exchange(value)
    for host, other in enumerate(others, start=1):
        if other != first:
            raise HostError(f"hosts 0 and {host} differ: {describe(first, other)}")


def together(function: Callable[[], Value]) -> Value:
    """Call a function on every host; return its value when all are done, in hours even.

    On several hosts it runs in a thread and must not compute on their devices.

    Raises:
      HostError: it failed on another host.
      Exception: its own.
    """
    if count() == 1:
        return function()
    future: Future[Value] = Future()
    Thread(target=_fulfill, args=(future, function), daemon=True).start()
    outcomes: list[str | None] = [None]
    while None in outcomes:
        wait([future], POLL_SECONDS)
        own = _outcome(future)
        outcomes = exchange(own)
        if own:
            return future.result()  # raises
        for host, outcome in enumerate(outcomes):
            if outcome:
                raise HostError(f"host {host} failed: {outcome}")
    return future.result()


def on_first(function: Callable[[], Value]) -> Value | None:
    """Call a function on the first host, as `together`; return None on the others."""
    return together(function if is_first() else lambda: None)


def _fulfill(future: Future[Value], function: Callable[[], Value]) -> None:
    try:
        future.set_result(function())
    except BaseException as error:
        future.set_exception(error)


def _outcome(future: Future[Any]) -> str | None:
    """Return None while a call runs, then its error or nothing."""
    if not future.done():
        return None
    error = future.exception()
    return f"{type(error).__name__}: {error}" if error else ""


# -- On the devices --------------------------------------------------------------------


def put(
    array: np.ndarray, sharding: Sharding, layout: Layout | None = None
) -> jax.Array:
    """Copy an array that every host holds whole to the devices of a sharding.

    XLA chooses the layout if none is asked for.
    """
    array = np.asarray(array)
    where = Format(layout, sharding) if layout else sharding
    if sharding.is_fully_addressable:
        return jax.device_put(array, where)
    # device_put would compare the arrays of all hosts, through the network.
    return jax.make_array_from_callback(array.shape, where, array.__getitem__)


class AgreedStop:
    """A stop of all hosts at the same step, when a signal reaches any of them.

    A host alone stops at once. Several compute the largest number of their signals
    behind every call, and read it when they wait for that call anyway.
    """

    def __init__(self, signals: StopSignals, mesh: Mesh, calls_ahead: int):
        self._signals, self._calls_ahead = signals, calls_ahead
        self._split, whole = NamedSharding(mesh, P("data")), NamedSharding(mesh, P())
        self._is_alone = whole.is_fully_addressable
        self._asked: collections.deque[jax.Array] = collections.deque()
        self._largest = jax.jit(jnp.max, out_shardings=whole)

    def after_call(self) -> int | None:
        """Return the signal to stop at, None for none; to be asked after each call."""
        if self._is_alone:
            return self._signals.received
        own = np.full(self._split.mesh.size, self._signals.received or 0, np.int32)
        self._asked.append(self._largest(put(own, self._split)))
        if len(self._asked) <= self._calls_ahead:
            return None
        return int(self._asked.popleft()) or None
