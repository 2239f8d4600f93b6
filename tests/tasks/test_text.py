import hashlib
import io
import json
import random
import sys
import tarfile
import types
import urllib.error
import urllib.request

import numpy as np
import pytest

from tasks import DataError, Split, make_task, text
from tasks.sources import folder as data_folder
from tasks.sources.folder import Review, read_archive
from tasks.trivial import byte_roots, text_bag_accuracy, text_baselines

PER_LABEL = 20
GOLDEN = "c84c49a1b46de54d3f7236c0d17082ee5ab5e289a4d16c0d52383e65a809a169"


def made_up(part):
    """Return made-up (label, rating, text) of a part, twenty of each label."""
    source = random.Random(part)
    words = ["film", "été", "<br />", "\t", "\n", "plot", "good", "bad", "naïve—"]
    for index in range(2 * PER_LABEL):
        rating = source.choice([1, 2, 3, 4] if index % 2 == 0 else [7, 8, 9, 10])
        chosen = source.choices(words, k=source.randrange(3, 60))
        content = f" {part} {index} {' '.join(chosen)}\n"
        yield index % 2, rating, content.encode()


REVIEWS = {part: list(made_up(part)) for part in ("train", "test")}


@pytest.fixture(autouse=True)
def small_data_set(monkeypatch):
    monkeypatch.setattr(data_folder, "REVIEWS_PER_LABEL", PER_LABEL)


def paths_and_contents(seed=0):
    """Yield path and content of every review, the ids drawn from a seed."""
    for part, reviews in REVIEWS.items():
        ids = random.Random(seed).sample(range(1_000), len(reviews))
        for number, (label, rating, content) in zip(ids, reviews, strict=True):
            yield (
                f"aclImdb/{part}/{('neg', 'pos')[label]}/{number}_{rating}.txt",
                content,
            )


def write_folder(parent, seed=0):
    for path, content in paths_and_contents(seed):
        (parent / path).parent.mkdir(parents=True, exist_ok=True)
        (parent / path).write_bytes(content)
    return parent / "aclImdb"


def write_archive(file, members=None):
    members = list(paths_and_contents(seed=3)) if members is None else members
    members += [("aclImdb/README", b"read me"), ("aclImdb/train/unsup/0_0.txt", b"no")]
    with tarfile.open(file, "w:" + file.suffix[1:].replace("tar", "")) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file


def folder_task(directory, **options):
    options = {"num_validation": 10} | options
    return make_task("text", source="folder", directory=str(directory), **options)


def read_tfds_task(monkeypatch, reviews, **options):
    """Read the task from a TFDS that gives the reviews, in its own order."""

    def load(data, directory, parts):
        assert data.tfds == "imdb_reviews/plain_text:1.0.0" and directory == "here"
        return {part: iter(reviews[part]) for part in parts}

    monkeypatch.setattr(text, "load_tfds", load)
    options = {"num_validation": 10} | options
    return make_task("text", source="tfds", directory="here", **options).read(None)


def tfds_examples(shuffle_seed):
    parts = {}
    for part, reviews in REVIEWS.items():
        parts[part] = [
            {"text": content.strip(), "label": np.int64(label)}
            for label, _, content in reviews
        ]
        random.Random(shuffle_seed).shuffle(parts[part])
    return parts


def assert_same(some, others):
    assert list(some) == list(others)
    for name in some:
        assert (some[name].inputs == others[name].inputs).all()
        assert (some[name].labels == others[name].labels).all()


def texts_of(split):
    return [bytes(row[row > 0] - 1) for row in split.inputs]


# --- Examples -------------------------------------------------------------------------


def test_ids_are_bytes_plus_one_and_rows_end_in_padding(tmp_path):
    for length in (7, 4_000):
        splits = folder_task(write_folder(tmp_path), length=length).read(tmp_path)
        expected = {}
        for label, _, content in REVIEWS["test"]:
            ids = [byte + 1 for byte in content.strip()[:length]]
            expected[bytes(ids + [0] * (length - len(ids)))] = label
        assert splits["test"].inputs.dtype == np.uint8
        assert splits["test"].labels.dtype == np.int32
        rows = map(bytes, splits["test"].inputs)
        if length == 4_000:
            pairs = zip(rows, splits["test"].labels.tolist(), strict=True)
            assert dict(pairs) == expected
        else:
            assert set(rows) == set(expected)


