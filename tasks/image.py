"""Image: which of ten kinds of things is in a gray picture, read pixel by pixel.

Vocabulary (256 ids): the brightness of a pixel, 0 black to 255 white, of pictures of
32 x 32 pixels, row by row; there is no padding. The pictures are CIFAR-10.

Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009;
Tay et al., Long Range Arena: A Benchmark for Efficient Transformers, 2020.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from tasks.sources import folder
from tasks.sources.folder import CIFAR, gray, num_pictures
from tasks.sources.release import describe_file
from tasks.sources.tfds import load_tfds
from tasks.task import (
    DataError,
    Split,
    Splits,
    Task,
    check_choice,
    check_range,
    lazily,
)

TITLE = "Image"
ORDER = 4

# Raise it with every change that makes other examples from the same pictures.
_VERSION = 1
# Raise it with every change that makes other made-up pictures.
_SAMPLE = "sample 1"
# Most of the sample's training pictures that are validation.
_SAMPLE_VALIDATION = 120


def make_task(
    source: str = "tfds",
    directory: str = "",
    num_train: int = 0,
    num_validation: int = 5_000,
    num_test: int = 0,
) -> Task:
    """Return the Image task: 45,000 training, 5,000 validation and 10,000 test images.

    The order is that of CIFAR-10's own files; the last of its training images are the
    validation split. A bound on a split keeps its first examples and moves no others.

    Args:
      source: "tfds" for cifar10 of TensorFlow Datasets, "folder" for the data set's
        binary version or plain arrays, with the same examples, or "sample" for a few
        hundred made-up pictures.
      directory: TFDS's data_dir, "" being its default; or a folder or archive of
        data_batch_{1..5}.bin and test_batch.bin, or of {train,test}_images.npy, uint8
        (n, 32, 32) in gray or (n, 32, 32, 3) in color, and {train,test}_labels.npy.
      num_train: at most so many examples; 0 is all.
      num_test: likewise.
      num_validation: examples taken from training; of the sample, at most a fifth.

    Raises:
      ValueError: an option is out of its range.
      DataError: there is no such folder.
    """
    check_choice("source", source, ("tfds", "folder", "sample"))
    check_range(0, num_train=num_train, num_test=num_test)
    check_range(1, num_pictures("train") - 1, num_validation=num_validation)
    load, data = _find(source, directory)
    if source == "sample":
        num_validation = min(num_validation, _SAMPLE_VALIDATION)
    cut = {
        "num_train": num_train,
        "num_validation": num_validation,
        "num_test": num_test,
    }
    return Task(
        name="image",
        vocab_size=256,
        classes=folder.CLASSES,
        max_length=folder.SIDE**2,
        source=source,
        provenance={"version": _VERSION, "data": data, **cut},
        read=functools.partial(_read, load, cut),
        trivial_baselines=lazily("tasks.trivial", "pixel_baselines"),
        read_file=functools.partial(
            lazily("tasks.sources.file", "read_picture"), folder.SIDE
        ),
        # LRA: has the same ids, but takes black, id 0, for padding and masks it.
        pad_id=None,
    )


_Load = Callable[[], Splits]


def _find(source: str, directory: str) -> tuple[_Load, Any]:
    """Return what reads the pictures of a source, and what determines their bytes."""
    if source == "sample":
        return lazily("tasks.samples", "made_up_pictures"), _SAMPLE
    if source == "tfds":
        return functools.partial(read_tfds, directory), CIFAR.tfds
    files = folder.find_pictures(folder.given(directory))
    described = [describe_file(file) for file in files]
    return functools.partial(folder.read_pictures, files), described


def read_tfds(directory: str) -> dict[str, Split]:
    """Return training and test pictures of TFDS, downloaded and prepared if necessary.

    Raises:
      DataError: they cannot be had, or are not what they should be.
    """
    parts = load_tfds(CIFAR, directory, folder.PARTS)
    return {part: _from_tfds(part, examples) for part, examples in parts.items()}


def _from_tfds(part: str, examples: Iterable[Mapping[str, Any]]) -> Split:
    """Return the pictures of one part, in the order of their ids."""
    rows = [
        (each["id"].decode(), gray(each["image"]), each["label"]) for each in examples
    ]
    # LRA: takes the order of TFDS's files, a shuffle that is TFDS's own; the official
    # order, which the ids keep, is the same for everyone.
    rows.sort(key=itemgetter(0))
    count = num_pictures(part)
    if [row[0] for row in rows] != [f"{part}_{index:05d}" for index in range(count)]:
        raise DataError(
            f"{CIFAR.tfds}, {part}: the ids of the {len(rows)} images do not run from "
            f"{part}_00000 to {part}_{count - 1:05d}: delete its folder and run again"
        )
    images = np.stack([row[1] for row in rows])
    labels = np.array([row[2] for row in rows])
    return folder.checked_pictures(images, labels, f"{CIFAR.tfds}, {part}")


def _read(load: _Load, cut: Mapping[str, int], scratch: Path) -> dict[str, Split]:
    """Load and split the pictures; seconds, so nothing is kept in `scratch`."""
    parts = load()
    most = len(parts["train"]) - cut["num_validation"]
    return {
        "train": parts["train"].part(0, min(cut["num_train"] or most, most)),
        "validation": parts["train"].part(most, None),
        "test": parts["test"].part(0, cut["num_test"] or None),
    }
