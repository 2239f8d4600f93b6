"""Accuracy tables: seeds pooled, what is comparable, ranks, averages over tasks."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from configs.grid import MIXERS
from lra_fnet.config import MOST_PARAMETERS, OFFICIAL, RECIPES, TOO_MANY
from lra_fnet.report.published import (
    GUESS,
    SIX,
    Published,
    all_published,
    published_rows,
)
from lra_fnet.report.statistics import (
    Estimate,
    Pair,
    Part,
    all_pairs,
    estimate,
    half_width,
    ranks,
)

SAMPLE = "sample"  # source of made-up data
PATHX = "pathx"
BASELINE = "trivial_baselines."

# What a mark beside a number means, in the order of the legend.
MARKS = {
    "one seed": "one seed: the interval covers test examples, not other seeds",
    "counts": "answers to each example are not known: interval and tests use counts "
    "alone and are cautious",
    "selected on test": "parameters selected on the test split",
    "other program": "made by another program, which alone vouches for its rules",
    "parameters": f"more than {MOST_PARAMETERS:g} times the parameters of the base "
    "Transformer, which the rules of the benchmark forbid",
}
WHY_RECIPE = {
    OFFICIAL: "",
    "strong": "a modern budget and other sizes than the released ones",
    "small": "a budget for two CPU cores: small models, a few passes over all data",
    "quick": "small models and minutes of training, to see that everything works",
}
WHY_SAMPLE = "the data are a small made-up sample, which says nothing about the task"
WHY_PIXELS = "pixels enter as real numbers, not as token ids"
WHY_CURRICULUM = "training begins with simpler images that the original has not"
WHY_PAPERS = "citation pairs of other papers than the release's"

# What runs of one configuration on one test split share.
SHARED = ["task", "row", "recipe", "config_hash", "data.checksum", "test.examples"]

# Kinds of failures that are the mixer's, whenever they come.
TRIED = ("memory", "not finite")

Key = tuple[str, str]  # row and task


# ---------------------------------------------------------------------------
# Configurations


@dataclass(frozen=True, eq=False)
class Configuration:
    """Accuracy of one configuration on one test split, pooled over seeds.

    Attributes:
      runs: rows of the data frame, one a seed, in the order of the seeds.
    """

    runs: pd.DataFrame

    def get(self, name: str) -> Any:
        """Return the value of a column in the first run; None where it has none."""
        return self.runs[name].iloc[0] if name in self.runs else None

    def mean(self, name: str) -> float | None:
        """Return the mean over seeds of a column; None where one has no value."""
        values = self.runs[name]
        return None if values.isna().any() else float(values.astype(float).mean())

    @property
    def key(self) -> Key:
        """Return row and task: where it is in a table."""
        return self.get("row"), self.get("task")

    @property
    def seeds(self) -> list[int]:
        """Return the seeds."""
        return self.runs["seed"].tolist()

    @cached_property
    def estimate(self) -> Estimate:
        """Return the accuracy over seeds and test examples."""
        known = self.runs["answers"].notna().all()
        answers = np.stack(self.runs["answers"].tolist()) if known else None
        counts = self.runs["test.correct"].tolist()
        return estimate(counts, self.get("test.examples"), answers)

    @property
    def commands(self) -> list[str]:
        """Return the commands that repeat it; seeds of one program share theirs."""
        return self.runs["command"].dropna().drop_duplicates().tolist()

    @property
    def has_more_parameters(self) -> bool:
        """Return whether the benchmark's rules forbid the size of its model."""
        own, base = self.get("parameters"), self.get("rules.base_parameters")
        return bool(own and base and own > MOST_PARAMETERS * base)

    @property
    def marks(self) -> list[str]:
        """Return the keys of MARKS that apply."""
        foreign = self.runs[["config_hash", "rules.free_for_all"]].isna().any(axis=None)
        applies = {
            "one seed": len(self.runs) == 1,
            "counts": self.estimate.answers is None,
            "selected on test": self.runs["data.validation_is_test"].eq(True).any(),
            "other program": foreign,
            "parameters": self.has_more_parameters,
        }
        return [mark for mark in MARKS if applies[mark]]


