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

from configs.grid import Row
from lra_fnet.cli import NO_DATA
from lra_fnet.hosts import StopSignals
from lra_fnet.table import display, standing
from lra_fnet.table.attempt import Ending, log_path
from lra_fnet.table.cells import Cell, make_cells
from lra_fnet.table.display import Display
from lra_fnet.table.estimate import Cost
from lra_fnet.table.progress import Progress, State
from lra_fnet.table.runner import Runner
from lra_fnet.table.speeds import Speeds
from lra_fnet.workdir import FolderLock
from tiny_runs import ROOT, TINY, environment

# Of the library that loads config files by their paths.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

# Stands for the trainer: locks its folder, says that it runs, ends as it is told to.
TRAINER = """
import json, os, sys, time
from pathlib import Path
from lra_fnet.workdir import FolderLock

workdir, key, seed, how = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
with FolderLock(workdir):
    with open("ran.txt", "a") as ran:
        print(workdir.name, file=ran)
    if how.startswith("wait"):
        (workdir / "waits").touch()
        time.sleep(float(how[4:]))
    if how == "kill":
        os.kill(os.getpid(), 9)
    if how == "no data":
        print("error: there is none\\nget it somewhere", file=sys.stderr)
        sys.exit(NO_DATA)
    if how == "fail":
        sys.exit("first\\nerror: it went wrong")
    result = {"config_hash": key, "seed": seed, "data": {"checksum": "c"}}
    result["test"] = {"accuracy": 0.5}
    (workdir / "result.json").write_text(json.dumps(result))
""".replace("NO_DATA", str(NO_DATA))


