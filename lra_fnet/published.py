"""Look up accuracies that others have published. No JAX here."""

import dataclasses
from collections.abc import Iterator

from lra_fnet.published_numbers import ROWS, SOURCES, TASKS, Row

# What a failed task of two classes counts in an average: a guess.
GUESS = 50.0


@dataclasses.dataclass(frozen=True)
class Published:
    """Hold a published test accuracy.

    Attributes:
      accuracy: in percent.
      source: where it was read.
      name: of the model, as published.
      protocol: "original", "own" or "re-run"; see Source in published_numbers.
      lra_inputs: whether its inputs are LRA's token ids; only then is a difference to
        a run of this suite one of models.
      remark: what else a reader should know.
    """

    accuracy: float
    source: str
    name: str
    protocol: str
    lra_inputs: bool
    remark: str


def published(model: str, task: str) -> Published | None:
    """Return the first published accuracy of a model on a task, None without one.

    >>> published("transformer", "listops").accuracy
    36.37
    """
    return next(iter(all_published(model, task)), None)


def all_published(model: str, task: str) -> list[Published]:
    """Return all published accuracies of a mixer on a task, the original's first."""
    if task not in TASKS:
        return []
    rows = [(row, row.accuracies[TASKS.index(task)]) for row in published_rows(model)]
    return [_as_published(row, cell) for row, cell in rows if cell is not None]


def published_rows(model: str) -> Iterator[Row]:
    """Yield the published lines of a mixer of this suite."""
    return (row for row in ROWS if row.model == model)


def averages(row: Row) -> tuple[float | None, float | None]:
    """Return a line's averages of five and of six tasks, a failed Path-X as a guess.

    >>> row = next(published_rows("fnet"))
    >>> [round(average, 2) for average in averages(row)]
    [55.3, 54.42]
    """
    *five, last = row.accuracies
    if row.pathx_failed:
        last = GUESS
    known = [value for value in five if value is not None]
    if len(known) < len(five):
        return None, None
    return sum(known) / 5, None if last is None else (sum(known) + last) / 6


def _as_published(row: Row, accuracy: float) -> Published:
    """Return one number of a line."""
    source = SOURCES[row.source]
    return Published(
        accuracy,
        source.citation,
        row.name,
        source.protocol,
        source.lra_inputs,
        source.remark,
    )
