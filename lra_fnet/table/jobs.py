"""The jobs of a table: which runs it has, in which order, and which are still missing.

A job is one run: a seed of a mixer on a task under a recipe. Nothing here computes or
asks for devices; configs, the manifests of prepared data, and the files that earlier
runs left are all that is read.
"""

import argparse
import dataclasses
import enum
import functools
import os
import shlex
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict
from tabulate import tabulate

from configs import grid
from lra_fnet.config import (
    FLAG,
    config_hash,
    load_config,
    names_in,
    read_flags,
    resolve,
    task_facts,
)
from lra_fnet.data import cached_checksum, data_root
from lra_fnet.result import FAILURE_FILE, RESULT_FILE, files_below
from lra_fnet.schema import BadFile, Failure, Result
from lra_fnet.workdir import beside_other_data, default_workdir
from tasks import DataError, check_choice, make_task

RUNS = Path("runs")
RESULTS = Path("results")  # of runs that come with the project
OUTPUT_FILE = "output.log"

Results = Mapping[tuple[str, int], Sequence[Result]]  # by config hash and seed


@dataclasses.dataclass(frozen=True)
class Data:
    """The examples of a job, as far as they are known before it runs.

    Attributes:
      tokens: positions of an example, all its documents together.
      checksum: of the prepared data; None if they have not been prepared here.
      missing: why there are none, and what to do; else empty.
    """

    tokens: int
    checksum: str | None = None
    missing: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """One run of a table.

    Attributes:
      task, mixer, recipe, seed: which run it is.
      overrides: values by dotted key, beyond the recipe's.
      parity: "params" for sizes with the base Transformer's parameters, or empty.
      config: resolved.
      data: what is known about its examples.
    """

    task: str
    mixer: str
    recipe: str
    seed: int
    overrides: Mapping[str, Any]
    parity: str
    config: Mapping[str, Any]
    data: Data

    @property
    def name(self) -> str:
        """What messages call it."""
        sample = " (sample)" if self.on_sample else ""
        return f"{self.mixer} on {self.task}{sample}, seed {self.seed}"

    @property
    def on_sample(self) -> bool:
        """Whether its examples are made up, so that its accuracy means nothing."""
        return self.config["data"].get("source") == "sample"

    @property
    def num_steps(self) -> int:
        """Training steps."""
        return self.config["train"]["num_steps"]

    @property
    def work(self) -> int:
        """How much there is to do: tokens of the training, times layers."""
        examples = self.num_steps * self.config["train"]["batch_size"]
        return examples * self.data.tokens * self.config["num_layers"]

    @functools.cached_property
    def config_hash(self) -> str:
        """The name of its config in results."""
        return config_hash(self.config)

    @functools.cached_property
    def workdir(self) -> Path:
        """The folder that the same run has when it is started by hand.

        If that holds a run on other data, it is a folder beside it.
        """
        return beside_other_data(default_workdir(self.config), self.data.checksum)

    @property
    def output(self) -> Path:
        """The file with what its runs print."""
        return self.workdir / OUTPUT_FILE

    @property
    def command(self) -> list[str]:
        """The command that starts the run, or continues it."""
        flags = [
            f"--{key}={getattr(self, key)}"
            for key in ("task", "recipe", "mixer", "seed", "parity", "workdir")
        ]
        flags += [f"{FLAG}{key}={value}" for key, value in self.overrides.items()]
        return [sys.executable, "-m", "lra_fnet", "train", *flags]


# ---------------------------------------------------------------------------
# Which jobs a command line asks for


def select_jobs(arguments: argparse.Namespace) -> list[Job]:
    """Return the jobs that the arguments of `table` ask for, in the order to run them.

    The cheapest come first; equal ones keep the order of the grid.

    Raises:
      ValueError: an unknown task, mixer, source or key (the closest is named), or a
        value that is out of its range.
    """
    shard = parse_shard(arguments.shard) if arguments.shard else array_shard()
    jobs = make_jobs(arguments)
    if shard:
        index, count = shard
        dealt = zip(jobs, deal([job.work for job in jobs], count), strict=True)
        total, jobs = len(jobs), [job for job, number in dealt if number == index]
        print(f"shard {index} of {count}: {len(jobs)} of {total} runs")
    return sorted(jobs, key=lambda job: job.work)


def make_jobs(arguments: argparse.Namespace) -> list[Job]:
    """Return the jobs of a whole table, in the order of the grid; see `select_jobs`."""
    if arguments.seeds < 1:
        raise ValueError(f"seeds is {arguments.seeds}; it must be >= 1")
    tasks = names_in(arguments.tasks) or grid.TASKS
    mixers = names_in(arguments.mixers) or grid.MIXERS
    sources = parse_sources(arguments.sources, tasks)
    flags = read_flags(arguments.flags)
    own = flags.keys() & {"task", "mixer", "recipe", "seed", "num_seeds"}
    if own:
        raise ValueError(
            f"flags set {min(own)}; write tasks=, mixers=, recipe=, seeds="
        )
    jobs = []
    for task in tasks:
        try:
            jobs += jobs_of_task(task, mixers, sources.get(task, {}) | flags, arguments)
        except ValueError as error:
            raise ValueError(f"{task}: {error}") from error
    return jobs


