"""How mixers learned, and on which examples they fail: curves, times, breakdowns."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lra_fnet.report.accuracy import AccuracyTable, Configuration
from lra_fnet.report.figures import Plot, Series, limited
from lra_fnet.report.published import FIVE
from lra_fnet.report.sentences import DASH, NONE, percent, short
from lra_fnet.report.tables import TextTable
from lra_fnet.schema import MEMORY_OF, binomial_interval
from tasks import task_title

LEARNED = 0.9  # of the way from the worst first to the best accuracy of a column
LEAST_RISE = 2.0  # points; a column that rose by less has learned nothing
GIB = 2**30
SPEED, MEMORY = "speed.examples_per_second", "peak_memory.bytes"


# ---------------------------------------------------------------------------
# Learning curves


def curve(found: Configuration) -> Series:
    """Return the mean validation accuracy over steps, with its range over seeds.

    Only steps that all seeds have; no points where a run has no curve.
    """
    curves = [
        pd.Series({point["step"]: 100 * point["accuracy"] for point in points or []})
        for points in found.runs["curves.validation"]
    ]
    shared = pd.concat(curves, axis=1, join="inner").astype(float).sort_index()
    y, low, high = (
        [*statistic]
        for statistic in (shared.mean(axis=1), shared.min(axis=1), shared.max(axis=1))
    )
    return Series(found.key[0], [*shared.index], y, low, high)


def curve_over_time(found: Configuration) -> Series:
    """Return the curve over minutes of training."""
    line, rate = curve(found), found.mean("speed.steps_per_second")
    if not rate:
        return Series(line.name, [], [])
    return line._replace(x=[step / rate / 60 for step in line.x])


def curves(table: AccuracyTable) -> Iterator[Plot]:
    """Yield the curves of each task: over steps, and over time on one machine."""
    for task in table.tasks:
        found = [*table.column(task).values()]
        title = f"{task_title(task)}: validation accuracy"
        band = "The band is the range of the seeds."
        if lines := [line for line in map(curve, found) if line.x]:
            labels = title, "training steps", "accuracy, %"
            plot = Plot(*labels, lines, note="Mean over seeds.")
            yield limited(plot, table.rows, band)
        timed, machine = same_machine(found)
        if lines := [line for line in map(curve_over_time, timed) if line.x]:
            minutes = "minutes of training, without compilation and evaluation"
            labels = f"{title} against time", minutes, "accuracy, %"
            plot = Plot(*labels, lines, note=f"On {machine}.")
            yield limited(plot, table.rows, band)


def times_to_learn(table: AccuracyTable) -> list[TextTable]:
    """Return a table of minutes to an accuracy, or none: rows mixers, columns tasks.

    The accuracy is 90 % of the way from the lowest first validation to the highest one
    of the column: a fixed one would be trivial or out of reach.
    """
    columns: dict[str, dict[str, str]] = {}
    machines = set()
    for task in table.tasks:
        found, machine = same_machine(table.column(task).values())
        lines = [line for line in map(curve_over_time, found) if line.x]
        if goal := learned_at(lines):
            machines.add(machine)
            minutes = {line.name: _minutes(line, goal) for line in lines}
            columns[f"{task_title(task)} to {percent(goal / 100)} %"] = minutes
    if not columns:
        return []
    rows = [
        [row, *(minutes.get(row, NONE) for minutes in columns.values())]
        for row in table.rows
        if any(row in minutes for minutes in columns.values())
    ]
    note = (
        f"Validation accuracy, {LEARNED:.0%} of the way to the best of the column; "
        f"without compilation and evaluation. On {'; '.join(sorted(machines))}."
    )
    header = ["mixer", *columns]
    return [TextTable("Minutes of training to learn a task", header, rows, note)]


def learned_at(lines: Sequence[Series]) -> float | None:
    """Return the accuracy, in percent, at which a task counts as learned.

    None where no line learned it.

    >>> learned_at([Series("a", [1, 2], [10.0, 80.0])])
    73.0
    """
    start = min((line.y[0] for line in lines), default=0.0)
    rise = max((max(line.y) for line in lines), default=0.0) - start
    return (
        math.floor(10 * (start + LEARNED * rise)) / 10 if rise >= LEAST_RISE else None
    )


def _minutes(line: Series, goal: float) -> str:
    """Return when a curve first reaches the goal."""
    reached = (x for x, y in zip(line.x, line.y, strict=True) if y >= goal)
    return next(map(short, reached), "not reached")


# ---------------------------------------------------------------------------
# Accuracy by features of the examples


def breakdown(found: Configuration, feature: str) -> pd.DataFrame:
    """Return one row a part of the test split, named by what its examples share.

    Columns: correct, the mean over seeds; examples; low and high, of a number. No rows
    where the runs have not all the same parts.
    """
    columns = [(own or {}).get(feature, []) for own in found.runs["breakdown"]]
    names = [[part_name(part) for part in parts] for parts in columns]
    if any(own != names[0] for own in names):
        columns, names = [[]], [[]]
    frame = pd.DataFrame(columns[0], columns=["correct", "examples", "low", "high"])
    correct = [[part["correct"] for part in parts] for parts in columns]
    frame["correct"] = np.mean(np.array(correct, float), axis=0)
    return frame.set_axis(names[0], axis=0)


def part_name(part: Mapping[str, Any]) -> str:
    """Return the word or the range that the examples of a part share.

    >>> part_name({"low": 3.0, "high": 5.0}), part_name({"low": 7.0, "high": 7.0})
    ('3–5', '7')
    """
    low, high = part.get("low"), part.get("high")
    if part.get("value") or low is None or high is None:
        return part.get("value") or "not named"
    return f"{low:,.10g}" if low == high else f"{low:,.10g}{DASH}{high:,.10g}"


def breakdown_tables(table: AccuracyTable) -> Iterator[TextTable]:
    """Yield a table for each feature of each task: rows mixers, columns parts."""
    for task, feature, frames in _features(table):
        first = next(iter(frames.values()))
        rows = [["examples", *(f"{count:,}" for count in first["examples"])]]
        for row, frame in frames.items():
            if frame.index.equals(first.index):
                rows.append([row, *map(_share, frame["correct"], frame["examples"])])
        title = f"{task_title(task)}: accuracy by {feature}, %"
        yield TextTable(title, [feature, *first.index], rows)


def breakdown_plots(table: AccuracyTable) -> Iterator[Plot]:
    """Yield a figure for each feature that is a number."""
    for task, feature, frames in _features(table):
        lines = [_breakdown_line(row, frame) for row, frame in frames.items()]
        if lines := [line for line in lines if line.x]:
            title = f"{task_title(task)}: accuracy by {feature}"
            plot = Plot(title, feature, "test accuracy, %", lines)
            band = "The band is the 95 % interval over test examples."
            yield limited(plot, table.rows, band)


def _features(
    table: AccuracyTable,
) -> Iterator[tuple[str, str, dict[str, pd.DataFrame]]]:
    """Yield task, feature, and the parts of each row that has it."""
    for task in table.tasks:
        column = table.column(task)
        found = [found.get("breakdown") or {} for found in column.values()]
        names = dict.fromkeys(n for own in found for n in own if len(own[n]) > 1)
        for name in names:
            frames = {row: breakdown(found, name) for row, found in column.items()}
            frames = {row: frame for row, frame in frames.items() if len(frame)}
            if frames:
                yield task, name, frames


def _breakdown_line(row: str, parts: pd.DataFrame) -> Series:
    """Return accuracy against the middle of each range; no points for words."""
    parts = parts[parts["examples"] > 0].dropna()
    bounds = [  # of the mean seed: all seeds have the same examples
        binomial_interval(round(correct), examples)
        for correct, examples in zip(parts["correct"], parts["examples"], strict=True)
    ]
    return Series(
        row,
        [*(parts["low"] + parts["high"]).astype(float) / 2],
        [*100 * parts["correct"] / parts["examples"]],
        [100 * low for low, _ in bounds],
        [100 * high for _, high in bounds],
    )


def _share(correct: float, examples: int) -> str:
    """Return the accuracy on a part."""
    return percent(correct / examples) if examples else NONE


# ---------------------------------------------------------------------------
# Accuracy against speed


def bubbles(table: AccuracyTable) -> Iterator[Plot]:
    """Yield accuracy against speed with memory as area: LRA's own picture.

    First the average of five tasks against the speed on Text, then each task.
    """
    text = FIVE[1]
    averages = {row: table.average(row, FIVE) for row in table.rows}
    means = {row: found.mean for row, found in averages.items() if found}
    column = {row: found for row, found in table.column(text).items() if row in means}
    title = f"Average of five tasks against speed on {task_title(text)}"
    plots = [_bubbles(column, means, title, "average accuracy, %")]
    for task in table.tasks:
        column = table.column(task)
        means = {row: found.estimate.mean for row, found in column.items()}
        title = f"{task_title(task)}: accuracy against speed"
        plots.append(_bubbles(column, means, title, "test accuracy, %"))
    return (plot for plot in plots if plot)


def _bubbles(
    column: Mapping[str, Configuration],
    means: Mapping[str, float],
    title: str,
    y_label: str,
) -> Plot | None:
    """Return the bubbles of what one machine has run; None for less than two."""
    found, machine = same_machine(column.values())
    series = []
    for own in found:
        row, speed, memory = own.key[0], own.mean(SPEED), own.mean(MEMORY)
        if speed and memory:
            size = memory / GIB
            series.append(Series(row, [speed], [100 * means[row]], size=size))
    if len(series) < 2:
        return None
    sizes = [bubble.size for bubble in series]
    others = [row for row in column if row not in {s.name for s in series}]
    method = found[0].get("peak_memory.method")
    area = f"memory of {MEMORY_OF.get(method, method)}"
    note = f"On {machine}. Area: {area}, {min(sizes):.2g} to {max(sizes):.2g} GiB."
    note += f" Not measured there: {', '.join(others)}." if others else ""
    return Plot(title, "training examples per second", y_label, series, note=note)


def same_machine(found: Iterable[Configuration]) -> tuple[list[Configuration], str]:
    """Return the configurations whose speeds are comparable, and their machine.

    Those of the device that most ran on, with as many seeds in a program.
    """
    machines = [(own, own.runs["machine"].unique()) for own in found]
    known = [(own, names[0]) for own, names in machines if len(names) == 1 and names[0]]
    counts = Counter(name for _, name in known)
    if not counts:
        return [], ""
    machine = min(counts, key=lambda name: (-counts[name], name))
    return [own for own, name in known if name == machine], machine
