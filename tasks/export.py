"""Export a prepared data set for users of other frameworks."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tasks import DataError, Split, Task

VERSION = "1.0.0"


def export_tfds(
    task: Task, splits: Mapping[str, Split], checksum: str, folder: Path
) -> Path:
    """Write a data set that `tfds.builder_from_directory` reads; return its folder.

    Examples are `{"inputs": ids, "label": class}`, inputs (l,) or (2, l) of uint8.

    Raises:
      DataError: the folder has one already, or TensorFlow Datasets is not installed.
    """
    name = task.name.replace("-", "_")
    target = folder / name / VERSION
    if target.exists():
        raise DataError(f"{target} exists: delete it, or export to another folder")
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise DataError(f"TensorFlow Datasets is not installed ({error})") from error
    inputs = splits["train"].inputs
    features = tfds.features.FeaturesDict(
        {
            "inputs": tfds.features.Tensor(shape=inputs.shape[1:], dtype=inputs.dtype),
            "label": tfds.features.ClassLabel(num_classes=task.num_classes),
        }
    )
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version=VERSION,
        features=features,
        split_datasets={name: _Examples(split) for name, split in splits.items()},
        data_dir=folder,
        disable_shuffling=True,
        description=f"{task.name} of the Long Range Arena, {checksum}",
    )
    return target


@dataclasses.dataclass(frozen=True)
class _Examples:
    """Numbered examples of a split, as often as they are asked for."""

    split: Split

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        pairs = zip(self.split.inputs, self.split.labels, strict=True)
        for number, (inputs, label) in enumerate(pairs):
            yield number, {"inputs": inputs, "label": int(label)}
