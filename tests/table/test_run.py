"""Filling a table: failures, missing data, other processes, interruptions, kills."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from lra_fnet.__main__ import main, parse
from lra_fnet.hosts import ALONE, JAX_VARIABLES, StopSignals
from lra_fnet.result import make_failure
from lra_fnet.schema import Failure
from lra_fnet.table import jobs, run
from lra_fnet.table.jobs import FAILURE_FILE, Job, State, Status
from lra_fnet.workdir import FolderLock
from tiny_runs import TINY, environment

# Stands for the trainer: notes that it ran, and ends as it is told to. It gets the
# folder, how to end, and the files that a run would write, and takes no time to start.
TRAINER = """
import os, sys, time
workdir, how, result, failure = sys.argv[1:]
with open("ran.txt", "a") as ran:
    print(os.path.basename(workdir), file=ran)
if how.startswith("wait"):
    open(f"{workdir}/waits", "w").close()
    time.sleep(float(how[4:]))
if how == "kill":
    os.kill(os.getpid(), 9)
if how == "vanish":
    sys.exit("some words")
if how in ("fail", "no data"):
    open(f"{workdir}/failure.json", "w").write(failure)
    sys.exit(1)
open(f"{workdir}/result.json", "w").write(result)
"""
REASONS = {"fail": ("memory", "it did not fit"), "no data": ("data", "none: get it")}


def result_of(job):
    return {
        "schema": 3,
        "task": job.task,
        "mixer": job.mixer,
        "recipe": job.recipe,
        "seed": job.seed,
        "config_hash": job.config_hash,
        "data": {"source": "generated", "checksum": "c"},
        "test": {"correct": 50, "examples": 100},
    }


class Fixture:
    """Tables whose runs take no time, in a folder of their own."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.how = {}  # how the runs of a mixer end, or of a task; else well
        monkeypatch.chdir(folder)
        monkeypatch.delenv("LRA_DATA", raising=False)
        monkeypatch.setattr(Job, "command", property(self.command))

    def command(self, job):
        how = self.how.get(job.mixer) or self.how.get(job.task) or "well"
        failure = make_failure(job.config, *REASONS.get(how, ("error", "-")), 7)
        files = [json.dumps(content) for content in (result_of(job), failure.as_json())]
        program = [sys.executable, "-I", "-S", "-c", TRAINER]
        return [*program, str(job.workdir), how, *files]

    def jobs(self, tasks="listops", mixers="fnet linear", seeds=2):
        typed = [f"--tasks={tasks}", f"--mixers={mixers}", f"--seeds={seeds}"]
        return jobs.make_jobs(parse(["table", *typed, "--recipe=quick"]))

    def table(self, chosen, retry=True, stop=None):
        results = jobs.read_results(jobs.RUNS)
        statuses = {job: jobs.find_status(job, results, retry) for job in chosen}
        return run.Table(statuses, stop or StopSignals())

    def fill(self, chosen, **options):
        """Run the jobs; return their statuses."""
        table = self.table(chosen, **options)
        table.run()
        return [table.statuses[job] for job in chosen]

    def ran(self):
        """Return how often each folder has been trained in."""
        path = self.folder / "ran.txt"
        return Counter(path.read_text().split() if path.exists() else [])


