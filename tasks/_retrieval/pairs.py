"""The Retrieval files of the original release, read line by line and checked.

`new_aan_pairs.{train,eval,test}.tsv` have no header and no quotes; a line is a label,
two paper ids and two texts, separated by tabs.
"""

import itertools
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tasks._release import Part
from tasks._retrieval.documents import (
    count_documents,
    new_inputs,
    parse_label,
    write_ids,
)
from tasks.task import DataError, Split

PART = Part(
    "tsv_data",
    {
        "train": "new_aan_pairs.train.tsv",
        "validation": "new_aan_pairs.eval.tsv",
        "test": "new_aan_pairs.test.tsv",
    },
)
_COLUMNS = ("label", "id1", "id2", "text1", "text2")
_AGAIN = "the file is damaged or cut short: unpack it again from the release"


def read_splits(
    files: Mapping[str, Path], limits: Mapping[str, int], length: int, scratch: Path
) -> dict[str, Split]:
    """Return the first limits[split] pairs of every split's file; limit 0: all.

    Raises:
      DataError: a file is damaged; the message names the line.
    """
    splits, ids = {}, {}
    for split, file in files.items():
        inputs = new_inputs(scratch, split, _count(file, limits[split]), length)
        splits[split], ids[split] = _read_split(file, inputs)
    logging.getLogger(__name__).info("Retrieval documents: %s", count_documents(ids))
    return splits


def _count(file: Path, limit: int) -> int:
    """Return the number of lines of a file, at most `limit` unless that is 0."""
    with file.open("rb") as stream:
        count = sum(1 for _ in itertools.islice(stream, limit or None))
    if not count:
        raise DataError(f"{file}:1: the file is empty; {_AGAIN}")
    return count


def _read_split(file: Path, inputs: np.ndarray) -> tuple[Split, list[bytes]]:
    """Fill the inputs, zeros, uint8 (n, 2, l), from a file; return the ids as well."""
    labels = np.zeros(len(inputs), np.int32)
    ids = []
    for index, (place, line) in enumerate(_lines(file, len(inputs))):
        label, *names, text1, text2 = _columns(line, place)
        labels[index] = parse_label(label, place)
        write_ids(inputs[index, 0], text1, f"{place}: text1")
        write_ids(inputs[index, 1], text2, f"{place}: text2")
        ids += names
    return Split(inputs, labels), ids


def _lines(file: Path, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield place and bytes of the first `count` lines."""
    with file.open("rb") as stream:
        lines = itertools.islice(stream, count)
        bar = tqdm(lines, desc=file.name, total=count, unit=" lines", disable=None)
        for number, line in enumerate(bar, 1):
            yield f"{file}:{number}", line


def _columns(line: bytes, place: str) -> list[bytes]:
    """Return the columns of a line."""
    columns = line.rstrip(b"\r\n").split(b"\t")
    if len(columns) < len(_COLUMNS):
        missing = ", ".join(_COLUMNS[len(columns) :])
        raise DataError(f"{place}: no column {missing}; {_AGAIN}")
    if len(columns) > len(_COLUMNS):
        raise DataError(f"{place}: {len(columns)} columns, more than 5; {_AGAIN}")
    return columns