def pool(runs: pd.DataFrame) -> tuple[list[Configuration], list[str]]:
    """Pool runs over seeds.

    Returns the configurations, and a line for each seed that has several different
    results, of which the newest counts. Files that say when their run finished are
    newer than others; among those the one written last.
    """
    runs = runs.sort_values(["finished", "modified", "path"], na_position="first")
    newest = runs.drop_duplicates([*SHARED, "seed"], keep="last").sort_values("seed")
    configurations = newest.groupby(SHARED, dropna=False)
    copies = runs.groupby([*SHARED, "seed"], dropna=False)
    remarks = [_remark(found) for _, found in copies if found["digest"].nunique() > 1]
    return [Configuration(found) for _, found in configurations], remarks


def _remark(found: pd.DataFrame) -> str:
    """Say which of several results of a seed counts."""
    *others, newest = found["path"]
    row, task, seed = found[["row", "task", "seed"]].iloc[-1]
    return (
        f"{row} on {task}, seed {seed}, has different results: the newest, {newest}, "
        f"counts; not {', '.join(others)}"
    )


# ---------------------------------------------------------------------------
# Tables of comparable configurations


class Ranking(NamedTuple):
    """The order of a column.

    Attributes:
      task: of the column.
      best: the row with the highest mean.
      ranks: by row; rank 1 is the best and all that cannot be told from it.
      margins: the best, as the first of each pair, and another row; the smallest
        difference first.
    """

    task: str
    best: str
    ranks: Mapping[str, int]
    margins: Sequence[Pair]

    @property
    def ties(self) -> list[Pair]:
        """Return the pairs of the best and a row that cannot be told from it."""
        return [pair for pair in self.margins if self.ranks[pair.second] == 1]


def ranking(task: str, column: Mapping[str, Configuration]) -> Ranking:
    """Compare all rows of a column that has at least one."""
    estimates = {row: found.estimate for row, found in column.items()}
    best = max(estimates, key=lambda row: estimates[row].mean)
    order = [best, *(row for row in estimates if row != best)]
    pairs = all_pairs({row: estimates[row] for row in order})
    margins = [pair for pair in pairs if pair.first == best]
    margins.sort(key=lambda pair: pair.comparison.difference)
    return Ranking(task, best, ranks(order, pairs), margins)