def jobs_of_task(
    task: str,
    mixers: Iterable[str],
    changes: Mapping[str, Any],
    arguments: argparse.Namespace,
) -> list[Job]:
    """Return the jobs of a task, whose data all mixers share.

    Args:
      task: its name.
      mixers: their names.
      changes: values by dotted key, beyond those of recipe and grid.
      arguments: of the command line: recipe, parity, and the number of seeds.

    Raises:
      ValueError: as `load_config`.
    """
    recipe, parity = arguments.recipe, arguments.parity
    data = find_data(load_config(task, recipe, changes))
    jobs = []
    for mixer in mixers:
        overrides = {**grid.OVERRIDES.get((task, mixer), {}), **changes}
        config = load_config(task, recipe, overrides | {"mixer": mixer})
        if parity and not data.missing:
            _match_parameters(config)
        any_seed = resolve(config)
        for seed in range(arguments.seeds):
            own = any_seed | {"seed": seed}
            jobs.append(Job(task, mixer, recipe, seed, overrides, parity, own, data))
    return jobs


def find_data(config: ConfigDict) -> Data:
    """Return what is known about the data of a config without preparing them."""
    facts = task_facts(config)
    tokens = facts.max_length * facts.num_documents
    try:
        task = make_task(config.task, **config.data)
    except DataError as error:
        return Data(tokens, missing=str(error))
    return Data(tokens, cached_checksum(task, data_root()))


def _match_parameters(config: ConfigDict) -> None:
    """Set the sizes as the run will; tracing a model for it asks for devices."""
    import jax

    from lra_fnet.rules import match_parameters

    # Runs do not see this: it is a setting of this process, not of the environment.
    jax.config.update("jax_platforms", "cpu")
    match_parameters(config)


def parse_sources(text: str, tasks: Collection[str]) -> dict[str, dict[str, str]]:
    """Return config values by task from `TASK=SOURCE[:FOLDER] ...`.

    Raises:
      ValueError: the text has another form, or names a task that is not in the table.

    Folders with spaces are quoted.

    >>> parse_sources("image=folder:/data/cifar", ["image", "text"])
    {'image': {'data.source': 'folder', 'data.directory': '/data/cifar'}}
    """
    sources = {}
    try:
        items = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"sources is {text!r}: {error}") from None
    for item in items:
        task, equals, place = item.partition("=")
        if not equals or not place:
            raise ValueError(
                f"cannot read the source {item!r}; write sources="
                '"TASK=SOURCE:FOLDER ...", such as sources="image=folder:/data/cifar"'
            )
        check_choice("task", task, tasks)
        source, _, folder = place.partition(":")
        sources[task] = {"data.source": source}
        sources[task] |= {"data.directory": folder} if folder else {}
    return sources


# ---------------------------------------------------------------------------
# Shards


def parse_shard(text: str) -> tuple[int, int]:
    """Return number, from 1 on, and count of a shard such as "3/16".

    Raises:
      ValueError: the text has another form, or there is no such shard.

    >>> parse_shard("3/16")
    (3, 16)
    """
    index, _, count = text.partition("/")
    if index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count):
        return int(index), int(count)
    raise ValueError(
        f"shard is {text!r}; write shard=INDEX/COUNT, from 1/16 to 16/16 for sixteen"
    )


def array_shard(environment: Mapping[str, str] = os.environ) -> tuple[int, int] | None:
    """Return number and count of the shard of a SLURM array's task; None elsewhere.

    Raises:
      ValueError: the indices of the array have gaps, so they are no shards.

    >>> values = {"ID": "4", "COUNT": "8", "MIN": "0", "MAX": "7"}
    >>> array_shard({f"SLURM_ARRAY_TASK_{name}": v for name, v in values.items()})
    (5, 8)
    """
    if "SLURM_ARRAY_TASK_ID" not in environment:
        return None
    index, count, first, last = (
        int(environment[f"SLURM_ARRAY_TASK_{name}"])
        for name in ("ID", "COUNT", "MIN", "MAX")
    )
    if last - first + 1 != count:
        raise ValueError(
            "the indices of this SLURM array have gaps; give the shard yourself, such "
            "as shard=$SLURM_ARRAY_TASK_ID/16"
        )
    return index - first + 1, count


