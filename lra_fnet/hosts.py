"""One run on several hosts: join them, agree with them, leave them together.

A host is a process with devices of its own. All run the same program on the same data;
the first one alone writes and prints. Everything here costs nothing in a process that
computes alone.
"""

import collections
import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from types import FrameType, TracebackType
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, Sharding
from jax.sharding import PartitionSpec as P

Value = TypeVar("Value")

# What a host may take for a step that others wait for, such as making the data. A host
# that dies meanwhile is noticed by JAX's heartbeat, within minutes.
PATIENCE_MS = 24 * 60 * 60 * 1000
FAREWELL_MS = 10_000  # for the others to fail as well, before a failing host leaves


class HostError(Exception):
    """Another host failed, or was started with something else than this one."""


def count() -> int:
    """Return how many hosts compute."""
    return jax.process_count()


def is_first() -> bool:
    """Tell whether this is the host that writes and prints."""
    return jax.process_index() == 0


# ---------------------------------------------------------------------------
# What the environment says of the other processes of the run

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


# ---------------------------------------------------------------------------
# Signals to stop

STOPPING = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Remember the first SIGINT or SIGTERM, as a context manager.

    Attributes:
      received: the signal, None while there was none. A second one acts as usual.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._previous: dict[signal.Signals, object] = {}

    def __enter__(self) -> "StopSignals":
        for number in STOPPING:
            self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        """Note the signal; the next one is handled as before."""
        self.received = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        """Put the previous handlers back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------
# Joining and leaving


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Join the hosts that the environment names, if any; print on the first alone.

    It must be entered before JAX looks for devices. Errors that can be mended end the
    process in one line.
    """
    try:
        join()
        with _first_alone_prints():
            yield
    except (HostError, LaunchError) as error:
        stop = SystemExit(f"error: {error}")
        _leave_after(stop)
        raise stop from error
    except BaseException as error:
        _leave_after(error)
        raise


def join() -> None:
    """Join the hosts that the environment names; do nothing where it names none.

    Raises:
      LaunchError: the environment is wrong, or the first host cannot be reached.
    """
    arguments = launch_arguments(os.environ)
    if arguments is None:
        return
    # It would take SIGTERM for itself.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(**arguments)
    except (OSError, RuntimeError, ValueError) as error:
        raise LaunchError(
            f"cannot join the hosts of this run: {error}. Set {ALONE}=1 to compute in "
            "this process alone"
        ) from error


@contextlib.contextmanager
def _first_alone_prints() -> Iterator[None]:
    """Drop what the other hosts print; their errors are seen."""
    with contextlib.ExitStack() as stack:
        if _jax_hosts().process_id > 0:  # asking is_first() would look for devices
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
        yield


