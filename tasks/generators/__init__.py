"""Tasks whose examples are drawn one by one, and the threads that draw."""

import dataclasses
import functools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tasks.task import Split, Splits, Task, check_choice, check_range, split_generated

Drawn = TypeVar("Drawn")
Draw = Callable[..., tuple[np.ndarray, np.ndarray]]
_ROWS_AT_ONCE = 2_000


def generated_task(
    draw: Draw,
    verify: Callable[[Splits], str],
    version: int,
    source: str,
    seed: int,
    sizes: Mapping[str, int],
    options: Mapping[str, int],
    features: Callable[[Split], Mapping[str, np.ndarray]] = lambda test: {},
    **facts: Any,
) -> Task:
    """Return a task whose examples depend on seed, number and options alone.

    The first examples are the test split, the next the validation split, the rest the
    training split: with fewer training examples nothing else moves.

    Args:
      draw: draw(seed, start, rows, **options) returns inputs and labels of so many
        examples, number start the first.
      verify: as in Task; what was made has to pass it, too.
      version: to be raised with every change that makes other examples.
      source: has to be "generated".
      seed: of the examples, in [0, 2^64).
      sizes: examples by split.
      options: of draw.
      features: of the test split, see Split.
      **facts: what else a Task says.

    Raises:
      ValueError: source, seed or a size is out of its range.
    """
    check_choice("source", source, ("generated",))
    check_range(0, 2**64 - 1, seed=seed)
    check_range(1, **{f"num_{split}": size for split, size in sizes.items()})

    def read(scratch: Path) -> dict[str, Split]:
        draw_some = functools.partial(draw, np.uint64(seed), **options)
        splits = split_generated(draw_rows(draw_some, sum(sizes.values())), sizes)
        verify(splits)
        test = splits["test"]
        test = dataclasses.replace(test, features=features(test))
        return {**splits, "test": test}

    return Task(
        source=source,
        provenance={
            "generator_version": version,
            "seed": seed,
            **options,
            "sizes": sizes,
        },
        read=read,
        verify=verify,
        **facts,
    )


def draw_rows(draw: Draw, count: int) -> Split:
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
