"""Pairs of papers: those of the release, and citation pairs of any corpus.

A corpus is real data of the kind of Retrieval for people who do not have its own;
scores on it compare with each other, not with published ones. Its folder holds:

  *papers*.jsonl               an object a line, with strings `id` and `text`
  *pairs.{train,eval,test}.tsv  label, id and id a line, separated by tabs, no header

both also gzip-compressed (.gz) or xz-compressed (.xz).

What is missing or damaged is a DataError that names the file.
"""

import codecs
import gzip
import itertools
import json
import logging
import lzma
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from tasks.sources.release import AGAIN, Release, read_lines
from tasks.task import DataError, Split

# Id 0 is padding, byte b is id b + 1, as in LRA.
VOCAB_SIZE = 257

_LABELS = {b"0": 0, b"0.0": 0, b"1": 1, b"1.0": 1}
_COLUMNS = ("label", "id1", "id2", "text1", "text2")
_ENDINGS = ("", ".gz", ".xz")
_FILES = {
    "papers": "*papers*.jsonl",
    "train": "*pairs.train.tsv",
    "validation": "*pairs.eval.tsv",
    "test": "*pairs.test.tsv",
}


def write_ids(row: np.ndarray, text: bytes, place: str) -> None:
    """Write the ids of the first len(row) bytes to `row`, zeros, uint8 (l,).

    UTF-8 has no bytes above 0xF4, so that ids fit into 8 bits; of other bytes all but
    0xFF do, and what is not UTF-8 is not worse as a sequence of bytes.
    """
    # LRA: cuts to 10,000 bytes first, which changes nothing for l up to 10,000.
    used = text[: len(row)]
    if not used:
        raise DataError(f"{place} is empty; every document needs at least one byte")
    if b"\xff" in used:
        raise DataError(
            f"{place}: byte {used.index(0xFF) + 1} is 0xFF, which no UTF-8 text has; "
            "the file is damaged, or saved in another encoding"
        )
    row[: len(used)] = np.frombuffer(used, np.uint8) + np.uint8(1)


def new_inputs(scratch: Path, split: str, count: int, length: int) -> np.ndarray:
    """Return zeros, uint8 (count, 2, length), mapped to a file in `scratch`."""
    return np.lib.format.open_memmap(
        scratch / f"{split}_inputs.npy", "w+", np.uint8, (count, 2, length)
    )


def count_documents(ids: Mapping[str, Iterable[bytes]]) -> dict[str, dict[str, int]]:
    """Count the different documents of every split, and those also in training.

    >>> count_documents({"train": [b"a", b"b", b"a"], "test": [b"b", b"c"]})
    {'distinct': {'train': 2, 'test': 2}, 'also_in_train': {'test': 1}}
    """
    distinct = {split: set(documents) for split, documents in ids.items()}
    others = {split: each for split, each in distinct.items() if split != "train"}
    return {
        "distinct": {split: len(each) for split, each in distinct.items()},
        "also_in_train": {
            split: len(each & distinct["train"]) for split, each in others.items()
        },
    }


def _parse_label(label: bytes, place: str) -> int:
    if label not in _LABELS:
        text = label[:40].decode(errors="replace")
        raise DataError(f"{place}: label {text!r} is not 0 or 1; the file is damaged")
    return _LABELS[label]


# ---------------------------------------------------------------------------
# The release: new_aan_pairs.{train,eval,test}.tsv, without header and quotes


def read_release(
    release: Release, limits: Mapping[str, int], length: int, scratch: Path
) -> dict[str, Split]:
    """Return the first limits[split] pairs of every split's file; limit 0: all."""
    splits, ids = {}, {}
    for split, limit in limits.items():
        file, whole = release.file(split), release.part.counts[split]
        count = sum(1 for _ in read_lines(file, limit, whole))
        inputs = new_inputs(scratch, split, count, length)
        splits[split], ids[split] = _read_split(file, inputs)
    logging.getLogger(__name__).info("Retrieval documents: %s", count_documents(ids))
    return splits


