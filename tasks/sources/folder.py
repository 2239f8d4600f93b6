"""Public data sets in folders and archives: reviews of IMDb and pictures of CIFAR-10.

`aclImdb/{train,test}/{neg,pos}/` holds a file `<id>_<rating>.txt` for each review;
ratings up to 4 are negative, from 7 on positive (Maas et al., Learning Word Vectors for
Sentiment Analysis, 2011; its README).

The binary version of CIFAR-10 is six files of 10,000 records; a record is one byte of
label and 32 x 32 bytes each of red, green and blue, row by row (Krizhevsky, Learning
Multiple Layers of Features from Tiny Images, 2009; the data set's page).

What is missing or damaged is a DataError that names the file.
"""

import hashlib
import io
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from tasks.sources.release import describe_file
from tasks.sources.tfds import PublicData, one_line
from tasks.task import DataError, Split

_ARCHIVE_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
_AGAIN = "unpack or download the data again"


def given(directory: str, wanted: str = "the folder or the archive") -> Path:
    """Return the folder or archive that the option directory names.

    Args:
      directory: as typed.
      wanted: what it should be, for the message.

    Raises:
      ValueError: it is empty.
    """
    if not directory:
        raise ValueError(f"source=folder needs data=DIR, {wanted}")
    return Path(directory).expanduser()


def is_archive(path: Path) -> bool:
    """Tell whether a path is a file named like a tar archive."""
    return path.is_file() and path.name.endswith(_ARCHIVE_ENDINGS)


