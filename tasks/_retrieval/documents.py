"""What the sources of Retrieval share: byte ids, labels, and counts of documents."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from tasks.task import DataError

# Id 0 is padding, byte b is id b + 1, as in LRA.
VOCAB_SIZE = 257

_LABELS = {b"0": 0, b"0.0": 0, b"1": 1, b"1.0": 1}


def write_ids(row: np.ndarray, text: bytes, place: str) -> None:
    """Write the ids of the first len(row) bytes to `row`, zeros, uint8 (l,).

    UTF-8 has no bytes above 0xF4, so that ids fit into 8 bits; of other bytes all but
    0xFF do, and what is not UTF-8 is not worse as a sequence of bytes.

    Raises:
      DataError: no text, or a byte 0xFF in it; `place` says where.
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


def parse_label(label: bytes, place: str) -> int:
    """Return the label that a column holds, written as a whole number or with .0.

    Raises:
      DataError: it is neither 0 nor 1; `place` says where.
    """
    if label not in _LABELS:
        text = label[:40].decode(errors="replace")
        raise DataError(f"{place}: label {text!r} is not 0 or 1; the file is damaged")
    return _LABELS[label]


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
    train = distinct["train"]
    return {
        "distinct": {split: len(each) for split, each in distinct.items()},
        "also_in_train": {
            split: len(each & train)
            for split, each in distinct.items()
            if split != "train"
        },
    }
