"""What `make table dry=1` says of the memory of runs on accelerators."""

import json

import pytest

from lra_fnet.__main__ import main, parse
from lra_fnet.table.jobs import make_jobs
from lra_fnet.table.needs import COMPILED, needs_of

BATCH = "--config.train.batch_size=8"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LRA_DATA", raising=False)
    COMPILED.mkdir(parents=True)
    return tmp_path


def row(mixer, gib=3.0, parts=1, status="compiles", devices=1):
    return {
        **{"task": "image", "mixer": mixer, "recipe": "lra2020", "devices": devices},
        "status": status,
        "micro_batches": parts,
        "needed_bytes": int(gib * 2**30),
    }


def write(accel, *rows):
    (COMPILED / f"{accel}.json").write_text(json.dumps({"rows": rows}))


def needs(*typed):
    common = ["table", "--tasks=image text", "--mixers=fnet ff_only", "--seeds=1"]
    return needs_of(make_jobs(parse([*common, *typed])))


def test_each_accelerator_is_a_column_with_gib_and_micro_batches():
    write("h100", row("ff_only", parts=4), row("fnet", gib=1.25))
    write("v5e", row("fnet", status="too large"))
    write("v6e", row("mega"), row("fnet", devices=4))
    assert needs() == {
        "h100": ["1.2", "3.0 (4)", "", ""],
        "v5e": ["too large", "", "", ""],
    }


@pytest.mark.parametrize("changed", [BATCH, "--parity=params", "--recipe=quick"])
def test_nothing_is_said_of_sizes_that_were_not_compiled(changed):
    write("h100", row("fnet"))
    assert needs(changed) == {}


def test_where_examples_come_from_changes_nothing():
    write("h100", row("fnet"))
    assert needs("--sources=image=sample")["h100"][0] == "3.0"


def test_the_list_has_the_columns_and_says_that_nothing_was_measured(capsys):
    typed = ["table", "--tasks=image", "--mixers=fnet", "--seeds=1", "--dry"]
    assert main(typed) == 0
    assert "GiB" not in capsys.readouterr().out
    write("h100", row("fnet", parts=2))
    assert main(typed) == 0
    shown = capsys.readouterr().out
    assert "GiB, h100" in shown and "3.0 (2)" in shown and "known by compiling" in shown