class Average(NamedTuple):
    """A mean over tasks, in [0, 1], and its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class AccuracyTable:
    """Configurations that may be compared within a column.

    Attributes:
      recipe: of all of them.
      sample: whether their data are the made-up sample.
      configurations: by row and task.
      failures: reasons of failed runs by row and task, where there is no result.
      tried: the failures for want of memory, of a loss that is not finite, or after
        the first step. Others, such as missing data, say nothing of the mixer.
    """

    recipe: str
    sample: bool
    configurations: Mapping[Key, Configuration]
    failures: Mapping[Key, str]
    tried: Container[Key]

    @property
    def name(self) -> str:
        """Return what the table is called."""
        return f"{self.recipe}, sample data" if self.sample else self.recipe

    @property
    def official(self) -> bool:
        """Return whether published numbers are comparable with it."""
        return self.recipe == OFFICIAL and not self.sample

    @property
    def why_not_official(self) -> list[str]:
        """Return why it cannot be compared with published numbers."""
        unlike = ((why, t) for t in self.tasks for why in self.unlike_published(t))
        reasons = (
            WHY_RECIPE.get(self.recipe, "not the budget of the published table"),
            WHY_SAMPLE if self.sample else "",
            *(f"{task}: {why}" for why, task in sorted(unlike)),
        )
        return [reason for reason in reasons if reason]

    def unlike_published(self, task: str) -> set[str]:
        """Return what the runs of a task read that published results do not."""
        found = {unlike_published(own) for own in self.column(task).values()}
        return found - {""}

    @cached_property
    def tasks(self) -> list[str]:
        """Return the columns: the benchmark's in its order, then others."""
        return ordered((t for _, t in (*self.configurations, *self.failures)), SIX)

    @cached_property
    def rows(self) -> list[str]:
        """Return the rows: complete ones first, by their mean over the columns.

        Path-X, which many mixers cannot learn at all, does not count.
        """
        names = ordered((r for r, _ in (*self.configurations, *self.failures)), MIXERS)
        tasks = [task for task in self.tasks if task != PATHX] or self.tasks
        means = {row: self._mean(row, tasks) for row in names}
        complete = [row for row in names if means[row] is not None]
        complete.sort(key=lambda row: means[row] or 0.0, reverse=True)
        return [*complete, *(row for row in names if means[row] is None)]

    def column(self, task: str) -> dict[str, Configuration]:
        """Return the configurations of a task by row."""
        found = {row: self.configurations.get((row, task)) for row in self.rows}
        return {row: own for row, own in found.items() if own is not None}

    @cached_property
    def rankings(self) -> dict[str, Ranking]:
        """Return the order of every column that has a result."""
        columns = {task: self.column(task) for task in self.tasks}
        return {task: ranking(task, found) for task, found in columns.items() if found}

    @cached_property
    def baselines(self) -> dict[str, dict[str, float]]:
        """Return the accuracies of trivial baselines, by name and task."""
        found: dict[str, dict[str, float]] = {}
        for task in self.tasks:
            for own in self.column(task).values():
                first = own.runs.iloc[0].dropna()
                for name in first.index[first.index.str.startswith(BASELINE)]:
                    by_task = found.setdefault(name.removeprefix(BASELINE), {})
                    by_task.setdefault(task, first[name])
        return dict(sorted(found.items()))

    def average(self, row: str, tasks: Sequence[str]) -> Average | None:
        """Return a row's average over tasks; None if one of them has not been run.

        A Path-X that failed, or is no better than a guess, counts as a guess, as in
        the published tables.
        """
        guessed = PATHX in tasks and self.failed_pathx(row)
        counted = [task for task in tasks if not (guessed and task == PATHX)]
        found = [self.configurations.get((row, task)) for task in counted]
        estimates = [own.estimate for own in found if own]
        if len(estimates) < len(counted):
            return None
        total = sum(own.mean for own in estimates) + guessed * GUESS / 100
        parts = [part for own in estimates for part in own.parts]
        reach = half_width([Part(v / len(tasks) ** 2, freedom) for v, freedom in parts])
        mean = total / len(tasks)
        return Average(mean, mean - reach, mean + reach)

    def failed_pathx(self, row: str) -> bool:
        """Return whether Path-X failed or was not better than a guess."""
        found = self.configurations.get((row, PATHX))
        if found is None:
            return (row, PATHX) in self.failures and (row, PATHX) in self.tried
        return found.estimate.low <= GUESS / 100

    def published(self, row: str, task: str) -> Published | None:
        """Return the published number that a configuration is comparable with.

        Both need the released budget and the same inputs. A hybrid, or a mixer of other
        sizes than its own, has another name and so no published number.
        """
        numbers = all_published(row, task) if self.official else []
        return next(
            (number for number in numbers if number.row.source.lra_inputs), None
        )

    def published_average(self, row: str, tasks: Sequence[str]) -> float | None:
        """Return the published average of a row in percent; None without one."""
        lines = published_rows(row) if self.official else []
        found = (own.averages for own in lines if own.source.lra_inputs)
        return next(found, (None, None))[len(tasks) == len(SIX)]

    def _mean(self, row: str, tasks: Sequence[str]) -> float | None:
        """Return a row's mean accuracy; None if a task is missing."""
        found = [self.configurations.get((row, task)) for task in tasks]
        means = [own.estimate.mean for own in found if own]
        return sum(means) / len(tasks) if len(means) == len(tasks) else None


# ---------------------------------------------------------------------------
# What is comparable


class NotComparable(NamedTuple):
    """A configuration that belongs to no table, and why."""

    configuration: Configuration
    reasons: Sequence[str]


def arrange(
    configurations: Iterable[Configuration], failures: pd.DataFrame
) -> tuple[list[AccuracyTable], list[NotComparable]]:
    """Make the tables, the official one first; list what is not comparable."""
    groups: dict[tuple[str, bool], list[Configuration]] = {}
    excluded = []
    for found in configurations:
        if reasons := broken_rules(found):
            excluded.append(NotComparable(found, reasons))
        else:
            key = found.get("recipe"), found.get("data.source") == SAMPLE
            groups.setdefault(key, []).append(found)
    failed = _failures(failures)
    is_tried = failures["kind"].isin(TRIED) | failures["step"].gt(0)
    tables = []
    for recipe, sample in sorted(groups.keys() | failed.keys(), key=_order):
        kept, others = one_of_each(groups.get((recipe, sample), []))
        reasons_of = failed.get((recipe, sample), {})
        own = is_tried & failures["recipe"].eq(recipe) & failures["sample"].eq(sample)
        tried = set(zip(failures["row"][own], failures["task"][own], strict=True))
        missing = {key: why for key, why in reasons_of.items() if key not in kept}
        tables.append(AccuracyTable(recipe, sample, kept, missing, tried))
        excluded += others
    excluded.sort(key=lambda found: found.configuration.key[::-1])
    return [t for t in tables if t.configurations or t.failures], excluded


