"""The report: index.html, which asks nothing of any network, and tables as files."""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from lra_fnet.report import accuracy, figures, learning, published, sentences, tables
from lra_fnet.report.accuracy import AccuracyTable, NotComparable
from lra_fnet.report.documents import with_tables
from lra_fnet.report.load import load, results_csv
from lra_fnet.report.speed import BASE, SpeedTable, speed_tables
from lra_fnet.report.tables import as_markdown
from lra_fnet.result import DIRTY
from lra_fnet.workdir import write_text
from tasks import task_title

DEFAULT_FOLDERS = ["results", "runs"]
PAGE, MARKDOWN, STYLE = "page.html", "table.md", "page.css"


class Report(NamedTuple):
    """All that is shown.

    Attributes:
      runs: one row a result file.
      tables: of comparable configurations, the one to begin with first.
      excluded: configurations that are not comparable with any table.
      speeds: tables of speed measurements, by device and sizes.
      remarks: what a reader should know of the files.
      bad_files: a line for each file that was left out.
    """

    runs: pd.DataFrame
    tables: Sequence[AccuracyTable]
    excluded: Sequence[NotComparable]
    speeds: Sequence[SpeedTable]
    remarks: Sequence[str]
    bad_files: Sequence[str]

    @property
    def lead(self) -> AccuracyTable | None:
        """Return the table to begin with; None where there is no result."""
        return self.tables[0] if self.tables else None

    @property
    def order(self) -> list[str]:
        """Return all rows, which decides the colors of the figures."""
        rows = [row for table in self.tables for row in table.rows]
        rows += [mixer for table in self.speeds for mixer in table.mixers]
        return accuracy.ordered(rows, accuracy.MIXERS)

    def summary(self) -> str:
        """Say how much was read."""
        mixers = sentences.plural(self.runs["mixer"].nunique(), "mixer")
        tasks = sentences.plural(self.runs["task"].nunique(), "task")
        return f"{sentences.plural(len(self.runs), 'result')}: {mixers} on {tasks}"

    def origin(self) -> str:
        """Say which machines and which code the runs are of."""
        machines = self.runs["machine"].replace("", "unknown").value_counts()
        where = "; ".join(f"{name} ({count})" for name, count in machines.items())
        commits = self.runs["commit"].dropna()
        changed = int(commits.str.endswith(DIRTY).sum())
        code = sentences.plural(commits.str.removesuffix(DIRTY).nunique(), "commit")
        runs = sentences.plural(changed, "run")
        more = f" ({runs} with changes not committed)" if changed else ""
        return f"Made on {where}, by {code}{more}" if where else ""

    def findings(self) -> list[str]:
        """Return what a reader should take from all this, in a few sentences."""
        lines = sentences.findings(self.lead) if self.lead else []
        return [*lines, *filter(None, (table.finding() for table in self.speeds))]

    def how_sure(self) -> str:
        """Say what the intervals and tests of the first table cover."""
        return sentences.how_sure(self.lead) if self.lead else ""


def write_report(folders: list[str], to: Path, documents: Iterable[Path] = ()) -> int:
    """Write page and tables of all results; return the exit status.

    It is 1 if a file had to be left out. Default folders that do not exist are skipped.

    Args:
      folders: with results.
      to: where files are written.
      documents: files of Markdown, whose marked tables are written anew.

    Raises:
      ValueError: a folder that was named does not exist, or a mark has no table.
      OSError: a document does not exist.
    """
    missing = [name for name in folders if not Path(name).is_dir()]
    if missing and folders != DEFAULT_FOLDERS:
        raise ValueError(f"no folder {missing[0]}; runs names folders with results")
    report = read_report([Path(name) for name in folders])
    texts = {
        "index.html": page(report),
        "table.md": markdown(report),
        "table.csv": table_csv(report),
        "results.csv": results_csv(report.runs),
    }
    if panels := overview_panels(report):
        texts["overview.svg"] = figures.overview(panels)
    if tradeoffs := tradeoff_panels(report):
        texts["tradeoff.svg"] = figures.tradeoff(tradeoffs)
    files = {to / name: text for name, text in texts.items()}
    for path in documents:
        files[path] = with_tables(path.read_text(), report.tables, report.speeds)
    to.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        write_text(path, text)
    print(f"{report.summary()}; wrote {', '.join(map(str, files))}")
    for line in [*report.findings(), *report.remarks]:
        print(f"  {line}")
    for line in report.bad_files:
        print(f"left out: {line}", file=sys.stderr)
    return 1 if report.bad_files else 0


