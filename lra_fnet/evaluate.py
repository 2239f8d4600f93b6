"""Evaluate a saved run in a new process.

python -m lra_fnet.evaluate --workdir=runs/listops/...
"""

import argparse
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from absl import logging

from lra_fnet.build import make_program
from lra_fnet.checkpoint import CheckpointError, Checkpoints, Snapshot
from lra_fnet.data import load_dataset
from lra_fnet.evaluator import Evaluator
from lra_fnet.process import set_up
from lra_fnet.protocol import as_config
from lra_fnet.step import Best
from lra_fnet.train import data_root
from lra_fnet.workdir import (
    WorkdirError,
    finished_results,
    read_claim,
    result_folders,
)
from tasks import DataError, make_task


def evaluate(workdir: Path) -> list[str]:
    """Score the selected parameters on the test split; return a line for each seed.

    Raises:
      WorkdirError: there is no run, or its data are no longer the same.
      CheckpointError, DataError: see there.
    """
    owner = read_claim(workdir)
    config = as_config(owner["config"])
    task = make_task(config.task, **config.data)
    dataset = load_dataset(task, data_root())
    if dataset.checksum != owner["data_checksum"]:
        raise WorkdirError(
            f"{workdir} was trained on data with checksum {owner['data_checksum']}, "
            f"but {dataset.folder} has {dataset.checksum}"
        )
    program = make_program(config, task)
    test = dataset.splits["test"]
    split = program.put(test.inputs, test.labels)
    seeds = range(config.seed, config.seed + config.num_seeds)
    state = program.init(jnp.array(seeds), split.inputs)
    with Checkpoints(workdir) as checkpoints:
        snapshot = checkpoints.restore(Snapshot(state, Best.before_training(state)))
    if snapshot is None:
        raise WorkdirError(f"no checkpoint in {workdir}: train first")
    sums, answers = Evaluator(program, config.run.eval_batch_size)(
        snapshot.best.params, split
    )
    folders = result_folders(workdir, seeds)
    results = finished_results(folders)
    lines = []
    for row, seed in enumerate(seeds):
        correct, total = int(sums.correct[row]), int(sums.weight[row])
        line = (
            f"seed {seed}, parameters of step {int(snapshot.best.step[row]):,}: "
            f"test accuracy {100 * correct / total:.2f} % ({correct:,} of {total:,})"
        )
        if results:
            saved = np.load(folders[row] / "test_predictions.npy")
            line += compared(int((saved != answers[row]).sum()))
        lines.append(line)
    return lines


def compared(num_changed: int) -> str:
    """Say how the answers compare with those the run has saved."""
    if num_changed:
        return f", NOT as in result.json: {num_changed:,} answers differ"
    return ", every answer the same as in result.json"


def run() -> None:
    """Start the program; turn what a user can mend into one line."""
    logging.set_verbosity(logging.WARNING)
    parser = argparse.ArgumentParser(
        description="Evaluate a saved run on its test split."
    )
    parser.add_argument("--workdir", type=Path, required=True, help="of the run")
    try:
        print(*evaluate(parser.parse_args().workdir), sep="\n")
    except (CheckpointError, DataError, WorkdirError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    set_up()
    run()
