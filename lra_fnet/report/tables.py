"""Tables of texts, as the page and table.md show them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tabulate import tabulate

from lra_fnet.report.accuracy import (
    MARKS,
    PATHX,
    AccuracyTable,
    NotComparable,
)
from lra_fnet.report.published import FIVE, SIX
from lra_fnet.report.sentences import (
    interval,
    p_words,
    percent,
    plural,
    points,
)
from tasks import task_title

MAJORITY = "majority class"
LETTERS = dict(zip(MARKS, "abcde", strict=True))
AVERAGES = {"Five tasks": FIVE, "Six tasks": SIX}


class TextTable(NamedTuple):
    """A table of texts.

    Attributes:
      title: above it.
      header: of its columns; the first names the rows.
      rows: as many texts each as the header has.
      note: below it.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def as_markdown(table: TextTable) -> str:
    r"""Return a table as Markdown, without its title and note.

    >>> print(as_markdown(TextTable("t", ["a", "b"], [["1", "|x|"]])))
    | a   | b     |
    |-----|-------|
    | 1   | \|x\| |
    """
    rows = [[text.replace("|", r"\|") for text in row] for row in table.rows]
    return tabulate(rows, table.header, tablefmt="github", disable_numparse=True)


class Entry(NamedTuple):
    """What an accuracy table shows for a row and a column, as texts.

    Attributes:
      mean, interval: percent; empty where there is no result.
      verdict: "best", "tied", "too few seeds to tell" or "".
      marks: letters of the legend.
      published, difference: percent and points; empty without a comparable number.
      reason: why there is no number.
    """

    mean: str = ""
    interval: str = ""
    verdict: str = ""
    marks: str = ""
    published: str = ""
    difference: str = ""
    reason: str = ""

    def __str__(self) -> str:
        """Return it for table.md."""
        marks = f"({self.marks})" if self.marks else ""
        words = [self.mean, f"[{self.interval}]", self.verdict, marks]
        published = f"; {self.published}, {self.difference}" if self.published else ""
        return self.reason or " ".join(filter(None, words)) + published


def header(table: AccuracyTable) -> list[str]:
    """Return the columns after that of the mixers: tasks, and averages that exist."""
    return [*map(task_title, table.tasks), *_averages(table)]


def entries(table: AccuracyTable) -> Iterator[tuple[str, list[Entry]]]:
    """Yield each row with its entries."""
    averages = [AVERAGES[name] for name in _averages(table)]
    for row in table.rows:
        own = [entry(table, row, task) for task in table.tasks]
        yield row, [*own, *(_average(table, row, tasks) for tasks in averages)]


def entry(table: AccuracyTable, row: str, task: str) -> Entry:
    """Return what is shown for a row and a task."""
    found = table.configurations.get((row, task))
    if found is None:
        return Entry(reason="failed" if (row, task) in table.failures else "not run")
    number, mean = table.published(row, task), found.estimate.mean
    return Entry(
        mean=percent(mean),
        interval=interval(found.estimate),
        verdict=verdict_of(table, row, task),
        marks="".join(LETTERS[mark] for mark in found.marks),
        published=f"{number.accuracy:.2f}" if number else "",
        difference=points(mean - number.accuracy / 100) if number else "",
    )


def verdict_of(table: AccuracyTable, row: str, task: str) -> str:
    """Return whether a row is best on a task, or cannot be told from the best."""
    column = table.rankings[task]
    verdicts = {pair.second: pair.verdict for pair in column.ties}
    if row != column.best or not column.margins:
        return verdicts.get(row, "")
    # A real tie says more than one of too few seeds.
    return min(verdicts.values(), default="best")


def baseline_rows(table: AccuracyTable) -> list[list[str]]:
    """Return the rows of the trivial baselines, in percent."""
    blanks = [""] * len(_averages(table))
    return [
        [
            f"trivial baseline: {name}",
            *(percent(by_task[t]) if t in by_task else "" for t in table.tasks),
            *blanks,
        ]
        for name, by_task in table.baselines.items()
    ]


def legend(table: AccuracyTable) -> dict[str, str]:
    """Return the meaning of each letter that the table uses."""
    used = {mark for found in table.configurations.values() for mark in found.marks}
    return {LETTERS[mark]: words for mark, words in MARKS.items() if mark in used}