def _read_split(file: Path, inputs: np.ndarray) -> tuple[Split, list[bytes]]:
    """Fill the inputs, zeros, uint8 (n, 2, l), from a file; return the ids as well."""
    labels = np.zeros(len(inputs), np.int32)
    ids = []
    for index, (place, line) in enumerate(read_lines(file, len(inputs))):
        label, *names, text1, text2 = _columns(line, place)
        labels[index] = _parse_label(label, place)
        write_ids(inputs[index, 0], text1, f"{place}: text1")
        write_ids(inputs[index, 1], text2, f"{place}: text2")
        ids += names
    return Split(inputs, labels), ids


def _columns(line: bytes, place: str) -> list[bytes]:
    columns = line.split(b"\t")
    if len(columns) < len(_COLUMNS):
        missing = ", ".join(_COLUMNS[len(columns) :])
        raise DataError(f"{place}: no column {missing}; {AGAIN}")
    if len(columns) > len(_COLUMNS):
        raise DataError(f"{place}: {len(columns)} columns, more than 5; {AGAIN}")
    return columns


# ---------------------------------------------------------------------------
# A corpus


def find_files(directory: Path | None) -> dict[str, Path]:
    """Return the files of a folder by role: "papers" and the splits."""
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


def _missing(pattern: str, directory: Path | None) -> str:
    where = f"in {directory}" if directory else "as data= (data.directory) is empty"
    return (
        f"no {pattern} (or .gz, .xz), {where}; data= is a folder with "
        f"{', '.join(_FILES.values())}, as docs/data.md describes them; source=sample "
        "runs the same pipeline on small made-up data"
    )


def count_papers(
    files: Mapping[str, Path], limits: Mapping[str, int]
) -> dict[str, dict[str, int]]:
    """Count the different papers of every split, and those also in training."""
    pairs = {split: _read_pairs(files[split], limits[split])[1] for split in limits}
    return count_documents(
        {split: itertools.chain(*each) for split, each in pairs.items()}
    )


def read_papers(
    files: Mapping[str, Path], limits: Mapping[str, int], length: int, scratch: Path
) -> dict[str, Split]:
    """Return the first limits[split] pairs of every split; limit 0: all."""
    papers, rows = _read_papers(files["papers"], length)
    splits = {}
    for split, limit in limits.items():
        labels, pairs = _read_pairs(files[split], limit)
        inputs = new_inputs(scratch, split, len(pairs), length)
        for index, pair in enumerate(pairs):
            for document, name in enumerate(pair):
                if name not in rows:
                    place = f"{files[split]}:{index + 1}"
                    text = name.decode(errors="replace")
                    raise DataError(f"{place}: no paper has the id {text!r}")
                inputs[index, document] = papers[rows[name]]
        splits[split] = Split(inputs, np.array(labels, np.int32))
    return splits


def _read_papers(file: Path, length: int) -> tuple[list[np.ndarray], dict[bytes, int]]:
    """Return the ids of all papers, uint8 (length,), and their numbers by name."""
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
    return papers, rows


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


def _read_pairs(file: Path, limit: int) -> tuple[list[int], list[list[bytes]]]:
    """Return labels and pairs of ids of the first `limit` lines; limit 0: all."""
    labels, pairs = [], []
    for place, line in itertools.islice(_lines(file), limit or None):
        columns = line.rstrip(b"\r\n").split(b"\t")
        if len(columns) != 3:
            raise DataError(f"{place}: {len(columns)} columns, not label, id and id")
        labels.append(_parse_label(columns[0], place))
        pairs.append(columns[1:])
    if not pairs:
        raise DataError(f"{file}:1: no pairs")
    return labels, pairs


def _lines(file: Path) -> Iterator[tuple[str, bytes]]:
    """Yield place and bytes of the lines of a file, decompressed by its ending."""
    openers: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open}
    try:
        with openers.get(file.suffix, open)(file, "rb") as stream:
            for number, line in enumerate(stream, 1):
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                yield f"{file}:{number}", line
    except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError) as error:
        raise DataError(
            f"{file} cannot be decompressed ({error}): it is damaged or cut short"
        ) from error
