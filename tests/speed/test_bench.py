"""Speed measurements: their files and tables, and that any ending is reported."""

import json
import os
import re
import subprocess
import sys
from argparse import Namespace

import jax
import pytest

from lra_fnet.config import load_config
from lra_fnet.schema import SpeedResult
from lra_fnet.speed import bench
from lra_fnet.speed.bench import (
    Job,
    Workload,
    device_name,
    document,
    figures,
    home_speed_up,
    make_jobs,
    measure,
    measured_figures,
    run_jobs,
)
from lra_fnet.speed.timing import Killed
from tiny_runs import ROOT, environment

TINY = {
    "mixer": "ff_only",
    "num_layers": 1,
    "encoder.width": 8,
    "encoder.mlp_dim": 8,
    "train.batch_size": 4,
}
DEVICE = {"platform": "cpu", "kind": "Abacus 9", "count": 2, "cpu_cores": 2}
JOB = Job("fnet", "text", 64, 4, 20.0)
NUMBERS = {"median": 2.0, "low": 1.0, "high": 3.0, "repeats": 3}
FOUND = {
    "status": "ok",
    "reason": "",
    "train_steps_per_second": NUMBERS,
    "inference_seconds": NUMBERS,
    "peak_memory": {"bytes": 2**30, "method": "by hand"},
    "compile_seconds": 1.0,
}


HOME = load_config("image", "lra2020", TINY | {"mixer": "fnet"})


@pytest.fixture(scope="module")
def workload():
    return Workload(load_config("image", "lra2020", TINY), 16)


@pytest.fixture
def processes(monkeypatch):
    """Let processes end one after the other as listed; return what they were called."""

    def end(*endings):
        called, endings = [], iter(endings)

        def in_own_process(function, job, limit):
            called.append(job)
            ending = next(endings)
            if isinstance(ending, Exception):
                raise ending
            return ending

        monkeypatch.setattr(bench, "in_own_process", in_own_process)
        return called

    return end


def made(**values):
    about = {"schema": 2, "kind": "speed", "mixer": "fnet", "task": "text"}
    sizes = {"length": 64, "width": 8, "batch_size": 4, "asked_batch_size": 4}
    return SpeedResult(**about | sizes | {"device": DEVICE} | FOUND | values)


# --- A measurement -------------------------------------------------------------------


def test_a_workload_is_measured_in_training_and_inference(workload):
    found = measured_figures(workload, HOME, 5.0)
    result = made(**found)
    assert result.status == "ok" and result.reason == ""
    rate = result.train_steps_per_second
    assert 0 < rate.low <= rate.median <= rate.high
    assert result.inference_seconds.median > 0 and result.peak_memory.bytes > 0
    turns = result.fnet_speed_up
    assert 0 < turns.low <= turns.median <= turns.high and turns.repeats >= 2
    assert home_speed_up(Workload(HOME, 16), HOME, 5.0) is None
    assert result.device.count == jax.local_device_count()
    before = int(workload._state.step[0])
    state, _ = workload.train()
    assert before > 0 and state.step.tolist() == [before + workload.steps_per_call]


def test_a_workload_that_does_not_fit_is_out_of_memory(workload, monkeypatch):
    monkeypatch.setattr(bench, "call_memory", lambda call: 8 * 2**30)
    monkeypatch.setattr(bench, "usable_memory", lambda mesh: 2 * 2**30)
    assert measured_figures(workload, HOME, 5.0) == {
        "status": "out of memory",
        "reason": "it needs 8.0 of 2.0 usable GiB",
    }


@pytest.mark.parametrize("message", ["RESOURCE_EXHAUSTED: 9 GB", "INTERNAL: a bug"])
def test_running_out_of_memory_is_a_result_and_other_errors_are_not(
    message, monkeypatch
):
    def fail(*_):
        raise jax.errors.JaxRuntimeError(message)

    monkeypatch.setattr(bench, "Workload", fail)
    monkeypatch.setattr(bench, "set_up", lambda: None)
    monkeypatch.setattr(bench.jax.config, "update", lambda *_: None)
    if message.startswith("INTERNAL"):
        with pytest.raises(jax.errors.JaxRuntimeError, match="a bug"):
            figures(JOB)
        return
    assert figures(JOB) == {"status": "out of memory", "reason": message}


def test_made_up_examples_are_stored_as_bytes_where_ids_allow():
    for task in ("text", "image"):
        facts = bench.task_facts(load_config(task, "lra2020"))
        inputs, labels = bench.made_up_examples(facts, 3, 1000)
        assert inputs.dtype == "uint8" and inputs.shape == (3, 1000)
        assert inputs.min() >= 1 and labels.max() < facts.num_classes


# --- Processes -----------------------------------------------------------------------


def test_a_batch_that_does_not_fit_is_halved_and_that_is_said(processes):
    short = {"status": "out of memory", "reason": "it needs 8.0 of 2.0 usable GiB"}
    called = processes(short, Killed("the system killed the process"), FOUND)
    result = measure(JOB, DEVICE)
    assert [job.batch_size for job in called] == [4, 2, 1]
    assert (result.status, result.batch_size, result.asked_batch_size) == ("ok", 1, 4)
    assert result.reason == (
        "a batch of 4: it needs 8.0 of 2.0 usable GiB; "
        "a batch of 2: the system killed the process"
    )
    assert result.command.endswith("--lengths=64 --task=text --batch=4 --limit=20")