def deal(work: Sequence[int], count: int) -> list[int]:
    """Return the number of the shard, 1 to `count`, of each item.

    The largest item goes first, each to the shard that has the least so far: no two
    shards differ by more than one item. It depends on nothing but `work`.

    >>> deal([5, 1, 1, 3], 2)
    [1, 2, 2, 2]
    """
    loads, shards = [0] * count, [0] * len(work)
    for item in sorted(range(len(work)), key=lambda i: (-work[i], i)):
        shard = loads.index(min(loads))
        shards[item] = shard + 1
        loads[shard] += work[item]
    return shards


# ---------------------------------------------------------------------------
# What earlier runs left


class State(enum.Enum):
    """What became of a job."""

    DONE = "done"
    FAILED = "failed"
    NO_DATA = "no data"
    TO_RUN = "to run"


class Status(NamedTuple):
    """The state of a job, and why it has no result; empty if nothing is known."""

    state: State
    reason: str = ""


def read_results(*folders: Path) -> Results:
    """Return all results below some folders; files that are no results are left out."""
    results: dict[tuple[str, int], list[Result]] = {}
    for path in files_below(folders, f"**/{RESULT_FILE}"):
        try:
            result = Result.read(path)
        except BadFile:  # the report names it
            continue
        if result.config_hash:
            results.setdefault((result.config_hash, result.seed), []).append(result)
    return results


def find_result(job: Job, results: Results) -> Result | None:
    """Return the result of a job, whatever command made it; None if it has none.

    It must be on the data that are prepared here. If none are, any data will do: the
    result says which it was.
    """
    for result in results.get((job.config_hash, job.seed), ()):
        if job.data.checksum in (None, result.data.checksum):
            return result
    return None


def read_failure(job: Job) -> Failure | None:
    """Return why the last run of a job failed; None if it did not."""
    try:
        return Failure.read(job.workdir / FAILURE_FILE)
    except BadFile:  # there is none, or another program is writing it
        return None


def find_status(job: Job, results: Results, retry: bool) -> Status:
    """Return the status of a job by what earlier runs left.

    Args:
      job: of the table.
      results: of earlier runs.
      retry: whether jobs that failed before are to run.
    """
    if find_result(job, results):
        return Status(State.DONE)
    if job.data.missing:
        return Status(State.NO_DATA, job.data.missing)
    failure = read_failure(job)
    if failure is None or retry:
        return Status(State.TO_RUN, failure.reason if failure else "")
    return failed_status(failure)


def failed_status(failure: Failure) -> Status:
    """Return the status of a job whose run failed."""
    is_missing = failure.kind == "data"
    return Status(State.NO_DATA if is_missing else State.FAILED, failure.reason)


def totals(statuses: Collection[Status]) -> str:
    """Return how many jobs are in each state, in a line.

    >>> totals([Status(State.DONE), Status(State.TO_RUN), Status(State.DONE)])
    '3 runs: 2 done, 1 to run'
    """
    found = Counter(status.state for status in statuses)
    counts = [f"{found[state]} {state.value}" for state in State if found[state]]
    total = "1 run" if len(statuses) == 1 else f"{len(statuses)} runs"
    return f"{total}: {', '.join(counts)}"


def summary(statuses: Mapping[Job, Status]) -> list[str]:
    """Return totals, failures, and what to do about tasks without data, in lines."""
    lines, missing = [totals(statuses.values())], {}
    for job, (state, reason) in statuses.items():
        if state is State.FAILED:
            lines.append(f"  failed: {job.name}: {reason}; see {job.output}")
        elif state is State.NO_DATA:
            missing[job.task] = reason
    for task, reason in missing.items():
        lines.append(f"{task}: no data, its runs are left out")
        lines.append(f'    {reason}; then add sources="{task}=SOURCE:FOLDER"')
    return lines


def listing(
    statuses: Mapping[Job, Status], needs: Mapping[str, Sequence[str]] | None = None
) -> str:
    """Return a table of jobs.

    Args:
      statuses: of the jobs.
      needs: by accelerator, what each job needs there.
    """
    needs = needs or {}
    gib = (f"GiB, {accel}" for accel in needs)
    headers = ("task", "mixer", "recipe", "seed", "steps", *gib, "state", "remark")
    rows = []
    for i, (job, (state, reason)) in enumerate(statuses.items()):
        remark = "made-up sample" if job.on_sample else ""
        if state is State.TO_RUN and reason:
            remark = f"failed before: {reason}"
        columns = (job.task, job.mixer, job.recipe, job.seed, f"{job.num_steps:,}")
        own = (column[i] for column in needs.values())
        rows.append((*columns, *own, state.value, remark))
    aligned = ["left"] * 3 + ["right"] * 2 + ["left"] * (len(needs) + 2)
    return tabulate(rows, headers, colalign=aligned, disable_numparse=True)
