"""Time calls in turns, so that whatever else the machine does affects all alike."""

import dataclasses
import math
import multiprocessing
import signal
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import jax

FEWEST_ROUNDS = 2


@dataclasses.dataclass(frozen=True)
class Sample:
    """Seconds of one call: on the clock, and of this process's processors."""

    wall: float
    processor: float


def timed(call: Callable[[], Any]) -> Sample:
    """Call once and wait for the result to be computed."""
    wall, processor = time.perf_counter(), time.process_time()
    jax.block_until_ready(call())
    return Sample(time.perf_counter() - wall, time.process_time() - processor)


def interleaved(
    calls: Mapping[str, Callable[[], Any]],
    rounds: int,
    seconds: float,
    patience: float = math.inf,
    settling: int = 0,
) -> dict[str, list[Sample]]:
    """Time every call once per round, after one call of each to warm up.

    Args:
      calls: what to time, by name; compiled already.
      rounds: at most.
      seconds: after which no further round begins, but for the first two.
      patience: a call whose warm-up takes this many times as long as the quickest one's
        is not called again; the warm-up is its only sample.
      settling: untimed calls of the same kind right before each timed one, so that it
        does not find caches and memory as another kind has left them.
    """
    warm_up = {name: timed(call) for name, call in calls.items()}
    longest = patience * min(sample.wall for sample in warm_up.values())
    in_rounds = [name for name in calls if warm_up[name].wall <= longest]
    samples = {n: [] if n in in_rounds else [s] for n, s in warm_up.items()}
    started = time.monotonic()
    for done in range(rounds):
        if done >= FEWEST_ROUNDS and time.monotonic() - started > seconds:
            break
        for name in in_rounds:
            for _ in range(settling):
                timed(calls[name])
            samples[name].append(timed(calls[name]))
    return samples


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return median, lowest, highest and number of values.

    >>> spread([3.0, 1.0, 2.0])
    {'median': 2.0, 'low': 1.0, 'high': 3.0, 'repeats': 3}
    """
    return {
        "median": statistics.median(values),
        "low": min(values),
        "high": max(values),
        "repeats": len(values),
    }


def speed_ups(
    slow: Sequence[Sample], fast: Sequence[Sample], clock: str = "wall"
) -> list[float]:
    """Return how many times as long `slow` took as `fast`, in each common round.

    >>> speed_ups([Sample(3.0, 1.0)], [Sample(1.0, 1.0)])
    [3.0]
    """
    pairs = zip(slow, fast, strict=False)
    return [getattr(a, clock) / getattr(b, clock) for a, b in pairs]


class Killed(ChildProcessError):
    """A process that the system killed, as it does where memory is short."""


def in_own_process(
    function: Callable[..., Any], *arguments: Any, limit: float | None = None
) -> Any:
    """Return what a function of a module returns in a new process.

    Raises:
      TimeoutError: it takes more than `limit` seconds.
      Killed: the system killed it.
      ChildProcessError: the function raised an error, or the process ended otherwise.
    """
    # Not forked: JAX has threads, and a GPU's memory belongs to one process.
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_answer, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        if not receiver.poll(limit):
            raise TimeoutError(f"it takes more than {limit:g} s")
        answer, error = receiver.recv()
    except EOFError:
        process.join()
        if process.exitcode == -signal.SIGKILL:
            raise Killed("the system killed the process") from None
        raise ChildProcessError(f"it ended with status {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
    if error:
        raise ChildProcessError(error)
    return answer


def _send_answer(sender: Connection, function: Callable, arguments: tuple) -> None:
    """Send the result of a call and "", or None and the error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers Ctrl-C
    try:
        sender.send((function(*arguments), ""))
    except Exception as error:
        lines = str(error).splitlines()[:1]
        sender.send((None, ": ".join([type(error).__name__, *lines])))
