"""What the report reads: files that keep their schema, and words about the others."""

import json
from pathlib import Path

import numpy as np
import pytest

from lra_fnet.report.__main__ import main
from lra_fnet.report.schema import KINDS, described, problem, schema
from lra_fnet.report.sources import FAILURE_FILE, RESULT_FILE, read_sources
from lra_fnet.result import FILE_NAME, SCHEMA_VERSION
from lra_fnet.table import standing
from made_results import made, speed_cell, write, write_made, write_speed

FAILURE = {
    "schema": 1,
    "task": "pathx",
    "model": "transformer",
    "recipe": "lra2020",
    "seed": 0,
    "reason": "out of memory",
}


def test_what_runs_write_keeps_the_schema():
    assert problem(made()[0], "result") == ""
    assert problem(speed_cell("fnet", 512, 2.0), "speed") == ""
    assert problem(FAILURE, "failure") == ""


def test_versions_and_names_of_files_are_those_of_the_writers():
    assert schema("result")["properties"]["schema"]["enum"] == [SCHEMA_VERSION]
    assert schema("failure")["properties"]["schema"]["enum"] == [
        standing.FAILURE_SCHEMA
    ]
    assert (RESULT_FILE, FAILURE_FILE) == (FILE_NAME, standing.FAILURE_FILE)


def changed(**changes):
    """Return a result with other values of dotted fields; __ stands for the dot."""
    result = json.loads(json.dumps(made()[0]))
    for name, value in changes.items():
        *path, last = name.split("__")
        part = result
        for key in path:
            part = part[key]
        if value is None:
            del part[last]
        else:
            part[last] = value
    return result


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"test__correct": "many"},
            "test.correct is 'many'; it must be a whole number, 0 or more",
        ),
        ({"test__correct": 1.5}, "test.correct is 1.5; it must be a whole number"),
        ({"test__correct": True}, "test.correct is True; it must be a whole number"),
        ({"test__correct": -1}, "test.correct is -1; it must be a whole number, 0"),
        (
            {"test__correct": 3},
            "test.correct is 3; it must be at most test.examples, 2",
        ),
        ({"test__examples": None}, "test.examples is missing; it must be a whole"),
        ({"seed": None}, "seed is missing; it must be a whole number"),
        ({"schema": 3, "seed": None}, "schema is 3; it must be 2"),
        ({"data__checksum": ""}, "data.checksum is ''; it must be a text that is not"),
        ({"readers": {"luck": 2}}, "readers.luck is 2; it must be a number from 0"),
        (
            {"curves__validation": [{"step": 1, "accuracy": "?"}]},
            "curves.validation.0.accuracy is '?'; it must be a number from 0 to 1",
        ),
        (
            {"breakdown": {"depth": [{"correct": 2, "examples": 1}]}},
            "breakdown.depth.0.correct is 2; it must be at most "
            "breakdown.depth.0.examples, 1",
        ),
    ],
)
def test_a_bad_field_is_named_with_its_value_and_what_it_must_be(changes, line):
    assert problem(changed(**changes), "result").startswith(line)


def test_a_file_that_is_no_result_is_named():
    assert problem([], "result") == "the file is []; it must be an object"
    assert problem({**FAILURE, "seed": "x"}, "failure").startswith("seed is 'x'")
    cell = speed_cell("fnet", 512, 2.0, peak_memory=None)
    assert problem(cell, "speed").startswith("peak_memory is null")
    assert problem({**cell, "status": "out of memory"}, "speed") == ""


def test_a_foreign_result_needs_only_the_essential_fields():
    essential = {
        "schema": 2,
        "task": "listops",
        "model": "theirs",
        "recipe": "lra2020",
        "seed": 0,
        "data": {"source": "generated", "checksum": "abc"},
        "test": {"correct": 1, "examples": 2},
    }
    assert problem(essential, "result") == ""
    assert problem(essential | {"their own field": 1}, "result") == ""
    for name in essential:
        without = {key: value for key, value in essential.items() if key != name}
        assert problem(without, "result").startswith(f"{name} is missing")


def test_bad_files_are_named_left_out_and_end_the_report_with_an_error(tmp_path):
    good = write_made(tmp_path / "runs")
    bad = write(tmp_path / "runs" / "bad", changed(seed="one"))
    torn = write(tmp_path / "runs" / "torn", {})
    torn.write_text('{"schema": 2')
    nan = write(tmp_path / "runs" / "nan", changed(seconds__train=float("nan")))
    sources = read_sources([tmp_path])
    assert [run.path for run in sources.runs] == [good]
    assert [line.split(": ")[0] for line in sources.problems] == [
        *map(str, [bad, nan, torn])
    ]
    with pytest.raises(SystemExit, match="seed is 'one'; it must be a whole number"):
        main([f"--runs={tmp_path}", f"--to={tmp_path / 'report'}"])
    page = (tmp_path / "report" / "index.html").read_text()
    assert "Files that were left out" in page and "50.0" in page


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (np.array([True, True]), "its answers are 2 right of 2; they must be 1 right"),
        (np.array([True]), "its answers are 1 right of 1; they must be 1 right of 2"),
        (np.array([1, 0]), "must hold one truth value for each example"),
        (np.array([None, {}], dtype=object), "cannot be read"),
    ],
)
def test_answers_that_are_not_those_of_the_result_are_named(tmp_path, answers, words):
    write(tmp_path, made()[0], answers)
    sources = read_sources([tmp_path])
    assert not sources.runs
    (line,) = sources.problems
    assert "test_correct.npy: " in line and words in line


def test_files_of_other_kinds_beside_speed_cells_are_none(tmp_path):
    path = write_speed(tmp_path, speed_cell("fnet", 512, 2.0))
    path.with_name("compare.json").write_text('{"kind": "compare"}')
    (path.parent.parent / "fourier.json").write_text("{}")
    sources = read_sources([tmp_path])
    assert len(sources.speeds) == 1 and not sources.problems


def test_the_documentation_has_every_field():
    text = (Path(__file__).parent.parent / "docs" / "results.md").read_text()
    for kind in KINDS:
        message = "python -m lra_fnet.report.schema prints the tables"
        assert described(kind) in text, message


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SystemExit, match="there is no folder"):
        main([f"--runs={tmp_path}/nowhere", f"--to={tmp_path}"])
