"""Evaluate a finished run again, and compare with what it has saved."""

from pathlib import Path

import numpy as np

from lra_fnet.data import data_root, load_dataset
from lra_fnet.evaluate import Evaluator
from lra_fnet.result import PREDICTIONS_FILE, finished_results, result_folders
from lra_fnet.trained.restore import restore
from lra_fnet.workdir import WorkdirError
from tasks import make_task


def evaluate(workdir: Path) -> list[str]:
    """Score the selected parameters on the test split; return a line for each seed.

    Raises:
      WorkdirError: there is no run, or its data are no longer the same.
      CheckpointError, DataError: see there.
    """
    run = restore(workdir)
    dataset = load_dataset(make_task(run.config.task, **run.config.data), data_root())
    if dataset.checksum != run.data_checksum:
        raise WorkdirError(
            f"{workdir} was trained on data with checksum {run.data_checksum}, "
            f"but {dataset.folder} has {dataset.checksum}"
        )
    test = dataset.splits["test"]
    evaluator = Evaluator(run.program, run.config.run.eval_batch_size)
    split = run.program.put(test.inputs, test.labels)
    sums, answers = evaluator(run.best.params, split)
    folders = result_folders(workdir, run.seeds)
    results = finished_results(folders)
    lines = []
    for row, seed in enumerate(run.seeds):
        correct, total = int(sums.correct[row]), int(sums.weight[row])
        line = (
            f"seed {seed}, parameters of step {int(run.best.step[row]):,}: "
            f"test accuracy {100 * correct / total:.2f} % ({correct:,} of {total:,})"
        )
        if results:
            saved = _saved_answers(folders[row] / PREDICTIONS_FILE)
            line += compared(int((saved != answers[row]).sum()))
        lines.append(line)
    return lines


def _saved_answers(path: Path) -> np.ndarray:
    """Return the answers that a run has saved.

    Raises:
      WorkdirError: they cannot be read.
    """
    try:
        return np.load(path)
    except (OSError, EOFError, ValueError) as error:
        raise WorkdirError(
            f"{path} cannot be read ({error}); delete the folder of the run to train "
            "it again"
        ) from error


def compared(num_changed: int) -> str:
    """Say how the answers compare with those the run has saved."""
    if num_changed:
        return f", NOT as in result.json: {num_changed:,} answers differ"
    return ", every answer the same as in result.json"
