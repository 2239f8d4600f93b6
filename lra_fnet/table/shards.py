"""Shards: the cells of a table dealt out to machines, equal in cost."""

import dataclasses
import os
from collections.abc import Mapping, Sequence


@dataclasses.dataclass(frozen=True)
class Shard:
    """Name one of `count` shards; `index` runs from 1 to `count`."""

    index: int
    count: int


def parse_shard(text: str) -> Shard:
    """Read a shard such as "3/16".

    Raises:
      ValueError: it is not of that form, or there is no such shard.

    >>> parse_shard("3/16")
    Shard(index=3, count=16)
    """
    index, _, count = text.partition("/")
    if index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count):
        return Shard(int(index), int(count))
    raise ValueError(
        f"shard is {text!r}; write shard=INDEX/COUNT, from 1/16 to 16/16 for sixteen"
    )


def array_shard(environment: Mapping[str, str] = os.environ) -> Shard | None:
    """Return the shard of this task of a SLURM array; None outside of one.

    Raises:
      ValueError: the array's indices have gaps, so that they do not say which shard.

    >>> values = {"ID": "4", "COUNT": "8", "MIN": "0", "MAX": "7"}
    >>> array_shard({f"SLURM_ARRAY_TASK_{name}": v for name, v in values.items()})
    Shard(index=5, count=8)
    """
    if "SLURM_ARRAY_TASK_ID" not in environment:
        return None
    index, count, first, last = (
        int(environment[f"SLURM_ARRAY_TASK_{name}"])
        for name in ("ID", "COUNT", "MIN", "MAX")
    )
    if last - first + 1 != count:
        raise ValueError(
            "the indices of this SLURM array have gaps; give the shard yourself, such "
            "as shard=$SLURM_ARRAY_TASK_ID/16"
        )
    return Shard(index - first + 1, count)


def deal(costs: Sequence[float], count: int) -> list[int]:
    """Return the shard, 0 to count - 1, of each item.

    The dearest item goes first, each to the shard that has least so far: no two shards
    differ by more than the cost of one item. It depends on nothing but the costs, which
    are rounded to two digits, so that machines that disagree in the third deal alike.

    >>> deal([5.0, 1.0, 1.0, 3.0], 2)
    [0, 1, 1, 1]
    """
    rounded = [float(f"{cost:.1e}") for cost in costs]
    loads, shards = [0.0] * count, [0] * len(costs)
    for item in sorted(range(len(costs)), key=lambda i: (-rounded[i], i)):
        shard = min(range(count), key=lambda s: (loads[s], s))
        shards[item] = shard
        loads[shard] += rounded[item]
    return shards
