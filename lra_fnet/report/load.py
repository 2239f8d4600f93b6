"""Result files as one data frame of runs, with speed measurements and failures."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool
from tabulate import tabulate

from lra_fnet.result import CORRECT_FILE, FAILURE_FILE, RESULT_FILE, files_below
from lra_fnet.schema import (
    FILES,
    BadFile,
    Failure,
    Record,
    Result,
    Score,
    SpeedResult,
    fields,
)

SPEED_FILES = "speed/*/*/*.json"  # in folders of a device and of sizes
TIMES = "\N{MULTIPLICATION SIGN}"

# Fields that are flattened to a column for each name in them.
BY_NAME = ("config", "trivial_baselines", "versions")
# Columns of `runs` that a table of numbers has no room for.
NOT_IN_CSV = (
    *("answers", "breakdown", "curves.train", "curves.validation"),
    *("pretraining.curves.train", "pretraining.curves.validation"),
    *("data.provenance", "digest", "libraries", "modified"),
)

Row = dict[str, Any]


class Loaded(NamedTuple):
    """All that was found, each file a row: its fields under dotted names, and more.

    Attributes:
      runs: of `result.json`, with columns such as "test.correct" and
        "config.train.num_steps", and those of `run_row`.
      speeds: of speed measurements, and what `speed_row` adds.
      failures: of `failure.json`, and what `failure_row` adds.
      bad_files: a line for each file that had to be left out.
    """

    runs: pd.DataFrame
    speeds: pd.DataFrame
    failures: pd.DataFrame
    bad_files: Sequence[str]


def load(folders: Sequence[Path]) -> Loaded:
    """Read everything below some folders; a bad file is named and left out."""
    bad: list[str] = []

    def rows(pattern: str, read: Callable[[Path], Row | None]) -> list[Row]:
        return _readable(files_below(folders, pattern), read, bad)

    return Loaded(
        _frame(rows(f"**/{RESULT_FILE}", run_row), Result, RUN_COLUMNS),
        _frame(rows(SPEED_FILES, speed_row), SpeedResult, SPEED_COLUMNS),
        _frame(rows(f"**/{FAILURE_FILE}", failure_row), Failure, FAILURE_COLUMNS),
        bad,
    )


def results_csv(runs: pd.DataFrame) -> str:
    """Return one row a run, with every column that holds a text or a number."""
    shown = runs.drop(columns=[*NOT_IN_CSV])
    lists = [name for name in shown if any(isinstance(v, list) for v in shown[name])]
    for name in lists:
        shown[name] = [_joined(value) for value in shown[name]]
    return shown.to_csv(index=False, lineterminator="\n")


def fields_document() -> str:
    """Return the fields of all files as Markdown tables, for docs/results.md."""
    header = ["field", "is", "meaning"]
    return "\n\n".join(
        f"### Fields of a {kind}\n\n"
        + tabulate(
            [[f"`{name}`", must, meaning] for name, must, meaning in fields(file)],
            header,
            tablefmt="github",
            disable_numparse=True,
        )
        for kind, file in FILES.items()
    )


# ---------------------------------------------------------------------------
# Rows

RUN_COLUMNS = ("row", "machine", "libraries", "path", "modified", "digest", "answers")
SPEED_COLUMNS = ("machine", "asked_batch_size")
FAILURE_COLUMNS = ("row", "sample")


def run_row(path: Path) -> Row:
    """Read a result and the answers beside it.

    Its columns that are not fields of the file: `row`, the name in the tables;
    `machine`, what it trained on, "" if not known; `libraries`, their versions in
    words; `answers`, whether each test example was answered correctly, (n,) or None;
    `modified`, when the file was written, in nanoseconds since 1970; its `digest`.

    Raises:
      BadFile: it is no result, or the answers are not those that it counts.
    """
    result = Result.read(path)
    row = _flat(result)
    return row | {
        "row": row_name(row),
        "machine": _training_machine(row),
        "libraries": ", ".join(f"{k} {v}" for k, v in result.versions.items()),
        "path": one_line(str(path)),
        "modified": path.stat().st_mtime_ns,
        "digest": hashlib.sha256(repr(sorted(row.items())).encode()).hexdigest(),
        "answers": read_answers(path.with_name(CORRECT_FILE), result.test),
    }


def failure_row(path: Path) -> Row | None:
    """Read why a run has no result; None where there were no data to run on.

    Raises:
      BadFile: it is no failure.
    """
    row = _flat(Failure.read(path))
    if row["kind"] == "data":
        return None
    sample = row.get("config.data.source") == "sample"
    return row | {"row": row_name(row), "sample": sample}


def speed_row(path: Path) -> Row | None:
    """Read a speed measurement; None for a file of another kind.

    Raises:
      BadFile: it is no speed measurement.
    """
    if _is_other_kind(path):
        return None
    row = _flat(SpeedResult.read(path))
    asked = row.get("asked_batch_size") or _batch_of_folder(path.parent.name)
    asked = asked or row["batch_size"]
    return row | {"machine": device_name(row), "asked_batch_size": asked}


def read_answers(path: Path, test: Score) -> Bool[np.ndarray, " n"] | None:
    """Return the answers to each test example, None where there is no file.

    Raises:
      BadFile: it holds no truth values, or others than the result counts.
    """
    if not path.exists():
        return None
    try:
        answers = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise BadFile(f"{path}: it cannot be read ({error})") from error
    if answers.dtype != bool or answers.ndim != 1:
        raise BadFile(f"{path}: it must hold one truth value for each example")
    counts = int(answers.sum()), len(answers)
    if counts != (test.correct, test.examples):
        raise BadFile(
            f"{path}: {counts[0]} of {counts[1]} answers are right; {RESULT_FILE} "
            f"counts {test.correct} of {test.examples}"
        )
    return answers


def row_name(row: Mapping[str, Any]) -> str:
    """Return the row of a table: the mixer, and what a config may add to its name.

    >>> row_name({"mixer": "fnet", "config.hybrid.num_layers": 2,
    ...     "config.hybrid.mixer": "transformer", "config.hybrid.layout": "top"})
    'fnet + 2 transformer (top)'
    >>> row_name({"mixer": "fnet", "config.pretrain.objective": "masked"})
    'fnet, pre-trained'
    >>> row_name({"mixer": "fnet", "config.encoder.moe_layers": 1,
    ...     "config.encoder.num_experts": 4})
    'fnet, 4 experts in 1 layer'
    >>> row_name({"mixer": "fnet", "config.mixers.fnet.orthonormal": True})
    'fnet, orthonormal'
    """
    name = row["mixer"]
    if layers := row.get("config.hybrid.num_layers"):
        mixer, layout = (row.get(f"config.hybrid.{key}") for key in ("mixer", "layout"))
        name = f"{name} + {layers} {mixer} ({layout})"
    if row.get("config.mixers.fnet.orthonormal"):
        name = f"{name}, orthonormal"
    if layers := row.get("config.encoder.moe_layers"):
        experts = row.get("config.encoder.num_experts")
        name = f"{name}, {experts} experts in {layers} layer{'s' * (layers > 1)}"
    if row.get("config.pretrain.objective", "none") != "none":
        name = f"{name}, pre-trained"
    if weights := row.get("config.init.weights"):
        name = f"{name}, from {weights}"
    parity = row.get("rules.parity")
    return f"{name}, equal {parity}" if parity else name


def device_name(row: Mapping[str, Any]) -> str:
    """Return the device of a file in words.

    >>> device_name({"device.platform": "cpu", "device.kind": "Xeon",
    ...     "device.count": 1, "device.cpu_cores": 4})
    'Xeon, 4 cores'
    """
    kind, cores = row["device.kind"], row.get("device.cpu_cores")
    if row.get("device.platform") != "cpu":
        return f"{row['device.count']} {TIMES} {kind}"
    hosts = row.get("device.hosts") or 1
    name = f"{kind}, {cores} core{'s' * (cores > 1)}" if cores else kind
    return f"{name} on each of {hosts} hosts" if hosts > 1 else name


def one_line(value: Any) -> Any:
    r"""Return a value all of whose texts are one line of printable characters.

    >>> one_line({"a\nb": ["c\td"]})
    {'a b': ['c d']}
    """
    match value:
        case str():
            return "".join(c if c.isprintable() else " " for c in value)
        case dict():
            return {one_line(key): one_line(inside) for key, inside in value.items()}
        case list():
            return [one_line(inside) for inside in value]
    return value


def _training_machine(row: Mapping[str, Any]) -> str:
    """Return what a run trained on, and how many seeds together; "" if not known."""
    if "device.kind" not in row or "speed.steps_per_second" not in row:
        return ""
    seeds = row.get("speed.seeds_in_program", 1)
    return device_name(row) + (f", {seeds} seeds at a time" if seeds > 1 else "")


# ---------------------------------------------------------------------------
# Files to rows to frames


def _readable(
    paths: Sequence[Path], read: Callable[[Path], Row | None], bad: list[str]
) -> list[Row]:
    """Return the rows of what can be read; add a line to `bad` for the rest."""
    rows = []
    for path in paths:
        try:
            rows.append(read(path))
        except BadFile as error:
            bad.append(one_line(str(error)))
        except (OSError, ValueError, RecursionError) as error:
            bad.append(one_line(f"{path}: it cannot be read ({error})"))
    return [row for row in rows if row]


def _is_other_kind(path: Path) -> bool:
    """Tell whether a file says that it is no speed measurement."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("kind", "speed") != "speed"


