"""Movie reviews from TFDS, from the original folder and from its archive.

The folder of the Large Movie Review Dataset is `aclImdb/{train,test}/{neg,pos}/`, with
one file `<id>_<rating>.txt` for each review; ratings up to 4 are negative, from 7 on
positive (Maas et al., Learning Word Vectors for Sentiment Analysis, 2011; its README).
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from tasks._public import Origin, is_archive, load_tfds, read_archive
from tasks._release.files import describe_file
from tasks.task import DataError

ORIGIN = Origin(
    task="text",
    title="Large Movie Review Dataset (IMDb)",
    tfds="imdb_reviews/plain_text:1.0.0",
    address="http://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
    megabytes=84,
    folder="the archive, the folder aclImdb from it, or the folder they lie in",
)
# Labels of the reviews of each split; the data set has as many of either.
REVIEWS_PER_LABEL = 12_500
LABELS = ("neg", "pos")
_PARTS = ("train", "test")
_ARCHIVE = "aclImdb_v1.tar.gz"
_PATH = re.compile(r"(?:.*/)?(train|test)/(neg|pos)/([^/]+)")
_NAME = re.compile(r"[0-9]+_([0-9]+)\.txt")
_RATINGS: tuple[range, range] = (range(1, 5), range(7, 11))
_NOT_UTF8 = re.compile(rb"[\xf5-\xff]")
_AGAIN = "unpack or download the data again"


class Review(NamedTuple):
    """Hold a review, stripped of white space at both ends as TFDS does.

    Attributes:
      text: UTF-8.
      label: 0 for negative, 1 for positive.
      place: where it was read, for error messages.
    """

    text: bytes
    label: int
    place: str


Reviews = dict[str, list[Review]]


def in_canonical_order(reviews: Iterable[Review]) -> list[Review]:
    """Return the reviews in an order that depends on nothing but their bytes.

    Sorting by hash is a shuffle as well: a prefix is a random sample.
    """
    return sorted(reviews, key=lambda each: (_digest(each.text), each.label))


def _digest(text: bytes) -> bytes:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text).digest()


def check_reviews(reviews: Mapping[str, list[Review]]) -> None:
    """Hold reviews to what the data set is known to be.

    Raises:
      DataError: a review has no bytes, or some that have no id; reviews are missing.
    """
    for part, members in reviews.items():
        for review in members:
            _check_text(review)
        counts = [sum(each.label == label for each in members) for label in (0, 1)]
        if counts != [REVIEWS_PER_LABEL] * 2:
            raise DataError(
                f"the {part} part has {counts[0]} negative and {counts[1]} positive "
                f"reviews instead of {REVIEWS_PER_LABEL} of each: {_AGAIN}"
            )


def _check_text(review: Review) -> None:
    """Raise DataError for an empty review and for bytes that are not of UTF-8."""
    if not review.text:
        raise DataError(f"{review.place}: the review is empty: {_AGAIN}")
    if stray := _NOT_UTF8.search(review.text):
        raise DataError(
            f"{review.place}: byte 0x{stray[0].hex()} at {stray.start()} occurs in no "
            f"UTF-8 text and has no id: {_AGAIN}"
        )


# ---------------------------------------------------------------------------
# TFDS


def read_tfds(directory: str) -> Reviews:
    """Return the reviews that TFDS has, downloaded and prepared where necessary.

    Raises:
      DataError: they cannot be had, or are not what they should be.
    """
    parts = load_tfds(ORIGIN, directory, _PARTS)
    reviews = {part: list(_from_tfds(part, parts[part])) for part in _PARTS}
    check_reviews(reviews)
    return reviews


def _from_tfds(part: str, examples: Iterable[Mapping[str, Any]]) -> Iterator[Review]:
    """Yield the reviews of one part."""
    progress = tqdm(examples, desc=f"IMDb {part}", unit=" reviews", disable=None)
    for number, example in enumerate(progress):
        place = f"{ORIGIN.tfds}, {part} example {number}"
        yield Review(example["text"].strip(), int(example["label"]), place)


# ---------------------------------------------------------------------------
# Folder and archive


def find_folder(directory: Path) -> Path:
    """Return the folder aclImdb or the archive, in `directory` or `directory` itself.

    Raises:
      DataError: there is neither.
    """
    if is_archive(directory):
        return directory
    for folder in (directory, directory / "aclImdb"):
        if all((folder / part / name).is_dir() for part in _PARTS for name in LABELS):
            return folder
    if (directory / _ARCHIVE).is_file():
        return directory / _ARCHIVE
    raise ORIGIN.missing(
        f"neither the folders {{train,test}}/{{pos,neg}} nor {_ARCHIVE} in {directory}"
    )


def describe_folder(folder: Path) -> dict[str, str | int]:
    """Return name, number, bytes and one SHA-256 of the reviews, or of the archive."""
    if folder.is_file():
        return describe_file(folder)
    number = size = 0
    digest = hashlib.sha256()
    for path, content in _files(folder):
        digest.update(f"{path}\n".encode() + _digest(content))
        number, size = number + 1, size + len(content)
    return {
        "name": "aclImdb",
        "files": number,
        "bytes": size,
        "sha256": digest.hexdigest(),
    }


def read_folder(folder: Path) -> Reviews:
    """Return the reviews of the folder aclImdb or of its archive.

    Raises:
      DataError: see the messages; they name the file.
    """
    files = read_archive(folder) if folder.is_file() else _files(folder)
    reviews: Reviews = {part: [] for part in _PARTS}
    for path, content in tqdm(files, desc="IMDb", unit=" files", disable=None):
        if match := _PATH.fullmatch(path):
            part, label, name = match.groups()
            place = f"{folder / path}" if folder.is_dir() else f"{folder}:{path}"
            _check_rating(name, label, place)
            reviews[part].append(Review(content.strip(), LABELS.index(label), place))
    check_reviews(reviews)
    return reviews


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield path below the folder and content of the labelled reviews, sorted."""
    for part in _PARTS:
        for label in LABELS:
            files = filter(Path.is_file, (folder / part / label).iterdir())
            for file in sorted(files):
                yield f"{part}/{label}/{file.name}", file.read_bytes()


def _check_rating(name: str, label: str, place: str) -> None:
    """Raise DataError for a name without a rating, or with that of another label."""
    match = _NAME.fullmatch(name)
    if not match:
        raise DataError(
            f"{place}: the name is not <id>_<rating>.txt, so this is no review: delete "
            f"it, or {_AGAIN}"
        )
    ratings = _RATINGS[LABELS.index(label)]
    if int(match[1]) not in ratings:
        raise DataError(
            f"{place}: rating {int(match[1])} in the folder {label}, which has "
            f"{ratings[0]} to {ratings[-1]}: {_AGAIN}"
        )
