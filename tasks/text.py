"""Text: is a movie review of IMDb positive (1) or negative (0), read byte by byte.

Vocabulary (257 ids): 0 padding; 1 to 256 the bytes 0 to 255, each plus one. Rows hold
the first bytes of a review and are padded at the right. UTF-8 has no bytes from 0xF5
on, so ids fit in uint8.

Maas et al., Learning Word Vectors for Sentiment Analysis, 2011;
Tay et al., Long Range Arena: A Benchmark for Efficient Transformers, 2020.
"""

import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tasks.sources import folder
from tasks.sources.folder import IMDB, PARTS, Review, Reviews
from tasks.sources.tfds import load_tfds
from tasks.task import Split, Task, check_choice, check_range, lazily

TITLE = "Text"
ORDER = 2

# Raise it with every change that makes other examples from the same reviews.
_VERSION = 1
_LRA_LENGTH = 4_000
# Raise it with every change that makes other made-up reviews.
_SAMPLE = "sample 1"
# Most of the sample's training reviews that are carved out for validation.
_SAMPLE_VALIDATION = 120


def make_task(
    source: str = "tfds",
    directory: str = "",
    length: int = _LRA_LENGTH,
    validation: str = "carved",
    num_validation: int = 2_500,
    num_train: int = 0,
    num_test: int = 0,
) -> Task:
    """Return the Text task: 22,500 training, 2,500 validation and 25,000 test reviews.

    The order of examples, and with it the validation split, depends on the reviews'
    bytes only. A bound on a split keeps its first examples and moves no others.

    Args:
      source: "tfds" for imdb_reviews of TensorFlow Datasets, "folder" for the data
        set's own folder or archive, with the same examples, or "sample" for a few
        hundred made-up reviews.
      directory: TFDS's data_dir, "" being its default; or the folder aclImdb, the one
        it lies in, or the archive.
      length: bytes read of each review, the positions of a row. Other lengths than
        LRA's 4,000 are tasks with names of their own, text-1000 and so on.
      validation: "carved" out of the training reviews, half of each label, or "test"
        for the test split itself.
      num_validation: reviews carved out; of the sample, at most a fifth.
      num_train: at most so many examples; 0 is all.
      num_test: likewise.

    Raises:
      ValueError: an option is out of its range.
      DataError: there is no such folder.
    """
    check_choice("source", source, ("tfds", "folder", "sample"))
    check_choice("validation", validation, ("carved", "test"))
    check_range(1, length=length)
    check_range(0, num_train=num_train, num_test=num_test)
    check_range(2, 2 * folder.REVIEWS_PER_LABEL - 2, num_validation=num_validation)
    if num_validation % 2:
        raise ValueError(
            f"num_validation is {num_validation}, but must be even, half of each label"
        )
    load, data = _find(source, directory)
    if source == "sample":
        num_validation = min(num_validation, _SAMPLE_VALIDATION)
    cut = {
        "length": length,
        "num_validation": 0 if validation == "test" else num_validation,
        "num_train": num_train,
        "num_test": num_test,
    }
    return Task(
        # LRA: 4K in the paper, 1,000 in the base config; here the name tells.
        name="text" if length == _LRA_LENGTH else f"text-{length}",
        vocab_size=257,
        classes=("negative", "positive"),
        max_length=length,
        source=source,
        validation_is_test=validation == "test",
        provenance={"version": _VERSION, "data": data, **cut},
        read=functools.partial(_read, load, cut),
        trivial_baselines=lazily("tasks.trivial", "text_baselines"),
        read_file=functools.partial(lazily("tasks.sources.file", "read_text"), length),
    )


def _find(source: str, directory: str) -> tuple[Callable[[], Reviews], Any]:
    """Return what reads the reviews of a source, and what determines their bytes."""
    if source == "sample":
        return lazily("tasks.samples", "made_up_reviews"), _SAMPLE
    if source == "tfds":
        return functools.partial(read_tfds, directory), IMDB.tfds
    found = folder.find_reviews(folder.given(directory))
    return functools.partial(folder.read_reviews, found), folder.describe_reviews(found)


def read_tfds(directory: str) -> Reviews:
    """Return the reviews that TFDS has, downloaded and prepared where necessary.

    Raises:
      DataError: they cannot be had, or are not what they should be.
    """
    parts = load_tfds(IMDB, directory, PARTS)
    reviews = {part: list(_from_tfds(part, parts[part])) for part in PARTS}
    folder.check_reviews(reviews)
    return reviews


def _from_tfds(part: str, examples: Iterable[Mapping[str, Any]]) -> Iterable[Review]:
    for number, example in enumerate(examples):
        place = f"{IMDB.tfds}, {part} example {number}"
        yield Review(example["text"].strip(), int(example["label"]), place)


def _read(
    load: Callable[[], Reviews], cut: Mapping[str, int], scratch: Path
) -> dict[str, Split]:
    """Load, order and encode the reviews; seconds, so nothing is kept in `scratch`."""
    parts = {part: in_canonical_order(reviews) for part, reviews in load().items()}
    validation, train = carve(parts["train"], cut["num_validation"] // 2)
    splits = {
        "train": _encode_all(train[: cut["num_train"] or None], cut["length"]),
        "test": _encode_all(parts["test"][: cut["num_test"] or None], cut["length"]),
    }
    # LRA: validates on the test split, and reports the last checkpoint. That validation
    # split remains possible; the default is carved out of the training reviews.
    splits["validation"] = (
        _encode_all(validation, cut["length"]) if validation else splits["test"]
    )
    return splits


def in_canonical_order(reviews: Iterable[Review]) -> list[Review]:
    """Return the reviews in an order that depends on nothing but their bytes.

    Sorting by hash is a shuffle as well: a prefix is a random sample.
    """
    return sorted(
        reviews, key=lambda each: (hashlib.sha256(each.text).digest(), each.label)
    )


def carve(
    members: Sequence[Review], num_per_label: int
) -> tuple[list[Review], list[Review]]:
    """Split reviews into the first num_per_label of each label, and the others.

    No text is in both: repetitions (the training part has 96) go with the first.
    """
    carved: list[Review] = []
    for label in (0, 1):
        carved += [each for each in members if each.label == label][:num_per_label]
    seen = {each.text for each in carved}
    others = [each for each in members if each.text not in seen]
    return in_canonical_order(carved), others


def _encode_all(members: Sequence[Review], length: int) -> Split:
    """Return the reviews as ids, uint8 (n, length), and labels."""
    inputs = np.zeros((len(members), length), np.uint8)
    for row, review in zip(inputs, members, strict=True):
        ids = encode(review.text[:length])
        row[: len(ids)] = ids
    return Split(inputs, np.array([each.label for each in members], np.int32))


def encode(text: bytes) -> np.ndarray:
    """Return the ids, uint8 (l,), of a text in UTF-8.

    >>> encode("né".encode())
    array([111, 196, 170], dtype=uint8)
    """
    return np.frombuffer(text, np.uint8) + np.uint8(1)
