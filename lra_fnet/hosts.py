"""One run on several hosts: join them, agree with them, leave them together.

A host is a process with devices of its own. All run the same program on the same data;
the first one alone writes and prints. Everything here costs nothing in a process that
computes alone.
"""

import collections
import contextlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, Sharding
from jax.sharding import PartitionSpec as P

from lra_fnet.launch import ALONE, LaunchError, launch_arguments
from lra_fnet.signals import StopSignals

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
