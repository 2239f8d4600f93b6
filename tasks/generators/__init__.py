"""Generators of examples, and the threads they run in."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Drawn = TypeVar("Drawn")


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
