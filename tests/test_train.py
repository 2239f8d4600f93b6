import itertools
import os
import random
import resource
import shutil
import signal
import subprocess
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lra_fnet import evaluate, hardware, hosts, train
from lra_fnet.checkpoint import Checkpoints
from lra_fnet.config import task_facts
from lra_fnet.hardware import OutOfMemory
from lra_fnet.logbook import NotFinite
from lra_fnet.result import FAILURE_FILE
from lra_fnet.rules import count_parameters
from lra_fnet.schema import Failure
from lra_fnet.step import Program
from lra_fnet.train import CallLength, Interrupted, train_and_evaluate
from lra_fnet.workdir import FolderLock, FolderLocked, WorkdirError
from tiny_runs import (
    command,
    environment,
    result_of,
    run,
    tiny_config,
    wait_for_step,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    os.environ["LRA_DATA"] = str(folder)
    yield folder
    del os.environ["LRA_DATA"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, data):
    """A run in a process of its own that nothing interrupted."""
    workdir = tmp_path_factory.mktemp("finished") / "run"
    done = run(command(workdir), data)
    assert done.returncode == 0, done.stderr
    return workdir, done


def saved_bytes(workdir):
    """Everything that must not depend on interruptions: state and predictions."""
    paths = [*(workdir / "checkpoints").iterdir(), workdir / "test_predictions.npy"]
    return {path.name: path.read_bytes() for path in paths}


def assert_identical(workdir, other):
    first, second = saved_bytes(workdir), saved_bytes(other)
    assert first == second, "compare the arrays of the two"
    assert {"300.msgpack", "test_predictions.npy"} <= first.keys()


# --- One whole run ------------------------------------------------------------------


def test_a_run_ends_with_a_table_and_a_complete_result(finished):
    workdir, done = finished
    for row in ("majority class", "root operator", "fnet (this run)", "35.33 %"):
        assert row in done.stdout
    result = result_of(workdir)
    assert result["test"]["examples"] == 101
    low, high = result["test"]["interval_95"]
    assert low < result["test"]["accuracy"] < high
    assert len(np.load(workdir / "test_predictions.npy")) == 101
    for key in (
        *("schema", "task", "mixer", "recipe", "seed", "config", "config_hash", "data"),
        *(
            "trivial_baselines",
            "validation",
            "test_last_step",
            "steps",
            "parameters",
            "seconds",
        ),
        *("speed", "peak_memory", "device", "versions", "curves", "commit"),
    ):
        assert key in result, key
    assert set(result["config"]["mixers"]) == {"fnet"}
    assert [p["step"] for p in result["curves"]["validation"]] == [100, 200, 300]


def test_nothing_but_the_run_is_printed(finished):
    _, done = finished
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) < 100


def test_a_result_names_the_code_that_ran_though_it_changed_meanwhile(
    tmp_path, data, monkeypatch
):
    code, take_steps = ["as it was"], train._take_steps

    def change_and_take_steps(*arguments):
        code.append("as it is")
        return take_steps(*arguments)

    monkeypatch.setenv("LRA_DATA", str(data))
    monkeypatch.setattr(train, "git_commit", lambda: code[-1])
    monkeypatch.setattr(train, "_take_steps", change_and_take_steps)
    (made,) = train_and_evaluate(tiny_config(train__num_steps=2), tmp_path)
    assert made.commit == "as it was"


def test_a_finished_run_says_so_and_does_not_train_again(finished, data):
    workdir, _ = finished
    before = (workdir / "result.json").stat().st_mtime_ns
    again = run(command(workdir), data)
    assert again.returncode == 0 and "finished" in again.stdout
    assert "steps/s  ETA" not in again.stdout
    assert (workdir / "result.json").stat().st_mtime_ns == before


def test_evaluation_in_another_process_gives_the_same_accuracy(finished, data):
    workdir, _ = finished
    done = run(command(workdir, "eval"), data)
    assert done.returncode == 0, done.stderr
    assert "every answer the same as in result.json" in done.stdout


def test_another_config_in_the_same_workdir_is_refused_with_the_difference(
    finished, data
):
    workdir, _ = finished
    with pytest.raises(WorkdirError, match="train.num_steps: 300 -> 301"):
        train_and_evaluate(tiny_config(train__num_steps=301), workdir)


def test_a_wrong_command_leaves_no_failure_in_the_run_of_another(finished, data):
    workdir, _ = finished
    with pytest.raises(ValueError, match="seed is -1"):
        train_and_evaluate(tiny_config(data__seed=-1), workdir)
    assert not (workdir / FAILURE_FILE).exists()


