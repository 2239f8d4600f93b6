"""Corpus: which byte follows a window of text; for language models.

Not a task of the arena: a text of the user's, cut into windows. A mixer may read a
window whole and say what follows (`train.objective=classify`), or, as language models
do, predict every byte from those before it (`causal`). Either way the test asks for the
byte after the window.

Vocabulary (257 ids), the same as Text's, so that an encoder can move from one to the
other: 0 padding, in no window; 1 to 256 the bytes 0 to 255, each plus one. Labels are
ids, too. UTF-8 has no bytes from 0xF5 on.
"""

import functools
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tasks.sources.folder import given
from tasks.task import (
    DataError,
    Split,
    Task,
    check_choice,
    check_range,
    lazily,
    split_generated,
)
from tasks.text import encode

Texts = Iterator[tuple[Path, bytes]]  # each with its file, for error messages

TITLE = "Corpus"
ORDER = 13

# Raise it with every change that makes other examples from the same texts.
_VERSION = 1
_SAMPLE = "sample 1"
_SAMPLE_HELD_OUT = 100  # most windows of the sample for validation, and for the test
_NUM_IDS = 0xF5 + 1  # that can be labels: padding, and the bytes below 0xF5


def make_task(
    source: str = "folder",
    directory: str = "",
    length: int = 256,
    num_train: int = 0,
    num_validation: int = 2_000,
    num_test: int = 2_000,
) -> Task:
    """Return the corpus task: windows of a text and the byte after each.

    The texts, each once, come in the order of their SHA-256, with a line break between
    them, and are cut into windows without a gap. The first num_test windows are the
    test split, the next num_validation the validation split, the rest the training
    split. A text that lies across a border is in both splits, each byte in one.

    Args:
      source: "folder", or "sample" for a few hundred made-up reviews.
      directory: a folder whose files *.txt, in all its folders, are the texts; or one
        file of any name.
      length: bytes of a window.
      num_train: at most so many windows; 0 is all.
      num_validation: windows; of the sample at most 100.
      num_test: likewise.

    Raises:
      ValueError: an option is out of its range.
      DataError: there is no such folder, or no text in it.
    """
    check_choice("source", source, ("folder", "sample"))
    check_range(2, length=length)
    check_range(0, num_train=num_train)
    check_range(1, num_validation=num_validation, num_test=num_test)
    most = _SAMPLE_HELD_OUT if source == "sample" else max(num_validation, num_test)
    cut = {
        "length": length,
        "num_train": num_train,
        "num_validation": min(num_validation, most),
        "num_test": min(num_test, most),
    }
    read: Callable[[], Texts] = _sample_texts
    data: Any = _SAMPLE
    if source == "folder":
        read, data = functools.partial(_texts, directory), _describe(_texts(directory))
    return Task(
        name="corpus",
        vocab_size=257,
        classes=("padding", *(f"byte {n}" for n in range(_NUM_IDS - 1))),
        max_length=length,
        source=source,
        provenance={"version": _VERSION, "data": data, **cut},
        read=functools.partial(_read, read, cut),
        trivial_baselines=lazily("tasks.trivial", "corpus_baselines"),
        labels_are_next_ids=True,
    )


def _texts(directory: str) -> Texts:
    """Yield the texts of a folder, or the one of a file, each with its path.

    Raises:
      ValueError: no folder is named.
      DataError: there is none, or no text in it.
    """
    path = given(directory, "a folder with files *.txt, or one file")
    files = [path] if path.is_file() else sorted(path.rglob("*.txt"))
    if not files:
        raise DataError(f"there is no file *.txt in {path}, and it is no file itself")
    for file in files:
        yield file, file.read_bytes()


def _sample_texts() -> Texts:
    """Yield the texts of the made-up reviews."""
    from tasks.samples import made_up_reviews

    for reviews in made_up_reviews().values():
        for review in reviews:
            yield Path("sample"), review.text


def _describe(texts: Texts) -> dict[str, Any]:
    """Return number, bytes and one SHA-256 of the texts, whatever their names."""
    contents = sorted(
        (hashlib.sha256(text).digest(), len(text)) for _, text in texts if text
    )
    digest = hashlib.sha256(b"".join(each for each, _ in contents)).hexdigest()
    size = sum(size for _, size in contents)
    return {"texts": len(contents), "bytes": size, "sha256": digest}


def _read(
    texts: Callable[[], Texts], cut: dict[str, int], scratch: Path
) -> dict[str, Split]:
    """Join the texts and cut them; seconds, so nothing is kept in `scratch`.

    Raises:
      DataError: a text is not in UTF-8, or there are too few bytes for the splits.
    """
    length, held_out = cut["length"], cut["num_validation"] + cut["num_test"]
    ids = encode(in_canonical_order(texts()))
    windows = (len(ids) - 1) // length
    if windows <= held_out:
        raise DataError(
            f"the texts have {len(ids):,} bytes, {windows:,} windows of {length}; "
            f"{held_out:,} are for validation and test, none is left to train on: "
            "lower data.num_validation and data.num_test, or give it more text"
        )
    count = held_out + (cut["num_train"] or windows)
    sizes = {
        "test": cut["num_test"],
        "validation": cut["num_validation"],
        "train": min(count, windows) - held_out,
    }
    inputs = ids[: windows * length].reshape(windows, length)
    return split_generated(Split(inputs, ids[length::length].astype(np.int32)), sizes)


def in_canonical_order(texts: Texts) -> bytes:
    """Return the texts, joined, in an order that depends on nothing but their bytes.

    Raises:
      DataError: one is not in UTF-8; names the file.
    """
    found = {}
    for place, text in texts:
        try:
            text.decode()
        except UnicodeDecodeError as error:
            raise DataError(
                f"{place}: byte {error.start + 1} is in no UTF-8 text; save it in "
                "UTF-8, or take it out"
            ) from error
        found[hashlib.sha256(text).digest()] = text
    return b"\n".join(found[key] for key in sorted(found) if found[key])


def decode(ids: np.ndarray) -> bytes:
    """Return the bytes of ids that are no padding.

    >>> decode(encode("né".encode())).decode()
    'né'
    """
    return (np.asarray(ids) - 1).astype(np.uint8).tobytes()
