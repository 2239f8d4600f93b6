"""Speed cells: what they hold, and that no ending of a process goes unsaid."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from lra_fnet import speed
from lra_fnet.config import lra_config
from lra_fnet.speed import cell as cells
from lra_fnet.speed import grid as grids
from lra_fnet.speed.__main__ import parsed
from lra_fnet.speed.exponents import fitted_exponent
from lra_fnet.speed.grid import Grid, Place, measure, measure_one, seconds_left
from lra_fnet.speed.tables import document
from lra_fnet.speed.timing import Sample, interleaved, ratios
from tiny_runs import ROOT

TINY = {
    "model": "ff_only",
    "num_layers": 1,
    "encoder.width": 8,
    "encoder.mlp_dim": 8,
    "train.batch_size": 4,
}
DEVICE = {"platform": "cpu", "kind": "Abacus 9", "count": 2, "cpu_cores": 2}


def tiny_config(**overrides):
    return lra_config("image", TINY | overrides)


def measured(tmp_path, **overrides):
    path = tmp_path / "cell.json"
    cells.measure(tiny_config(**overrides), 16, 60.0, path)
    return json.loads(path.read_text())


def make_grid(tmp_path, **values):
    defaults = {
        "models": ["fnet"],
        "lengths": [64],
        "task": "text",
        "batch": 4,
        "limit": 20.0,
        "folder": tmp_path / "abacus-9-x2",
        "device": DEVICE,
    }
    return Grid(**defaults | values)


@pytest.fixture
def as_cell(monkeypatch):
    """Run a program in the place of a cell's; it finds its batch and file in argv."""

    def run(program):
        def command(grid, place, batch, draft):
            lines = f"import json, os, sys, time\n{program}"
            return [sys.executable, "-c", lines, str(batch), str(draft)]

        monkeypatch.setattr(grids, "_command", command)

    return run


def finished_cell(**values):
    config = lra_config("text", {"model": "fnet"})
    numbers = {"median": 2.0, "low": 1.0, "high": 3.0, "repeats": 3}
    return {
        **cells.empty_cell(config, 64, 300.0, DEVICE),
        "status": "ok",
        "train_steps_per_second": numbers,
        "inference_seconds": numbers,
        "peak_memory": {"bytes": 2**30, "method": "by hand"},
        "compile_seconds": 1.0,
        **values,
    }


# --- A cell --------------------------------------------------------------------------


def test_a_cell_has_the_keys_that_are_promised(tmp_path):
    cell = measured(tmp_path)
    lines = re.findall(r"^    (\w[\w, ]*\w)  ", speed.__doc__, re.MULTILINE)
    assert set(cell) == {key for line in lines for key in line.split(", ")}
    assert cell["status"] == "ok" and cell["reason"] == ""
    assert cell["batch_size"] == 4 and cell["length"] == 16
    rate = cell["train_steps_per_second"]
    assert 0 < rate["low"] <= rate["median"] <= rate["high"]
    assert cell["inference_seconds"]["median"] > 0 and cell["peak_memory"]["bytes"] > 0


def test_a_batch_that_does_not_fit_is_halved_and_that_is_said(tmp_path, monkeypatch):
    needs = iter([8 * 2**30, 2**30, 2**30, 2**30])  # training, then inference
    monkeypatch.setattr(cells, "call_memory", lambda call: next(needs))
    monkeypatch.setattr(cells, "usable_memory", lambda mesh: 2 * 2**30)
    cell = measured(tmp_path)
    assert cell["status"] == "ok" and cell["batch_size"] == 2
    assert cell["reason"] == "a batch of 4 needs 8.0 of 2.0 usable GiB"


def test_a_single_example_that_does_not_fit_is_out_of_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(cells, "usable_memory", lambda mesh: 0)
    cell = measured(tmp_path, **{"train.batch_size": 1})
    assert (cell["status"], cell["batch_size"]) == ("out of memory", 1)
    assert cell["compile_seconds"] is None and cell["train_steps_per_second"] is None


@pytest.mark.parametrize("message", ["RESOURCE_EXHAUSTED: 9 GB", "INTERNAL: a bug"])
def test_running_out_of_memory_is_a_result_and_other_errors_are_not(
    message, tmp_path, monkeypatch
):
    def fail(*_):
        raise jax.errors.JaxRuntimeError(message)

    monkeypatch.setattr(cells, "interleaved", fail)
    if message.startswith("INTERNAL"):
        with pytest.raises(jax.errors.JaxRuntimeError, match="a bug"):
            measured(tmp_path)
        return
    cell = measured(tmp_path)
    assert cell["status"] == "out of memory"
    assert cell["reason"] == f"a batch of 4: {message}"


# --- The processes of a grid ---------------------------------------------------------


def test_a_killed_process_is_out_of_memory_down_to_one_example(tmp_path, as_cell):
    as_cell("os.kill(os.getpid(), 9)")
    grid = make_grid(tmp_path)
    cell = measure_one(grid, next(grid.places()))
    assert (cell["status"], cell["batch_size"]) == ("out of memory", 1)
    for batch in (4, 2, 1):
        assert f"a batch of {batch}: the system killed the process" in cell["reason"]