def _leave_after(error: BaseException) -> None:
    """End the process if the other hosts have not failed as well.

    A process that ends in the usual way waits for the others, and they may wait for it
    in the middle of a step. One that just vanishes fails them.
    """
    is_success = isinstance(error, SystemExit) and not error.code
    if is_success or not jax.distributed.is_initialized() or _all_leave():
        return
    status = _say(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _say(error: BaseException) -> int:
    """Print an error as Python does at the end; return the exit status."""
    if not isinstance(error, SystemExit):
        traceback.print_exception(error)
        return 1
    if isinstance(error.code, int):
        return error.code
    print(error.code, file=sys.stderr)
    return 1


def _all_leave() -> bool:
    """Wait a little for all hosts to come here."""
    try:
        _jax_hosts().client.wait_at_barrier("lra_fnet/leave", FAREWELL_MS)
    except jax.errors.JaxRuntimeError:
        return False
    return True


# ---------------------------------------------------------------------------
# Agreeing


def exchange(name: str, value: Any) -> list[Any]:
    """Return the values of all hosts, in their order.

    Args:
      name: the same on every host; it may be used again.
      value: anything that JSON can hold.
    """
    if count() == 1:
        return [value]
    service, own = _jax_hosts().client, jax.process_index()
    # Whatever happened before, the n-th exchange of a name is the n-th on all hosts.
    turn = service.key_value_increment(f"lra_fnet/{name}/turns/{own}", 1)
    place = f"lra_fnet/{name}/{turn}"
    service.key_value_set(f"{place}/{own}", json.dumps(value))
    return [
        json.loads(service.blocking_key_value_get(f"{place}/{host}", PATIENCE_MS))
        for host in range(count())
    ]


def from_first(name: str, value: Value) -> Value:
    """Return the value of the first host; see `exchange`."""
    return exchange(name, value if is_first() else None)[0]


def check_equal(name: str, value: Any, say: Callable[[Any, Any], str]) -> None:
    """Check that all hosts have the same value.

    Args:
      name: as for `exchange`.
      value: anything that JSON can hold.
      say: tells how the value of the first host differs from that of another.

    Raises:
      HostError: they do not; it is raised on all of them.
    """
    first, *others = exchange(name, value)
    for host, other in enumerate(others, start=1):
        if other != first:
            raise HostError(f"hosts 0 and {host} differ: {say(first, other)}")


def together(name: str, function: Callable[[], Value]) -> Value:
    """Return what the function does here, when it is done on all hosts.

    Raises:
      HostError: it failed on another host.
      Exception: its own.
    """
    if count() == 1:
        return function()
    value, failure = None, None
    try:
        value = function()
    except Exception as error:
        failure = error
    told = exchange(name, failure and f"{type(failure).__name__}: {failure}")
    if failure:
        raise failure
    for host, text in enumerate(told):
        if text:
            raise HostError(f"host {host} failed: {text}")
    return value  # type: ignore[return-value]


def on_first(name: str, function: Callable[[], Value]) -> Value | None:
    """Call the function on the first host alone; return None on the others, after it.

    Raises:
      HostError: it failed on the first host.
      Exception: its own.
    """
    return together(name, function if is_first() else lambda: None)


def first_then_others(name: str, function: Callable[[], Value]) -> Value:
    """Call the function on the first host, then on the others: they find its work done.

    Raises: as `together`.
    """
    value = on_first(f"{name}, first", function)
    if count() == 1:
        return value  # type: ignore[return-value]
    late = together(f"{name}, others", lambda: value if is_first() else function())
    return late  # type: ignore[return-value]


def _jax_hosts() -> Any:
    """Return what JAX knows of the hosts, with the service through which they speak.

    JAX has public functions too, which exchange arrays through the devices, but there a
    time limit of the network library may end a wait, and making data can take an hour.
    """
    from jax._src import distributed

    return distributed.global_state


# ---------------------------------------------------------------------------
# On the devices


def put(array: np.ndarray, sharding: Sharding) -> jax.Array:
    """Copy an array that every host holds whole to the devices of a sharding."""
    if sharding.is_fully_addressable:
        return jax.device_put(np.asarray(array), sharding)
    # device_put would compare the arrays of all hosts, through the network.
    return jax.make_array_from_callback(
        np.shape(array), sharding, lambda index: np.asarray(array)[index]
    )


class AgreedStop:
    """Stop all hosts at the same step when a signal reaches any of them.

    A host alone stops at once. Of several, each adds its signal to a sum behind every
    call, and reads the sum when it waits for that call anyway.
    """

    def __init__(self, signals: StopSignals, mesh: Mesh, calls_ahead: int):
        self._signals = signals
        self._split = NamedSharding(mesh, P("data"))
        self._whole = NamedSharding(mesh, P())
        self._is_alone = self._whole.is_fully_addressable
        self._calls_ahead = calls_ahead
        self._asked: collections.deque[jax.Array] = collections.deque()
        self._largest = jax.jit(jnp.max, out_shardings=self._whole)

    def after_call(self) -> int | None:
        """Return the signal to stop at, None for none; to be asked after each call."""
        if self._is_alone:
            return self._signals.received
        self._asked.append(self._ask())
        if len(self._asked) <= self._calls_ahead:
            return None
        return int(self._asked.popleft()) or None

    def _ask(self) -> jax.Array:
        """Start the search for the largest number of a signal on any host."""
        shape = (self._split.mesh.size,)
        own = np.full(shape, self._signals.received or 0, np.int32)
        return self._largest(put(own, self._split))
