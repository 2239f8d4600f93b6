"""Pool the seeds of one protocol into a cell of a table."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lra_fnet.report.sources import Run
from lra_fnet.report.statistics import (
    Answers,
    one_seed,
    seeds_and_examples,
    seeds_with_counts,
)

# What a mark beside a number means, in the order of the legend.
MARKS = {
    "one seed": "one seed: the interval covers test examples alone, not other seeds",
    "counts": "no answers to each example: interval and tests from counts, cautious",
    "chosen on test": "parameters chosen on the test split itself, as in the original",
    "other program": "made by another program, which alone vouches for its protocol",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """Hold the results of one protocol on one test split, a run for each seed.

    Attributes:
      runs: in the order of their seeds.
    """

    runs: Sequence[Run]

    @property
    def first(self) -> Run:
        """Return the run that stands for what the seeds share."""
        return self.runs[0]

    @property
    def task(self) -> str:
        """Return the column."""
        return self.first.content["task"]

    @property
    def row(self) -> str:
        """Return the row."""
        return row_name(self.first.content)

    @property
    def seeds(self) -> list[int]:
        """Return the seeds."""
        return [run.content["seed"] for run in self.runs]

    @property
    def examples(self) -> int:
        """Return the number of test examples."""
        return self.first.content["test"]["examples"]

    @functools.cached_property
    def answers(self) -> Answers:
        """Return the accuracy over seeds and examples, and the answers if all known."""
        counts = [run.content["test"]["correct"] for run in self.runs]
        known = [run.correct for run in self.runs if run.correct is not None]
        correct = np.stack(known) if len(known) == len(self.runs) else None
        if len(self.runs) == 1:
            return Answers(one_seed(counts[0], self.examples), correct)
        if correct is None:
            return Answers(seeds_with_counts(counts, self.examples))
        return Answers(seeds_and_examples(correct), correct)

    @property
    def accuracy(self) -> float:
        """Return the mean accuracy over seeds, a share in [0, 1]."""
        return self.answers.estimate.mean

    @property
    def marks(self) -> list[str]:
        """Return the keys of MARKS that hold of it."""
        held = {
            "one seed": len(self.runs) == 1,
            "counts": self.answers.correct is None,
            "chosen on test": any(
                run.get("data.validation_is_test") for run in self.runs
            ),
            "other program": any(is_foreign(run) for run in self.runs),
        }
        return [mark for mark in MARKS if held[mark]]

    def mean(self, name: str) -> float | None:
        """Return the mean over seeds of a dotted field; None where one lacks it."""
        values = [run.get(name) for run in self.runs]
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if len(known) == len(values) else None


def row_name(content: Mapping[str, Any]) -> str:
    """Return the row of a result: its mixer, and what a row may choose besides.

    >>> row_name({"model": "fnet", "config": {"hybrid": {
    ...     "mixer": "transformer", "num_layers": 2, "layout": "top"}}})
    'fnet + 2 transformer (top)'
    """
    name = content["model"]
    hybrid = content.get("config", {}).get("hybrid", {})
    if hybrid.get("num_layers"):
        layers, layout = hybrid["num_layers"], hybrid["layout"]
        name = f"{name} + {layers} {hybrid['mixer']} ({layout})"
    if content.get("rules", {}).get("parity"):
        name = f"{name}, equal {content['rules']['parity']}"
    return name


def is_foreign(run: Run) -> bool:
    """Return whether another program made a result: nothing here checked its rules."""
    return run.get("config_hash") is None or run.get("rules") is None


def pool(runs: Iterable[Run]) -> tuple[list[Cell], list[str]]:
    """Pool runs of the same protocol and data over seeds.

    Returns the cells, and a line for each seed that has several different results, of
    which the newest counts.
    """
    groups: dict[tuple[Any, ...], dict[int, list[Run]]] = {}
    for run in runs:
        seeds = groups.setdefault(_protocol(run), {})
        seeds.setdefault(run.content["seed"], []).append(run)
    cells, remarks = [], []
    for seeds in groups.values():
        chosen = {seed: max(found, key=_age) for seed, found in seeds.items()}
        cells.append(Cell([chosen[seed] for seed in sorted(chosen)]))
        remarks += [
            _remark(chosen[seed], found)
            for seed, found in sorted(seeds.items())
            if any(run.content != chosen[seed].content for run in found)
        ]
    return cells, remarks


def _protocol(run: Run) -> tuple[Any, ...]:
    """Return what runs of the same cell share."""
    content = run.content
    test_split = content["data"]["checksum"], content["test"]["examples"]
    names = content["task"], row_name(content), content["recipe"]
    return *names, content.get("config_hash", ""), *test_split


def _age(run: Run) -> tuple[str, int, str]:
    """Return what is largest for the newest of several results.

    Files of results that do not say when they were finished may be older copies of
    others, or newer; those that do say it come first.
    """
    return run.content.get("finished", ""), run.modified, str(run.path)


def _remark(chosen: Run, found: Sequence[Run]) -> str:
    """Say which of several results of a seed counts."""
    content = chosen.content
    others = ", ".join(str(run.path) for run in found if run is not chosen)
    return (
        f"{row_name(content)} on {content['task']}, seed {content['seed']}, has "
        f"different results: the newest, {chosen.path}, counts, and not {others}"
    )
