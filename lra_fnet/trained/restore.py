"""A run as its workdir holds it: config, task, program and selected parameters."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
from jaxtyping import PyTree
from ml_collections import ConfigDict

from lra_fnet.checkpoint import Checkpoints, Snapshot
from lra_fnet.config import as_config, make_program, seeds_of, task_facts
from lra_fnet.step import Best, Program
from lra_fnet.workdir import CONFIG_FILE, PRETRAINING_FOLDER, WorkdirError, read_claim
from tasks import Task


@dataclasses.dataclass(frozen=True)
class Trained:
    """A run and the parameters that validation has selected.

    Attributes:
      workdir: of the run.
      config: of the run.
      task: its facts; it has no data.
      data_checksum: of the data it was trained on.
      program: its model and optimizer.
      best: its parameters, an axis over seeds in front, and their steps.
    """

    workdir: Path
    config: ConfigDict
    task: Task
    data_checksum: str
    program: Program
    best: Best

    @property
    def seeds(self) -> Sequence[int]:
        """Return the seeds of the run, in the order of the parameters."""
        return seeds_of(self.config)

    def chosen(self, typed: str) -> tuple[int, int, PyTree]:
        """Return seed, steps and parameters of the seed typed, or of the only one.

        Raises:
          ValueError: the run has no such seed, or several and none was typed.
        """
        have = [str(seed) for seed in self.seeds]
        if typed not in have and (typed or len(have) > 1):
            raise ValueError(f"{self.workdir} has seeds {', '.join(have)}; choose one")
        row = have.index(typed) if typed else 0
        params = jax.tree.map(lambda leaf: leaf[row], self.best.params)
        return self.seeds[row], int(self.best.step[row]), params


def restore(workdir: Path, pretraining: bool = False) -> Trained:
    """Return the run of a workdir, finished or not.

    Args:
      workdir: of the run.
      pretraining: the run as it was when the steps that restore hidden positions ended.

    Raises:
      WorkdirError: there is no run, it has no checkpoint, or its config is of another
        version.
      CheckpointError: none of its checkpoints can be read.
    """
    owner = read_claim(workdir)
    try:
        config = as_config(owner["config"])
    except ValueError as error:
        raise WorkdirError(f"{workdir / CONFIG_FILE}: {error}") from error
    task = task_facts(config)
    program = make_program(config, task, pretraining=pretraining)
    inputs = jnp.zeros((1, *task.row_shape), jnp.uint8)
    state = program.init(jnp.array(seeds_of(config)), inputs)
    with Checkpoints(
        workdir / PRETRAINING_FOLDER if pretraining else workdir
    ) as checkpoints:
        snapshot = checkpoints.restore(Snapshot(state, Best.before_training(state)))
    if snapshot is None:
        raise WorkdirError(f"no checkpoint in {workdir}: train first")
    checksum = owner["data_checksum"]
    return Trained(workdir, config, task, checksum, program, snapshot.best)
