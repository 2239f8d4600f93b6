"""CIFAR-10 in grey, from TFDS, from its binary version and from plain arrays.

The binary version is six files of 10,000 records; a record is one byte of label and
32 x 32 bytes each of red, green and blue, row by row (Krizhevsky, Learning Multiple
Layers of Features from Tiny Images, 2009; the data set's page).
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from tasks._public import Origin, is_archive, load_tfds, read_archive
from tasks.task import DataError, Split

ORIGIN = Origin(
    task="image",
    title="CIFAR-10",
    tfds="cifar10:3.0.2",
    address="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    megabytes=170,
    folder="the archive, the folder cifar-10-batches-bin from it, or the folder they "
    "lie in",
)
SIDE = 32
NUM_CLASSES = 10
# Images of a file of the binary version; 5 files are for training, 1 is the test.
BATCH = 10_000
_FOLDER = "cifar-10-batches-bin"
_ARCHIVE = "cifar-10-binary.tar.gz"
_BATCHES = {
    "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "test": ("test_batch.bin",),
}
_ARRAYS = {
    "train": ("train_images.npy", "train_labels.npy"),
    "test": ("test_images.npy", "test_labels.npy"),
}
_RECORD = 1 + 3 * SIDE * SIDE
_WANTED = (
    "no data_batch_1.bin to data_batch_5.bin with test_batch.bin, and no "
    "{train,test}_{images,labels}.npy together"
)
_AGAIN = "the file is damaged or another one: unpack or download it again"
_NO_PICKLES = (
    "holds Python pickles; opening a pickle runs whatever program is in it, so that is "
    f"never done: take the binary version instead, {ORIGIN.address} "
    f"({ORIGIN.megabytes} MB)"
)


class _File(NamedTuple):
    """Hold the content of a file and, for error messages, where it was read."""

    place: str
    content: bytes


def grey(colours: np.ndarray) -> np.ndarray:
    """Return the brightness, uint8 (...), of colours, uint8 (..., 3), red first.

    The bytes are those of tf.image.rgb_to_grayscale: shares of 255 in float32, weighted
    and summed from red to blue, and cut off after multiplication with 255.5.

    >>> grey(np.array([[255, 255, 255], [255, 0, 0], [0, 255, 0]], np.uint8))
    array([255,  76, 149], dtype=uint8)
    """
    shares = np.arange(256, dtype=np.float32) * np.float32(1 / 255)
    red, green, blue = (
        shares * np.float32(weight) for weight in (0.2989, 0.5870, 0.1140)
    )
    brightness = red[colours[..., 0]] + green[colours[..., 1]] + blue[colours[..., 2]]
    return (brightness * np.float32(255.5)).astype(np.uint8)


# ---------------------------------------------------------------------------
# TFDS


def read_tfds(directory: str) -> dict[str, Split]:
    """Return training and test images of TFDS, downloaded and prepared if necessary.

    Raises:
      DataError: they cannot be had, or are not what they should be.
    """
    parts = load_tfds(ORIGIN, directory, _BATCHES)
    return {part: _from_tfds(part, examples) for part, examples in parts.items()}


def _from_tfds(part: str, examples: Iterable[Mapping[str, Any]]) -> Split:
    """Return the images of one part, in the order of their ids."""
    progress = tqdm(examples, desc=f"CIFAR-10 {part}", unit=" images", disable=None)
    rows = [
        (each["id"].decode(), grey(each["image"]), each["label"]) for each in progress
    ]
    # LRA: takes the order of TFDS's files, a shuffle that is TFDS's own; the official
    # order, which the ids keep, is the same for everyone.
    rows.sort(key=itemgetter(0))
    count = _num_images(part)
    if [row[0] for row in rows] != [f"{part}_{index:05d}" for index in range(count)]:
        raise DataError(
            f"{ORIGIN.tfds}, {part}: the ids of the {len(rows)} images do not run from "
            f"{part}_00000 to {part}_{count - 1:05d}: delete its folder and run again"
        )
    images = np.stack([row[1] for row in rows])
    labels = np.array([row[2] for row in rows])
    return _checked_split(images, labels, f"{ORIGIN.tfds}, {part}")


# ---------------------------------------------------------------------------
# Files


def find_files(directory: Path) -> list[Path]:
    """Return the six files, the four arrays or the one archive to read.

    Raises:
      DataError: there are none.
    """
    if is_archive(directory):
        return [directory]
    for folder in (directory, directory / _FOLDER):
        for layout in (_BATCHES, _ARRAYS):
            paths = [folder / name for name in _names(layout)]
            if all(path.is_file() for path in paths):
                return paths
    if (directory / _ARCHIVE).is_file():
        return [directory / _ARCHIVE]
    for pattern in ("*", "*/*"):
        if any(_is_pickle(path.name) for path in directory.glob(pattern)):
            raise DataError(f"{directory} {_NO_PICKLES}")
    raise ORIGIN.missing(f"no {_ARCHIVE}, {_WANTED} in {directory}")


def read_files(paths: Sequence[Path]) -> dict[str, Split]:
    """Return the training and test images of the files that `find_files` found.

    Raises:
      DataError: see the messages; they name the file.
    """
    if is_archive(paths[0]):
        files = _unpack(paths[0])
    else:
        files = {path.name: _File(str(path), path.read_bytes()) for path in paths}
    for layout, read in ((_BATCHES, _read_batches), (_ARRAYS, _read_arrays)):
        if all(name in files for name in _names(layout)):
            return {
                part: read([files[name] for name in names], _num_images(part))
                for part, names in layout.items()
            }
    raise ORIGIN.missing(f"{_WANTED} in {paths[0]}")


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
    """Return the names of the files of a layout."""
    return [name for names in layout.values() for name in names]


def _is_pickle(name: str) -> bool:
    """Tell whether a name is that of a batch in CIFAR-10's Python version."""
    return f"{name}.bin" in _names(_BATCHES)


