import hashlib
import io
import json
import pickle
import random
import tarfile

import numpy as np
import pytest

from tasks import DataError, Split, image, make_task
from tasks.sources import folder as data_folder
from tasks.sources.folder import gray
from tasks.trivial import mean_accuracy, pixel_accuracy, pixel_baselines

BATCH = 12
GOLDEN = "172c196a7abc2ca16a788908de49785cd52a8576a51b5aca285318719352ce9f"
# Of the gray values that tf.image.rgb_to_grayscale of TensorFlow 2.21 gives the 2^24
# colors, in the order of red, green, blue.
TENSORFLOW_GRAY = "824a76d81dad2c5a2cf1fa0b2c0a5afe7d871ec2970e4fa2809b53ddbecdca93"


@pytest.fixture(autouse=True)
def small_data_set(monkeypatch):
    monkeypatch.setattr(data_folder, "BATCH", BATCH)


def colors_and_labels(part):
    """Return made-up pictures, uint8 (n, 32, 32, 3), and labels of a part."""
    count = {"train": 5 * BATCH, "test": BATCH}[part]
    generator = np.random.default_rng(count)
    colors = generator.integers(0, 256, (count, 32, 32, 3), np.uint8)
    return colors, generator.integers(0, 10, count)


DATA = {part: colors_and_labels(part) for part in ("train", "test")}


def binary_files():
    """Return name and content of the files of the binary version."""
    files = {}
    for part, (colors, labels) in DATA.items():
        planes = np.moveaxis(colors, -1, 1).reshape(len(colors), -1)
        records = np.concatenate([labels[:, None].astype(np.uint8), planes], axis=1)
        for number, batch in enumerate(records.reshape(-1, BATCH, 3_073), 1):
            name = f"data_batch_{number}.bin" if part == "train" else "test_batch.bin"
            files[name] = batch.tobytes()
    return files


def array_files(color=True, label_type=np.uint8):
    """Return name and content of the pictures and labels as .npy files."""
    files = {}
    for part, (colors, labels) in DATA.items():
        images = colors if color else gray(colors)
        files[f"{part}_images.npy"] = saved(images)
        files[f"{part}_labels.npy"] = saved(labels.astype(label_type))
    return files