def test_every_source_gives_the_same_arrays(tmp_path, monkeypatch):
    expected = folder_task(write_folder(tmp_path / "one")).read(tmp_path)
    assert {name: len(split) for name, split in expected.items()} == {
        "train": 30,
        "test": 40,
        "validation": 10,
    }
    write_folder(tmp_path / "two", seed=1)
    assert_same(folder_task(tmp_path / "two").read(tmp_path), expected)
    for name in ("a.tar", "b.tar.gz", "c.tar.xz", "aclImdb_v1.tar.gz"):
        archive = write_archive(tmp_path / name)
        assert_same(folder_task(archive).read(tmp_path), expected)
    assert_same(folder_task(tmp_path).read(tmp_path), expected)
    for seed in (1, 2):
        assert_same(read_tfds_task(monkeypatch, tfds_examples(seed)), expected)


def test_tensorflow_datasets_itself_gives_the_same_arrays(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("importlib_resources", reason="TFDS writes nothing without")
    import tensorflow as tf

    features = {
        "text": tfds.features.Text(),
        "label": tfds.features.ClassLabel(names=["neg", "pos"]),
    }
    datasets = {}
    for part, examples in tfds_examples(shuffle_seed=5).items():
        columns = {key: [each[key] for each in examples] for key in features}
        datasets[part] = tf.data.Dataset.from_tensor_slices(columns)
    tfds.dataset_builders.store_as_tfds_dataset(
        name="imdb_reviews",
        version="1.0.0",
        config="plain_text",
        data_dir=tmp_path / "prepared",
        features=tfds.features.FeaturesDict(features),
        split_datasets=datasets,
    )
    directory = str(tmp_path / "prepared")
    task = make_task("text", source="tfds", directory=directory, num_validation=10)
    expected = folder_task(write_folder(tmp_path)).read(tmp_path)
    assert_same(task.read(tmp_path), expected)


# --- Splits ---------------------------------------------------------------------------


def test_validation_is_balanced_and_carved_out_of_training(tmp_path):
    splits = folder_task(write_folder(tmp_path)).read(tmp_path)
    assert np.bincount(splits["validation"].labels).tolist() == [5, 5]
    train, validation = texts_of(splits["train"]), texts_of(splits["validation"])
    everything = [content.strip() for _, _, content in REVIEWS["train"]]
    assert sorted(train + validation) == sorted(everything)


def test_bounds_and_length_move_no_example(tmp_path):
    folder = write_folder(tmp_path)
    full = folder_task(folder).read(tmp_path)
    bounded = folder_task(folder, num_train=7, num_test=9, length=50).read(tmp_path)
    sizes = {name: len(split) for name, split in bounded.items()}
    assert sizes == {"train": 7, "test": 9, "validation": 10}
    for name, split in bounded.items():
        assert (split.inputs == full[name].inputs[: len(split), :50]).all()
        assert (split.labels == full[name].labels[: len(split)]).all()


def test_a_larger_validation_split_holds_the_smaller_one(tmp_path):
    folder = write_folder(tmp_path)
    few, many = (
        texts_of(folder_task(folder, num_validation=n).read(tmp_path)["validation"])
        for n in (4, 12)
    )
    assert set(few) < set(many)


def test_no_text_is_in_training_and_in_validation():
    reviews = [Review(b"%d" % (index // 3), 0, "") for index in range(60)]
    reviews += [Review(b"+%d" % index, 1, "") for index in range(20)]
    carved, others = text.carve(text.in_canonical_order(reviews), 7)
    assert [each.label for each in carved].count(0) == 7
    assert not {each.text for each in carved} & {each.text for each in others}
    # Of the third text two repetitions, at most, are in neither.
    assert 80 - 2 <= len(carved) + len(others) <= 80


def test_the_original_protocol_validates_on_the_test_split(tmp_path):
    splits = folder_task(write_folder(tmp_path), validation="test").read(tmp_path)
    assert len(splits["train"]) == 40
    assert_same({"test": splits["validation"]}, {"test": splits["test"]})


# --- The task -------------------------------------------------------------------------


def test_the_task_states_its_facts_and_its_length_in_its_name():
    task = make_task("text", num_validation=10)
    assert (task.name, task.max_length, task.source) == ("text", 4_000, "tfds")
    assert (task.vocab_size, task.num_classes, task.pad_id) == (257, 2, 0)
    assert make_task("text", length=1_000, num_validation=10).name == "text-1000"


def test_provenance_tells_apart_what_has_other_bytes(tmp_path):
    folder = write_folder(tmp_path)
    options = [{}, {"length": 9}, {"num_validation": 8}, {"validation": "test"}]
    options += [{"num_train": 3}, {"num_test": 3}]
    texts = [json.dumps(folder_task(folder, **each).provenance) for each in options]
    assert json.dumps(folder_task(tmp_path).provenance) == texts[0]
    write_archive(tmp_path / "a.tar")
    texts.append(json.dumps(folder_task(tmp_path / "a.tar").provenance))
    texts.append(json.dumps(make_task("text", num_validation=10).provenance))
    next(folder.glob("test/pos/*")).write_bytes(b"another review")
    texts.append(json.dumps(folder_task(folder).provenance))
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "tdfs"}, "unknown source 'tdfs'; did you mean 'tfds'"),
        ({"source": "folder"}, "source=folder needs data=DIR"),
        ({"validation": "carve"}, "unknown validation 'carve'; did you mean 'carved'"),
        ({"length": 0}, "length is 0, but must be at least 1"),
        ({"num_train": -1}, "num_train is -1"),
        ({"num_test": -1}, "num_test is -1"),
        ({"num_validation": 0}, "num_validation is 0"),
        ({"num_validation": 7}, "num_validation is 7, but must be even"),
        ({"num_validation": 40}, "num_validation is 40, but must be from 2 to 38"),
    ],
)
def test_an_option_out_of_range_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        make_task("text", **({"num_validation": 10} | options))


