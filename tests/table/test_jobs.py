"""Which runs a table has, in which order and shard, and which are still missing."""

import json

import jax
import pytest

from configs.grid import MIXERS, TASKS
from lra_fnet.__main__ import parse
from lra_fnet.config import config_hash, load_config, resolve
from lra_fnet.result import FAILURE_FILE, make_failure
from lra_fnet.table import jobs
from lra_fnet.table.jobs import State
from lra_fnet.workdir import beside_other_data, claim
from tiny_runs import TINY

FLAGS = [f"--config.{key}={value}" for key, value in TINY.items()]
KEYS = ("ID", "COUNT", "MIN", "MAX")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LRA_DATA", raising=False)
    for name in KEYS:
        monkeypatch.delenv(f"SLURM_ARRAY_TASK_{name}", raising=False)
    return tmp_path


def make_jobs(*typed):
    return jobs.make_jobs(parse(["table", *typed]))


def tiny_jobs(mixers="fnet", seeds=1):
    typed = ["--tasks=listops", f"--mixers={mixers}", f"--seeds={seeds}"]
    return make_jobs(*typed, "--recipe=quick", *FLAGS)


def finish(job, folder, checksum="c" * 64):
    """Write the least that a result needs, as another program might."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "schema": 3,
        "task": job.task,
        "mixer": job.mixer,
        "recipe": job.recipe,
        "seed": job.seed,
        "config_hash": job.config_hash,
        "data": {"source": "generated", "checksum": checksum},
        "test": {"correct": 50, "examples": 101},
    }
    (folder / "result.json").write_text(json.dumps(content))


def fail(job, kind="error"):
    job.workdir.mkdir(parents=True)
    failure = make_failure(job.config, kind, "no luck", 3)
    failure.write(job.workdir / FAILURE_FILE)


def status_of(job, retry=True):
    results = jobs.read_results(jobs.RUNS, jobs.RESULTS)
    return jobs.find_status(job, results, retry)


# -- Which jobs --------------------------------------------------------------------


def test_the_whole_table_has_five_seeds_of_every_task_and_mixer_of_the_grid(folder):
    found = make_jobs()
    pairs = {(job.task, job.mixer, job.seed) for job in found}
    assert pairs == {(t, m, s) for t in TASKS for m in MIXERS for s in range(5)}
    assert len(found) == 360 and {job.recipe for job in found} == {"lra2020"}
    blocks = {
        job.config["mixers"]["local"]["block_size"]: job.task
        for job in found
        if job.mixer == "local"
    }
    assert blocks == {50: "retrieval", 64: "pathx"}  # the last of each
    assert not list(folder.iterdir())


def test_a_job_is_the_run_that_its_command_starts_by_hand():
    first, second = tiny_jobs(seeds=2)
    config = load_config("listops", "quick", TINY | {"mixer": "fnet"})
    assert second.config_hash == first.config_hash == config_hash(resolve(config))
    assert str(second.workdir) == f"runs/listops/fnet-quick-seed1-{second.config_hash}"
    assert second.command[1:4] == ["-m", "lra_fnet", "train"]
    typed = parse(second.command[3:])
    assert (typed.task, typed.recipe, typed.mixer) == ("listops", "quick", "fnet")
    assert (typed.seed, typed.workdir) == ("1", second.workdir)
    assert sorted(typed.flags) == sorted(FLAGS)


def test_equal_parameters_change_the_config_as_the_run_will():
    typed = ["--tasks=listops", "--mixers=fnet", "--seeds=1", "--recipe=quick", *FLAGS]
    (plain,), (job,) = make_jobs(*typed), make_jobs(*typed, "--parity=params")
    assert "--parity=params" in job.command
    assert job.config["encoder"]["mlp_dim"] > plain.config["encoder"]["mlp_dim"]


def test_nothing_asks_for_devices(monkeypatch):
    monkeypatch.setattr(jax, "devices", None)
    monkeypatch.setattr(jax, "local_devices", None)
    assert tiny_jobs("fnet linear")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("--tasks=listop", "unknown task 'listop'; did you mean 'listops'?"),
        ("--mixers=fnett", "unknown mixer 'fnett'; did you mean 'fnet'?"),
        ("--recipe=quik", "unknown recipe 'quik'; did you mean 'quick'?"),
        ("--seeds=0", "seeds is 0; it must be >= 1"),
        ("--sources=image", "cannot read the source 'image'"),
        ("--sources=image=tfds", "unknown task 'image'"),
        ("--config.seed=3", "flags set seed; write tasks=, mixers=, recipe=, seeds="),
        ("--config.num_seeds=3", "flags set num_seeds; write"),
        ("--config.mixer=cnn", "flags set mixer; write"),
        ("--config.trian.num_steps=3", "did you mean train.num_steps?"),
        ("--shard=17/16", "write shard=INDEX/COUNT"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(typed, expected):
    arguments = parse(["table", "--tasks=listops", "--mixers=fnet", typed])
    with pytest.raises(ValueError) as raised:
        jobs.select_jobs(arguments)
    assert expected in str(raised.value) and "\n" not in str(raised.value)


def test_what_is_named_twice_is_run_once():
    assert len(tiny_jobs("fnet fnet")) == 1


# -- Order and shards --------------------------------------------------------------


def test_the_cheapest_job_comes_first_and_equal_ones_keep_their_order():
    typed = ["table", "--tasks=pathx listops", "--mixers=transformer,fnet", "--seeds=2"]
    ordered = [(j.task, j.mixer, j.seed) for j in jobs.select_jobs(parse(typed))]
    mixers = [("transformer", 0), ("transformer", 1), ("fnet", 0), ("fnet", 1)]
    expected = [(task, *each) for task in ("listops", "pathx") for each in mixers]
    assert ordered == expected
    (job,) = tiny_jobs()
    assert job.work == 300 * 8 * 40 * 2  # steps, batch, tokens, layers


def test_shards_cover_the_jobs_and_none_has_much_more_to_do():
    work = [1 + i * i % 37 for i in range(360)]
    shards = jobs.deal(work, 16)
    loads = dict.fromkeys(shards, 0)
    for size, shard in zip(work, shards, strict=True):
        loads[shard] += size
    assert loads.keys() == {*range(1, 17)}
    assert max(loads.values()) - min(loads.values()) <= max(work)


def test_shards_are_the_same_whatever_is_finished_and_prepared(folder, capsys):
    typed = ["table", "--tasks=listops image", "--mixers=fnet linear", "--seeds=3"]

    def shares():
        chosen = [jobs.select_jobs(parse([*typed, f"--shard={n}/2"])) for n in (1, 2)]
        return [[job.name for job in share] for share in chosen]

    before = shares()
    assert "shard 1 of 2: 6 of 12 runs" in capsys.readouterr().out
    assert len({*before[0], *before[1]}) == 12
    for job in make_jobs(*typed[1:]):
        finish(job, folder / "results" / job.name)
    assert shares() == before


def test_an_array_of_slurm_is_a_set_of_shards():
    assert jobs.array_shard({}) is None

    def shard(*values):
        pairs = zip(KEYS, map(str, values), strict=True)
        return jobs.array_shard({f"SLURM_ARRAY_TASK_{key}": v for key, v in pairs})

    assert shard(3, 4, 1, 4) == jobs.parse_shard("3/4")
    assert shard(0, 4, 0, 3) == jobs.parse_shard("1/4")
    with pytest.raises(ValueError, match="gaps"):
        shard(7, 2, 1, 7)


# -- What earlier runs left --------------------------------------------------------


def test_a_result_of_the_config_and_seed_anywhere_is_the_jobs(folder):
    first, second = tiny_jobs(seeds=2)
    finish(first, folder / "results" / "elsewhere" / "deep")
    assert status_of(first).state is State.DONE
    assert status_of(second).state is State.TO_RUN


def test_a_result_on_other_data_than_are_prepared_here_does_not_count(
    folder, monkeypatch
):
    (job,) = tiny_jobs()
    finish(job, folder / "runs" / "a", checksum="other")
    assert job.data.checksum is None  # nothing is prepared: any data will do
    assert status_of(job).state is State.DONE
    monkeypatch.setattr(jobs, "cached_checksum", lambda *_: "mine")
    (job,) = tiny_jobs()
    assert status_of(job).state is State.TO_RUN
    finish(job, folder / "runs" / "b", checksum="mine")
    assert status_of(job).state is State.DONE


def test_a_run_on_other_data_gets_a_folder_beside_the_first(monkeypatch):
    (plain,) = tiny_jobs()
    claim(plain.workdir, plain.config, "0" * 64)
    monkeypatch.setattr(jobs, "cached_checksum", lambda *_: "f" * 64)
    (job,) = tiny_jobs()
    assert job.workdir.name == f"{plain.workdir.name}-ffffffff"
    assert job.workdir == beside_other_data(plain.workdir, "f" * 64)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"config_hash": 1, "seed": 0}'])
def test_a_file_that_is_no_result_is_left_out(folder, content):
    (folder / "result.json").write_text(content)
    assert jobs.read_results(folder) == {}


def test_failed_jobs_run_again_unless_told_not_to():
    first, second = tiny_jobs(seeds=2)
    fail(first), fail(second, kind="data")
    assert status_of(first) == (State.TO_RUN, "no luck")
    assert status_of(first, retry=False) == (State.FAILED, "no luck")
    assert status_of(second, retry=False) == (State.NO_DATA, "no luck")


# -- The list ----------------------------------------------------------------------


def test_a_list_has_a_line_for_each_job_and_the_totals(folder):
    typed = ["--tasks=listops text image", "--mixers=fnet", "--seeds=2"]
    found = make_jobs(*typed, "--sources=text=folder:/nowhere image=sample")
    finish(found[0], folder / "runs" / "one")
    fail(found[1])
    statuses = {job: status_of(job) for job in found}
    lines = [line.split(maxsplit=5) for line in jobs.listing(statuses).splitlines()[2:]]
    assert [line[:4] for line in lines[:2]] == [
        ["listops", "fnet", "lra2020", str(seed)] for seed in range(2)
    ]
    assert [line[4:] for line in lines] == [
        ["5,000", "done"],
        ["5,000", "to run   failed before: no luck"],
        *[["20,000", "no data"]] * 2,
        *[["35,000", "to run   made-up sample"]] * 2,
    ]
    said = jobs.summary(statuses)
    assert said[0] == "6 runs: 1 done, 2 no data, 3 to run"
    assert said.count("text: no data, its runs are left out") == 1
    assert any("/nowhere" in line for line in said)
    assert found[-1].name == "fnet on image (sample), seed 1"