def saved(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def write_folder(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def write_archive(file, files, folder="cifar-10-batches-bin"):
    with tarfile.open(file, "w:" + file.suffix[1:].replace("tar", "")) as archive:
        for name, content in {"readme.html": b"read me", **files}.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file


def folder_task(directory, **options):
    options = {"num_validation": 10} | options
    return make_task("image", source="folder", directory=str(directory), **options)


def expected_splits(num_validation=10):
    """Return the splits, turned gray pixel by pixel in double precision."""
    rows = {}
    for part, (colors, labels) in DATA.items():
        weights = np.float32([0.2989, 0.5870, 0.1140]).astype(float)
        brightness = (colors.reshape(-1, 1_024, 3) * weights).sum(axis=-1)
        rows[part] = brightness / 255 * 255.5, labels
    end = 5 * BATCH - num_validation
    inputs, labels = rows["train"]
    return {
        "train": (inputs[:end], labels[:end]),
        "validation": (inputs[end:], labels[end:]),
        "test": rows["test"],
    }


def assert_expected(splits):
    expected = expected_splits()
    assert list(splits) == list(expected)
    for name, (inputs, labels) in expected.items():
        assert splits[name].inputs.dtype == np.uint8
        assert splits[name].labels.dtype == np.int32
        difference = inputs - splits[name].inputs
        assert difference.min() > -1e-4 and difference.max() < 1 + 1e-4
        assert (splits[name].labels == labels).all()


def assert_same(some, others):
    assert list(some) == list(others)
    for name in some:
        assert (some[name].inputs == others[name].inputs).all()
        assert (some[name].labels == others[name].labels).all()


def tfds_examples(seed=0):
    """Return what TFDS has, in an order of its own."""
    parts = {}
    for part, (colors, labels) in DATA.items():
        rows = enumerate(zip(colors, labels, strict=True))
        parts[part] = [
            {"id": f"{part}_{index:05d}".encode(), "image": color, "label": label}
            for index, (color, label) in rows
        ]
        random.Random(seed).shuffle(parts[part])
    return parts


def read_tfds_task(monkeypatch, examples):
    """Read the task from a TFDS that gives the examples."""

    def load(data, directory, parts):
        assert data.tfds == "cifar10:3.0.2" and directory == "here"
        return {part: iter(examples[part]) for part in parts}

    monkeypatch.setattr(image, "load_tfds", load)
    task = make_task("image", source="tfds", directory="here", num_validation=10)
    return task.read(None)


# --- Gray -----------------------------------------------------------------------------


def test_every_color_gets_the_gray_that_tensorflow_gives_it():
    digest = hashlib.sha256()
    green, blue = np.indices((256, 256), np.uint8)
    for red in range(256):
        colors = np.stack([np.full_like(green, red), green, blue], axis=-1)
        digest.update(gray(colors).tobytes())
    assert digest.hexdigest() == TENSORFLOW_GRAY


# --- Examples -------------------------------------------------------------------------


def test_pixels_are_in_rows_from_left_to_right_and_from_top_to_bottom(tmp_path):
    images = np.zeros((5 * BATCH, 32, 32), np.uint8)
    images[:, 0, 1], images[:, 1, 0], images[:, 31, 31] = 7, 8, 255
    files = array_files(color=False) | {"train_images.npy": saved(images)}
    inputs = folder_task(write_folder(tmp_path, files)).read(tmp_path)["train"].inputs
    assert {pixel: inputs[0, pixel] for pixel in np.flatnonzero(inputs[0])} == {
        1: 7,
        32: 8,
        1_023: 255,
    }


def test_every_source_gives_the_same_arrays(tmp_path, monkeypatch):
    expected = read_tfds_task(monkeypatch, tfds_examples())
    assert_expected(expected)
    assert_same(read_tfds_task(monkeypatch, tfds_examples(seed=1)), expected)
    layouts = {
        "binary": binary_files(),
        "color": array_files(),
        "gray": array_files(color=False, label_type=np.int64),
    }
    for name, files in layouts.items():
        folder = write_folder(tmp_path / name, files)
        assert_same(folder_task(folder).read(tmp_path), expected)
        for ending in ("tar", "tar.gz", "tar.xz"):
            archive = write_archive(tmp_path / f"{name}.{ending}", files)
            assert_same(folder_task(archive).read(tmp_path), expected)


def test_the_folder_above_the_files_or_the_archive_will_do(tmp_path):
    folder = write_folder(tmp_path / "cifar-10-batches-bin", binary_files())
    expected = folder_task(tmp_path).read(tmp_path)
    folder.rename(tmp_path / "elsewhere")
    write_archive(tmp_path / "cifar-10-binary.tar.gz", binary_files())
    assert_same(folder_task(tmp_path).read(tmp_path), expected)


@pytest.mark.slow
def test_tensorflow_datasets_itself_gives_the_same_arrays(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("importlib_resources", reason="TFDS writes nothing without")
    import tensorflow as tf

    datasets = {}
    for part, examples in tfds_examples().items():
        columns = {key: [each[key] for each in examples] for key in examples[0]}
        datasets[part] = tf.data.Dataset.from_tensor_slices(columns)
    features = {
        "id": tfds.features.Text(),
        "image": tfds.features.Image(shape=(32, 32, 3)),
        "label": tfds.features.ClassLabel(num_classes=10),
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        name="cifar10",
        version="3.0.2",
        data_dir=tmp_path / "prepared",
        features=tfds.features.FeaturesDict(features),
        split_datasets=datasets,
    )
    directory = str(tmp_path / "prepared")
    task = make_task("image", source="tfds", directory=directory, num_validation=10)
    folder = write_folder(tmp_path / "binary", binary_files())
    assert_same(task.read(tmp_path), folder_task(folder).read(tmp_path))


def test_bounds_move_no_example(tmp_path):
    folder = write_folder(tmp_path, binary_files())
    full = folder_task(folder).read(tmp_path)
    assert {name: len(split) for name, split in full.items()} == {
        "train": 50,
        "validation": 10,
        "test": 12,
    }
    bounded = folder_task(folder, num_train=7, num_test=5).read(tmp_path)
    sizes = {name: len(split) for name, split in bounded.items()}
    assert sizes == {"train": 7, "validation": 10, "test": 5}
    for name, split in bounded.items():
        assert (split.inputs == full[name].inputs[: len(split)]).all()
        assert (split.labels == full[name].labels[: len(split)]).all()
    assert_same(folder_task(folder, num_train=999).read(tmp_path), full)


# --- The task -------------------------------------------------------------------------


def test_the_task_states_its_facts_and_has_no_padding():
    task = make_task("image", num_validation=10)
    assert (task.name, task.max_length, task.source) == ("image", 1_024, "tfds")
    assert (task.vocab_size, task.num_classes, task.pad_id) == (256, 10, None)


def test_provenance_tells_apart_what_has_other_bytes(tmp_path):
    folder = write_folder(tmp_path, binary_files())
    options = [{}, {"num_train": 7}, {"num_validation": 9}, {"num_test": 5}]
    texts = [json.dumps(folder_task(folder, **each).provenance) for each in options]
    assert json.dumps(folder_task(tmp_path).provenance) == texts[0]
    texts.append(json.dumps(make_task("image", num_validation=10).provenance))
    (folder / "test_batch.bin").write_bytes(bytes(BATCH * 3_073))
    texts.append(json.dumps(folder_task(folder).provenance))
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "folders"}, "unknown source 'folders'; did you mean 'folder'"),
        ({"source": "folder"}, "source=folder needs data=DIR"),
        ({"num_train": -1}, "num_train is -1"),
        ({"num_test": -1}, "num_test is -1"),
        ({"num_validation": 0}, "num_validation is 0, but must be from 1"),
        ({"num_validation": 60}, "num_validation is 60, but must be from 1 to 59"),
    ],
)
def test_an_option_out_of_range_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        make_task("image", **({"num_validation": 10} | options))


