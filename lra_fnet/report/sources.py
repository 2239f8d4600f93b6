"""Find what runs have left: results, speed cells, failures; hold them to schemas."""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from lra_fnet.report.schema import problem

RESULT_FILE = "result.json"
FAILURE_FILE = "failure.json"
ANSWERS_FILE = "test_correct.npy"
SPEED_FOLDER = "speed"

Content = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """Hold the result of one seed.

    Attributes:
      path: of its result.json.
      content: of that file.
      correct: whether it answers each test example rightly, (n,); None if not known.
      modified: when the file was written, nanoseconds since 1970.
    """

    path: Path
    content: Content
    correct: Bool[np.ndarray, " n"] | None
    modified: int

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a dotted field, the default where it is not there."""
        value: Any = self.content
        for part in name.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return default
            value = value[part]
        return value


@dataclasses.dataclass(frozen=True)
class Sources:
    """Hold all that was found, and a line for each file that was left out."""

    runs: Sequence[Run]
    speeds: Sequence[Content]
    failures: Sequence[Content]
    problems: Sequence[str]


class BadFile(Exception):
    """A file does not keep its schema; the message names file and field."""


def read_sources(folders: Sequence[Path]) -> Sources:
    """Read everything below some folders; a bad file is named and left out."""
    problems: list[str] = []
    runs = [*_readable(_named(folders, RESULT_FILE), read_run, problems)]
    failures = [*_readable(_named(folders, FAILURE_FILE), read_failure, problems)]
    cells = [*_readable(_speed_files(folders), read_speed, problems)]
    return Sources(runs, [c for c in cells if c], failures, problems)


def read_run(path: Path) -> Run:
    """Read a result and the answers beside it.

    Raises:
      BadFile: it does not keep the schema, or the answers are not those it counts.
    """
    content = _checked(path, _parsed(path), "result")
    correct = _read_answers(path.with_name(ANSWERS_FILE), content["test"])
    return Run(path, content, correct, path.stat().st_mtime_ns)


def read_failure(path: Path) -> Content:
    """Read why a run has no result.

    Raises:
      BadFile: it does not keep the schema.
    """
    return _checked(path, _parsed(path), "failure")


def read_speed(path: Path) -> Content | None:
    """Read a speed cell; None for a file of another kind.

    Raises:
      BadFile: it does not keep the schema.
    """
    content = _parsed(path)
    if isinstance(content, dict) and content.get("kind", "speed") != "speed":
        return None
    return _checked(path, content, "speed")


def _named(folders: Sequence[Path], name: str) -> list[Path]:
    """List the files of that name, in an order that depends on their names alone."""
    found = {path for folder in folders for path in folder.rglob(name)}
    return sorted(found)


def _speed_files(folders: Sequence[Path]) -> list[Path]:
    """List the files that may be speed cells: two folders deep, device and sizes."""
    cells = (path.glob("*/*/*.json") for path in (f / SPEED_FOLDER for f in folders))
    return sorted({path for found in cells for path in found})


def _readable(paths: Sequence[Path], read: Any, problems: list[str]) -> Iterator[Any]:
    """Yield what can be read; note the rest."""
    for path in paths:
        try:
            yield read(path)
        except BadFile as error:
            problems.append(str(error))


def _parsed(path: Path) -> Any:
    """Read a JSON file; NaN and infinity are none."""
    try:
        return json.loads(path.read_text(), parse_constant=_refuse)
    except (OSError, ValueError) as error:
        raise BadFile(f"{path}: it cannot be read as JSON ({error})") from error


def _refuse(constant: str) -> None:
    """Refuse a number that is none."""
    raise ValueError(f"{constant} is no number")


def _checked(path: Path, content: Any, kind: str) -> Content:
    """Return the content if it keeps the schema."""
    found = problem(content, kind)
    if found:
        raise BadFile(f"{path}: {found}")
    return content


def _read_answers(path: Path, test: Content) -> Bool[np.ndarray, " n"] | None:
    """Return the answers to each example, None where there is no file."""
    if not path.exists():
        return None
    try:
        correct = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadFile(f"{path}: it cannot be read ({error})") from error
    expected = f"{test['correct']} right of {test['examples']} as in {RESULT_FILE}"
    if correct.dtype != bool or correct.ndim != 1:
        raise BadFile(f"{path}: it must hold one truth value for each example")
    if (len(correct), int(correct.sum())) != (test["examples"], test["correct"]):
        counts = f"{int(correct.sum())} right of {len(correct)}"
        raise BadFile(f"{path}: its answers are {counts}; they must be {expected}")
    return correct
