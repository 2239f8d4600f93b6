"""Citation pairs of any corpus of papers, from files of papers and of pairs of ids.

Real data of the kind of Retrieval for people who do not have its own; scores on it
compare with each other, not with published ones. A folder holds:

  *papers*.jsonl               an object a line, with strings `id` and `text`
  *pairs.{train,eval,test}.tsv  label, id and id a line, separated by tabs, no header

both also gzip-compressed (.gz), the papers also xz-compressed (.xz).
"""

import gzip
import itertools
import json
import lzma
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from tasks._retrieval.documents import (
    count_documents,
    new_inputs,
    parse_label,
    write_ids,
)
from tasks.task import DataError, Split

_ENDINGS = ("", ".gz", ".xz")
_FILES = {
    "papers": "*papers*.jsonl",
    "train": "*pairs.train.tsv",
    "validation": "*pairs.eval.tsv",
    "test": "*pairs.test.tsv",
}
# Pairs whose inputs are copied at once.
_BLOCK_SIZE = 1_000


def find_files(directory: Path | None) -> dict[str, Path]:
    """Return the files of a folder by role: "papers" and the splits.

    Raises:
      DataError: one is missing, or there are several.
    """
    files = {}
    for role, pattern in _FILES.items():
        found = [
            file
            for ending in _ENDINGS
            for file in (sorted(directory.glob(pattern + ending)) if directory else ())
        ]
        if not found:
            raise DataError(_missing(pattern, directory))
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            raise DataError(f"several {pattern} in {directory}: {names}; leave one")
        files[role] = found[0]
    return files


def count_papers(
    files: Mapping[str, Path], limits: Mapping[str, int]
) -> dict[str, dict[str, int]]:
    """Count the different papers of every split, and those also in training.

    Raises:
      DataError: a file of pairs is damaged.
    """
    return count_documents(
        {
            split: [name for _, _, *ids in _pairs(files[split], limit) for name in ids]
            for split, limit in limits.items()
        }
    )


def read_splits(
    files: Mapping[str, Path], limits: Mapping[str, int], length: int, scratch: Path
) -> dict[str, Split]:
    """Return the first limits[split] pairs of every split; limit 0: all.

    Raises:
      DataError: a file is damaged, or a pair names a paper that there is not.
    """
    papers, rows = _read_papers(files["papers"], length)
    splits = {}
    for split, limit in limits.items():
        labels, pairs = _read_pairs(files[split], limit, rows)
        inputs = new_inputs(scratch, split, len(pairs), length)
        for start in range(0, len(pairs), _BLOCK_SIZE):
            block = pairs[start : start + _BLOCK_SIZE]
            inputs[start : start + len(block)] = papers[block]
        splits[split] = Split(inputs, labels)
    return splits


def _read_papers(file: Path, length: int) -> tuple[np.ndarray, dict[bytes, int]]:
    """Return the ids of all papers, uint8 (p, length), and their rows by name."""
    papers: list[np.ndarray] = []
    rows: dict[bytes, int] = {}
    for place, line in tqdm(_lines(file), file.name, unit=" papers", disable=None):
        name, text = _paper(line, place)
        if name in rows:
            raise DataError(
                f"{place}: id {name.decode()!r} is also that of a paper above"
            )
        rows[name] = len(papers)
        papers.append(np.zeros(length, np.uint8))
        write_ids(papers[-1], text, f"{place}: text")
    if not papers:
        raise DataError(f"{file}:1: no papers")
    return np.stack(papers), rows


def _paper(line: bytes, place: str) -> tuple[bytes, bytes]:
    """Return name and text of a paper, in UTF-8."""
    try:
        paper = json.loads(line)
        return paper["id"].encode(), paper["text"].encode()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{place}: not an object with the strings id and text "
            f"({type(error).__name__}: {error})"
        ) from None


def _read_pairs(
    file: Path, limit: int, rows: Mapping[bytes, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels, int32 (n,), and rows of the two papers, int64 (n, 2)."""
    labels, pairs = [], []
    for place, label, *ids in _pairs(file, limit):
        for name in ids:
            if name not in rows:
                text = name.decode(errors="replace")
                raise DataError(f"{place}: no paper has the id {text!r}")
        labels.append(label)
        pairs.append([rows[name] for name in ids])
    return np.array(labels, np.int32), np.array(pairs)


def _pairs(file: Path, limit: int) -> Iterator[tuple[str, int, bytes, bytes]]:
    """Yield place, label and two ids of the first `limit` lines; limit 0: all."""
    empty = True
    for place, line in itertools.islice(_lines(file), limit or None):
        columns = line.rstrip(b"\r\n").split(b"\t")
        if len(columns) != 3:
            raise DataError(f"{place}: {len(columns)} columns, not label, id and id")
        label, first, second = columns
        yield place, parse_label(label, place), first, second
        empty = False
    if empty:
        raise DataError(f"{file}:1: no pairs")


def _lines(file: Path) -> Iterator[tuple[str, bytes]]:
    """Yield place and bytes of the lines of a file, decompressed by its ending."""
    openers: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open}
    try:
        with openers.get(file.suffix, open)(file, "rb") as stream:
            for number, line in enumerate(stream, 1):
                yield f"{file}:{number}", line
    except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError) as error:
        raise DataError(
            f"{file} cannot be decompressed ({error}): it is damaged or cut short"
        ) from error


def _missing(pattern: str, directory: Path | None) -> str:
    """Return the message for a file that is not there."""
    where = f"in {directory}" if directory else "as the option directory is empty"
    return (
        f"no {pattern} (or .gz, .xz), {where}\n"
        "make it from any corpus of papers that cite each other, such as the ACL "
        "Anthology; tasks/_retrieval/papers.py says how its lines look\n"
        f"put {', '.join(_FILES.values())} into one folder and give it as directory\n"
        "without papers, source='sample' runs the same pipeline on small made-up data"
    )