def _num_images(part: str) -> int:
    """Return how many images a part of CIFAR-10 has."""
    return BATCH * len(_BATCHES[part])


def _read_batches(files: Sequence[_File], count: int) -> Split:
    """Return the `count` images of files of the binary version."""
    size = count // len(files) * _RECORD
    splits = [_read_batch(file, size) for file in files]
    inputs = np.concatenate([each.inputs for each in splits])
    return Split(inputs, np.concatenate([each.labels for each in splits]))


def _read_batch(file: _File, size: int) -> Split:
    """Return the images of a file of the binary version, which has `size` bytes."""
    if len(file.content) != size:
        raise DataError(
            f"{file.place}: {len(file.content)} bytes instead of {size}: {_AGAIN}"
        )
    records = np.frombuffer(file.content, np.uint8).reshape(-1, _RECORD)
    planes = records[:, 1:].reshape(-1, 3, SIDE, SIDE)
    images = _all_grey(np.moveaxis(planes, 1, -1))
    return _checked_split(images, records[:, 0], file.place)


def _read_arrays(files: Sequence[_File], count: int) -> Split:
    """Return the `count` images, grey or coloured, and labels of two .npy files."""
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
    if images.ndim == 4:
        images = _all_grey(images)
    return _checked_split(images, labels, files[1].place)


def _read_array(file: _File) -> np.ndarray:
    """Return the array of an .npy file."""
    try:
        return np.lib.format.read_array(io.BytesIO(file.content), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(
            f"{file.place}: not a whole array of plain numbers ({error}): {_AGAIN}"
        ) from error


def _all_grey(images: np.ndarray) -> np.ndarray:
    """Return the images, (n, 32, 32, 3), in grey; one by one, to save memory."""
    return np.stack([grey(image) for image in images])


def _checked_split(images: np.ndarray, labels: np.ndarray, place: str) -> Split:
    """Return grey images, (n, 32, 32), in rows of 1,024 pixels, and their labels.

    Raises:
      DataError: a label is none of the ten.
    """
    wrong = np.flatnonzero((labels < 0) | (labels >= NUM_CLASSES))
    if len(wrong):
        raise DataError(
            f"{place}: example {wrong[0]} has label {labels[wrong[0]]}, not one of 0 "
            f"to {NUM_CLASSES - 1}: {_AGAIN}"
        )
    return Split(images.reshape(len(images), -1), labels.astype(np.int32))