def overview_panels(report: Report) -> list[figures.Panel]:
    """Return the accuracies of the table to begin with, a panel a task."""
    if report.lead is None:
        return []
    panels = []
    for task in report.lead.tasks:
        column = report.lead.column(task)
        own = {row: found.estimate for row, found in column.items()}
        baselines = {
            name: by_task[task]
            for name, by_task in report.lead.baselines.items()
            if task in by_task
        }
        best = max(baselines.items(), key=lambda item: item[1], default=None)
        rows = [(row, each.mean, each.low, each.high) for row, each in own.items()]
        panels.append(figures.Panel(task_title(task), rows, best))
    return [panel for panel in panels if panel.rows]


def tradeoff_panels(report: Report) -> list[figures.Tradeoff]:
    """Return accuracy against measured speed, for tasks with at least two mixers.

    Speeds are those of the table that has most mixers at the task's length.
    """
    if report.lead is None or not report.speeds:
        return []
    panels = []
    for task in report.lead.tasks:
        measured = max((each.at_length_of(task) for each in report.speeds), key=len)
        column = report.lead.column(task)
        found = {row: column[row].estimate for row in measured if row in column}
        points = [
            (row, *measured[row], own.mean, own.low, own.high)
            for row, own in found.items()
        ]
        if len(points) > 1:
            panels.append(figures.Tradeoff(task_title(task), BASE, points))
    return panels


def read_report(folders: Sequence[Path]) -> Report:
    """Return what is shown of all files below some folders."""
    found = load(folders)
    configurations, remarks = accuracy.pool(found.runs)
    tables, excluded = accuracy.arrange(configurations, found.failures)
    remarks = [*remarks, *accuracy.failed_seeds(tables, found.failures)]
    speeds = speed_tables(found.speeds)
    return Report(found.runs, tables, excluded, speeds, remarks, found.bad_files)


def page(report: Report) -> str:
    """Return index.html; the same bytes for the same report."""
    style = Markup((Path(__file__).parent / STYLE).read_text())
    return _rendered(PAGE, report, style=style).strip() + "\n"


def markdown(report: Report) -> str:
    """Return table.md."""
    return re.sub(r"\n{3,}", "\n\n", _rendered(MARKDOWN, report)).strip() + "\n"


def table_csv(report: Report) -> str:
    """Return one row a configuration, trivial baseline and failure."""
    frame = accuracy.as_frame(report.tables, report.excluded)
    return frame.to_csv(index=False, lineterminator="\n")


def _rendered(name: str, report: Report, **more: Any) -> str:
    """Return what a template makes of a report."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    draw = partial(_drawn, report.order, count())
    environment.filters |= {"drawn": draw, "markdown": as_markdown, "number": _number}
    more |= {"learning": learning, "published": published, "tables": tables}
    template = environment.get_template(name)
    return template.render(report=report, sentences=sentences, **more)


def _drawn(order: Sequence[str], numbers: Iterator[int], plot: figures.Plot) -> Markup:
    """Return a plot as an SVG element, which is no text to escape."""
    return Markup(figures.drawn(plot, order, f"figure{next(numbers)}"))


def _number(value: int | float | None, divisor: int = 1) -> str:
    """Return a number that a run may lack."""
    if isinstance(value, int) and divisor == 1:
        return f"{value:,}"
    return "not given" if value is None else sentences.short(value / divisor)