def notes(table: AccuracyTable) -> Iterator[str]:
    """Yield what must be known to read the table."""
    if missing := [task_title(task) for task in FIVE if task not in table.tasks]:
        yield f"No averages: {', '.join(missing)} missing."
    guessed = [row for row in table.rows if table.failed_pathx(row)]
    if guessed and PATHX in table.tasks:
        yield (
            "Path-X counts 50 in the six-task average, as in published tables, where a "
            f"mixer failed or is no better than a guess: {', '.join(guessed)}."
        )
    for (row, task), reason in sorted(table.failures.items()):
        yield f"{row} failed on {task_title(task)}: {reason}"
    sources: dict[str, dict[str, None]] = {}
    for row, task in table.configurations:
        if number := table.published(row, task):
            source = f"{number.source} ({number.row.source.remark})"
            sources.setdefault(source, {})[row] = None
    for source, rows in sorted(sources.items()):
        yield f"Published: {source}: {', '.join(r for r in table.rows if r in rows)}"


def margins(table: AccuracyTable) -> Iterator[TextTable]:
    """Yield for each column how far the other rows are behind the best."""
    columns = ["mixer", "behind", "95 % interval", "adjusted p", "verdict", "test"]
    note = "The interval is that of the pair alone; p is corrected for all pairs."
    for task, column in table.rankings.items():
        rows = [
            [
                pair.second,
                f"{100 * pair.comparison.difference:.1f}",
                f"{points(pair.comparison.low)} to {points(pair.comparison.high)}",
                p_words(pair.adjusted),
                pair.verdict or "behind",
                pair.comparison.test,
            ]
            for pair in column.margins
        ]
        if rows:
            title = f"{task_title(task)}: behind {column.best}"
            yield TextTable(title, columns, rows, note)


def not_comparable(excluded: Sequence[NotComparable]) -> TextTable:
    """Return the configurations that belong to no accuracy table."""
    columns = ["mixer", "task", "recipe", "accuracy", "seeds", "why"]
    rows = [
        [
            found.key[0],
            task_title(found.key[1]),
            found.get("recipe"),
            f"{percent(found.estimate.mean)} [{interval(found.estimate)}]",
            str(len(found.seeds)),
            "; ".join(reasons),
        ]
        for found, reasons in excluded
    ]
    return TextTable("Single configurations", columns, rows)


def accuracy_table(table: AccuracyTable) -> TextTable:
    """Return an accuracy table with its trivial baselines for table.md."""
    rows = [[row, *map(str, own)] for row, own in entries(table)]
    columns = ["mixer", *header(table)]
    return TextTable("", columns, [*rows, *baseline_rows(table)])


def short_table(table: AccuracyTable) -> TextTable:
    """Return accuracies, seeds, the best trivial baseline and the majority class.

    A star: inputs are not those of published numbers. Of rows on several tasks, those
    that were run on one alone are left out.
    """
    stars = ["*" if table.unlike_published(task) else "" for task in table.tasks]
    titles = [
        f"{task_title(t)}{star}" for t, star in zip(table.tasks, stars, strict=True)
    ]
    rows = [
        [row, *(_short(table, row, task) for task in table.tasks)]
        for row in _widely_run(table)
    ]
    best, majority = ["best trivial baseline"], [MAJORITY]
    for task in table.tasks:
        by_name = {
            name: own[task] for name, own in table.baselines.items() if task in own
        }
        strongest = max(by_name, key=lambda name: by_name[name], default="")
        best.append(f"{percent(by_name[strongest])}, {strongest}" if by_name else "")
        majority.append(percent(by_name[MAJORITY]) if MAJORITY in by_name else "")
    columns = ["test accuracy, % [95 % interval]", *titles]
    return TextTable("", columns, [*rows, best, majority])


def _widely_run(table: AccuracyTable) -> list[str]:
    """Return the rows that were run on several tasks; all where none was."""
    run = Counter(row for row, _ in (*table.configurations, *table.failures))
    return [row for row in table.rows if run[row] > 1] or table.rows


def _short(table: AccuracyTable, row: str, task: str) -> str:
    """Return accuracy, interval and number of seeds; or why there is none."""
    shown, found = entry(table, row, task), table.configurations.get((row, task))
    if found is None:
        return shown.reason
    seeds = plural(len(found.seeds), "seed")
    return f"{shown.mean} [{shown.interval}], {seeds}"


def _averages(table: AccuracyTable) -> list[str]:
    """Return the averages that at least one row has."""
    return [
        name
        for name, tasks in AVERAGES.items()
        if any(table.average(row, tasks) for row in table.rows)
    ]


def _average(table: AccuracyTable, row: str, tasks: Sequence[str]) -> Entry:
    """Return what is shown for the average of a row."""
    found, number = table.average(row, tasks), table.published_average(row, tasks)
    if found is None:
        return Entry(reason="not all run")
    return Entry(
        mean=percent(found.mean),
        interval=interval(found),
        published="" if number is None else f"{number:.2f}",
        difference="" if number is None else points(found.mean - number / 100),
    )
