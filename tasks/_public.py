"""Public data sets and how to get at them: through TFDS, in folders, in archives."""

import dataclasses
import os
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tasks.task import DataError, check_choice

SOURCES = ("tfds", "folder", "sample")
# Seconds to wait for a server before telling the user that there is none.
_PATIENCE = 20
_ARCHIVE_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")


@dataclasses.dataclass(frozen=True)
class Origin:
    """Say where a public data set comes from.

    Attributes:
      task: the task it is for.
      title: what it is called.
      tfds: its name, config and version in TensorFlow Datasets.
      address: of the archive that TFDS downloads.
      megabytes: size of the archive.
      folder: what `directory` may be for source=folder.
    """

    task: str
    title: str
    tfds: str
    address: str
    megabytes: int
    folder: str

    def missing(self, what: str) -> DataError:
        """Return the error for data that is not there, with the ways to get it."""
        return DataError(
            f"{self.task}: no {self.title}: {what}\n"
            f"get it: `make data task={self.task}`, with network, or the archive "
            f"{self.address} ({self.megabytes} MB)\n"
            f"put it: with source=tfds in the TFDS folder, ~/tensorflow_datasets or "
            f"directory; with source=folder anywhere, directory being {self.folder}\n"
            "or go without: source=sample runs the same pipeline on small made-up data"
        )


def check_options(
    source: str, directory: str, numbers: Mapping[str, tuple[int, int]]
) -> None:
    """Raise ValueError for the first bad option; numbers are (value, least value)."""
    check_choice("source", source, SOURCES)
    if source == "folder" and not directory:
        raise ValueError("source='folder' needs directory, the folder or the archive")
    for option, (value, least) in numbers.items():
        if value < least:
            raise ValueError(f"{option} is {value}, but must be at least {least}")


# ---------------------------------------------------------------------------
# TensorFlow Datasets


def load_tfds(
    origin: Origin, directory: str, splits: Iterable[str]
) -> dict[str, Iterator[Mapping[str, Any]]]:
    """Return the examples of the splits, NumPy values by feature, in TFDS's order.

    Args:
      origin: the data set; downloaded and prepared where that has not been done.
      directory: TFDS's data_dir; "" is TFDS's default, ~/tensorflow_datasets.
      splits: TFDS's names of them.

    Raises:
      DataError: there is no TFDS, no network, or no such data.
    """
    splits = list(splits)
    # TFDS and the libraries below it declare no common exception.
    try:
        import tensorflow as tf
        import tensorflow_datasets as tfds

        # TensorFlow would take all memory of an accelerator that is JAX's.
        tf.config.set_visible_devices([], "GPU")
        data_dir = os.path.expanduser(directory) or None
        builder = tfds.builder(origin.tfds, data_dir=data_dir)
        if not builder.is_prepared():
            _reach(origin.address)
            builder.download_and_prepare()
        datasets = builder.as_dataset(split=splits, shuffle_files=False)
    except ImportError as error:
        raise origin.missing(
            f"TensorFlow Datasets is not installed, or not whole ({error})"
        ) from error
    except Exception as error:
        raise origin.missing(
            f"TFDS has not prepared {origin.tfds} and cannot, "
            f"{type(error).__name__}: {_one_line(error)}"
        ) from error
    examples = [_intact(origin, tfds.as_numpy(dataset)) for dataset in datasets]
    return dict(zip(splits, examples, strict=True))


def _intact(origin: Origin, examples: Iterable[Any]) -> Iterator[Any]:
    """Yield the examples; raise DataError where TFDS cannot read its own files."""
    try:
        yield from examples
    except Exception as error:
        raise DataError(
            f"what TFDS prepared as {origin.tfds} is damaged ({_one_line(error)}): "
            "delete its folder and run again"
        ) from error


def _reach(address: str) -> None:
    """Raise URLError, an OSError, where no server answers at an address.

    TFDS itself tries for minutes before it says so.
    """
    request = urllib.request.Request(address, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=_PATIENCE).close()
    except urllib.error.HTTPError as error:
        # It answers; what to make of the answer is left to TFDS.
        error.close()


def _one_line(error: Exception, width: int = 200) -> str:
    """Return the first `width` characters of a message, without its line breaks."""
    text = " ".join(str(error).split())
    return text if len(text) <= width else f"{text[:width]}..."


# ---------------------------------------------------------------------------
# Archives


def is_archive(path: Path) -> bool:
    """Tell whether a path is a file named like a tar archive."""
    return path.is_file() and path.name.endswith(_ARCHIVE_ENDINGS)


def read_archive(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files in a tar archive; nothing is unpacked.

    Raises:
      DataError: the archive is damaged or cut short.
    """
    try:
        with tarfile.open(archive, "r|*") as members:
            for member in members:
                if member.isfile() and (stream := members.extractfile(member)):
                    yield member.name, stream.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(
            f"{archive} is damaged or cut short ({_one_line(error)}): download it again"
        ) from error
