"""Recall and even pairs: rows of the stated form, labels read by other means."""

import functools
import itertools

import numpy as np
import pytest

from tasks import DataError, Split, make_task
from tasks.generators import draw_rows
from tasks.generators.random import next_uint64, stream, words
from tasks.recall import NUM_EACH, PAD, QUERY, distances, draw, recall, verify
from tiny_runs import ROOT, kept_runs

OPTIONS = {"length": 64, "num_pairs": 8, "num_symbols": 64}


def first_rows(seed, count):
    return draw_rows(functools.partial(draw, np.uint64(seed), **OPTIONS), count)


@pytest.fixture(scope="module")
def rows():
    return first_rows(3, 3_000)


def by_loop(row):
    """The answer of a row, id by id."""
    *body, query, asked, end = row.tolist()
    assert (query, end) == (QUERY, PAD)
    (place,) = [i for i, token in enumerate(body) if token == asked]
    return body[place + 1] - 65, len(row) - 2 - place


def test_words_are_those_of_the_streams_one_by_one():
    drawn = words(np.uint64(5), 7, 3, 4)
    for row in range(3):
        state = stream(np.uint64(5), np.uint64(7 + row))
        assert [next_uint64(state) for _ in range(4)] == drawn[row].tolist()


def test_labels_and_distances_are_those_that_a_loop_finds(rows):
    expected = [by_loop(row) for row in rows.inputs]
    answers, far = (np.array(each) for each in zip(*expected, strict=True))
    np.testing.assert_array_equal(rows.labels, answers)
    np.testing.assert_array_equal(recall(rows.inputs), answers)
    np.testing.assert_array_equal(distances(rows.inputs), far)


def test_a_row_has_as_many_distinct_keys_as_pairs_each_before_a_value(rows):
    body = rows.inputs[:, :-3]
    is_key, is_value = (body >= 1) & (body <= 64), (body >= 65) & (body <= 128)
    assert (is_key.sum(axis=1) == 8).all() and (is_value.sum(axis=1) == 8).all()
    np.testing.assert_array_equal(is_key[:, :-1], is_value[:, 1:])
    assert all(len(set(row[key])) == 8 for row, key in zip(body, is_key, strict=True))
    assert not is_key[:, 1::2].any()
    assert ((body >= 129) & (body < QUERY) | is_key | is_value).all()


def test_keys_values_noise_places_and_distances_are_uniform(rows):
    body = rows.inputs[:, :-3]
    for first in (1, 65, 129):
        members = body[(body >= first) & (body < first + NUM_EACH)] - first
        counts = np.bincount(members, minlength=NUM_EACH)
        assert np.abs(counts / counts.mean() - 1).max() < 0.25
    # 30 places for pairs; the last starts four positions before the query mark.
    counts = np.bincount(distances(rows.inputs))[4::2]
    assert len(counts) == 30
    assert np.abs(counts / 100 - 1).max() < 0.5


def test_a_row_depends_on_seed_and_number_alone(rows):
    few, other = first_rows(3, 2_100), first_rows(4, 3_000)
    np.testing.assert_array_equal(rows.inputs[:2_100], few.inputs)
    assert (rows.inputs != other.inputs).any(axis=1).all()


@pytest.mark.parametrize("place", [-3, -2, -1])
def test_a_row_of_another_form_has_no_answer_and_is_refused(rows, place):
    inputs = rows.inputs.copy()
    inputs[5, place] = 130
    assert recall(inputs)[5] == -1
    with pytest.raises(DataError, match="train split: 1 labels.*example 5"):
        verify({"train": Split(inputs, rows.labels)})


def test_fewer_symbols_are_the_first_of_each_kind_and_the_classes():
    sizes = {"num_train": 10, "num_validation": 10, "num_test": 2_000}
    task = make_task("recall", length=20, num_pairs=4, num_symbols=5, **sizes)
    rows = task.read(None)["test"]
    body = rows.inputs[:, :-3]
    keys, values = body[(body >= 1) & (body <= 64)], body[(body >= 65) & (body <= 128)]
    assert set(keys) == set(range(1, 6)) and set(values) == set(range(65, 70))
    assert len(task.classes) == 5 and set(rows.labels) == set(range(5))


def test_the_nearer_half_of_a_row_answers_what_lies_there():
    task = make_task("recall", num_train=10, num_validation=10, num_test=4_000)
    baselines = task.trivial_baselines(task.read(None))
    # 255 of 510 places are near; elsewhere the most frequent value of 32.
    frequent, near = (
        baselines["most frequent value"],
        baselines["the nearer half of the row"],
    )
    assert 0.07 < frequent < 0.1
    assert near == pytest.approx(0.5 + 0.5 * frequent, abs=0.025)


def test_even_pairs_are_the_changes_counted_one_by_one():
    options = {"num_train": 400, "num_validation": 40, "num_test": 60}
    task = make_task("even_pairs", min_length=3, max_length=20, **options)
    splits = task.read(None)
    for split in splits.values():
        for row, label in zip(split.inputs, split.labels, strict=True):
            bits = [token for token in row.tolist() if token]
            changes = sum(a != b for a, b in itertools.pairwise(bits))
            assert changes % 2 == label
            assert row.tolist() == bits + [0] * (20 - len(bits))
    lengths = (splits["train"].inputs > 0).sum(axis=1)
    assert set(lengths) == set(range(3, 20))


def test_a_wrong_label_of_even_pairs_is_found():
    task = make_task("even_pairs", num_train=9, num_validation=9, num_test=9)
    splits = task.read(None)
    splits["test"].labels[4] ^= 1
    with pytest.raises(DataError, match="test split: 1 labels.*example 4"):
        task.verify(splits)


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("recall", {"num_pairs": 65}, "num_pairs is 65, but must be from 1 to 64"),
        ("recall", {"num_symbols": 9}, "num_pairs is 32, but must be from 1 to 9"),
        ("recall", {"num_symbols": 0}, "num_symbols is 0, but must be from 1 to 64"),
        ("recall", {"length": 60}, "length is 60, but must be at least 68"),
        ("even_pairs", {"min_length": 1_024}, "max_length is 1024"),
        ("even_pairs", {"seed": -1}, "seed is -1"),
    ],
)
def test_a_wrong_option_of_a_probe_is_a_clear_error(task, options, message):
    with pytest.raises(ValueError, match=message):
        make_task(task, **options)


@pytest.mark.parametrize("task", ["even_pairs", "recall"])
def test_the_documentation_shows_the_runs_that_are_kept(task):
    lines = (ROOT / "docs" / "probes.md").read_text().splitlines()
    runs = [*kept_runs(task)]
    assert len(runs) >= 5
    for result, name, score in runs:
        rate = result.config["schedule"]["learning_rate"]
        row = f"| {name} | {rate} | {score} | "
        assert any(line.startswith(row) for line in lines), row