def broken_rules(found: Configuration) -> list[str]:
    """Return why a configuration is comparable with no other of its recipe.

    Only under the released budget is it so by its number of parameters. Earlier code
    said it of runs of all recipes.
    """
    official = found.get("recipe") == OFFICIAL
    lines = found.runs["rules.reasons"].dropna()
    said = sorted({reason for reasons in lines for reason in reasons})
    counted = [why for why in said if official or not why.endswith(TOO_MANY)]
    is_free = found.runs["rules.free_for_all"].eq(True).any()
    if is_free and (counted or not said):
        return ["free-for-all under the rules of the benchmark", *counted]
    unlike = unlike_published(found)
    return [unlike] if unlike and official else []


def unlike_published(found: Configuration) -> str:
    """Return what it reads that published results do not; empty if nothing."""
    differences = (
        (WHY_PIXELS, found.get("config.encoder.inputs") == "values"),
        (WHY_CURRICULUM, (found.get("config.data.curriculum") or 0) > 0),
        (WHY_PAPERS, found.get("data.source") == "papers"),
    )
    return "; ".join(why for why, differs in differences if differs)


def one_of_each(
    found: Sequence[Configuration],
) -> tuple[dict[Key, Configuration], list[NotComparable]]:
    """Choose the test split of each task, and one configuration of each row in it."""
    kept: dict[Key, Configuration] = {}
    excluded = []
    splits = _most_common_splits(found)
    for own in sorted(found, key=_preference):
        if _split(own) != splits[own.get("task")]:
            checksum = own.get("data.checksum")[:12]
            why = [f"other data than most of its column: {checksum}"]
            excluded.append(NotComparable(own, why))
        elif own.key in kept:
            excluded.append(NotComparable(own, differences(kept[own.key], own)))
        else:
            kept[own.key] = own
    return kept, excluded


def differences(kept: Configuration, other: Configuration) -> list[str]:
    """Return in what a configuration differs from the one that is in the table."""
    names = [name for name in kept.runs if name.startswith("config.")]
    skipped = ("config.run.", "config.seed", "config.num_seeds")
    changed = [
        f"{name.removeprefix('config.')}: {kept.get(name)} -> {other.get(name)}"
        for name in names
        if not name.startswith(skipped) and kept.get(name) != other.get(name)
    ]
    return ["the table has another configuration, with as many seeds or more", *changed]


def failed_seeds(tables: Iterable[AccuracyTable], failures: pd.DataFrame) -> list[str]:
    """Name the seeds that failed where others of their configuration did not."""
    seeds = {
        (table.recipe, *key): found.seeds
        for table in tables
        for key, found in table.configurations.items()
    }
    return sorted(
        f"{own.row} on {own.task}, recipe {own.recipe}: seed {own.seed} failed: "
        f"{own.reason}"
        for own in failures.itertuples()
        if own.seed not in seeds.get((own.recipe, own.row, own.task), [own.seed])
    )


def _failures(failures: pd.DataFrame) -> dict[tuple[str, bool], dict[Key, str]]:
    """Return the last failure by table and by row and task."""
    tables: dict[tuple[str, bool], dict[Key, str]] = {}
    for own in failures.itertuples():
        tables.setdefault((own.recipe, own.sample), {})[own.row, own.task] = own.reason
    return tables


def _order(key: tuple[str, bool]) -> tuple[Any, ...]:
    """Return where a table comes: real data, then the order of the recipes."""
    recipe, sample = key
    return sample, ordered({*RECIPES, recipe}, RECIPES).index(recipe), recipe


def _most_common_splits(found: Iterable[Configuration]) -> dict[str, Any]:
    """Return the test split that most configurations of each task have."""
    counts: dict[str, Counter[Any]] = {}
    for own in found:
        counts.setdefault(own.get("task"), Counter())[_split(own)] += 1
    return {
        task: min(counter, key=lambda split: (-counter[split], split))
        for task, counter in counts.items()
    }


