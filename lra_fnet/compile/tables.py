"""Tables of what is known by compiling, for the screen and for documents."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from lra_fnet.compile.target import PEAKS
from lra_fnet.report.documents import fill_marks
from tasks import task_names

COMPILES, TOO_LARGE, FAILED = "compiles", "too large", "failed"
GIB = 2**30
FOURIER = "fourier"  # the folder of the rows about the transform alone
# What the table on the screen has of a row, and how it is headed.
COLUMNS = {
    "mixer": "mixer",
    "task": "task",
    "status": "",
    "training.compile_seconds": "s",
    "needed_bytes": "GiB",
    "limit_bytes": "of",
    "micro_batches": "micro-batches",
    "evaluation.bytes": "evaluation",
    "training.flops_of_a_step": "GFLOP a step",
    "bound": "ms at least",
    "training.fft": "fft",
    "training.custom_calls": "other calls",
    "training.collectives": "collectives",
    "reason": "reason",
}
# Likewise, of a row about the transform alone.
FOURIER_COLUMNS = {
    "task": "task",
    "batch": "batch",
    "length": "length",
    "width": "width",
    "algorithm": "algorithm",
    "precision": "products",
    "cycles": "million cycles",
    "compiler_flops": "GFLOP",
    "compiler_bytes": "GiB moved",
    "bytes": "GiB needed",
    "error": "error",
}
UNITS = {
    "cycles": 1e6,
    "compiler_flops": 1e9,
    "compiler_bytes": 2.0**30,
    "bytes": 2.0**30,
}

Row = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file; none if there is no such file.

    Raises:
      ValueError: it is damaged.
    """
    if not path.exists():
        return []
    try:
        return list(json.loads(path.read_text())["rows"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); delete it") from error


def outcome(row: Row) -> str:
    """Return what became of a subject, in a line."""
    if "needed_bytes" not in row:
        return f"{row['status']}: {row['reason']}"
    calls = (row, row.get("training", {}), row.get("evaluation", {}))
    seconds = sum(call.get("compile_seconds", 0) for call in calls)
    return (
        f"{row['status']} in {seconds:.0f} s, needs {row['needed_bytes'] / GIB:.2f} GiB"
    )


def table(rows: Sequence[Row]) -> str:
    """Return all rows as a table for the screen."""
    bounds = [{"bound": round(1e3 * shortest_step(row), 3) or None} for row in rows]
    rows = [row | bound for row, bound in zip(rows, bounds, strict=True)]
    frame = pd.json_normalize(rows, max_level=1).reindex(columns=[*COLUMNS])
    for column in frame.columns[frame.columns.str.endswith("bytes")]:
        frame[column] = (frame[column] / GIB).round(2)
    for column in frame.columns[frame.columns.str.contains("call|collect")]:
        frame[column] = [_listed(each) for each in frame[column]]
    frame["training.flops_of_a_step"] = (frame["training.flops_of_a_step"] / 1e9).round(
        1
    )
    frame["reason"] = ["" if pd.isna(each) else each[:60] for each in frame["reason"]]
    return tabulate(
        frame.astype(object).where(frame.notna(), ""),
        [*COLUMNS.values()],
        showindex=False,
        floatfmt=".10g",
    )


def shortest_step(row: Row) -> float:
    """Return the seconds that a training step cannot beat; 0 if nothing tells.

    The roofline (Williams et al., 2009, https://doi.org/10.1145/1498765.1498785): its
    FLOPs, or where XLA tells them its bytes, at the peak of the devices.
    """
    peak, training = PEAKS.get(row.get("device", "")), row.get("training", {})
    if peak is None:
        return 0.0
    of_flops = (training["flops_of_a_step"] or 0) / row["devices"] / peak.flops
    return max(of_flops, (training.get("compiler_bytes") or 0) / peak.bandwidth)


def _listed(counts: Any) -> str:
    """Return names with their counts, in a line."""
    counts = counts if isinstance(counts, Mapping) else {}
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def matrix(rows: Iterable[Row], entry: Callable[[Row], str]) -> str:
    """Return what `entry` says of each row, mixers by tasks, in Markdown."""
    found = {(row["mixer"], row["task"]): entry(row) for row in rows}
    tasks = [task for task in task_names() if any(t == task for _, t in found)]
    lines = [
        (mixer, *(found.get((mixer, task), "") for task in tasks))
        for mixer in sorted({mixer for mixer, _ in found})
    ]
    return tabulate(lines, ("mixer", *tasks), "pipe", disable_numparse=True)


def with_tables(text: str, folder: Path) -> str:
    """Return a document with today's table after each of its marks.

    `<!-- ACCEL DEVICES ENTRY -->` is for runs: ENTRY is what the table has of a row, a
    name in ENTRIES. `<!-- ACCEL fourier -->` is for the transform alone.
    """

    def of_runs(name: str) -> str:
        accel, devices, entry = name.split()
        rows = read_rows(folder / f"{accel}.json")
        rows = [
            row
            for row in rows
            if row["devices"] == int(devices) and not row.get("changes")
        ]
        return matrix(rows, ENTRIES[entry])

    def of_transforms(name: str) -> str:
        accel, _ = name.split()
        return fourier_table(read_rows(folder / FOURIER / f"{accel}.json"), "pipe")

    text = fill_marks(text, rf"\w+ \d+ (?:{'|'.join(ENTRIES)})", of_runs)
    return fill_marks(text, rf"\w+ {FOURIER}", of_transforms)


def fourier_table(rows: Sequence[Row], form: str = "simple") -> str:
    """Return rows about the transform alone as a table, in the order of the shapes."""
    frame = pd.DataFrame(rows, columns=[*FOURIER_COLUMNS])
    frame = frame.sort_values(["length", "width", "algorithm"], kind="stable")
    for column, unit in UNITS.items():
        frame[column] = [_rounded(each, unit) for each in frame[column]]
    frame["error"] = [
        f"{each:.1g}" if each else "" for each in frame["error"].fillna(0)
    ]
    return tabulate(
        frame.rename(columns=FOURIER_COLUMNS).fillna(""),
        "keys",
        form,
        showindex=False,
        disable_numparse=True,
    )


def _rounded(number: Any, unit: float) -> str:
    """Return a number in units, with three digits; nothing if it is not known."""
    return "" if pd.isna(number) or not number else f"{number / unit:,.3g}"


def needed_gib(row: Row) -> str:
    """Return GiB, with the micro-batches if there are several; else what went wrong."""
    if row["status"] != COMPILES:
        return row["status"]
    parts = row["micro_batches"]
    needed = f"{row['needed_bytes'] / GIB:.1f}"
    return needed if parts == 1 else f"{needed} ({parts})"


def bound_ms(row: Row) -> str:
    """Return the milliseconds that a step cannot beat; nothing if it is not known."""
    return f"{1e3 * bound:.2f}" if (bound := shortest_step(row)) else ""


ENTRIES: Mapping[str, Callable[[Row], str]] = {"memory": needed_gib, "bound": bound_ms}