def test_a_measurement_names_the_code_before_it_though_it_changed_meanwhile(
    processes, monkeypatch
):
    called = processes(FOUND)
    monkeypatch.setattr(bench, "git_commit", lambda: f"after {len(called)} processes")
    assert measure(JOB, DEVICE).commit == "after 0 processes"


def test_a_single_example_that_does_not_fit_is_out_of_memory(processes):
    processes(*[Killed("the system killed the process")] * 3)
    result = measure(JOB, DEVICE)
    assert (result.status, result.batch_size) == ("out of memory", 1)
    assert result.compile_seconds is None and result.train_steps_per_second is None


def test_a_measurement_beyond_the_limit_is_slow_until_the_limit_is_raised(
    processes, tmp_path
):
    called = processes(TimeoutError("it takes more than 20 s"), FOUND)
    (slow,) = run_jobs([JOB], tmp_path, DEVICE)
    assert slow.status == "slow" and "more than 20 s" in slow.reason
    assert run_jobs([JOB], tmp_path, DEVICE) == [slow] and len(called) == 1
    (result,) = run_jobs([JOB._replace(limit_seconds=30.0)], tmp_path, DEVICE)
    assert result.status == "ok" and len(called) == 2


def test_a_failure_is_a_result_with_its_reason_and_is_tried_again(processes, tmp_path):
    jobs = [JOB, JOB._replace(mixer="s5")]
    called = processes(ChildProcessError("ValueError: no such thing"), FOUND, FOUND)
    failed, other = run_jobs(jobs, tmp_path, DEVICE)
    assert failed.status == "failed" and other.status == "ok"
    assert failed.reason == "a batch of 4: ValueError: no such thing"
    assert [r.status for r in run_jobs(jobs, tmp_path, DEVICE)] == ["ok", "ok"]
    assert [job.mixer for job in called] == ["fnet", "s5", "fnet"]


def test_a_damaged_file_is_measured_again(processes, tmp_path):
    JOB.file(tmp_path).write_text("{")
    processes(FOUND)
    (result,) = run_jobs([JOB], tmp_path, DEVICE)
    assert result.status == "ok"


@pytest.mark.slow
def test_the_command_measures_every_mixer_and_reports_what_fails(tmp_path):
    broken = tmp_path / "broken" / "mixer.py"
    broken.parent.mkdir()
    broken.write_text(
        "import flax.linen as nn\n"
        "class Mixer(nn.Module):\n"
        "    def __call__(self, x, mask, train):\n"
        "        raise ArithmeticError('out of order')\n"
    )
    arguments = ["--lengths=16", "--task=image", "--batch=2", f"--to={tmp_path}"]
    arguments.append("--mixers=broken.mixer ff_only")
    done = subprocess.run(
        [sys.executable, "-m", "lra_fnet", "speed", *arguments],
        env=environment(tmp_path)
        | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1, done.stderr
    assert "failed: a batch of 2: ArithmeticError: out of order" in done.stdout
    (table,) = tmp_path.glob("*/image-batch2/speed.md")
    text = table.read_text()
    assert text in done.stdout
    assert re.search(r"broken.mixer +\| failed", text) and "| ff_only " in text


# --- Tables and arguments ------------------------------------------------------------


def test_speed_ups_count_examples_and_not_steps():
    base = made(mixer="transformer", batch_size=8, asked_batch_size=32)
    text = document([made(batch_size=32, asked_batch_size=32), base])
    assert "2 (4x)" in text and "2 /8 (1x)" in text
    assert text.count("2e+03 (4x)") == 1  # milliseconds to answer


def test_the_tables_say_what_needs_the_memory():
    memory = {"bytes": 2**30, "method": "allocator peak"}
    assert "Memory is that of the process, at its peak." in document(
        [made(peak_memory=memory)]
    )


@pytest.mark.parametrize("status", ["out of memory", "slow", "failed"])
def test_a_result_without_numbers_shows_its_status(status):
    empty = dict.fromkeys(
        ("train_steps_per_second", "inference_seconds", "peak_memory")
    )
    assert document([made(status=status, **empty)]).count(f"| {status} ") == 5


def test_results_of_the_first_schema_make_the_same_tables(tmp_path):
    today = made()
    earlier = today.model_dump(mode="json", by_alias=True)
    earlier |= {"schema": 1, "model": earlier.pop("mixer")}
    for later in ("asked_batch_size", "fnet_speed_up"):
        del earlier[later]
    path = tmp_path / "fnet-64.json"
    path.write_text(json.dumps(earlier))
    assert document([SpeedResult.read(path)]) == document([today])


def test_the_folder_of_a_device_names_it():
    assert device_name(DEVICE) == "abacus-9-x2"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"mixers": "fnett"}, "did you mean 'fnet'"),
        ({"task": "txt"}, "did you mean 'text'"),
        ({"lengths": "0,64"}, "'0' is no size; write whole numbers"),
        ({"batch": 0}, "batch is 0; it must be >= 1"),
        ({"limit": 0.5}, "limit is 0.5; it must be >= 1"),
    ],
)
def test_an_argument_out_of_range_is_named(argument, message):
    defaults = {"mixers": "", "lengths": "", "task": "text", "batch": 4, "limit": 20.0}
    with pytest.raises(ValueError, match=message):
        make_jobs(Namespace(**defaults | argument))


def test_short_lengths_are_measured_first():
    arguments = {"mixers": "fnet s5", "lengths": "64,16", "task": "text"}
    jobs = make_jobs(Namespace(**arguments, batch=4, limit=20.0))
    assert [(job.mixer, job.length) for job in jobs] == [
        ("fnet", 16),
        ("s5", 16),
        ("fnet", 64),
        ("s5", 64),
    ]
