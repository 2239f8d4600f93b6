"""What a job needs on accelerators, as far as `make compile` has found out."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from configs import grid
from lra_fnet.compile.tables import Row, needed_gib, read_rows
from lra_fnet.table.jobs import RESULTS, Job

COMPILED = RESULTS / "compile"
NOTE = (
    "GiB that one device needs, micro-batches in brackets where there are several: "
    "known by compiling, docs/accelerators.md"
)
# Where examples come from does not change how many bytes they have.
FREE = {"data.source", "data.directory"}

Rows = Mapping[tuple[str, str, str], Row]  # by task, mixer, recipe


def needs_of(jobs: Iterable[Job], folder: Path = COMPILED) -> dict[str, list[str]]:
    """Return a column for each accelerator with a row of any of the jobs.

    Raises:
      ValueError: a file of rows is damaged.
    """
    jobs, columns = list(jobs), {}
    for path in sorted(folder.glob("*.json")):
        rows = {
            (row["task"], row["mixer"], row["recipe"]): row
            for row in read_rows(path)
            if row["devices"] == 1
        }
        column = [_need(job, rows) for job in jobs]
        if any(column):
            columns[path.stem] = column
    return columns


def _need(job: Job, rows: Rows) -> str:
    """Return what a job needs; nothing if no run of its sizes has been compiled."""
    row = rows.get((job.task, job.mixer, job.recipe))
    own = grid.OVERRIDES.get((job.task, job.mixer), {})
    changed = {key for key, value in job.overrides.items() if own.get(key) != value}
    return "" if row is None or job.parity or changed - FREE else needed_gib(row)
