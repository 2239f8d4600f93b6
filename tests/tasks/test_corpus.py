"""The corpus: windows of a text of the user's, and the byte after each."""

import numpy as np
import pytest

from tasks import DataError, make_task
from tasks.corpus import decode, encode, in_canonical_order
from tasks.task import Split
from tasks.trivial import next_byte_accuracy

SIZES = {"length": 8, "num_validation": 3, "num_test": 2}


def corpus(folder, **options):
    return make_task("corpus", directory=str(folder), **SIZES | options)


@pytest.fixture
def texts(tmp_path):
    for number in range(6):
        place = tmp_path / f"part{number % 2}" / f"{number}.txt"
        place.parent.mkdir(exist_ok=True)
        place.write_text(f"Text {number} says né {number} times. " * 5)
    (tmp_path / "notes.md").write_text("not a text")
    return tmp_path


def test_windows_are_the_texts_without_a_gap_and_labels_what_follows(texts):
    task = corpus(texts)
    splits = task.read(None)
    order = ("test", "validation", "train")
    inputs = np.concatenate([splits[name].inputs for name in order])
    labels = np.concatenate([splits[name].labels for name in order])
    whole = in_canonical_order((p, p.read_bytes()) for p in texts.rglob("*.txt"))
    assert decode(inputs.ravel()) == whole[: inputs.size]
    assert (labels[:-1] == inputs[1:, 0]).all()
    assert decode(labels[-1:]) == whole[inputs.size : inputs.size + 1]
    assert [len(splits[name]) for name in order[:2]] == [2, 3]
    assert sorted(whole.split(b"\n")) == sorted(
        p.read_bytes() for p in texts.rglob("*.txt")
    )
    assert task.provenance["data"]["texts"] == 6


def test_names_and_order_of_files_change_nothing_and_their_bytes_do(texts, tmp_path):
    before = corpus(texts)
    (texts / "part0" / "0.txt").rename(texts / "part1" / "zzz.txt")
    assert corpus(texts).provenance == before.provenance
    (texts / "part1" / "zzz.txt").write_text("other")
    assert corpus(texts).provenance != before.provenance


def test_a_bound_keeps_the_held_out_windows_and_the_first_to_train_on(texts):
    few, all_of_them = corpus(texts, num_train=4).read(None), corpus(texts).read(None)
    for name in ("test", "validation"):
        assert (few[name].inputs == all_of_them[name].inputs).all()
    assert (few["train"].inputs == all_of_them["train"].inputs[:4]).all()


def test_one_file_of_any_name_is_a_corpus(tmp_path):
    (tmp_path / "book").write_text("a" * 100)
    assert set(corpus(tmp_path / "book").read(None)["train"].labels) == {ord("a") + 1}


def test_what_is_no_corpus_is_a_clear_error(tmp_path):
    with pytest.raises(ValueError, match="source=folder needs data=DIR"):
        make_task("corpus")
    with pytest.raises(DataError, match=r"no file \*\.txt"):
        corpus(tmp_path)
    (tmp_path / "short.txt").write_text("only a few words")
    with pytest.raises(DataError, match="16 bytes, 1 windows of 8; 5 are for valida"):
        corpus(tmp_path).read(None)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 " * 50)
    with pytest.raises(DataError, match="latin.txt: byte 4 is in no UTF-8 text"):
        corpus(tmp_path).read(None)
    with pytest.raises(ValueError, match="length is 1"):
        corpus(tmp_path, length=1)


def test_the_best_answer_after_a_byte_is_counted_over_all_positions():
    # After a comes b, after b comes a.
    train = Split(np.stack([encode(b"abab")]), np.array([ord("a") + 1], np.int32))
    test = Split(
        np.stack([encode(b"xxxa"), encode(b"xxxb")]), np.array([ord("b"), ord("a")]) + 1
    )
    splits = {"train": train, "test": test}
    assert next_byte_accuracy(splits, 1) == 1.0
    # Two bytes that training does not have get its most frequent byte, a or b.
    assert next_byte_accuracy(splits, 2) == 0.5
