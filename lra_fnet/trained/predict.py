"""Answers of a trained model to examples in files of the user's."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import jax
import numpy as np

from lra_fnet.trained.restore import restore


def predict(workdir: Path, files: Iterable[Path], seed: str) -> Iterator[str]:
    """Yield a line for each example: where it is, the answer, its probability.

    A file of Text is one text; of ListOps and Retrieval, a line is an expression or two
    texts with a tab between them; of the image tasks, a picture of their size.

    Raises:
      DataError: a file cannot be read as examples of the task.
      ValueError: the run has no such seed, or its task reads no files.
      WorkdirError, CheckpointError: see `restore`.
    """
    run = restore(workdir)
    if run.task.read_file is None:
        raise ValueError(f"examples of {run.task.name} cannot be read from a file")
    _, _, params = run.chosen(seed)

    @jax.jit
    def probabilities(inputs):
        with run.program.tracing():
            logits = run.program.model.apply({"params": params}, inputs, train=False)
        return jax.nn.softmax(logits[0])

    for file in files:
        for place, ids in run.task.read_file(file):
            chances = np.asarray(probabilities(ids[None]))
            label = int(chances.argmax())
            yield f"{place}: {run.task.classes[label]}, {100 * chances[label]:.1f} %"
