"""The declared types of the files of results: reading, writing, what is wrong."""

import json

import pytest

from lra_fnet.schema import FILES, BadFile, Result, SpeedResult, fields, json_schema
from tiny_runs import ROOT

KEPT = sorted((ROOT / "results").glob("*/*/result.json"))
OLD = [path for path in KEPT if json.loads(path.read_text())["schema"] == 2]
LEAST = {
    "schema": 3,
    "task": "listops",
    "mixer": "mine",
    "recipe": "lra2020",
    "seed": 0,
    "data": {"source": "generated", "checksum": "c0ffee"},
    "test": {"correct": 3, "examples": 4},
}


def read(tmp_path, content, kind=Result):
    path = tmp_path / "file.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return kind.read(path)


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.parent.name)
def test_results_of_the_version_before_are_read_under_todays_names(path):
    kept, result = json.loads(path.read_text()), Result.read(path)
    assert result.mixer == kept["model"] == result.config["mixer"]
    assert result.trivial_baselines == kept["readers"]
    assert result.micro_batches == kept["accumulate"]
    assert result.config["train"]["micro_batches"] == 0
    assert result.test.correct == kept["test"]["correct"]
    assert [p.step for p in result.curves.train][-1] == kept["steps"]


def test_what_is_written_is_read_again(tmp_path):
    for kind in (2, 3):
        result = read(tmp_path, LEAST | {"schema": kind, "own field": [1]})
        result.write(tmp_path / "again.json")
        assert Result.read(tmp_path / "again.json") == result
    assert result.as_json() == LEAST | {"own field": [1]}


def test_the_least_that_another_program_must_write_is_starred_in_the_docs():
    starred = [name for name, *_ in fields(Result) if name.endswith("*")]
    top = {name.rstrip("*") for name in starred if "." not in name}
    assert top == LEAST.keys()
    assert {"data.source*", "data.checksum*", "test.correct*"} <= set(starred)
    assert all(must and meaning for _, must, meaning in fields(Result))
    assert ("curves.train[].step*" in starred) and (
        "breakdown.NAME[].correct*" in starred
    )


def with_value(name, value):
    content = json.loads(json.dumps(LEAST))
    *sections, key = name.split(".")
    place = content
    for section in sections:
        place = place.setdefault(section, {})
    place[key] = value
    return content


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("schema", 9, "schema is 9; it must be 2 or 3"),
        ("task", "", "task is ''; it must have at least 1 character"),
        ("test.correct", 3.0, "test.correct is 3.0; it must be a valid integer"),
        ("test.correct", "3", "test.correct is '3'; it must be a valid integer"),
        ("test.correct", -1, "it must be greater than or equal to 0"),
        ("test.correct", 10**31, "it must be less than or equal to 9007199254740992"),
        ("test.correct", 5, "test.correct is 5; it must be at most examples, 4"),
        ("test.examples", True, "test.examples is True; it must be a valid integer"),
        ("test.accuracy", 1.5, "it must be less than or equal to 1"),
        ("data", [], "data is []; it must be a valid dictionary"),
        ("seed", None, "seed is None; it must be a valid integer"),
        ("trivial_baselines.x", 2, "trivial_baselines.x is 2; it must be less than"),
        ("curves.train", [{"step": 1}], "curves.train.0.accuracy is missing"),
        ("speed.steps_per_second", "fast", "speed.steps_per_second is 'fast'"),
    ],
)
def test_a_wrong_field_is_named_with_what_it_must_be(tmp_path, name, value, expected):
    with pytest.raises(BadFile) as caught:
        read(tmp_path, with_value(name, value))
    assert str(caught.value).startswith(f"{tmp_path}/file.json: ")
    assert expected in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"schema": NaN}', "[" * 100_000, '"\x00']
)
def test_what_is_no_result_at_all_is_named(tmp_path, text):
    with pytest.raises(BadFile, match=r"file\.json: "):
        read(tmp_path, text)


def test_a_missing_field_is_named_the_version_before_all_else(tmp_path):
    for name in LEAST:
        content = {key: value for key, value in LEAST.items() if key != name}
        with pytest.raises(BadFile, match=f"{name} is missing"):
            read(tmp_path, content)
    with pytest.raises(BadFile, match="schema is missing"):
        read(tmp_path, {})


def test_a_speed_measurement_that_went_well_lacks_nothing(tmp_path):
    content = {
        "schema": 1,
        "kind": "speed",
        "model": "fnet",
        "task": "text",
        "length": 16,
        "batch_size": 4,
        "train_steps_per_second": {"median": 1.0},
        "inference_seconds": None,
        "peak_memory": None,
        "status": "out of memory",
        "reason": "",
        "device": {"kind": "Abacus", "count": 1},
    }
    assert read(tmp_path, content, SpeedResult).mixer == "fnet"
    with pytest.raises(BadFile, match="inference_seconds is null; where the status"):
        read(tmp_path, content | {"status": "ok"}, SpeedResult)


@pytest.mark.parametrize("kind", FILES)
def test_other_programs_get_a_json_schema(kind):
    schema = json_schema(kind)
    assert "schema" in schema["required"] and "properties" in schema
    assert json.loads(json.dumps(schema)) == schema