class Table:
    """A table whose runs take no time, in a folder of its own."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.how = {}  # how the cells of a model end, or of a task; else well
        monkeypatch.chdir(folder)
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        monkeypatch.setattr(Cell, "command", property(self.command))

    def command(self, cell):
        row = cell.protocol.row
        how = self.how.get(row.model) or self.how.get(row.task) or "well"
        arguments = [str(cell.workdir), cell.protocol.config_hash, str(cell.seed), how]
        return [sys.executable, "-c", TRAINER, *arguments]

    def cells(self, tasks=("listops",), models=("fnet", "linear"), seeds=2):
        rows = [Row(t, m, "quick", seeds) for t in tasks for m in models]
        return make_cells(rows)

    def runner(self, cells, stop=None):
        costs = {cell.protocol: Cost(1.0, 1) for cell in cells}
        progress = Progress(cells, costs, Speeds(None))
        return Runner(progress, Display(progress), stop or StopSignals())

    def fill(self, cells, retry=True, stop=None):
        """Do as the command does; return the states in the order of the cells."""
        runner = self.runner(cells, stop)
        runner.look_up(standing.by_key(standing.read_results(standing.RUNS)), retry)
        runner.run()
        return [runner._progress.states[cell] for cell in cells], runner

    def ran(self):
        """Return how often each folder has been trained in."""
        path = self.folder / "ran.txt"
        return Counter(path.read_text().split() if path.exists() else [])


@pytest.fixture
def table(tmp_path, monkeypatch):
    return Table(tmp_path, monkeypatch)


def wait_for(condition, seconds=60.0):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_a_failing_cell_does_not_stop_the_others_and_says_why(table, capsys):
    cells = table.cells()
    table.how["fnet"] = "fail"
    states, runner = table.fill(cells)
    assert states == [State.FAILED] * 2 + [State.DONE] * 2
    assert runner.reasons == dict.fromkeys(cells[:2], "it went wrong")
    recorded = json.loads((cells[0].workdir / standing.FAILURE_FILE).read_text())
    assert recorded["reason"] == "it went wrong" and recorded["exit_status"] == 1
    assert "error: it went wrong" in log_path(cells[0]).read_text()
    shown = capsys.readouterr().out
    assert "    first\n    error: it went wrong\n" in shown
    assert not {*"\r\x1b"} & {*shown}  # nothing but lines: this is no terminal
    listed = display.summary(runner._progress, runner.reasons, runner.missing)
    assert listed[0] == "4 cells: 2 done, 2 failed"
    assert sum("it went wrong" in line for line in listed) == 2


def test_the_next_table_tries_failed_cells_again_unless_told_not_to(table):
    cells = table.cells(models=("fnet",))
    table.how["fnet"] = "fail"
    table.fill(cells)
    del table.how["fnet"]
    states, runner = table.fill(cells, retry=False)
    assert states == [State.FAILED] * 2 and {*table.ran().values()} == {1}
    assert {*runner.reasons.values()} == {"it went wrong"}
    states, _ = table.fill(cells)
    assert states == [State.DONE] * 2 and standing.read_failure(cells[0]) is None


def test_what_is_finished_is_not_run_again(table):
    cells = table.cells()
    table.fill(cells[:1])
    states, _ = table.fill(cells)
    assert states == [State.DONE] * 4 and {*table.ran().values()} == {1}
    assert table.fill(cells)[0] == states and {*table.ran().values()} == {1}


def test_a_run_that_the_system_kills_has_failed(table):
    cells = table.cells(models=("fnet",), seeds=1)
    table.how["fnet"] = "kill"
    states, runner = table.fill(cells)
    assert states == [State.FAILED] and "signal 9" in runner.reasons[cells[0]]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (("Traceback:", "jax.JaxRuntimeError: no room", "For simplicity"), "no room"),
        (("error: bad key", "have: others"), "bad key"),
        (("some words",), "some words"),
        ((), "status 3"),
    ],
)
def test_the_reason_of_a_failure_is_what_the_run_said(lines, reason):
    assert reason in Ending(3, lines).reason


def test_a_task_without_data_is_left_out_with_one_message(table, capsys):
    cells = table.cells(tasks=("listops", "pathfinder"), models=("fnet", "linear"))
    table.how["listops"] = "no data"
    states, runner = table.fill(cells)
    assert states == [State.MISSING] * 4 + [State.DONE] * 4
    assert sum("listops" not in str(name) for name in table.ran()) == 5
    shown = capsys.readouterr().out
    assert shown.count("listops: no data") == 1 and "get it somewhere" in shown
    listed = display.summary(runner._progress, runner.reasons, runner.missing)
    assert "  no data: listops: there is none" in listed


def test_two_tables_in_a_folder_share_the_work(table, capsys):
    table.how["fnet"] = "wait0.3"
    outcomes = []

    def fill():
        outcomes.append(table.fill(table.cells(seeds=3))[0])

    tables = [threading.Thread(target=fill) for _ in range(2)]
    for thread in tables:
        thread.start()
    for thread in tables:
        thread.join()
    assert outcomes == [[State.DONE] * 6] * 2
    assert len(table.ran()) == 6 and {*table.ran().values()} == {1}
    assert "by another process" in capsys.readouterr().out


def test_a_failure_that_another_table_meets_meanwhile_is_not_tried_again(table):
    cells = table.cells(models=("fnet",), seeds=1)
    runner = table.runner(cells)
    standing.write_failure(cells[0], "met by the other", 1)
    runner.run()
    assert runner.reasons == {cells[0]: "met by the other"} and not table.ran()


def test_a_cell_whose_run_outlives_its_table_is_waited_for(table, capsys):
    cells = table.cells()
    held, released = FolderLock(cells[0].workdir), []

    def release():  # as the system does when the process ends
        wait_for(lambda: len(table.ran()) == 3)
        released.append(dict(table.ran()))
        held.__exit__(None, None, None)

    with held:
        thread = threading.Thread(target=release)
        thread.start()
        states, _ = table.fill(cells)
        thread.join()
    assert states == [State.DONE] * 4 and {*table.ran().values()} == {1}
    assert cells[0].workdir.name not in released[0]
    assert f"process {os.getpid()} runs it" in capsys.readouterr().out


def test_a_signal_is_handed_on_and_the_cell_stays_open(table):
    cells, stop = table.cells(models=("fnet",)), StopSignals()
    table.how["fnet"] = "wait60"

    def interrupt():
        wait_for((cells[0].workdir / "waits").exists)
        stop.received = signal.SIGTERM

    thread = threading.Thread(target=interrupt)
    thread.start()
    started = time.monotonic()
    states, runner = table.fill(cells, stop=stop)
    thread.join()
    assert time.monotonic() - started < 30 and len(table.ran()) == 1
    assert states == [State.LEFT] * 2 and not runner.reasons
    assert standing.read_failure(cells[0]) is None


def test_on_a_terminal_there_is_a_bar(table, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    cells = table.cells()
    monkeypatch.setattr(sys, "stdout", Terminal())
    with table.runner(cells)._display as shown:
        shown.update()
    assert "0 done, 4 left | time left unknown" in sys.stdout.getvalue()


# -- The command itself, with real runs --------------------------------------------

STEPS = 600
FLAGS = TINY | {"train.num_steps": STEPS, "train.eval_every": 300}
FLAGS |= {"run.checkpoint_every": 20, "num_layers": 1}


def start(folder):
    """Start the command; it fills two models by two seeds."""
    keys = " ".join(f"--config.{key}={value}" for key, value in FLAGS.items())
    program = [sys.executable, "-m", "lra_fnet.table", "--tasks=listops"]
    typed = [
        "--models=ff_only linear",
        "--seeds=2",
        "--recipe=quick",
        f"--flags={keys}",
    ]
    return subprocess.Popen(
        [*program, *typed],
        cwd=folder,
        env=environment(folder / "data"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def logged(folder, name):
    """Return what a run has logged so far."""
    paths = list(folder.glob(f"runs/listops/{name}-*/metrics.jsonl"))
    lines = paths[0].read_text().splitlines() if paths else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def has_trained(folder, name):
    return any(record["event"] == "train" for record in logged(folder, name))


def test_a_grid_survives_an_interruption_and_a_kill(tmp_path):
    table = start(tmp_path)
    wait_for(lambda: has_trained(tmp_path, "ff_only-quick-seed0"), 240)
    table.send_signal(signal.SIGINT)
    said = table.communicate(timeout=120)[0]
    assert table.returncode == 130, said
    assert not list(tmp_path.rglob("failure.json"))
    saved = list(
        tmp_path.glob("runs/listops/ff_only-quick-seed0-*/checkpoints/*.msgpack")
    )
    assert len(saved) > 0

    table = start(tmp_path)
    wait_for(lambda: has_trained(tmp_path, "ff_only-quick-seed1"), 240)
    table.kill()
    said = table.communicate()[0]
    finished = list(tmp_path.glob("runs/listops/ff_only-quick-seed0-*/result.json"))
    assert len(finished) == 1, said
    written = finished[0].stat().st_mtime_ns

    table = start(tmp_path)
    said = table.communicate(timeout=400)[0]
    assert table.returncode == 0 and "4 cells: 4 done" in said, said
    assert finished[0].stat().st_mtime_ns == written
    assert len(list(tmp_path.rglob("result.json"))) == 4
    for name in ("ff_only-quick-seed0", "ff_only-quick-seed1", "linear-quick-seed1"):
        events = logged(tmp_path, name)
        steps = [record["step"] for record in events if record["event"] == "train"]
        assert steps == sorted({*steps}) and steps[-1] == STEPS
        assert sum(r["num_steps"] for r in events if r["event"] == "train") == STEPS
    compiled = [r["event"] for r in logged(tmp_path, "ff_only-quick-seed1")]
    assert compiled.count("compile") == 1  # the run outlived the table, and was left