def read_archive(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files in a tar archive; nothing is unpacked."""
    try:
        with tarfile.open(archive, "r|*") as members:
            for member in members:
                if member.isfile() and (stream := members.extractfile(member)):
                    yield member.name, stream.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(
            f"{archive} is damaged or cut short ({one_line(error)}): download it again"
        ) from error


# ---------------------------------------------------------------------------
# Reviews

IMDB = PublicData(
    task="text",
    title="Large Movie Review Dataset (IMDb)",
    tfds="imdb_reviews/plain_text:1.0.0",
    address="http://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
    megabytes=84,
    folder="aclImdb",
)
# Of each split; the data set has as many of either label.
REVIEWS_PER_LABEL = 12_500
PARTS = ("train", "test")
_LABELS = ("neg", "pos")
_PATH = re.compile(r"(?:.*/)?(train|test)/(neg|pos)/([^/]+)")
_NAME = re.compile(r"[0-9]+_([0-9]+)\.txt")
_RATINGS = {"neg": range(1, 5), "pos": range(7, 11)}
_NOT_UTF8 = re.compile(rb"[\xf5-\xff]")


class Review(NamedTuple):
    """A review, stripped of white space at both ends as TFDS does."""

    text: bytes  # UTF-8
    label: int  # 0 for negative, 1 for positive
    place: str  # where it was read, for error messages


Reviews = dict[str, list[Review]]


def find_reviews(directory: Path) -> Path:
    """Return the folder aclImdb or the archive: `directory`, or one in it."""
    if is_archive(directory):
        return directory
    for folder in (directory, directory / IMDB.folder):
        if all((folder / part / name).is_dir() for part in PARTS for name in _LABELS):
            return folder
    if (directory / IMDB.archive).is_file():
        return directory / IMDB.archive
    wanted = f"neither the folders {{train,test}}/{{pos,neg}} nor {IMDB.archive}"
    raise IMDB.missing(f"{wanted} in {directory}")


def describe_reviews(folder: Path) -> dict[str, str | int]:
    """Return name, number, bytes and one SHA-256 of the reviews, or of the archive."""
    if folder.is_file():
        return describe_file(folder)
    number = size = 0
    digest = hashlib.sha256()
    for path, content in _review_files(folder):
        digest.update(f"{path}\n".encode() + hashlib.sha256(content).digest())
        number, size = number + 1, size + len(content)
    facts: dict[str, str | int] = {"name": IMDB.folder, "files": number, "bytes": size}
    return facts | {"sha256": digest.hexdigest()}


def read_reviews(folder: Path) -> Reviews:
    """Return the reviews of the folder aclImdb or of its archive."""
    files = read_archive(folder) if folder.is_file() else _review_files(folder)
    reviews: Reviews = {part: [] for part in PARTS}
    for path, content in tqdm(files, desc="IMDb", unit=" files", disable=None):
        if match := _PATH.fullmatch(path):
            part, label, name = match.groups()
            place = f"{folder / path}" if folder.is_dir() else f"{folder}:{path}"
            _check_rating(name, label, place)
            reviews[part].append(Review(content.strip(), _LABELS.index(label), place))
    check_reviews(reviews)
    return reviews


def check_reviews(reviews: Reviews) -> None:
    """Check reviews, of TFDS too, against what is known of the data set."""
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
    if not review.text:
        raise DataError(f"{review.place}: the review is empty: {_AGAIN}")
    if stray := _NOT_UTF8.search(review.text):
        raise DataError(
            f"{review.place}: byte 0x{stray[0].hex()} at {stray.start()} occurs in no "
            f"UTF-8 text and has no id: {_AGAIN}"
        )


def _review_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield path below the folder and content of the labeled reviews, sorted."""
    for part in PARTS:
        for label in _LABELS:
            for file in sorted((folder / part / label).iterdir()):
                if file.is_file():
                    yield f"{part}/{label}/{file.name}", file.read_bytes()


def _check_rating(name: str, label: str, place: str) -> None:
    """Raise DataError for a name without a rating, or with that of another label."""
    match, ratings = _NAME.fullmatch(name), _RATINGS[label]
    if not match:
        fault = "the name is not <id>_<rating>.txt, so this is no review: delete it, or"
        raise DataError(f"{place}: {fault} {_AGAIN}")
    if int(match[1]) not in ratings:
        bounds = f"{ratings[0]} to {ratings[-1]}"
        fault = f"rating {int(match[1])} in the folder {label}, which has {bounds}"
        raise DataError(f"{place}: {fault}: {_AGAIN}")


# ---------------------------------------------------------------------------
# Pictures

CIFAR = PublicData(
    task="image",
    title="CIFAR-10",
    tfds="cifar10:3.0.2",
    address="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    megabytes=170,
    folder="cifar-10-batches-bin",
)
SIDE = 32
# By label; from batches.meta.txt of the binary version.
CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
# Images of a file of the binary version; 5 files are for training, 1 is the test.
BATCH = 10_000
_RECORD = 1 + 3 * SIDE * SIDE
_BATCHES = {
    "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "test": ("test_batch.bin",),
}
_ARRAYS = {
    "train": ("train_images.npy", "train_labels.npy"),
    "test": ("test_images.npy", "test_labels.npy"),
}
_WANTED = (
    "no data_batch_1.bin to data_batch_5.bin with test_batch.bin, and no "
    "{train,test}_{images,labels}.npy together"
)
_NO_PICKLES = (
    "holds Python pickles; opening a pickle runs whatever program is in it, so that is "
    f"never done: take the binary version instead, {CIFAR.address} "
    f"({CIFAR.megabytes} MB)"
)


class _File(NamedTuple):
    """The content of a file and, for error messages, where it was read."""

    place: str
    content: bytes


def gray(colors: np.ndarray) -> np.ndarray:
    """Return the brightness, uint8 (...), of colors, uint8 (..., 3), red first.

    The bytes are those of tf.image.rgb_to_grayscale: shares of 255 in float32, weighted
    and summed from red to blue, and cut off after multiplication with 255.5.

    >>> gray(np.array([[255, 255, 255], [255, 0, 0], [0, 255, 0]], np.uint8))
    array([255,  76, 149], dtype=uint8)
    """
    shares = np.arange(256, dtype=np.float32) * np.float32(1 / 255)
    red, green, blue = (
        shares * np.float32(weight) for weight in (0.2989, 0.5870, 0.1140)
    )
    brightness = red[colors[..., 0]] + green[colors[..., 1]] + blue[colors[..., 2]]
    return (brightness * np.float32(255.5)).astype(np.uint8)


def num_pictures(part: str) -> int:
    """Return how many pictures a part of CIFAR-10 has."""
    return BATCH * len(_BATCHES[part])


def find_pictures(directory: Path) -> list[Path]:
    """Return the six files, the four arrays or the one archive to read."""
    if is_archive(directory):
        return [directory]
    for folder in (directory, directory / CIFAR.folder):
        for layout in (_BATCHES, _ARRAYS):
            paths = [folder / name for name in _names(layout)]
            if all(path.is_file() for path in paths):
                return paths
    if (directory / CIFAR.archive).is_file():
        return [directory / CIFAR.archive]
    for pattern in ("*", "*/*"):
        if any(_is_pickle(path.name) for path in directory.glob(pattern)):
            raise DataError(f"{directory} {_NO_PICKLES}")
    raise CIFAR.missing(f"no {CIFAR.archive}, {_WANTED} in {directory}")


def read_pictures(paths: Sequence[Path]) -> dict[str, Split]:
    """Return training and test pictures of the files that `find_pictures` found."""
    if is_archive(paths[0]):
        files = _unpack(paths[0])
    else:
        files = {path.name: _File(str(path), path.read_bytes()) for path in paths}
    for layout, read in ((_BATCHES, _read_batches), (_ARRAYS, _read_arrays)):
        if all(name in files for name in _names(layout)):
            return {
                part: read([files[name] for name in names], num_pictures(part))
                for part, names in layout.items()
            }
    raise CIFAR.missing(f"{_WANTED} in {paths[0]}")


def _unpack(archive: Path) -> dict[str, _File]:
    """Return the files of an archive that belong to a layout, by name."""
    files = {}
    for path, content in read_archive(archive):
        name = PurePosixPath(path).name
        if _is_pickle(name):
            raise DataError(f"{archive} {_NO_PICKLES}")
        if name in (*_names(_BATCHES), *_names(_ARRAYS)):
            files[name] = _File(f"{archive}:{path}", content)
    return files


def _names(layout: Mapping[str, Sequence[str]]) -> list[str]:
    return [name for names in layout.values() for name in names]


def _is_pickle(name: str) -> bool:
    """Tell whether a name is that of a batch in CIFAR-10's Python version."""
    return f"{name}.bin" in _names(_BATCHES)


def _read_batches(files: Sequence[_File], count: int) -> Split:
    """Return the `count` pictures of files of the binary version."""
    size, splits = BATCH * _RECORD, []
    for place, content in files:
        if len(content) != size:
            fault = f"{len(content)} bytes instead of {size}"
            raise DataError(f"{place}: {fault}: {_AGAIN}")
        records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
        planes = records[:, 1:].reshape(-1, 3, SIDE, SIDE)
        images = _all_gray(np.moveaxis(planes, 1, -1))
        splits.append(checked_pictures(images, records[:, 0], place))
    inputs = np.concatenate([each.inputs for each in splits])
    return Split(inputs, np.concatenate([each.labels for each in splits]))


def _read_arrays(files: Sequence[_File], count: int) -> Split:
    """Return the `count` pictures, gray or colored, and labels of two .npy files."""
    images, labels = map(_read_array, files)
    one_of = ((count, SIDE, SIDE), (count, SIDE, SIDE, 3))
    if images.dtype != np.uint8 or images.shape not in one_of:
        raise DataError(
            f"{files[0].place}: {images.dtype} {images.shape} instead of uint8 "
            f"{one_of[0]} or {one_of[1]}: {_AGAIN}"
        )
    if labels.dtype.kind not in "iu" or labels.shape != (count,):
        raise DataError(
            f"{files[1].place}: {labels.dtype} {labels.shape} instead of integers "
            f"({count},): {_AGAIN}"
        )
    images = _all_gray(images) if images.ndim == 4 else images
    return checked_pictures(images, labels, files[1].place)


def _read_array(file: _File) -> np.ndarray:
    try:
        return np.lib.format.read_array(io.BytesIO(file.content), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(
            f"{file.place}: not a whole array of plain numbers ({error}): {_AGAIN}"
        ) from error


def _all_gray(images: np.ndarray) -> np.ndarray:
    return np.stack([gray(image) for image in images])  # one by one, to save memory


def checked_pictures(images: np.ndarray, labels: np.ndarray, place: str) -> Split:
    """Return gray pictures, (n, 32, 32), in rows of 1,024 pixels, and their labels."""
    wrong = np.flatnonzero((labels < 0) | (labels >= len(CLASSES)))
    if len(wrong):
        raise DataError(
            f"{place}: example {wrong[0]} has label {labels[wrong[0]]}, not one of 0 "
            f"to {len(CLASSES) - 1}: {_AGAIN}"
        )
    return Split(images.reshape(len(images), -1), labels.astype(np.int32))