def _split(found: Configuration) -> tuple[str, int]:
    """Return what names a test split."""
    return found.get("data.checksum"), found.get("test.examples")


def _preference(found: Configuration) -> tuple[Any, ...]:
    """Return what is smallest for the configuration with most seeds."""
    return -len(found.runs), found.get("config_hash") or "", found.get("path")


def ordered(names: Iterable[str], known: Sequence[str]) -> list[str]:
    """Return names in the known order, then the others by the alphabet."""
    found = set(names)
    return [*(name for name in known if name in found), *sorted(found - set(known))]


# ---------------------------------------------------------------------------
# All tables as one frame


def as_frame(
    tables: Sequence[AccuracyTable], excluded: Sequence[NotComparable]
) -> pd.DataFrame:
    """Return one row a configuration, trivial baseline and failure.

    Accuracies, and differences of them, are shares in [0, 1].
    """
    lines: list[dict[str, Any]] = []
    for table in tables:
        for _, found in sorted(table.configurations.items()):
            lines.append(_line(table.name, "comparable", found) | _rank(table, found))
        for mixer, by_task in table.baselines.items():
            for task, mean in by_task.items():
                own = {"task": task, "mixer": mixer, "mean": mean}
                lines.append({"table": table.name, "status": "trivial baseline", **own})
        for (row, task), reason in sorted(table.failures.items()):
            own = {"task": task, "mixer": row, "reasons": reason}
            lines.append({"table": table.name, "status": "failed", **own})
    for found, reasons in excluded:
        own = {"reasons": "; ".join(reasons)}
        lines.append(_line(found.get("recipe"), "not comparable", found) | own)
    return pd.DataFrame(lines, columns=COLUMNS, dtype=object)


# By the method that found them, of which one is not comparable with the other.
MEMORY_COLUMNS = {
    "allocator peak": "process_peak_bytes",
    "compiled memory analysis": "call_bytes",
}
COLUMNS = (
    *("table", "task", "mixer", "status", "reasons", "mean", "low", "high", "covers"),
    *("seeds", "correct", "examples", "rank", "behind_best", "p_behind_best"),
    *("published", "published_source", "difference", "marks"),
    *("steps", "parameters", "steps_per_second", "examples_per_second"),
    *("seeds_in_program", *MEMORY_COLUMNS.values(), "device_kind", "device_count"),
    *("config_hash", "data_source", "data_checksum", "commands", "files"),
)


def _line(table: str, status: str, found: Configuration) -> dict[str, Any]:
    """Return what a configuration says by itself."""
    row, task = found.key
    own, runs = found.estimate, found.runs
    first = {
        "steps": "steps",
        "parameters": "parameters",
        "seeds_in_program": "speed.seeds_in_program",
        "device_kind": "device.kind",
        "device_count": "device.count",
        "config_hash": "config_hash",
        "data_source": "data.source",
        "data_checksum": "data.checksum",
        "examples": "test.examples",
    }
    memory = MEMORY_COLUMNS.get(found.get("peak_memory.method"), "")
    first |= {memory: "peak_memory.bytes"} if memory else {}
    return {name: found.get(column) for name, column in first.items()} | {
        **{"table": table, "status": status, "task": task, "mixer": row},
        **{"mean": own.mean, "low": own.low, "high": own.high, "covers": own.covers},
        "seeds": " ".join(map(str, found.seeds)),
        "correct": " ".join(map(str, runs["test.correct"])),
        "marks": "; ".join(found.marks),
        "steps_per_second": found.mean("speed.steps_per_second"),
        "examples_per_second": found.mean("speed.examples_per_second"),
        "commands": "\n".join(found.commands),
        "files": "\n".join(runs["path"]),
    }


def _rank(table: AccuracyTable, found: Configuration) -> dict[str, Any]:
    """Return where a configuration is in its column, and what was published."""
    row, task = found.key
    column = table.rankings[task]
    margin = next((m for m in column.margins if m.second == row), None)
    number = table.published(row, task)
    mean, published = found.estimate.mean, number and number.accuracy / 100
    return {
        "rank": column.ranks[row],
        "behind_best": margin.comparison.difference if margin else 0.0,
        "p_behind_best": margin.adjusted if margin else None,
        "published": published,
        "published_source": number.source if number else None,
        "difference": mean - published if published else None,
    }
