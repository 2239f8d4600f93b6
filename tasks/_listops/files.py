"""The ListOps files of the original release, read line by line and checked.

`basic_train.tsv`, `basic_val.tsv` and `basic_test.tsv` start with the header
`Source<TAB>Target`; every further line is an expression, with or without its
parentheses, a tab and its value.
"""

import itertools
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tasks._listops.expression import (
    CLOSE,
    MIN,
    SM,
    encode,
    fresh_rows,
    recompute_labels,
)
from tasks._release import Part
from tasks.task import DataError, Split

FILES = {
    "train": "basic_train.tsv",
    "validation": "basic_val.tsv",
    "test": "basic_test.tsv",
}
PART = Part("listops-1000", FILES)
_HEADER = b"Source\tTarget"
# The header is line 1.
_FIRST_LINE = 2
_AGAIN = "the file is damaged or cut short: unpack it again from the release"


def read_splits(
    files: Mapping[str, Path], limits: Mapping[str, int], max_length: int
) -> dict[str, Split]:
    """Return the first limits[split] examples of every split's file.

    Raises:
      DataError: a file is damaged, or an expression has more than max_length tokens.
    """
    splits = {
        split: read_split(file, limits[split], max_length)
        for split, file in files.items()
    }
    duplicates = count_duplicates(splits)
    if duplicates:
        message = "ListOps files: %d expressions occur in an earlier line or split"
        logging.getLogger(__name__).warning(message, duplicates)
    return splits


def count_duplicates(splits: Mapping[str, Split]) -> int:
    """Return how many examples repeat an earlier one, of their own or another split."""
    seen: set[bytes] = set()
    return sum(
        len(each) - len(fresh_rows(each.inputs, seen)) for each in splits.values()
    )


def read_split(file: Path, limit: int, max_length: int) -> Split:
    """Return the first `limit` examples of a file, every label checked.

    Raises:
      DataError: see the messages; they name the file and the line.
    """
    rows, targets = [], []
    for number, line in _lines(file, limit):
        source, target = _columns(line, f"{file}:{number}")
        rows.append(_tokens(source, max_length, f"{file}:{number}"))
        targets.append(_label(target, f"{file}:{number}"))
    if not rows:
        raise DataError(f"{file}:{_FIRST_LINE}: no example after the header; {_AGAIN}")
    inputs = _padded(rows, max_length)
    labels = np.array(targets, np.int32)
    _check_labels(inputs, labels, file)
    return Split(inputs, labels)


def _lines(file: Path, limit: int) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of the lines after the header, at most `limit` of them."""
    with file.open("rb") as stream:
        header = stream.readline()
        if not header:
            raise DataError(f"{file}:1: the file is empty; {_AGAIN}")
        if header.rstrip(b"\r\n") != _HEADER:
            raise DataError(f"{file}:1: the header is not Source<TAB>Target; {_AGAIN}")
        lines = tqdm(stream, desc=file.name, unit=" lines", disable=None)
        yield from itertools.islice(enumerate(lines, _FIRST_LINE), limit)


def _columns(line: bytes, place: str) -> tuple[str, str]:
    """Return the expression and the label of a line."""
    try:
        source, tab, target = line.rstrip(b"\r\n").decode("utf-8").partition("\t")
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: not UTF-8 ({error.reason}); {_AGAIN}") from None
    if not tab:
        raise DataError(f"{place}: no tab, so no column Target; {_AGAIN}")
    return source, target


def _tokens(source: str, max_length: int, place: str) -> np.ndarray:
    """Return the token ids, uint8 (l,), of an expression."""
    try:
        ids = encode(source)
    except ValueError as error:
        raise DataError(f"{place}: {error}; {_AGAIN}") from None
    if len(ids) > max_length:
        raise DataError(
            f"{place}: {len(ids)} tokens, more than max_length={max_length}; "
            f"raise max_length"
        )
    return ids


def _label(target: str, place: str) -> int:
    """Return a label."""
    if target not in tuple("0123456789"):
        raise DataError(f"{place}: label {target!r} is not one of 0 to 9; {_AGAIN}")
    return int(target)


def _padded(rows: list[np.ndarray], max_length: int) -> np.ndarray:
    """Return the rows, uint8 (n, max_length), filled up with padding."""
    inputs = np.zeros((len(rows), max_length), np.uint8)
    for index, row in enumerate(rows):
        inputs[index, : len(row)] = row
    return inputs


def _check_labels(inputs: np.ndarray, labels: np.ndarray, file: Path) -> None:
    """Raise DataError at the first expression that has no value, or another one."""
    values = recompute_labels(inputs)
    wrong = np.flatnonzero(values != labels)
    if not len(wrong):
        return
    first = wrong[0]
    fault = f"wrong label {labels[first]}, the value is {values[first]}"
    if values[first] < 0:
        fault = _fault(inputs[first])
    raise DataError(f"{file}:{first + _FIRST_LINE}: {fault}; {_AGAIN}")


def _fault(row: np.ndarray) -> str:
    """Say what is wrong with a row that is not one expression."""
    opened = np.count_nonzero((row >= MIN) & (row <= SM))
    closed = np.count_nonzero(row == CLOSE)
    if opened != closed:
        return f"unbalanced bracket: {opened} operators but {closed} closing brackets"
    return "not one expression: empty, an operator without arguments, or a stray token"