def test_a_value_that_the_model_refuses_costs_neither_data_nor_the_workdir(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("LRA_DATA", str(tmp_path / "data"))
    with pytest.raises(ValueError, match="norm_placement"):
        train_and_evaluate(tiny_config(encoder__norm_placement="foo"), tmp_path / "run")
    assert not (tmp_path / "data").exists()
    assert {path.name for path in (tmp_path / "run").iterdir()} == {FAILURE_FILE}


def test_a_record_that_was_lost_is_a_clear_error(finished, tmp_path, data):
    workdir = tmp_path / "run"
    shutil.copytree(finished[0], workdir)
    (workdir / "result.json").unlink()
    record = workdir / "metrics.jsonl"
    record.write_text("3\n" + record.read_text()[:40])
    with pytest.raises(WorkdirError, match="lacks the validation of step .* delete"):
        train_and_evaluate(tiny_config(), workdir)


def test_reading_checkpoints_changes_nothing(finished, tmp_path):
    shutil.copytree(finished[0] / "checkpoints", tmp_path / "checkpoints")
    (tmp_path / "checkpoints" / "300.tmp").write_text("being written")
    (tmp_path / "checkpoints" / "8 (copy).msgpack").write_text("by hand")
    before = sorted(tmp_path.rglob("*"))
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps()[0] == 300
    with Checkpoints(tmp_path / "none") as checkpoints:
        assert checkpoints.steps() == []
    assert sorted(tmp_path.rglob("*")) == before


def test_a_workdir_in_use_is_refused(tmp_path, data):
    with FolderLock(tmp_path / "run"), pytest.raises(FolderLocked):
        train_and_evaluate(tiny_config(), tmp_path / "run")


@pytest.mark.slow
def test_several_seeds_leave_a_result_each(tmp_path, data):
    config = tiny_config(num_seeds=2, seed=3, train__num_steps=20, mixer="transformer")
    results = train_and_evaluate(config, tmp_path / "run")
    assert [r.seed for r in results] == [3, 4]
    for seed in (3, 4):
        assert result_of(tmp_path / "run" / f"seed{seed}")["seed"] == seed
    curves = [r.curves.train[0].loss for r in results]
    assert curves[0] != curves[1]


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(
    tmp_path, data
):
    config = tiny_config(
        schedule__schedule="constant",
        schedule__learning_rate=1e38,
        schedule__warmup_steps=10,
        encoder__norm_placement="pre",
        run__checkpoint_every=1,
    )
    with pytest.raises(NotFinite, match="not finite at step") as caught:
        train_and_evaluate(config, tmp_path / "run")
    failure = Failure.read(tmp_path / "run" / FAILURE_FILE)
    assert failure.kind == "not finite" and str(caught.value) in failure.reason
    steps = [int(p.stem) for p in (tmp_path / "run" / "checkpoints").iterdir()]
    assert steps and max(steps) < caught.value.step


@pytest.mark.slow
def test_a_batch_that_does_not_fit_is_computed_in_parts(tmp_path, data, monkeypatch):
    config = tiny_config(train__num_steps=10)
    monkeypatch.setattr(
        hardware, "examples_at_once", lambda mesh, batch_size: batch_size
    )
    whole = train_and_evaluate(config, tmp_path / "whole")[0]
    enough = 0.7 * whole.peak_memory.bytes
    monkeypatch.setattr(train, "usable_memory", lambda mesh: enough)
    parts = train_and_evaluate(config, tmp_path / "parts")[0]
    assert (whole.micro_batches, parts.micro_batches) == (1, 2)
    assert parts.peak_memory.bytes <= enough


REFUSED = "RESOURCE_EXHAUSTED: Ran out of memory on HBM, 21.27G exceeds 15.75G"


def refuse(monkeypatch, is_refused, reason=REFUSED):
    """Have the compiler refuse some programs, as that of TPUs does."""
    compile_it = Program.compile

    def refusing(program, lowered):
        if is_refused(program, lowered):
            raise jax.errors.JaxRuntimeError(reason)
        return compile_it(program, lowered)

    monkeypatch.setattr(Program, "compile", refusing)


def test_what_the_compiler_refuses_is_computed_in_more_micro_batches(
    tmp_path, data, monkeypatch
):
    config = tiny_config(train__num_steps=2, train__batch_size=8)
    monkeypatch.setattr(
        hardware, "examples_at_once", lambda mesh, batch_size: batch_size
    )
    refuse(monkeypatch, lambda program, lowered: program.micro_batches < 4)
    result = train_and_evaluate(config, tmp_path / "run")[0]
    assert result.micro_batches == 4


@pytest.mark.parametrize("parts", [0, 4])
def test_what_the_compiler_refuses_whatever_it_is_split_into_is_a_clear_error(
    parts, tmp_path, data, monkeypatch
):
    refuse(monkeypatch, lambda program, lowered: True)
    config = tiny_config(train__num_steps=2, train__micro_batches=parts)
    with pytest.raises(OutOfMemory, match=r"needs more, with .* even in 4 micro-batch"):
        train_and_evaluate(config, tmp_path / "run")


def test_another_error_of_the_compiler_is_not_taken_for_want_of_memory(
    tmp_path, data, monkeypatch
):
    refuse(monkeypatch, lambda program, lowered: True, reason="INTERNAL: no tiling")
    with pytest.raises(jax.errors.JaxRuntimeError, match="no tiling"):
        train_and_evaluate(tiny_config(train__num_steps=2), tmp_path / "run")


def test_memory_too_small_for_one_example_is_a_clear_error(tmp_path, data, monkeypatch):
    monkeypatch.setattr(train, "usable_memory", lambda mesh: 1)
    config = tiny_config(train__num_steps=10)
    with pytest.raises(OutOfMemory, match="take a smaller batch or model, or fewer"):
        train_and_evaluate(config, tmp_path / "run")
    path = tmp_path / "run" / FAILURE_FILE
    assert Failure.read(path).kind == "memory"
    monkeypatch.undo()
    train_and_evaluate(config, tmp_path / "run")
    assert not path.exists()  # the next attempt removes it


def test_a_fault_of_a_mixer_is_recorded_in_its_own_words(tmp_path, data, monkeypatch):
    def broken(*_):
        raise TypeError("no such layer\n\nFor simplicity, JAX has removed its frames")

    monkeypatch.setattr(train, "make_program", broken)
    with pytest.raises(TypeError):
        train_and_evaluate(tiny_config(), tmp_path / "run")
    failure = Failure.read(tmp_path / "run" / FAILURE_FILE)
    assert (failure.kind, failure.reason) == ("error", "TypeError: no such layer")
    assert (failure.task, failure.mixer, failure.seed) == ("listops", "fnet", 0)


@pytest.mark.slow
def test_evaluation_batches_shrink_until_they_fit(tmp_path, data, monkeypatch):
    monkeypatch.setattr(evaluate, "usable_memory", lambda mesh: 1)
    result = train_and_evaluate(tiny_config(train__num_steps=10), tmp_path / "run")[0]
    assert result.test.examples == 101


class Clock:
    """A clock that a step moves on, and the first one by more."""

    def __init__(self, seconds_per_step, first=0.0):
        self.seconds_per_step, self.now, self.first = seconds_per_step, 0.0, first

    def monotonic(self):
        return self.now

    def take(self, length, left):
        count = length.begin(left)
        self.now += self.first + count * self.seconds_per_step
        self.first = 0.0
        length.end(jnp.zeros(()))
        return count


@pytest.mark.parametrize(
    ("seconds_per_step", "counts"),
    [
        (1 / 1024, [1, 1, 100, 100]),
        (1 / 64, [1, 1, 64, 64]),
        (1 / 4, [1, 1, 4, 4]),
        (5, [1, 1, 1, 1]),
    ],
)
def test_calls_of_unknown_steps_grow_to_a_second(seconds_per_step, counts, monkeypatch):
    clock = Clock(seconds_per_step, first=30.0)
    monkeypatch.setattr(train, "time", clock)
    length = CallLength(100, is_fixed=False)
    assert [clock.take(length, left=1000) for _ in counts] == counts
    assert clock.take(length, left=3) == min(3, counts[-1])


def test_calls_of_the_steps_that_were_asked_for_are_not_timed(monkeypatch):
    clock = Clock(1000.0)
    monkeypatch.setattr(train, "time", clock)
    length = CallLength(7, is_fixed=True)
    assert [clock.take(length, left) for left in (20, 13, 6)] == [7, 7, 6]


def test_a_run_that_times_its_calls_ends_as_one_that_does_not(
    tmp_path, data, monkeypatch
):
    monkeypatch.setattr(train, "default_steps_per_call", lambda mesh: 10)
    shared = {"train__num_steps": 40, "run__checkpoint_every": 20}
    counts, begin = [], CallLength.begin
    monkeypatch.setattr(
        CallLength,
        "begin",
        lambda self, left: counts.append(begin(self, left)) or counts[-1],
    )
    train_and_evaluate(tiny_config(**shared), tmp_path / "timed")
    assert counts[0] == 1 and sum(counts) == 40 and max(counts) > 1
    fixed = tiny_config(run__steps_per_call=10, **shared)
    train_and_evaluate(fixed, tmp_path / "fixed")
    assert counts[-4:] == [10] * 4
    assert saved_bytes(tmp_path / "timed") == saved_bytes(tmp_path / "fixed")


def test_tensorboard_files_are_written_when_asked_for(tmp_path, data):
    config = tiny_config(run__tensorboard=True, train__num_steps=20)
    train_and_evaluate(config, tmp_path / "run")
    assert list((tmp_path / "run" / "tensorboard").glob("events.out.tfevents.*"))


# --- Interruptions ------------------------------------------------------------------


def start(workdir, data):
    return subprocess.Popen(
        command(workdir),
        env=environment(data),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def stop_after(monkeypatch, num_calls):
    """Have a signal come while that many calls, of one step each, have been made."""
    calls = itertools.count(1)
    monkeypatch.setattr(
        hosts.AgreedStop,
        "after_call",
        lambda _: signal.SIGTERM if next(calls) == num_calls else None,
    )


def test_pretraining_and_what_follows_end_as_if_nothing_had_happened(
    tmp_path, data, monkeypatch
):
    config = tiny_config(
        **{"pretrain__objective": "masked", "pretrain__num_steps": 10},
        **{"train__num_steps": 20, "train__eval_every": 5, "num_layers": 1},
    )
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    result = train_and_evaluate(config, whole)[0]
    for steps, at_step in ((4, 4), (6, 10), (3, 13)):
        stop_after(monkeypatch, steps)
        with pytest.raises(Interrupted, match=f"stopped at step {at_step}"):
            train_and_evaluate(config, stopped)
    monkeypatch.undo()
    again = train_and_evaluate(config, stopped)[0]
    names = [*whole.rglob("*.msgpack"), whole / "test_predictions.npy"]
    names = {str(path.relative_to(whole)) for path in names}
    assert {"pretraining/checkpoints/10.msgpack", "checkpoints/20.msgpack"} <= names
    for name in names:
        assert (whole / name).read_bytes() == (stopped / name).read_bytes(), name
    found = result.pretraining
    assert again.pretraining.curves.validation == found.curves.validation
    assert (found.objective, found.steps, result.steps) == ("masked", 10, 20)
    assert [point.step for point in found.curves.validation] == [5, 10]
    assert [point.step for point in result.curves.validation] == [15, 20]
    assert found.validation in found.curves.validation
    assert result.parameters == count_parameters(config, task_facts(config))


def test_a_killed_run_ends_as_if_nothing_had_happened(finished, tmp_path, data):
    workdir = tmp_path / "run"
    for step in (10, 30):
        process = start(workdir, data)
        wait_for_step(workdir, step)
        time.sleep(random.Random(step).uniform(0, 0.1))
        process.kill()
        process.communicate()
        assert not (workdir / "result.json").exists()
    done = run(command(workdir), data)
    assert "resuming from step" in done.stdout, done.stderr
    assert_identical(workdir, finished[0])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_resume(finished, tmp_path, data, number):
    workdir = tmp_path / "run"
    process = start(workdir, data)
    wait_for_step(workdir, 10)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "repeat the command to resume" in output
    assert run(command(workdir), data).returncode == 0
    assert_identical(workdir, finished[0])


@pytest.mark.slow
def test_an_unreadable_newest_checkpoint_falls_back_to_the_one_before(
    finished, tmp_path, data
):
    workdir = tmp_path / "run"
    process = start(workdir, data)
    wait_for_step(workdir, 30)
    process.kill()
    process.communicate()
    files = (workdir / "checkpoints").glob("*.msgpack")
    newest = max(files, key=lambda path: int(path.stem))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    done = run(command(workdir), data)
    assert done.returncode == 0, done.stderr
    assert f"cannot read checkpoint {newest.stem}" in done.stderr
    assert_identical(workdir, finished[0])


@pytest.mark.slow
def test_a_full_disk_keeps_the_last_good_checkpoint_and_says_what_to_do(
    finished, tmp_path, data
):
    """A limit on the size of files stands for the full disk."""
    workdir = tmp_path / "run"
    process = start(workdir, data)
    wait_for_step(workdir, 10)
    # The logbook is smaller, a checkpoint is larger.
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (8_000, 8_000))
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "cannot write a checkpoint" in output and "File too large" in output
    assert "the last good one is kept (the one of step" in output
    assert "Traceback" not in output
    done = run(command(workdir), data)
    assert "resuming from step" in done.stdout
    assert_identical(workdir, finished[0])