@pytest.fixture
def fake(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(run, "WAIT_SECONDS", 0.05)
    return Fixture(tmp_path, monkeypatch)


DONE = Status(State.DONE)


def wait_for(condition, seconds=60.0):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_a_failing_run_is_reported_with_its_reason_and_the_rest_continue(fake, capsys):
    chosen = fake.jobs()
    fake.how["fnet"] = "fail"
    failed = Status(State.FAILED, "it did not fit")
    assert fake.fill(chosen) == [failed] * 2 + [DONE] * 2
    assert chosen[0].output.read_text().startswith(f"$ {sys.executable} ")
    shown = capsys.readouterr().out
    assert "[1/4] fnet on listops, seed 0: FAILED: it did not fit; see runs/" in shown
    assert "[4/4] linear on listops, seed 1: 50.00 % in 00:0" in shown
    assert "4 runs: 2 done, 2 failed\n  failed: fnet on listops, seed 0: it" in shown
    assert not {*"\r\x1b"} & {*shown}  # nothing but lines: this is no terminal


def test_failed_runs_are_tried_again_unless_told_not_to(fake):
    chosen = fake.jobs(mixers="fnet")
    fake.how["fnet"] = "fail"
    fake.fill(chosen)
    del fake.how["fnet"]
    assert {status.state for status in fake.fill(chosen, retry=False)} == {State.FAILED}
    assert {*fake.ran().values()} == {1}
    assert fake.fill(chosen) == [DONE] * 2
    assert jobs.read_failure(chosen[0]) is None


def test_what_is_finished_is_not_run_again(fake):
    chosen = fake.jobs()
    fake.fill(chosen[:1])
    assert fake.fill(chosen) == [DONE] * 4 and {*fake.ran().values()} == {1}
    assert fake.fill(chosen) == [DONE] * 4 and {*fake.ran().values()} == {1}


@pytest.mark.parametrize(
    ("how", "kind", "reason"),
    [
        ("kill", "killed", "killed by signal 9 (SIGKILL), as systems do that run out"),
        ("vanish", "error", "exit status 1; see output.log"),
    ],
)
def test_a_failure_that_the_run_could_not_record_is_recorded(fake, how, kind, reason):
    chosen = fake.jobs(mixers="fnet", seeds=1)
    fake.how["fnet"] = how
    fake.fill(chosen)
    failure = Failure.read(chosen[0].workdir / FAILURE_FILE)
    assert failure.kind == kind and failure.reason.startswith(reason)
    assert failure.config_hash == chosen[0].config_hash
    words = chosen[0].output.read_text().splitlines()[1:]
    assert ("some words" in words) == (how == "vanish")


def test_a_run_that_somebody_stops_has_failed():
    assert run.explain(128 + signal.SIGTERM) == run.explain(-signal.SIGTERM)
    assert run.explain(-15) == ("killed", "killed by signal 15 (SIGTERM)")


def test_a_task_without_data_is_left_out_with_one_message(fake, capsys):
    chosen = fake.jobs(tasks="listops pathfinder")
    fake.how["listops"] = "no data"
    missing = Status(State.NO_DATA, "none: get it")
    assert fake.fill(chosen) == [missing] * 4 + [DONE] * 4
    assert len(fake.ran()) == 5 and {*fake.ran().values()} == {1}
    said = capsys.readouterr().out.splitlines()
    assert said.count("listops: no data, its runs are left out") == 1
    assert said[-1] == '    none: get it; then add sources="listops=SOURCE:FOLDER"'


def test_two_tables_in_a_folder_share_the_jobs(fake, capsys):
    fake.how["fnet"] = "wait0.2"
    outcomes = []
    tables = [
        threading.Thread(target=lambda: outcomes.append(fake.fill(fake.jobs(seeds=3))))
        for _ in range(2)
    ]
    for thread in tables:
        thread.start()
    for thread in tables:
        thread.join()
    assert outcomes == [[DONE] * 6] * 2
    assert len(fake.ran()) == 6 and {*fake.ran().values()} == {1}
    assert "by another process" in capsys.readouterr().out


def test_a_failure_in_another_table_meanwhile_is_not_tried_again(fake):
    chosen = fake.jobs(mixers="fnet", seeds=1)
    table = fake.table(chosen)
    chosen[0].workdir.mkdir(parents=True)
    failure = make_failure(chosen[0].config, "error", "met by the other", 1)
    failure.write(chosen[0].workdir / FAILURE_FILE)
    table.run()
    assert [*table.statuses.values()] == [Status(State.FAILED, "met by the other")]
    assert not fake.ran()


def test_a_run_that_outlives_its_table_is_waited_for(fake, capsys):
    chosen, seen = fake.jobs(), []

    def release():  # as the system does when the process ends
        wait_for(lambda: len(fake.ran()) == 3)
        seen.append(dict(fake.ran()))
        held.__exit__(None, None, None)

    with FolderLock(chosen[0].workdir) as held:
        thread = threading.Thread(target=release)
        thread.start()
        assert fake.fill(chosen) == [DONE] * 4
        thread.join()
    assert chosen[0].workdir.name not in seen[0]
    assert {*fake.ran().values()} == {1}
    assert f"process {os.getpid()} runs it" in capsys.readouterr().out


def test_a_signal_is_handed_on_and_the_job_stays_open(fake):
    chosen, stop = fake.jobs(mixers="fnet"), StopSignals()
    fake.how["fnet"] = "wait60"

    def interrupt():
        wait_for((chosen[0].workdir / "waits").exists)
        stop.received = signal.SIGTERM

    thread = threading.Thread(target=interrupt)
    thread.start()
    started = time.monotonic()
    assert fake.fill(chosen, stop=stop) == [Status(State.TO_RUN)] * 2
    thread.join()
    assert time.monotonic() - started < 30 and len(fake.ran()) == 1
    assert jobs.read_failure(chosen[0]) is None


def test_on_a_terminal_there_is_a_bar(fake, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    chosen = fake.jobs()
    fake.how["linear"] = "wait0.2"
    monkeypatch.setattr(sys, "stdout", Terminal())
    fake.fill(chosen)
    shown = sys.stdout.getvalue()
    assert (
        "| 2/4 [00:0" in shown and "linear on listops, seed 0, step 0 of 600" in shown
    )


# -- The command -------------------------------------------------------------------

TYPED = ["table", "--tasks=listops", "--mixers=fnet", "--recipe=quick", "--seeds=2"]


def test_the_exit_status_tells_whether_every_job_has_a_result(fake, capsys):
    fake.how["fnet"] = "fail"
    assert main([*TYPED, "--dry"]) == 0 and list(fake.folder.iterdir()) == []
    assert "2 runs: 2 to run" in capsys.readouterr().out
    assert main(TYPED) == 1 and main([*TYPED, "--no-retry"]) == 1
    fake.how.clear()
    assert main(TYPED) == 0 and len(fake.ran()) == 2


def test_a_table_is_not_taken_for_a_part_of_one_run_on_several_hosts(
    fake, monkeypatch, capsys
):
    run.check_alone({"SLURM_NTASKS": "4", "SLURM_ARRAY_TASK_ID": "2"})
    for name, value in zip(JAX_VARIABLES, ("localhost:1234", "2", "0"), strict=True):
        monkeypatch.setenv(name, value)
    assert main([*TYPED, "--dry"]) == 1
    assert "set LRA_ALONE=1" in capsys.readouterr().err
    monkeypatch.setenv(ALONE, "1")
    assert main([*TYPED, "--dry"]) == 0


# -- The command itself, with real runs --------------------------------------------

STEPS = 600
FLAGS = TINY | {"train.num_steps": STEPS, "train.eval_every": 300, "num_layers": 1}
FLAGS |= {"run.checkpoint_every": 20}


def start(folder):
    """Start a table of one run."""
    typed = ["--tasks=listops", "--mixers=ff_only", "--seeds=1", "--recipe=quick"]
    keys = [f"--config.{key}={value}" for key, value in FLAGS.items()]
    return subprocess.Popen(
        [sys.executable, "-m", "lra_fnet", "table", *typed, *keys],
        cwd=folder,
        env=environment(folder / "data"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def logged(folder, event):
    """Return the steps of an event that the run has logged so far."""
    paths = list(folder.glob("runs/listops/*/metrics.jsonl"))
    lines = paths[0].read_text().splitlines() if paths else []
    records = [json.loads(line) for line in lines if line.endswith("}")]
    return [record["step"] for record in records if record["event"] == event]


@pytest.mark.slow
def test_a_table_survives_an_interruption_and_a_kill(tmp_path):
    table = start(tmp_path)
    wait_for(lambda: logged(tmp_path, "train"), 240)
    table.send_signal(signal.SIGINT)
    said = table.communicate(timeout=240)[0]
    assert table.returncode == 130, said
    assert not list(tmp_path.rglob("failure.json"))
    assert list(tmp_path.rglob("checkpoints/*.msgpack"))
    before = max(logged(tmp_path, "train"))

    table = start(tmp_path)
    wait_for(lambda: max(logged(tmp_path, "train")) > before, 240)
    table.kill()  # its run goes on
    said = table.communicate()[0]
    assert f"continues after step {before}" in said

    table = start(tmp_path)
    said = table.communicate(timeout=400)[0]
    assert table.returncode == 0 and "1 run: 1 done" in said, said
    steps = logged(tmp_path, "train")
    assert steps == sorted({*steps}) and steps[-1] == STEPS
    assert len(logged(tmp_path, "compile")) == 2  # the third table started no run
