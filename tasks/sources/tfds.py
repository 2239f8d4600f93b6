"""Public data sets through TensorFlow Datasets, and what to do where they are not."""

import dataclasses
import os
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tqdm import tqdm

from tasks.task import DataError

# Seconds to wait for a server before telling the user that there is none.
_PATIENCE = 20


@dataclasses.dataclass(frozen=True)
class PublicData:
    """A public data set and the ways to get it."""

    task: str  # the task it is for
    title: str  # what it is called
    tfds: str  # its name, config and version in TensorFlow Datasets
    address: str  # of the archive that TFDS downloads
    megabytes: int  # size of the archive
    folder: str  # name of the folder in the archive

    @property
    def archive(self) -> str:
        """The name of the archive."""
        return self.address.rpartition("/")[2]

    def missing(self, what: str) -> DataError:
        """Return the error for data that is not there, with the ways to get it."""
        return DataError(
            f"{self.task}: no {self.title}: {what}; with network `make data "
            f"task={self.task}` fetches it, or fetch {self.address} "
            f"({self.megabytes} MB) and add source=folder data=ARCHIVE; source=sample "
            "runs the same pipeline on small made-up data (see docs/data.md)"
        )


def load_tfds(
    data: PublicData, directory: str, splits: Iterable[str]
) -> dict[str, Iterator[Mapping[str, Any]]]:
    """Return the examples of the splits, NumPy values by feature, in TFDS's order.

    Args:
      data: the data set; downloaded and prepared where that has not been done.
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
        builder = tfds.builder(data.tfds, data_dir=data_dir)
        if not builder.is_prepared():
            _reach(data.address)
            builder.download_and_prepare()
        datasets = builder.as_dataset(split=splits, shuffle_files=False)
    except ImportError as error:
        fault = f"TensorFlow Datasets is not installed, or not whole ({error})"
        raise data.missing(fault) from error
    except Exception as error:
        fault = f"TFDS has not prepared {data.tfds} and cannot, {type(error).__name__}"
        raise data.missing(f"{fault}: {one_line(error)}") from error
    return {
        split: _intact(data, split, tfds.as_numpy(dataset))
        for split, dataset in zip(splits, datasets, strict=True)
    }


def _intact(data: PublicData, split: str, examples: Iterable[Any]) -> Iterator[Any]:
    """Yield the examples; raise DataError where TFDS cannot read its own files."""
    try:
        yield from tqdm(examples, f"{data.tfds} {split}", disable=None)
    except Exception as error:
        raise DataError(
            f"what TFDS prepared as {data.tfds} is damaged ({one_line(error)}): "
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


def one_line(error: Exception, width: int = 200) -> str:
    """Return the first `width` characters of a message, without its line breaks."""
    text = " ".join(str(error).split())
    return text if len(text) <= width else f"{text[:width]}..."