# --- Bad data -------------------------------------------------------------------------


def assert_refused(tmp_path, files, message):
    """Expect the error for a folder and for an archive of the files."""
    folder = write_folder(tmp_path / "folder", files)
    archive = write_archive(tmp_path / "archive.tar.gz", files)
    for directory in (folder, archive):
        with pytest.raises(DataError, match=message):
            folder_task(directory).read(tmp_path)


def test_a_binary_file_of_another_size_is_named(tmp_path):
    for change in (-1, -3_073, +1):
        files = binary_files()
        content = files["data_batch_3.bin"] + bytes(1)
        files["data_batch_3.bin"] = content[: BATCH * 3_073 + change]
        size = BATCH * 3_073 + change
        message = f"data_batch_3.bin: {size} bytes instead of {BATCH * 3_073}"
        assert_refused(tmp_path, files, message)


def test_a_label_out_of_range_is_named(tmp_path):
    files = binary_files()
    content = bytearray(files["test_batch.bin"])
    content[4 * 3_073] = 10
    files["test_batch.bin"] = bytes(content)
    message = "test_batch.bin: example 4 has label 10, not one of 0 to 9"
    assert_refused(tmp_path, files, message)
    labels = np.zeros(BATCH, np.int8)
    labels[2] = -1
    files = array_files() | {"test_labels.npy": saved(labels)}
    assert_refused(tmp_path / "arrays", files, "labels.npy: example 2 has label -1")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param(
            "test_images.npy",
            saved(np.zeros((BATCH, 32, 32), np.float32)),
            r"test_images.npy: float32 \(12, 32, 32\) instead of uint8 \(12, 32, 32\)",
            id="floats",
        ),
        pytest.param(
            "test_images.npy",
            saved(np.zeros((BATCH, 3, 32, 32), np.uint8)),
            r"test_images.npy: uint8 \(12, 3, 32, 32\) instead of",
            id="channels first",
        ),
        pytest.param(
            "test_images.npy",
            saved(np.zeros((BATCH - 1, 32, 32), np.uint8)),
            r"test_images.npy: uint8 \(11, 32, 32\) instead of",
            id="one image too few",
        ),
        pytest.param(
            "train_labels.npy",
            saved(np.zeros(5 * BATCH, np.float64)),
            r"train_labels.npy: float64 \(60,\) instead of integers \(60,\)",
            id="float labels",
        ),
        pytest.param(
            "train_labels.npy",
            saved(np.zeros((5 * BATCH, 10), np.uint8)),
            r"train_labels.npy: uint8 \(60, 10\) instead of integers",
            id="one-hot labels",
        ),
        pytest.param(
            "train_labels.npy",
            saved(np.zeros(5 * BATCH, np.uint8))[:-1],
            "train_labels.npy: not a whole array",
            id="cut short",
        ),
        pytest.param(
            "train_labels.npy", b"", "train_labels.npy: not a whole", id="empty"
        ),
        pytest.param(
            "train_labels.npy",
            saved(np.array([{}] * 5 * BATCH, object)),
            "train_labels.npy: not a whole array of plain numbers",
            id="objects",
        ),
        pytest.param(
            "train_labels.npy",
            pickle.dumps([1, 2, 3]),
            "train_labels.npy: not a whole array of plain numbers",
            id="a pickle",
        ),
    ],
)
def test_an_array_of_another_kind_is_named(tmp_path, name, content, message):
    assert_refused(tmp_path, array_files() | {name: content}, message)


