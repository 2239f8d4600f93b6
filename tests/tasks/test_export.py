import numpy as np
import pytest
import tensorflow_datasets as tfds

from tasks import DataError, make_task
from tasks.export import export_tfds


@pytest.mark.parametrize("name", ["image", "retrieval"])
def test_tfds_reads_the_exported_examples_in_order(tmp_path, name):
    task = make_task(name, source="sample")
    splits = {key: split.part(0, 9) for key, split in task.read(tmp_path).items()}
    folder = export_tfds(task, splits, "checksum", tmp_path / "export")
    builder = tfds.builder_from_directory(str(folder))
    assert builder.info.features["label"].num_classes == task.num_classes
    for split, examples in splits.items():
        read = list(tfds.as_numpy(builder.as_dataset(split=split)))
        np.testing.assert_array_equal([e["inputs"] for e in read], examples.inputs)
        np.testing.assert_array_equal([e["label"] for e in read], examples.labels)
    with pytest.raises(DataError, match="exists: delete it"):
        export_tfds(task, splits, "checksum", tmp_path / "export")
