"""Generators of examples, and the threads they run in."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from tasks.task import Split

Drawn = TypeVar("Drawn")
_ROWS_AT_ONCE = 2_000


def draw_ahead(
    draw: Callable[..., Drawn],
    arguments: Iterable[tuple[Any, ...]],
    num_workers: int | None = None,
) -> Iterator[Drawn]:
    """Yield draw(*each) in order, drawn by threads a little ahead of the use.

    `num_workers` is the number of threads, by default one per processor.
    """
    num_workers = num_workers or os.cpu_count() or 1
    with ThreadPoolExecutor(num_workers) as pool:
        ahead: deque[Future[Drawn]] = deque()
        try:
            for each in arguments:
                ahead.append(pool.submit(draw, *each))
                if len(ahead) > 2 * num_workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            # An interruption should not wait for draws nobody will use.
            pool.shutdown(cancel_futures=True)


def draw_rows(
    draw: Callable[[int, int], tuple[np.ndarray, np.ndarray]], count: int
) -> Split:
    """Return the first `count` examples, of which each depends on its number alone.

    Args:
      draw: returns inputs and labels of the examples from a number on, so many.
      count: examples.
    """
    starts = range(0, count, _ROWS_AT_ONCE)
    blocks = ((start, min(_ROWS_AT_ONCE, count - start)) for start in starts)
    drawn = zip(*draw_ahead(draw, blocks), strict=True)
    inputs, labels = (np.concatenate(parts) for parts in drawn)
    return Split(inputs, labels)
