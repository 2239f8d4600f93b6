"""The cells of a table: each is one seed of one protocol, with a command of its own."""

import dataclasses
import functools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

import configs
from configs.grid import Row
from lra_fnet.cli import error_line
from lra_fnet.config import check_counts, config_hash, config_mixers, resolved_config
from lra_fnet.data import MANIFEST, cache_folder, cached_checksum
from lra_fnet.rules import match_parameters
from lra_fnet.train import data_root
from lra_fnet.workdir import beside_other_data, default_workdir
from tasks import DataError, Task, make_task


@dataclasses.dataclass(frozen=True)
class TaskData:
    """Hold what is known of the data of a protocol before anything runs.

    Attributes:
      task: the facts of the task; those of the sample where the data are missing,
        which has the sizes of what it stands for.
      checksum: of the prepared data; None where they have not been prepared here.
      num_train: training examples; 0 where neither config nor data say.
      missing: why the data cannot be had; empty if nothing is known to be in the way.
    """

    task: Task
    checksum: str | None
    num_train: int
    missing: str


@dataclasses.dataclass(frozen=True, eq=False)
class Protocol:
    """Hold what the seeds of a row share.

    Attributes:
      row: of the grid, as the command line changed it.
      arguments: of the command that runs a cell, less seed and workdir.
      config: as these arguments make it.
      identity: the resolved config.
      data: what is known of its data.
    """

    row: Row
    arguments: tuple[str, ...]
    config: ConfigDict
    identity: Mapping[str, Any]
    data: TaskData

    @functools.cached_property
    def config_hash(self) -> str:
        """Return the name of the protocol in results."""
        return config_hash(self.identity)

    @property
    def on_sample(self) -> bool:
        """Tell whether the data are made up, so that the numbers are about nothing."""
        return self.data.task.source == "sample" and not self.data.missing


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """Hold one seed of a protocol."""

    protocol: Protocol
    seed: int

    @property
    def name(self) -> str:
        """Return the words for it in messages."""
        row, sample = self.protocol.row, " (sample)" if self.protocol.on_sample else ""
        return f"{row.model} on {row.task}{sample}, seed {self.seed}"

    @property
    def identity(self) -> dict[str, Any]:
        """Return the resolved config of its run."""
        return {**self.protocol.identity, "seed": self.seed, "num_seeds": 1}

    @property
    def num_steps(self) -> int:
        """Return the steps of its training."""
        return self.protocol.config.train.num_steps

    @functools.cached_property
    def workdir(self) -> Path:
        """Return its folder: the one that the same run has when started by hand.

        A run on other data may hold that one; then it is a folder beside it.
        """
        workdir = default_workdir(self.identity)
        return beside_other_data(workdir, self.protocol.data.checksum)

    @property
    def command(self) -> list[str]:
        """Return the command that runs it, or goes on with it."""
        program = [sys.executable, "-m", "lra_fnet.main"]
        own = [f"--config.seed={self.seed}", f"--workdir={self.workdir}"]
        return [*program, *self.protocol.arguments, *own]


def make_cells(rows: Sequence[Row]) -> list[Cell]:
    """Return the cells of some rows, in their order.

    Raises:
      ValueError: a row cannot be run as it is; says which, and why.
    """
    known: dict[str, TaskData] = {}
    protocols = [make_protocol(row, known) for row in rows]
    return [Cell(p, seed) for p in protocols for seed in range(p.row.seeds)]


def make_protocol(row: Row, known: dict[str, TaskData]) -> Protocol:
    """Return the protocol of a row; `known` keeps what was found out about data.

    Raises:
      ValueError: the row cannot be run as it is; says why.
    """
    arguments = (
        f"--config={_config_file(row.task)}:{row.recipe}",
        f"--config.model={row.model}",
        *row.overrides,
    )
    try:
        config = parse_config(arguments)
        _check_row_is_kept(config, row)
        check_counts(config)
        identity = resolved_config(config, config_mixers(config))
        data = _look_up_data(config, known)
    except (flags.Error, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{row.model} on {row.task}: {error_line(error)}") from error
    return Protocol(row, arguments, config, identity, data)


def parse_config(arguments: Sequence[str]) -> ConfigDict:
    """Return the config that a run with these arguments would have."""
    line = ["main", *arguments]
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=line)
    flags.DEFINE_string("parity", "", "", flag_values=values)
    values(line)
    if values["parity"].value == "params":
        match_parameters(values["config"].value, parse_config(arguments[:1]))
    return values["config"].value


def _look_up_data(config: ConfigDict, known: dict[str, TaskData]) -> TaskData:
    """Return what is known of the data of a config; each data set is read once."""
    key = json.dumps([config.task, config.data.to_dict()], sort_keys=True)
    if key not in known:
        known[key] = _task_data(config)
    return known[key]


def _task_data(config: ConfigDict) -> TaskData:
    """Look for the data of a config."""
    try:
        task = make_task(config.task, **config.data)
    except DataError as error:
        options = {**config.data, "source": "sample", "directory": ""}
        return TaskData(make_task(config.task, **options), None, 0, str(error))
    checksum, num_train = cached_checksum(task, data_root()), config.data.num_train
    if checksum:
        manifest = cache_folder(task, data_root()) / MANIFEST
        num_train = json.loads(manifest.read_text())["splits"]["train"]["examples"]
    return TaskData(task, checksum, num_train, "")


def _check_row_is_kept(config: ConfigDict, row: Row) -> None:
    """Check that no flag says what the row says.

    Raises:
      ValueError: one does; says what to write instead.
    """
    names = {
        "task": "tasks=",
        "recipe": "recipe=",
        "model": "models=",
        "seed": "seeds=",
    }
    own = {"task": row.task, "recipe": row.recipe, "model": row.model, "seed": 0}
    for key, value in (own | {"num_seeds": 1}).items():
        if config[key] != value:
            instead = names.get(key, "seeds=")
            raise ValueError(f"flags set {key} to {config[key]!r}; write {instead}")


def _config_file(task: str) -> str:
    """Return the path of a task's config, from here if it lies below."""
    path = Path(configs.__path__[0], f"{task}.py")
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