def _batch_of_folder(name: str) -> int | None:
    """Return the batch size that a folder of earlier measurements is named by.

    >>> _batch_of_folder("text-batch32")
    32
    """
    digits = name.rpartition("-batch")[-1]
    return int(digits) if digits.isdecimal() and digits != name else None


def _flat(file: Result | SpeedResult | Failure) -> Row:
    """Return the declared fields that a file has under dotted names."""
    known = file.model_dump(by_alias=True, include=set(type(file).model_fields))
    return dict(_leaves(one_line(known)))


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and name not in NOT_IN_CSV:
            yield from _leaves(value, f"{name}.")
        elif value is not None:
            yield name, value


def _frame(
    rows: Sequence[Row], file: type[Record], more: Sequence[str]
) -> pd.DataFrame:
    """Return rows under the fields of a file and more columns; None where missing."""
    names = [name.rstrip("*") for name, *_ in fields(file)]
    names = [name for name in names if "[" not in name and name not in BY_NAME]
    sections = {name.rpartition(".")[0] for name in names}
    single = [name for name in names if name not in sections]
    found = sorted({name for row in rows for name in row})
    columns = [*dict.fromkeys([*single, *more, *found])]
    cells = [[row.get(name) for name in columns] for row in rows]
    return pd.DataFrame(cells, columns=columns, dtype=object)


def _joined(value: Any) -> Any:
    """Return a list as one text, and anything else as it is."""
    return "; ".join(map(str, value)) if isinstance(value, list) else value
