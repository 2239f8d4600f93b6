"""The files that the report reads: as a data frame, and words about the bad ones."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lra_fnet.report.load import load, results_csv
from lra_fnet.report.page import write_report
from lra_fnet.schema import FILES, BadFile, Failure, Result, SpeedResult, json_schema
from lra_fnet.table.jobs import read_results
from made_results import (
    config,
    made,
    made_failure,
    made_speed,
    write,
    write_made,
    write_speed,
)

ROOT = Path(__file__).parent.parent.parent
ESSENTIAL = {
    "schema": 2,
    "task": "listops",
    "model": "theirs",
    "recipe": "lra2020",
    "seed": 0,
    "data": {"source": "generated", "checksum": "abc"},
    "test": {"correct": 729, "examples": 2000},
}


@pytest.fixture
def no_figures(monkeypatch):
    """Drawing takes most of the time of a report."""
    monkeypatch.setattr("lra_fnet.report.figures.drawn", lambda *_: "<svg/>")


def changed(**changes):
    """Return a result with other values of dotted fields; __ stands for the dot."""
    result = json.loads(json.dumps(made()[0]))
    for name, value in changes.items():
        *path, last = name.split("__")
        section = result
        for key in path:
            section = section[key]
        if value is None:
            del section[last]
        else:
            section[last] = value
    return result


def problem(content, file=Result):
    """Return what is wrong with a file, "" if nothing is."""
    try:
        file.parse(content, Path("f"))
    except BadFile as error:
        return str(error).removeprefix("f: ")
    return ""


def test_what_runs_write_is_what_the_report_reads():
    assert problem(made()[0]) == ""
    assert problem(made_speed("fnet", 512, 2.0), SpeedResult) == ""


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"test__correct": "many"}, "test.correct is 'many'; it must be a valid int"),
        ({"test__correct": 1.5}, "test.correct is 1.5; it must be a valid integer"),
        ({"test__correct": 729.0}, "test.correct is 729.0; it must be a valid int"),
        ({"test__correct": True}, "test.correct is True; it must be a valid integer"),
        ({"test__correct": -1}, "test.correct is -1; it must be greater than or equal"),
        ({"test__correct": 3}, "test.correct is 3; it must be at most examples, 2"),
        ({"test__correct": 10**30}, "test.correct is 1000000000"),
        ({"test__examples": None}, "test.examples is missing"),
        ({"seed": None}, "seed is missing"),
        ({"schema": 4, "seed": None}, "schema is 4; it must be 2 or 3"),
        ({"data__checksum": ""}, "data.checksum is ''; it must have at least 1 char"),
        ({"trivial_baselines": {"luck": 2}}, "trivial_baselines.luck is 2; it must"),
        (
            {"curves__validation": [{"step": 1, "accuracy": "?"}]},
            "curves.validation.0.accuracy is '?'; it must be a valid number",
        ),
        (
            {"breakdown": {"depth": [{"correct": 2, "examples": 1}]}},
            "breakdown.depth.0.correct is 2; it must be at most examples, 1",
        ),
    ],
)
def test_a_bad_field_is_named_with_its_value_and_what_it_must_be(changes, line):
    assert problem(changed(**changes)).startswith(line)


def test_a_file_that_is_no_result_is_named():
    assert problem([]).startswith("the file is []; it must be")
    failure = {**ESSENTIAL, "reason": "killed", "seed": "x"}
    assert problem(failure, Failure).startswith("seed is 'x'")
    measured = made_speed("fnet", 512, 2.0, peak_memory=None)
    assert problem(measured, SpeedResult).startswith("peak_memory is null")
    assert problem({**measured, "status": "out of memory"}, SpeedResult) == ""


def test_a_foreign_result_needs_only_the_essential_fields():
    assert problem(ESSENTIAL) == ""
    assert problem(ESSENTIAL | {"their own field": 1}) == ""
    for name in ESSENTIAL.keys() - {"model"}:
        without = {key: value for key, value in ESSENTIAL.items() if key != name}
        assert problem(without).startswith(f"{name} is missing")


def test_the_frame_has_a_row_for_each_run_under_dotted_names(tmp_path):
    write_made(tmp_path, correct=[1, 1, 0])
    write(tmp_path / "theirs", ESSENTIAL | {"answers": "theirs", "test.correct": 5})
    own, theirs = load([tmp_path]).runs.to_dict("records")
    assert (own["test.correct"], own["config.train.num_steps"]) == (2, 200)
    assert own["trivial_baselines.majority class"] == 0.125
    assert own["answers"].tolist() == [True, True, False]
    assert (own["row"], own["machine"]) == ("fnet", "Abacus, 2 cores")
    assert theirs["mixer"] == theirs["row"] == "theirs"  # a file of the schema before
    assert (theirs["test.correct"], theirs["machine"]) == (729, "")
    assert theirs["answers"] is theirs["config_hash"] is theirs["steps"] is None


def test_results_csv_gives_every_number_back(tmp_path):
    for seed in range(2):
        write_made(tmp_path, seed=seed, correct=[1, 0, 0])
    rules = {"free_for_all": True, "reasons": ["a", "b"]}
    write(tmp_path / "free", *made(mixer="local", rules=rules))
    frame = pd.read_csv(io.StringIO(results_csv(load([tmp_path]).runs)))
    assert len(frame) == 3
    assert frame["test.correct"].tolist() == [1, 1, 1]
    assert frame["config.train.batch_size"].tolist() == [8, 8, 8]
    assert frame["speed.steps_per_second"].tolist() == [10.0] * 3
    assert "a; b" in frame["rules.reasons"].tolist()


def test_bad_files_are_named_left_out_and_end_the_report_with_an_error(
    tmp_path, capsys, no_figures
):
    good = write_made(tmp_path / "runs")
    bad = write(tmp_path / "runs" / "bad", changed(seed="one"))
    torn = write(tmp_path / "runs" / "torn", {})
    torn.write_text('{"schema": 2')
    nan = write(tmp_path / "runs" / "nan", changed(seconds__train=float("nan")))
    found = load([tmp_path])
    assert found.runs["path"].tolist() == [str(good)]
    named = [line.split(": ")[0] for line in found.bad_files]
    assert named == [*map(str, [bad, nan, torn])]
    assert write_report([str(tmp_path)], tmp_path / "report") == 1
    assert "seed is 'one'; it must be a valid integer" in capsys.readouterr().err
    page = (tmp_path / "report" / "index.html").read_text()
    assert "Files that were left out" in page and "50.0" in page


ODD = {
    "float counts": changed(test={"correct": 729.0, "examples": 2000.0}),
    "counts of 31 digits": changed(test={"correct": 10**30, "examples": 10**30}),
    "infinite": '{"schema": 3, "seed": 1e999}',
    "a key twice": '{"seed": 1, "seed": 2}',
    "a long name": changed(mixer="x" * 3_000),
    "5,000 digits": f'{{"seed": {"9" * 5000}}}',
    "deep": '{"config": ' * 2000 + "1" + "}" * 2000,
    "no object": "[]",
    "not UTF-8": b"\xff\xfe",
    "a list for a section": changed(data=[]),
}


def test_odd_files_are_named_and_the_rest_is_reported(tmp_path, no_figures):
    good = write_made(tmp_path / "good")
    paths = []
    for name, content in ODD.items():
        paths.append(write(tmp_path / f"odd\n{name}", {}))
        text = json.dumps(content) if isinstance(content, dict) else content
        paths[-1].write_bytes(text.encode() if isinstance(text, str) else text)
    assert write_report([str(tmp_path)], tmp_path / "report") == 1
    found = load([tmp_path])
    assert found.runs["path"].tolist() == [str(good)]
    assert len(found.bad_files) == len(ODD)
    for line, path in zip(found.bad_files, sorted(paths), strict=True):
        assert line.startswith(str(path).replace("\n", " "))


UNUSUAL = {
    "line breaks and marks": {
        "model": "a\nb|c\x00",
        "config": {"\ud800": "\ud800"},
        "task": "$x_{$\n",
        "program": "<b>",
    },
    "config of other shapes": {
        "config": {"hybrid": 5, "encoder": [], "data": "d", "mixers": {"a": [{}]}}
    },
    "huge values": {
        "config": {"n": 10**400, "deep": {"a": {"b": {}}}},
        "speed": {"steps_per_second": 1e308, "examples_per_second": 1e308},
        "device": {"kind": "k", "count": 2**53},
        "peak_memory": {"bytes": 2**53, "method": "m"},
        "seed": 2**53,
    },
    "zeros": {
        "speed": {"steps_per_second": 0.0, "examples_per_second": 0.0},
        "device": {"kind": "k", "count": 1},
        "peak_memory": {"bytes": 0, "method": "m"},
    },
    "odd curves and parts": {
        "curves": {"validation": [{"step": 2**53, "accuracy": 1.0}] * 2},
        "breakdown": {
            "length": [
                {"correct": 0, "examples": 0},
                {"correct": 1, "examples": 1, "low": -1e308, "high": 1e308},
            ]
        },
    },
    "known and unknown names": {"model": "_theirs", "path": 1, "row": {}, "answers": 2},
}


@pytest.mark.filterwarnings("default")  # fonts lack some letters
def test_unusual_results_are_shown_and_end_in_no_traceback(tmp_path):
    for name, unusual in UNUSUAL.items():
        for seed in range(2):
            content = ESSENTIAL | {"model": name, "seed": seed} | unusual
            write(tmp_path / f"{name}-{seed}", content)
    assert write_report([str(tmp_path)], tmp_path / "report") == 0
    table = (tmp_path / "report" / "table.md").read_text()
    assert table.count("36.4 [") == len(UNUSUAL)


def test_a_line_break_in_a_name_does_not_break_the_tables(tmp_path, no_figures):
    write(tmp_path, ESSENTIAL | {"model": "a\nb|c"})
    assert write_report([str(tmp_path)], tmp_path / "report") == 0
    lines = (tmp_path / "report" / "table.md").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("| a")]
    assert line.startswith(r"| a b\|c") and "| 36.4 [" in line


def test_failures_alone_are_shown_with_their_reasons(tmp_path):
    made_failure(tmp_path, "ScopeCollectionNotFound: no 'buffers'", recipe="quick")
    assert write_report([str(tmp_path)], tmp_path / "report") == 0
    page = (tmp_path / "report" / "index.html").read_text()
    text = (tmp_path / "report" / "table.md").read_text()
    assert "There is no result yet" in page and ">failed</td>" in page
    for shown in (page.replace("&#39;", "'"), text):
        assert "fnet failed on ListOps: ScopeCollectionNotFound: no 'buffers'" in shown


def test_runs_without_data_are_no_failures(tmp_path):
    made_failure(tmp_path, "no CIFAR-10: get it", kind="data")
    found = load([tmp_path])
    assert found.failures.empty and not found.bad_files


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (np.array([True, True]), "2 of 2 answers are right; result.json counts 1 of 2"),
        (np.array([True]), "1 of 1 answers are right; result.json counts 1 of 2"),
        (np.array([1, 0]), "must hold one truth value for each example"),
        (np.array([None, {}], dtype=object), "cannot be read"),
    ],
)
def test_answers_that_are_not_those_of_the_result_are_named(tmp_path, answers, words):
    write(tmp_path, made()[0], answers)
    found = load([tmp_path])
    assert found.runs.empty
    (line,) = found.bad_files
    assert "test_correct.npy: " in line and words in line


def test_files_of_other_kinds_beside_speed_measurements_are_none(tmp_path):
    path = write_speed(tmp_path, made_speed("fnet", 512, 2.0))
    path.with_name("compare.json").write_text('{"kind": "compare"}')
    path.with_name("bad.json").write_text('{"kind": "speed"}')
    (path.parent.parent / "fourier.json").write_text("{}")
    found = load([tmp_path])
    assert len(found.speeds) == 1
    (line,) = found.bad_files
    assert "bad.json: " in line


@pytest.mark.parametrize(
    ("own", "sizes", "asked"),
    [({"asked_batch_size": 8}, "a-batch2", 8), ({}, "a-batch2", 2), ({}, "a", 4)],
)
def test_the_batch_that_was_asked_for_is_in_the_file_or_its_folder(
    tmp_path, own, sizes, asked
):
    measured = made_speed("fnet", 512, 2.0)
    del measured["asked_batch_size"]
    write_speed(tmp_path, measured | own, sizes)
    assert load([tmp_path]).speeds["asked_batch_size"].tolist() == [asked]


def test_a_hybrid_failure_has_the_name_of_its_row(tmp_path):
    own = config("listops", "fnet", "quick")
    own["hybrid"]["num_layers"] = 2
    own["data"]["source"] = "sample"
    made_failure(tmp_path, config=own)
    (failure,) = load([tmp_path]).failures.to_dict("records")
    assert (failure["row"], failure["sample"]) == ("fnet + 2 transformer (top)", True)


def test_the_json_schema_of_a_kind_names_what_a_file_needs():
    for kind in FILES:
        assert "task" in json_schema(kind)["required"]
    assert json_schema("result")["properties"]["test"]


def test_a_folder_that_was_named_must_exist_and_a_default_one_need_not(
    tmp_path, monkeypatch
):
    with pytest.raises(ValueError, match="no folder .*nowhere"):
        write_report([f"{tmp_path}/nowhere"], tmp_path)
    monkeypatch.chdir(tmp_path)
    assert write_report(["results", "runs"], tmp_path / "report") == 0


def test_the_projects_own_results_make_a_report_without_a_bad_file(
    tmp_path, no_figures
):
    folder = ROOT / "results"
    assert write_report([str(folder if folder.is_dir() else tmp_path)], tmp_path) == 0


def test_links_to_folders_are_followed(tmp_path):
    write_made(tmp_path / "elsewhere")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "link").symlink_to(tmp_path / "elsewhere")
    assert len(load([tmp_path / "results"]).runs) == 1
    assert len(read_results(tmp_path / "results")) == 1
