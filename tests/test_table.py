"""The plan of a table: which cells, at what cost, in which shard, where they stand."""

import json
import os

import jax.numpy as jnp
import pytest

from configs.grid import MODELS, TASKS, Row, get_rows
from lra_fnet.config import make_program
from lra_fnet.flops import forward_flops
from lra_fnet.hardware import call_memory
from lra_fnet.hosts import ALONE, BY_HAND
from lra_fnet.result import write_json
from lra_fnet.table import __main__ as command
from lra_fnet.table import standing
from lra_fnet.table.cells import make_cells
from lra_fnet.table.estimate import Cost, cheapest_first, estimate, trace_step
from lra_fnet.table.memory import largest_live_bytes
from lra_fnet.table.progress import Pace, Progress, State
from lra_fnet.table.shards import array_shard, deal, parse_shard
from lra_fnet.table.speeds import Speeds
from lra_fnet.workdir import claim
from tiny_runs import TINY

# Of the library that loads config files by their paths.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

FLAGS = tuple(f"--config.{key}={value}" for key, value in TINY.items())
CPU = {"platform": "cpu", "kind": "some", "count": 2, "cpu_cores": 2}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LRA_DATA", raising=False)
    for name in ("ID", "COUNT", "MIN", "MAX"):
        monkeypatch.delenv(f"SLURM_ARRAY_TASK_{name}", raising=False)
    return tmp_path


def tiny_cells(*models, seeds=1, overrides=FLAGS):
    rows = [Row("listops", model, "quick", seeds, overrides) for model in models]
    return make_cells(rows)


def finish(cell, folder, checksum="c", **more):
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "config_hash": cell.protocol.config_hash,
        "seed": cell.seed,
        "data": {"checksum": checksum},
    }
    write_json(folder / "result.json", content | more)


def arguments(*typed):
    return command.parser().parse_args(typed)


# -- Which cells -------------------------------------------------------------------


def test_the_grid_has_every_task_and_every_model_of_the_published_table():
    rows = get_rows()
    assert {(r.task, r.model) for r in rows} == {(t, m) for t in TASKS for m in MODELS}
    assert len(rows) == len(TASKS) * len(MODELS) == 72


def test_a_cell_is_the_run_that_its_command_makes_by_hand():
    cell = tiny_cells("fnet", seeds=2)[1]
    name = f"fnet-quick-seed1-{cell.protocol.config_hash}"
    assert str(cell.workdir) == f"runs/listops/{name}"
    assert cell.command[1:3] == ["-m", "lra_fnet.main"]
    assert {"--config.seed=1", f"--workdir={cell.workdir}", *FLAGS} <= {*cell.command}


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["--tasks=listop"], "unknown task 'listop'; did you mean 'listops'?"),
        (["--models=fnett"], "unknown model 'fnett'; did you mean 'fnet'?"),
        (["--seeds=0"], "seeds is 0; it must be >= 1"),
        (["--sources=image"], "cannot read the source 'image'"),
        (["--flags=--config.seed=3"], "flags set seed to 3; write seeds="),
        (["--flags=--config.num_seeds=3"], "write seeds="),
        (["--flags=--config.model=cnn"], "write models="),
        (["--flags=--config.trian.num_steps=3"], "Did you mean"),
        (["--shard=17/16"], "write shard=INDEX/COUNT"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(typed, expected):
    message = command.main(["--tasks=listops", "--models=fnet", *typed])
    assert message.startswith("error: ") and expected in message


def test_what_is_named_twice_is_run_once():
    rows = command.select_rows(arguments("--tasks=listops listops", "--models=fnet"))
    assert len(rows) == 1 and rows[0].recipe == "lra2020" and rows[0].seeds == 5


# -- Where they stand --------------------------------------------------------------


def test_a_result_of_the_protocol_and_seed_anywhere_is_the_cells(folder):
    first, second = tiny_cells("fnet", seeds=2)
    finish(first, folder / "results" / "elsewhere" / "deep")
    index = standing.by_key(standing.read_results(folder / "results"))
    assert standing.finished_result(first, index)
    assert not standing.finished_result(second, index)


def test_a_result_on_other_data_than_are_prepared_here_does_not_count(folder):
    cell = tiny_cells("fnet")[0]
    data = cell.protocol.data
    assert data.checksum is None  # nothing is prepared: any data will do
    object.__setattr__(data, "checksum", "mine")
    finish(cell, folder / "runs" / "a", checksum="other")
    results = standing.read_results(folder / "runs")
    assert not standing.finished_result(cell, standing.by_key(results))
    finish(cell, folder / "runs" / "b", checksum="mine")
    results = standing.read_results(folder / "runs")
    assert standing.finished_result(cell, standing.by_key(results))


def test_a_run_on_other_data_gets_a_folder_beside_the_first():
    cell = tiny_cells("fnet")[0]
    object.__setattr__(cell.protocol.data, "checksum", "f" * 64)
    plain = standing.RUNS / "listops" / f"fnet-quick-seed0-{cell.protocol.config_hash}"
    claim(plain, cell.identity, "0" * 64)
    assert cell.workdir.name == f"{plain.name}-ffffffff"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"config_hash": 1, "seed": 0}'])