def test_a_smaller_batch_that_fits_after_all_is_a_result(tmp_path, as_cell):
    cell = json.dumps(finished_cell(batch_size=2))
    as_cell(
        "batch, path = int(sys.argv[1]), sys.argv[2]\n"
        "if batch > 2: os.kill(os.getpid(), 9)\n"
        f"open(path, 'w').write({cell!r})"
    )
    grid = make_grid(tmp_path)
    cell = measure_one(grid, next(grid.places()))
    assert (cell["status"], cell["batch_size"]) == ("ok", 2)
    assert cell["reason"].startswith("a batch of 4: the system killed")
    assert "--batch=4" in cell["command"]


def test_a_cell_beyond_the_limit_is_slow_until_the_limit_is_raised(tmp_path, as_cell):
    as_cell("time.sleep(60)")
    grid = make_grid(tmp_path, limit=0.2)
    place = next(grid.places())
    cell = measure_one(grid, place)
    assert cell["status"] == "slow" and "more than 0.2 s" in cell["reason"]
    assert grid.is_finished(place)
    assert not make_grid(tmp_path, limit=30.0).is_finished(place)


def test_a_failure_says_its_last_line_and_is_tried_again(tmp_path, as_cell):
    grid = make_grid(tmp_path)
    as_cell("raise ValueError('no such thing')")
    (cell,) = measure(grid)
    assert cell["status"] == "failed"
    assert cell["reason"].endswith("with status 1: ValueError: no such thing")
    as_cell(f"open(sys.argv[2], 'w').write({json.dumps(finished_cell())!r})")
    (cell,) = measure(grid)
    assert cell["status"] == "ok"


def test_a_finished_cell_is_not_measured_again(tmp_path, as_cell):
    grid = make_grid(tmp_path)
    as_cell(f"open(sys.argv[2], 'w').write({json.dumps(finished_cell())!r})")
    first = measure(grid)
    as_cell("sys.exit('called again')")
    assert measure(grid) == first


def test_no_draft_stays_behind(tmp_path, as_cell):
    grid = make_grid(tmp_path)
    as_cell(f"open(sys.argv[2], 'w').write({json.dumps(finished_cell())!r})")
    measure(grid)
    assert [p.name for p in grid.cells.iterdir()] == ["fnet-64.json"]


def test_time_left_grows_with_the_length_and_is_unknown_at_first():
    todo = [Place("fnet", 128, Path()), Place("s5", 64, Path())]
    assert seconds_left(todo, {}) is None
    assert seconds_left(todo, {"fnet": (64, 10.0), "s5": (32, 1.0)}) == 22.0


def test_the_command_measures_and_prints_the_tables(tmp_path):
    command = [sys.executable, "-m", "lra_fnet.speed", f"--to={tmp_path}"]
    options = ["--models=ff_only", "--lengths=16", "--task=image", "--batch=2"]
    done = subprocess.run(
        [*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "[1/1] ff_only at 16" in done.stdout
    (table,) = tmp_path.glob("*/image-batch2/speed.md")
    assert "| ff_only |" in table.read_text() and table.read_text() in done.stdout


# --- Tables and times ----------------------------------------------------------------


def test_ratios_count_examples_and_not_steps():
    base = finished_cell(model="transformer", batch_size=8, reason="memory")
    text = document([finished_cell(batch_size=32), base], {"fnet": "l d log l"})
    assert "2 (4x)" in text and "2 /8 (1x)" in text
    assert "`O(l d log l)`" in text


@pytest.mark.parametrize("status", ["out of memory", "slow", "failed"])
def test_a_cell_without_numbers_shows_its_status(status):
    empty = {"train_steps_per_second": None, "inference_seconds": None}
    bare = finished_cell(status=status, peak_memory=None, **empty)
    assert document([bare], {}).count(f"| {status} ") >= 3


def test_an_exponent_is_that_of_the_power_law():
    lengths = [512, 1024, 4096]
    assert fitted_exponent(lengths, [n**1.5 for n in lengths]) == pytest.approx(1.5)
    assert fitted_exponent([512], [1.0]) is None


def test_calls_are_timed_in_turns_and_twice_at_least():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    samples = interleaved(calls, rounds=5, seconds=0.0)
    assert order == ["a", "b"] * 3  # one round to warm up
    assert {len(own) for own in samples.values()} == {2}


def test_what_is_timed_follows_calls_of_its_own_kind():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    samples = interleaved(calls, rounds=2, seconds=60.0, settling=2)
    assert order == [*"ab", *"aaabbb" * 2]
    assert {len(own) for own in samples.values()} == {2}


def test_a_call_that_strains_patience_is_not_repeated(monkeypatch):
    seconds = {"quick": 1.0, "slow": 9.0}
    monkeypatch.setattr(
        "lra_fnet.speed.timing.timed", lambda call: Sample(call(), call())
    )
    calls = {name: lambda value=value: value for name, value in seconds.items()}
    samples = interleaved(calls, rounds=3, seconds=60.0, patience=3.0)
    assert len(samples["quick"]) == 3 and samples["slow"] == [Sample(9.0, 9.0)]


def test_ratios_are_of_the_same_round():
    slow, fast = [Sample(4.0, 1.0), Sample(9.0, 1.0)], [Sample(2.0, 1.0)] * 2
    assert ratios(slow, fast) == [2.0, 4.5]
    assert ratios(slow, fast, "processor") == [1.0, 1.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models=fnett"], "did you mean 'fnet'"),
        (["--task=txt"], "did you mean 'text'"),
        (["--lengths=0,64"], r"lengths is \[0, 64\]; it must be 1 or more"),
        (["--batch=0"], r"batch is \[0\]; it must be 1 or more"),
    ],
)
def test_an_option_out_of_range_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        parsed(arguments)