class Bomb:
    """Fail the test where it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was opened",)


def test_the_python_version_is_refused_without_opening_it(tmp_path):
    names = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
    files = {name: pickle.dumps(Bomb()) for name in names}
    message = "Python pickles; .* take the binary version instead, https.*170 MB"
    assert_refused(tmp_path, files, message)
    with pytest.raises(DataError, match=message):
        folder_task(tmp_path).read(tmp_path)


def assert_says_what_to_do(error):
    said = str(error.value)
    assert said.startswith("image: no CIFAR-10") and "\n" not in said
    assert "make data task=image" in said and "cifar-10-binary.tar.gz" in said
    assert "source=folder data=ARCHIVE" in said and "source=sample" in said


def test_missing_files_are_named_with_the_ways_to_get_them(tmp_path):
    files = binary_files()
    del files["data_batch_2.bin"]
    for directory in (
        write_folder(tmp_path / "folder", files),
        write_archive(tmp_path / "archive.tar.gz", files),
        tmp_path / "nowhere",
    ):
        with pytest.raises(DataError, match=str(directory)) as caught:
            folder_task(directory).read(tmp_path)
        assert_says_what_to_do(caught)


def test_an_archive_cut_short_is_named(tmp_path):
    whole = write_archive(tmp_path / "whole.tar.gz", binary_files()).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cut.tar.gz is damaged or cut short"):
        folder_task(tmp_path / "cut.tar.gz").read(tmp_path)


def test_ids_of_tfds_that_leave_out_or_repeat_an_image_are_noticed(monkeypatch):
    for damage in (lambda rows: rows.pop(), lambda rows: rows.append(rows[0])):
        examples = tfds_examples()
        damage(examples["test"])
        with pytest.raises(
            DataError, match="cifar10:3.0.2, test: the ids of the 1[13]"
        ):
            read_tfds_task(monkeypatch, examples)


# --- The sample -----------------------------------------------------------------------


def test_the_sample_is_what_it_was_in_the_first_release(tmp_path, monkeypatch):
    monkeypatch.undo()
    splits = make_task("image", source="sample").read(tmp_path)
    digest = hashlib.sha256()
    for name in ("train", "validation", "test"):
        digest.update(splits[name].inputs.tobytes())
        digest.update(splits[name].labels.astype("<i4").tobytes())
    assert digest.hexdigest() == GOLDEN, (
        "the sample has other pictures than before; right only on purpose, and then "
        "raise SAMPLE_VERSION as well"
    )


def test_the_sample_has_all_classes_and_can_be_learned(tmp_path, monkeypatch):
    monkeypatch.undo()
    task = make_task("image", source="sample")
    splits = task.read(tmp_path)
    sizes = {"train": 480, "validation": 120, "test": 200}
    assert {name: len(split) for name, split in splits.items()} == sizes
    for name, split in splits.items():
        assert np.bincount(split.labels).tolist() == [sizes[name] // 10] * 10
    train, test = splits["train"], splits["test"]
    features = [spectrum(each.inputs) for each in (train, test)]
    nearest = (features[1] @ features[0].T).argmax(axis=1)
    assert np.mean(train.labels[nearest] == test.labels) > 0.5
    assert all(accuracy < 0.3 for accuracy in task.trivial_baselines(splits).values())


def spectrum(inputs):
    """Return what does not depend on a pattern's place, of unit length."""
    images = inputs.reshape(-1, 32, 32) - inputs.mean(axis=1)[:, None, None]
    features = abs(np.fft.fft2(images)).reshape(len(inputs), -1)
    return features / np.linalg.norm(features, axis=1, keepdims=True)