def test_a_file_that_is_no_result_is_none(folder, content):
    (folder / "result.json").write_text(content)
    assert standing.read_results(folder) == []


def test_a_failure_is_read_as_it_was_written_and_can_be_forgotten():
    cell = tiny_cells("fnet")[0]
    assert standing.read_failure(cell) is None
    standing.write_failure(cell, "no luck", 1)
    assert standing.read_failure(cell).reason == "no luck"
    written = json.loads((cell.workdir / standing.FAILURE_FILE).read_text())
    assert written["config_hash"] == cell.protocol.config_hash
    standing.clear_failure(cell)
    assert standing.read_failure(cell) is None


# -- What they cost ----------------------------------------------------------------


def test_operations_are_three_times_those_of_the_forward_pass_for_every_step():
    protocol = tiny_cells("transformer")[0].protocol
    config, task = protocol.config, protocol.data.task
    inputs = jnp.zeros((1, task.max_length), jnp.uint8)
    forward = forward_flops(make_program(config, task).model, inputs)
    examples = config.train.num_steps * config.train.batch_size
    assert estimate(protocol).operations == pytest.approx(3 * forward * examples, 0.2)


def test_memory_is_estimated_between_the_compilers_figure_and_twice_that():
    wide = ("--config.encoder.width=64", "--config.train.batch_size=32")
    for cell in tiny_cells("transformer", overrides=(*FLAGS, *wide)):
        traced = trace_step(cell.protocol)
        needed = call_memory(traced.lower().compile())
        assert needed < largest_live_bytes(traced.jaxpr) < 2 * needed, cell.name


def test_a_model_that_cannot_be_built_costs_nothing_and_says_why():
    flags = (*FLAGS, "--config.encoder.pool=median")
    cost = estimate(tiny_cells("fnet", overrides=flags)[0].protocol)
    assert cost.operations == 0 and "encoder.pool is 'median'" in cost.problem


def test_the_cheapest_cell_comes_first_and_equal_ones_keep_their_order():
    cells = tiny_cells("transformer", "fnet", "linear", seeds=2)
    dear, cheap, same = dict.fromkeys(cell.protocol for cell in cells)
    costs = {dear: Cost(9.0, 1), cheap: Cost(2.0, 1), same: Cost(2.0, 1)}
    ordered = cheapest_first(cells, costs)
    assert ordered == [*cells[2:], *cells[:2]]


# -- Shards ------------------------------------------------------------------------


def test_shards_part_the_cells_and_none_has_much_more_to_do():
    costs = [float(1 + i * i % 37) for i in range(360)]
    shards = deal(costs, 16)
    loads = [
        sum(c for c, s in zip(costs, shards, strict=True) if s == i) for i in range(16)
    ]
    assert {*shards} == {*range(16)}
    assert max(loads) - min(loads) <= max(costs)


def test_machines_that_count_a_little_differently_deal_alike():
    here = [5.671e14, 5.672e14, 9.9e13]
    there = [5.672e14, 5.671e14, 9.9e13]
    assert deal(here, 2) == deal(there, 2)


def test_a_shard_is_the_same_whatever_is_finished(folder, capsys):
    typed = ["--tasks=listops", "--models=fnet linear", "--recipe=quick", "--dry"]
    typed += ["--seeds=3", f"--flags={' '.join(FLAGS)}", "--shard=1/2"]
    assert command.fill(arguments(*typed)) == 0
    assert "3 of 6 cells" in capsys.readouterr().out
    for cell in tiny_cells("fnet", seeds=3):
        finish(cell, folder / "results" / str(cell.seed))
    assert command.fill(arguments(*typed)) == 0
    assert "3 of 6 cells" in capsys.readouterr().out


def test_an_array_of_jobs_is_a_set_of_shards():
    assert array_shard({}) is None
    names = ("ID", "COUNT", "MIN", "MAX")

    def job(*values):
        pairs = zip(names, map(str, values), strict=True)
        return array_shard({f"SLURM_ARRAY_TASK_{name}": value for name, value in pairs})

    assert job(3, 4, 1, 4) == parse_shard("3/4")
    assert job(0, 4, 0, 3) == parse_shard("1/4")
    with pytest.raises(ValueError, match="gaps"):
        job(7, 2, 1, 7)


