"""Image: which of ten kinds of things is in a grey picture, read pixel by pixel.

Vocabulary (256 ids): the brightness of a pixel, 0 black to 255 white, of pictures of
32 x 32 pixels, row by row; there is no padding. The pictures are CIFAR-10.

Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009;
Tay et al., Long Range Arena: A Benchmark for Efficient Transformers, 2020.
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks._image import pictures
from tasks._image.sample import MAX_VALIDATION, SAMPLE_VERSION, make_sample
from tasks._pixel_readers import readers
from tasks._public import check_options
from tasks._release.files import describe_file
from tasks.task import Split, Task

__all__ = ["make_task"]

# Raise it with every change that makes other examples from the same pictures.
_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Cut:
    """Say what is made of the pictures.

    Attributes:
      num_train: bound on the training pictures; 0 is none.
      num_validation: the last training pictures, which are kept for validation.
      num_test: bound on the test pictures; 0 is none.
    """

    num_train: int
    num_validation: int
    num_test: int


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
        (n, 32, 32) in grey or (n, 32, 32, 3) in colour, and {train,test}_labels.npy.
      num_train: at most so many training examples; 0 is all.
      num_validation: examples taken from training; of the sample, at most a fifth.
      num_test: at most so many test examples; 0 is all.

    Raises:
      ValueError: an option is out of its range.
      DataError: there is no such folder.
    """
    numbers = {
        "num_train": (num_train, 0),
        "num_validation": (num_validation, 1),
        "num_test": (num_test, 0),
    }
    check_options(source, directory, numbers)
    _check_rest(num_validation)
    if source == "sample":
        num_validation = min(num_validation, MAX_VALIDATION)
    load, data = _find(source, directory)
    cut = Cut(num_train, num_validation, num_test)
    return Task(
        name="image",
        vocab_size=256,
        num_classes=pictures.NUM_CLASSES,
        max_length=pictures.SIDE**2,
        source=source,
        provenance={"version": _VERSION, "data": data, **dataclasses.asdict(cut)},
        read=functools.partial(_read, load, cut),
        trivial_baselines=readers,
        # LRA: has the same ids, but takes black, id 0, for padding and masks it.
        pad_id=None,
    )


def _check_rest(num_validation: int) -> None:
    """Raise ValueError where validation leaves nothing to train on."""
    num_images = 5 * pictures.BATCH
    if num_validation >= num_images:
        raise ValueError(
            f"num_validation is {num_validation}, but must be below {num_images}"
        )


_Load = Callable[[], dict[str, Split]]


def _find(source: str, directory: str) -> tuple[_Load, Any]:
    """Return what reads the pictures of a source, and what determines their bytes."""
    if source == "sample":
        return make_sample, f"sample {SAMPLE_VERSION}"
    if source == "tfds":
        return functools.partial(pictures.read_tfds, directory), pictures.ORIGIN.tfds
    files = pictures.find_files(Path(directory).expanduser())
    return functools.partial(pictures.read_files, files), list(
        map(describe_file, files)
    )


def _read(load: _Load, cut: Cut, scratch: Path) -> dict[str, Split]:
    """Load and part the pictures; seconds, so nothing is kept in `scratch`."""
    parts = load()
    first_kept = len(parts["train"]) - cut.num_validation
    return {
        "train": _slice(
            parts["train"], 0, min(cut.num_train or first_kept, first_kept)
        ),
        "validation": _slice(parts["train"], first_kept, None),
        "test": _slice(parts["test"], 0, cut.num_test or None),
    }


def _slice(split: Split, start: int, stop: int | None) -> Split:
    """Return the examples from start to before stop."""
    return Split(split.inputs[start:stop], split.labels[start:stop])
