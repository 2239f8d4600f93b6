"""One thing compared with another: how many times as fast, and how sure that is."""

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lra_fnet.report.markdown import table
from lra_fnet.speed.timing import Sample, ratios, spread


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Hold how many times as fast `of` is as `to`.

    Attributes:
      section: of the report.
      setting: what both compute, in words.
      of, to: what is compared.
      wall: median, lowest and highest ratio of the rounds, by the clock.
      processor: the same of the seconds of the process's processors; None where the
        two ran in processes of their own.
      seconds: the median of each, by the clock.
      batch_size: examples of a call.
    """

    section: str
    setting: str
    of: str
    to: str
    wall: Mapping[str, Any]
    processor: Mapping[str, Any] | None
    seconds: Mapping[str, float]
    batch_size: int

    def as_json(self) -> dict[str, Any]:
        """Return all there is to store."""
        return dataclasses.asdict(self)


def compared(
    section: str,
    setting: str,
    samples: Mapping[str, Sequence[Sample]],
    pairs: Iterable[tuple[str, str]],
    batch_size: int,
) -> list[Comparison]:
    """Return the comparisons of samples of the same rounds.

    `pairs` are names in `samples`: what is compared, and to what.
    """
    return [
        Comparison(
            section,
            setting,
            of,
            to,
            spread(ratios(samples[to], samples[of])),
            spread(ratios(samples[to], samples[of], "processor")),
            {name: median_wall(samples[name]) for name in (of, to)},
            batch_size,
        )
        for of, to in pairs
    ]


def median_wall(samples: Sequence[Sample]) -> float:
    """Return the middle of the seconds on the clock."""
    return statistics.median(sample.wall for sample in samples)


def document(comparisons: Sequence[Comparison]) -> str:
    """Return a Markdown table of comparisons."""
    rows = [
        [
            c.setting,
            str(c.batch_size),
            f"{c.of} / {c.to}",
            f"{c.wall['median']:.2f}",
            f"{c.wall['low']:.2f} to {c.wall['high']:.2f}",
            f"{c.processor['median']:.2f}" if c.processor else "",
            str(c.wall["repeats"]),
        ]
        for c in comparisons
    ]
    header = ["setting", "batch", "what / than what", "times as fast", "rounds"]
    return table([*header, "by processor time", "number of rounds"], rows)
