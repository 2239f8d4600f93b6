"""Accuracies and speeds that others have published; the numbers: published.toml."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

SIX = ("listops", "text", "retrieval", "image", "pathfinder", "pathx")
FIVE = SIX[:5]  # without Path-X, which most published mixers cannot learn
GUESS = 50.0  # percent; what a failed Path-X counts in an average


class Source(NamedTuple):
    """A publication, and what its numbers are about.

    Attributes:
      citation: where they were read.
      protocol: "original", LRA's own code; "own", runs of a model's authors; "re-run",
        runs of others.
      lra_inputs: whether it is stated that inputs are LRA's token ids, pixels included.
        Only then is a difference to a run of this suite a difference of mixers.
      remark: what else a reader should know.
    """

    citation: str
    protocol: str
    lra_inputs: bool
    remark: str


@dataclass(frozen=True)
class Row:
    """A line of a published table.

    Attributes:
      name: of the model, as published.
      mixer: of this suite that stands for it, or "".
      source: where it was read.
      accuracies: percent by task.
      pathx_failed: whether Path-X was no better than a guess, or did not run.
      spreads: the published "plus or minus" by task, in points, where there is one.
    """

    name: str
    mixer: str
    source: Source
    accuracies: Mapping[str, float]
    pathx_failed: bool = False
    spreads: Mapping[str, float] | None = None

    @property
    def averages(self) -> tuple[float, float | None]:
        """Return the averages of five and of six tasks, a failed Path-X as a guess.

        >>> [round(average, 2) for average in published_rows("fnet")[0].averages]
        [55.3, 54.42]
        """
        five = sum(self.accuracies[task] for task in FIVE)
        last = GUESS if self.pathx_failed else self.accuracies.get("pathx")
        return five / 5, None if last is None else (five + last) / 6


class Published(NamedTuple):
    """A published test accuracy, in percent, and the line that it is from."""

    accuracy: float
    row: Row

    @property
    def source(self) -> str:
        """Return where it was read."""
        return self.row.source.citation


@cache
def read_published() -> Mapping[str, Any]:
    """Return what published.toml holds."""
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))


@cache
def all_rows() -> tuple[Row, ...]:
    """Return all lines, the original ones first."""
    found = read_published()
    sources = {key: Source(**source) for key, source in found["sources"].items()}
    rows = []
    for row in found["rows"]:
        row = row | {"source": sources[row["source"]]}
        for numbers in row.keys() & {"accuracies", "spreads"}:
            row[numbers] = dict(zip(found["tasks"], row[numbers], strict=False))
        rows.append(Row(**row))
    return tuple(rows)


def published_rows(mixer: str) -> list[Row]:
    """Return the published lines of a mixer of this suite."""
    return [row for row in all_rows() if row.mixer == mixer]


def all_published(mixer: str, task: str) -> list[Published]:
    """Return all published accuracies of a mixer on a task, the original's first."""
    found = [(row.accuracies.get(task), row) for row in published_rows(mixer)]
    return [Published(accuracy, row) for accuracy, row in found if accuracy is not None]


def published(mixer: str, task: str) -> Published | None:
    """Return the first published accuracy of a mixer on a task, None without one.

    >>> published("transformer", "listops").accuracy
    36.37
    """
    return next(iter(all_published(mixer, task)), None)
