"""Time calls in turns, so that what else the machine does meets all of them alike."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax


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
    calls: Mapping[str, Callable[[], Any]], repeats: int, seconds: float
) -> dict[str, list[Sample]]:
    """Time every call once per round, after one call of each to warm up.

    Args:
      calls: what to time, by name.
      repeats: most rounds.
      seconds: after this long no further round begins, but two there are at least.
    """
    for call in calls.values():
        jax.block_until_ready(call())
    samples: dict[str, list[Sample]] = {name: [] for name in calls}
    started = time.monotonic()
    for done in range(repeats):
        if done >= 2 and time.monotonic() - started > seconds:
            break
        for name, call in calls.items():
            samples[name].append(timed(call))
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
    samples: Mapping[str, Sequence[Sample]], to: str
) -> dict[str, dict[str, float]]:
    """Return how many times faster than `to` each name is: the median over rounds.

    Of the clock, and of the processors' seconds, which other work hardly changes.
    """
    return {
        name: {
            clock: statistics.median(
                getattr(slow, clock) / getattr(fast, clock)
                for slow, fast in zip(samples[to], own, strict=True)
            )
            for clock in ("wall", "processor")
        }
        for name, own in samples.items()
    }