def test_a_table_is_not_taken_for_a_part_of_one_run_on_several_hosts(monkeypatch):
    command.check_alone({"SLURM_NTASKS": "4", "SLURM_ARRAY_TASK_ID": "2"})
    values = ("localhost:1234", "2", "0")
    for name, value in zip(BY_HAND, values, strict=True):
        monkeypatch.setenv(name, value)
    message = command.main(["--tasks=listops", "--models=fnet", "--dry"])
    assert message.startswith("error: ") and "set LRA_ALONE=1" in message
    monkeypatch.setenv(ALONE, "1")
    command.check_alone(os.environ)


# -- For how long ------------------------------------------------------------------


def measured(cell, operations, seconds, device=CPU):
    return {
        "config_hash": cell.protocol.config_hash,
        "task": cell.protocol.row.task,
        "model": cell.protocol.row.model,
        "steps": 10,
        "flops": {"train_step": operations / 10},
        "seconds": {"train": seconds, "evaluate": 0.0, "compile": 1.0},
        "speed": {"seeds_in_program": 1},
        "device": device,
    }


def test_a_run_of_the_protocol_forecasts_before_one_of_the_model_or_of_another():
    fnet, linear = tiny_cells("fnet", "linear")
    other_size = tiny_cells("fnet", overrides=(*FLAGS, "--config.num_layers=3"))[0]
    speeds = Speeds(None)
    assert speeds.forecast(fnet.protocol, 100.0) is None
    speeds.add(measured(linear, 100.0, 50.0))
    assert speeds.forecast(fnet.protocol, 100.0) == (51.0, False)
    speeds.add(measured(other_size, 200.0, 40.0))
    assert speeds.forecast(fnet.protocol, 100.0) == (21.0, True)
    speeds.add(measured(fnet, 100.0, 7.0))
    assert speeds.forecast(fnet.protocol, 100.0) == (8.0, True)


def test_a_run_on_another_device_or_without_figures_forecasts_nothing():
    cell = tiny_cells("fnet")[0]
    speeds = Speeds(("cpu", "some", 2))
    speeds.add(measured(cell, 100.0, 5.0, device=CPU | {"cpu_cores": 64}))
    speeds.add(measured(cell, 100.0, 5.0) | {"flops": None})
    assert speeds.forecast(cell.protocol, 100.0) is None


def test_the_pace_leaves_out_what_comes_before_the_first_logged_step():
    cell, now = tiny_cells("fnet")[0], [0.0]
    cell.workdir.mkdir(parents=True)
    pace = Pace(cell, clock=lambda: now[0])

    def log(step, at):
        line = json.dumps({"event": "train", "step": step})
        (cell.workdir / "metrics.jsonl").write_text(f"{line}\n")
        now[0] = at
        pace.look()

    log(10, 60.0)  # a minute of compiling
    assert pace.steps_per_second is None
    log(30, 62.0)
    assert pace.steps_per_second == 10.0


def test_time_left_is_the_rest_of_the_running_cell_and_all_of_the_others():
    cells = tiny_cells("fnet", seeds=3)
    costs = {cells[0].protocol: Cost(300.0, 1)}
    progress = Progress(cells, costs, Speeds(None))
    assert progress.seconds_left() is None
    progress.speeds.add(measured(cells[0], 300.0, 59.0))
    assert progress.seconds_left() == pytest.approx(3 * 60.0)
    progress.states[cells[0]] = State.DONE
    progress.states[cells[1]] = State.RUNNING
    progress.pace = Pace(cells[1])
    progress.pace.step = cells[1].num_steps // 2
    assert progress.seconds_left() == pytest.approx(30.0 + 60.0)
    assert progress.share_done() == pytest.approx(1 / 2)


# -- The plan ----------------------------------------------------------------------


def test_a_dry_run_says_what_there_is_to_run_and_writes_nothing(folder, capsys):
    typed = ["--tasks=listops text", "--models=fnet linear", "--seeds=2", "--dry"]
    keys = "--config.num_layers=1 --config.encoder.width=16"
    sources = "--sources=text=folder:/nowhere"
    assert command.fill(arguments(*typed, sources, f"--flags={keys}")) == 0
    shown = capsys.readouterr().out
    assert "8 cells: 4 without data, 4 to run" in shown
    assert "text: no data" in shown and "/nowhere" in shown
    rows = [line for line in shown.splitlines() if line.startswith("| listops")]
    assert len(rows) == 2 and all("| 5,000 " in row for row in rows)
    assert list(folder.iterdir()) == []


def test_cells_on_made_up_data_are_marked(capsys):
    typed = ["--tasks=image", "--models=fnet", "--seeds=1", "--sources=image=sample"]
    assert command.fill(arguments(*typed, "--dry")) == 0
    assert "made-up sample" in capsys.readouterr().out
    cell = make_cells(command.select_rows(arguments(*typed)))[0]
    assert cell.name == "fnet on image (sample), seed 0"
