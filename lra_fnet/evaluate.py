"""Evaluate a saved run in a new process.

python -m lra_fnet.evaluate --workdir=runs/listops/...
"""

import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging
from ml_collections import ConfigDict

from lra_fnet.build import make_program
from lra_fnet.checkpoint import CheckpointError, Checkpoints, Snapshot
from lra_fnet.data import load_dataset
from lra_fnet.evaluator import Evaluator
from lra_fnet.step import Best
from lra_fnet.train import data_root
from lra_fnet.workdir import (
    WorkdirError,
    finished_results,
    read_claim,
    result_folders,
)
from tasks import DataError, make_task

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)


def main(argv: list[str]) -> None:
    """Score the selected parameters of a run on its test split, and compare."""
    workdir = Path(_WORKDIR.value)
    owner = read_claim(workdir)
    config = ConfigDict(owner["config"])
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
    like = Snapshot(state, Best.before_training(state))
    with Checkpoints(workdir) as checkpoints:
        snapshot = checkpoints.restore(like)
    if snapshot is None:
        raise WorkdirError(f"no checkpoint in {workdir}: train first")
    evaluator = Evaluator(program, config.run.eval_batch_size)
    sums, answers = evaluator(snapshot.best.params, split)
    results = finished_results(result_folders(workdir, seeds))
    for row, seed in enumerate(seeds):
        correct, total = int(sums.correct[row]), int(sums.weight[row])
        step = int(snapshot.best.step[row])
        print(
            f"seed {seed}, step {step:,}: test accuracy {100 * correct / total:.2f} % "
            f"({correct:,} of {total:,})"
        )
        if results:
            folder = result_folders(workdir, seeds)[row]
            saved = np.load(folder / "test_predictions.npy")
            changed = int((saved != answers[row]).sum())
            same = "the same as in result.json"
            if results[row]["test"]["correct"] != correct or changed:
                same = f"NOT as in result.json: {changed} answers differ"
            print(f"  {same}")


def run() -> None:
    """Start the program; turn what a user can mend into one line."""
    logging.set_verbosity(logging.WARNING)
    try:
        app.run(main)
    except (CheckpointError, DataError, WorkdirError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    run()