# --- Trivial baselines --------------------------------------------------------------


def random_split(seed, count=2_000, num_pixels=9, num_classes=3):
    generator = np.random.default_rng(seed)
    inputs = generator.integers(0, 256, (count, num_pixels), np.uint8)
    return Split(inputs, generator.integers(0, num_classes, count).astype(np.int32))


def both_parts(change):
    """Return random training and test data, changed in place."""
    splits = {"train": random_split(0), "test": random_split(1)}
    for split in splits.values():
        change(split)
    return splits


def test_baselines_of_noise_do_no_better_than_chance():
    accuracies = pixel_baselines(both_parts(lambda split: None))
    assert list(accuracies) == ["majority class", "mean intensity", "best single pixel"]
    assert list(accuracies.values()) == pytest.approx([1 / 3] * 3, abs=0.05)


def test_the_best_single_pixel_is_the_one_that_tells():
    def change(split):
        # Three ranges, each many levels wide.
        split.inputs[:, 5] = split.labels * 64 + split.inputs[:, 5] % 64

    splits = both_parts(change)
    assert pixel_accuracy(splits) == 1.0
    assert mean_accuracy(splits) < 0.6


def test_the_mean_intensity_needs_no_single_pixel():
    def change(split):
        brightness = split.inputs.astype(int).sum(axis=1)
        split.labels[:] = brightness > 9 * 127.5

    splits = both_parts(change)
    assert mean_accuracy(splits) > 0.95
    assert pixel_accuracy(splits) < 0.75


def test_a_value_that_training_does_not_have_gets_the_most_frequent_label():
    train = Split(np.full((3, 4), 10, np.uint8), np.array([1, 2, 2], np.int32))
    test = Split(np.full((2, 4), 200, np.uint8), np.array([2, 1], np.int32))
    assert pixel_baselines({"train": train, "test": test}) == dict.fromkeys(
        ("majority class", "mean intensity", "best single pixel"), 0.5
    )


def test_baselines_agree_with_plain_loops():
    splits = {"train": random_split(2, 200), "test": random_split(3, 50)}
    train, test = splits["train"], splits["test"]
    best = (-1, None)
    for pixel in range(9):
        answers, right = {}, 0
        for level in range(16):
            labels = train.labels[train.inputs[:, pixel] // 16 == level]
            counts = np.bincount(labels, minlength=3)
            answers[level], right = counts.argmax(), right + counts.max()
        if right > best[0]:
            hits = [
                answers[row[pixel] // 16] == label
                for row, label in zip(test.inputs, test.labels, strict=True)
            ]
            best = (right, np.mean(hits))
    assert pixel_accuracy(splits) == pytest.approx(best[1])


def test_baselines_take_arrays_that_are_mapped_from_files(tmp_path):
    splits = both_parts(lambda split: None)
    mapped = {}
    for name, split in splits.items():
        np.save(tmp_path / f"{name}.npy", split.inputs)
        inputs = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
        mapped[name] = Split(inputs, split.labels)
    assert pixel_baselines(mapped) == pixel_baselines(splits)
