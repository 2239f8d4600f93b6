"""Accuracy on parts of a test split, and what tasks know of their examples."""

import numpy as np
import pytest

from lra_fnet.data import FEATURES, build_cache, open_cache
from lra_fnet.evaluate import MOST_RANGES, accuracy_by, breakdown, ranges
from tasks import DataError, Split, make_task
from tasks.listops import encode, features


def test_every_example_is_in_exactly_one_range():
    generator = np.random.default_rng(0)
    for values in (
        generator.integers(500, 2_000, 999),
        generator.geometric(0.3, 500),  # most in few values
        np.array([7]),
    ):
        bounds = ranges(values)
        assert len(bounds) <= MOST_RANGES
        inside = [(low <= values) & (values <= high) for low, high in bounds]
        assert (np.sum(inside, axis=0) == 1).all()


def test_counts_add_up_to_the_test_score():
    generator = np.random.default_rng(0)
    inputs = np.tril(np.ones((40, 40), np.uint8))
    words = generator.choice(["MIN", "MAX"], 40)
    correct = generator.random(40) < 0.3
    tables = breakdown(Split(inputs, np.zeros(40), {"root": words}), 0, correct)
    assert tables.keys() == {"root", "length"}
    for lines in tables.values():
        assert sum(line["correct"] for line in lines) == correct.sum()
        assert sum(line["examples"] for line in lines) == 40
    assert tables["length"][0] == {
        "low": 1,
        "high": 4,
        "correct": int(correct[:4].sum()),
        "examples": 4,
    }


def test_words_are_told_apart_and_where_nothing_is_padded_length_is_left_out():
    correct = np.array([True, False, True])
    assert accuracy_by(np.array(["b", "a", "b"]), correct) == [
        {"value": "a", "correct": 0, "examples": 1},
        {"value": "b", "correct": 2, "examples": 2},
    ]
    assert breakdown(Split(np.ones((3, 4)), np.zeros(3)), None, correct) == {}


def test_depth_and_root_of_listops_expressions_are_read_off_the_tokens():
    rows = ["[MAX 1 [MIN 2 [SM 3 4 ] ] [MED 5 6 ] ]", "[SM 0 9 ]", "7"]
    inputs = np.zeros((3, 20), np.uint8)
    for row, expression in zip(inputs, rows, strict=True):
        ids = encode(expression)
        row[: len(ids)] = ids
    found = features(inputs)
    assert found["depth"].tolist() == [3, 1, 0]
    assert found["root operator"].tolist() == ["MAX", "SM", "7"]


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        (
            "listops",
            {"min_length": 5, "max_length": 40, "num_train": 20},
            {"depth", "root operator"},
        ),
        ("pathfinder", {"num_train": 5}, {"distractors", "contour length"}),
    ],
)
def test_features_of_test_examples_come_out_of_the_cache(
    tmp_path, name, options, expected
):
    task = make_task(name, num_validation=5, num_test=30, **options)
    folder = tmp_path / "cache"
    build_cache(task, folder)
    splits = open_cache(task, folder).splits
    assert splits["test"].features.keys() == expected
    assert not splits["train"].features
    if name == "pathfinder":
        features = splits["test"].features
        assert set(features["contour length"]) == {14}
        assert len(set(features["distractors"])) > 1
    (folder / FEATURES).write_bytes(b"damaged")
    with pytest.raises(DataError, match="test_features.npz is damaged"):
        open_cache(task, folder)
