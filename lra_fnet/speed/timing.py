"""Time calls in turns, so that what else the machine does meets all of them alike."""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

FEWEST_ROUNDS = 2


@dataclasses.dataclass(frozen=True)
class Sample:
    """Hold the seconds of one call: on the clock, and of this process's processors."""

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
      seconds: after this long no further round begins, but two there are at least.
      patience: a call that takes this many times the quickest one's time to warm up is
        not called again, and that is its only sample.
      settling: calls of the same kind right before each one that is timed, so that what
        another has left in caches and memory does not count.
    """
    warm_up = {name: timed(call) for name, call in calls.items()}
    longest = patience * min(sample.wall for sample in warm_up.values())
    taking_part = [name for name in calls if warm_up[name].wall <= longest]
    samples = {n: [] if n in taking_part else [s] for n, s in warm_up.items()}
    started = time.monotonic()
    for done in range(rounds):
        if done >= FEWEST_ROUNDS and time.monotonic() - started > seconds:
            break
        for name in taking_part:
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


def ratios(
    slow: Sequence[Sample], fast: Sequence[Sample], clock: str = "wall"
) -> list[float]:
    """Return how many times as long `slow` took as `fast`, in each common round.

    By the "wall" clock or by the "processor", which other work hardly changes.

    >>> ratios([Sample(3.0, 1.0)], [Sample(1.0, 1.0)])
    [3.0]
    """
    pairs = zip(slow, fast, strict=False)
    return [getattr(a, clock) / getattr(b, clock) for a, b in pairs]