# --- Bad data -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("neg/900_7.txt", b"x", "neg/900_7.txt: rating 7 in the folder neg.* 1 to 4"),
        ("pos/900_4.txt", b"x", "pos/900_4.txt: rating 4 in the folder pos.* 7 to 10"),
        ("pos/900_0.txt", b"x", "pos/900_0.txt: rating 0 "),
        ("pos/900.txt", b"x", "pos/900.txt: the name is not <id>_<rating>.txt"),
        ("pos/.DS_Store", b"x", "pos/.DS_Store: the name is not"),
        ("pos/900_8.txt", b"", "pos/900_8.txt: the review is empty"),
        ("pos/900_8.txt", b" \n", "pos/900_8.txt: the review is empty"),
        (
            "pos/900_8.txt",
            b"ab\xff",
            "pos/900_8.txt: byte 0xff at 2 occurs in no UTF-8",
        ),
        ("pos/900_8.txt", b"\xf5", "pos/900_8.txt: byte 0xf5 at 0 occurs in no UTF-8"),
        ("pos/900_8.txt", b"x", "the train part has 20 negative and 21 positive"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, content, message):
    folder = write_folder(tmp_path)
    (folder / "train" / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        folder_task(folder).read(tmp_path)
    members = [*paths_and_contents(), (f"aclImdb/train/{name}", content)]
    archive = write_archive(tmp_path / "a.tar.gz", members)
    with pytest.raises(DataError, match=message):
        folder_task(archive).read(tmp_path)


def test_missing_reviews_are_noticed(tmp_path, monkeypatch):
    folder = write_folder(tmp_path)
    next(folder.glob("test/neg/*")).unlink()
    message = "the test part has 19 negative and 20 positive reviews instead of 20"
    with pytest.raises(DataError, match=message):
        folder_task(folder).read(tmp_path)
    examples = tfds_examples(1)
    examples["test"] = [each for each in examples["test"] if each["label"]]
    with pytest.raises(DataError, match="the test part has 0 negative"):
        read_tfds_task(monkeypatch, examples)


def test_a_damaged_review_of_tfds_is_named_by_its_number(monkeypatch):
    examples = tfds_examples(1)
    examples["train"][3]["text"] = b"\xfe"
    with pytest.raises(DataError, match="plain_text:1.0.0, train example 3: byte 0xfe"):
        read_tfds_task(monkeypatch, examples)


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tar.xz", ".tar.bz2"])
def test_an_archive_cut_short_is_named(tmp_path, ending):
    whole = write_archive(tmp_path / f"a{ending}").read_bytes()
    (tmp_path / f"b{ending}").write_bytes(whole[: len(whole) * 2 // 3 + 100])
    with pytest.raises(
        DataError, match="b.tar.* is damaged or cut short|the test part"
    ):
        folder_task(tmp_path / f"b{ending}").read(tmp_path)
    (tmp_path / f"c{ending}").write_bytes(random.Random(0).randbytes(3_000))
    with pytest.raises(DataError, match="c.tar.* is damaged or cut short"):
        list(read_archive(tmp_path / f"c{ending}"))


def assert_says_what_to_do(error):
    said = str(error.value)
    assert said.startswith("text: no Large Movie Review Dataset") and "\n" not in said
    for way in (
        "`make data task=text`",
        "aclImdb_v1.tar.gz (84 MB)",
        "source=folder data=ARCHIVE",
        "source=sample",
    ):
        assert way in said


def test_a_missing_folder_is_named_with_the_ways_to_get_it(tmp_path):
    write_folder(tmp_path).joinpath("test").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=str(tmp_path)) as caught:
        folder_task(tmp_path)
    assert_says_what_to_do(caught)


# --- TFDS -----------------------------------------------------------------------------


class Builder:
    """Stand in for a data set that TFDS has not prepared yet."""

    prepared = False

    def is_prepared(self):
        return self.prepared

    def download_and_prepare(self):
        self.prepared = True

    def as_dataset(self, split, shuffle_files):
        assert self.prepared and not shuffle_files
        return [tfds_examples(1)[part] for part in split]


@pytest.fixture
def fake_tfds(monkeypatch):
    """Put a TFDS without a network in the place of the real one."""
    asked = []

    def builder(name, data_dir):
        asked.append((name, data_dir))
        return fake.instance

    fake = types.SimpleNamespace(
        builder=builder, as_numpy=iter, instance=Builder(), asked=asked
    )
    config = types.SimpleNamespace(set_visible_devices=lambda devices, kind: None)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", fake)
    monkeypatch.setitem(sys.modules, "tensorflow", types.SimpleNamespace(config=config))
    return fake


def answer_with(monkeypatch, error=None):
    """Let every address answer, or fail with an error."""

    def urlopen(request, timeout):
        if error:
            raise error
        return io.BytesIO()

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)


def test_what_tfds_has_is_read_without_a_network(fake_tfds, monkeypatch, tmp_path):
    answer_with(monkeypatch, OSError("the network was asked"))
    fake_tfds.instance.prepared = True
    make_task("text", num_validation=10).read(tmp_path)
    make_task("text", num_validation=10, directory="there").read(tmp_path)
    name = "imdb_reviews/plain_text:1.0.0"
    assert fake_tfds.asked == [(name, None), (name, "there")]


def test_what_tfds_lacks_is_downloaded(fake_tfds, monkeypatch, tmp_path):
    answer_with(monkeypatch)
    splits = make_task("text", num_validation=10).read(tmp_path)
    assert fake_tfds.instance.prepared and len(splits["train"]) == 30


def test_a_server_that_answers_with_an_error_is_left_to_tfds(
    fake_tfds, monkeypatch, tmp_path
):
    error = urllib.error.HTTPError("address", 405, "no HEAD here", {}, io.BytesIO())
    answer_with(monkeypatch, error)
    make_task("text", num_validation=10).read(tmp_path)
    assert fake_tfds.instance.prepared


def test_without_a_network_the_error_says_what_to_do(fake_tfds, monkeypatch, tmp_path):
    answer_with(monkeypatch, urllib.error.URLError("no such\nname"))
    with pytest.raises(DataError, match="URLError: .*no such name") as caught:
        make_task("text", num_validation=10).read(tmp_path)
    assert_says_what_to_do(caught)
    assert not fake_tfds.instance.prepared


def test_a_failed_preparation_says_what_failed(fake_tfds, monkeypatch, tmp_path):
    class ChecksumError(Exception):
        pass

    def fail():
        raise ChecksumError("wrong checksum " + "x" * 1_000)

    answer_with(monkeypatch)
    monkeypatch.setattr(fake_tfds.instance, "download_and_prepare", fail)
    with pytest.raises(
        DataError, match="ChecksumError: wrong checksum x+\\."
    ) as caught:
        make_task("text", num_validation=10).read(tmp_path)
    assert_says_what_to_do(caught)


def test_without_tfds_the_error_says_so(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    monkeypatch.setitem(sys.modules, "tensorflow", types.ModuleType("tensorflow"))
    with pytest.raises(DataError, match="is not installed") as caught:
        make_task("text", num_validation=10).read(tmp_path)
    assert_says_what_to_do(caught)


def test_damaged_files_of_tfds_are_named(fake_tfds, monkeypatch, tmp_path):
    def broken(dataset):
        yield dataset[0]
        raise RuntimeError("corrupted record")

    fake_tfds.instance.prepared = True
    monkeypatch.setattr(fake_tfds, "as_numpy", broken)
    with pytest.raises(
        DataError, match="plain_text:1.0.0 is damaged .corrupted record"
    ):
        make_task("text", num_validation=10).read(tmp_path)


# --- The sample -----------------------------------------------------------------------


def test_the_sample_is_what_it_was_in_the_first_release(tmp_path, monkeypatch):
    monkeypatch.undo()
    splits = make_task("text", source="sample").read(tmp_path)
    digest = hashlib.sha256()
    for name in ("train", "validation", "test"):
        digest.update(splits[name].inputs.tobytes())
        digest.update(splits[name].labels.astype("<i4").tobytes())
    assert digest.hexdigest() == GOLDEN, (
        "the sample has other reviews than before; right only on purpose, and then "
        "raise SAMPLE_VERSION as well"
    )


def test_the_sample_runs_through_the_same_pipeline_and_can_be_learned(
    tmp_path, monkeypatch
):
    monkeypatch.undo()
    task = make_task("text", source="sample", length=500)
    splits = task.read(tmp_path)
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 480,
        "test": 200,
        "validation": 120,
    }
    rows = [row for split in splits.values() for row in texts_of(split)]
    assert len(set(rows)) == len(rows)
    accuracies = task.trivial_baselines(splits)
    assert accuracies["majority class"] == 0.5 and accuracies["bag of bytes"] > 0.8


# --- Trivial baselines --------------------------------------------------------------


def random_split(seed, count=300, length=60):
    """Return rows of which label 1 has more of the byte 7."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count).astype(np.int32)
    inputs = generator.integers(1, 20, (count, length)).astype(np.uint8)
    inputs[:, :6][labels == 1] = 8
    return Split(inputs, labels)


def test_frequencies_are_roots_of_shares_and_leave_out_padding():
    inputs = np.array([[5, 5, 5, 9, 0, 0], [1, 1, 1, 1, 1, 1]], np.uint8)
    frequencies = byte_roots(inputs)
    assert frequencies.shape == (2, 257)
    expected = {(0, 5): np.sqrt(3 / 4), (0, 9): np.sqrt(1 / 4), (1, 1): 1.0}
    assert {(i, j): frequencies[i, j] for i, j in np.argwhere(frequencies)} == expected


def test_a_bag_of_bytes_learns_frequencies_and_does_not_see_their_order():
    splits = {"train": random_split(0), "test": random_split(1)}
    accuracies = text_baselines(splits)
    assert list(accuracies) == ["majority class", "bag of bytes"]
    assert accuracies["bag of bytes"] > 0.9
    generator = np.random.default_rng(2)
    mixed = {
        name: Split(generator.permuted(split.inputs, axis=1), split.labels)
        for name, split in splits.items()
    }
    assert text_baselines(mixed) == accuracies


def test_a_bag_of_bytes_that_saw_one_label_gives_it_always():
    train = random_split(0)
    train.labels[:] = 1
    test = random_split(1)
    assert text_bag_accuracy({"train": train, "test": test}) == np.mean(test.labels)
