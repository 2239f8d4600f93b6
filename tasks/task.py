"""The frozen facts of a benchmark task, and the error every bad input raises."""

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

SPLITS = ("train", "validation", "test")


class DataError(Exception):
    """Bad, missing or damaged data; the message says where and what to do."""


@dataclasses.dataclass(frozen=True)
class Split:
    """Hold the tokenised examples of one split.

    Attributes:
      inputs: token ids, unsigned integers, (n, l) or, for tasks with two documents,
        (n, 2, l); rows shorter than l end in the task's pad id.
      labels: class ids, int32, (n,).
      features: what else is known of each example, whole numbers or words (n,), by
        name. No model sees them: results are broken down by those of the test split.
    """

    inputs: np.ndarray
    labels: np.ndarray
    features: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.labels)


@dataclasses.dataclass(frozen=True)
class Task:
    """Describe a benchmark task; it knows no batch size, device, model or config.

    Attributes:
      name: the file it lives in, `tasks/<name>.py`.
      vocab_size: ids run from 0 to vocab_size - 1.
      num_classes: labels run from 0 to num_classes - 1.
      max_length: l, positions per document.
      num_documents: 1, or 2 for tasks that compare two documents.
      pad_id: the id that fills short rows; None where every position is data.
      source: where examples come from, such as "generated" or "official".
      provenance: everything that determines the bytes (generator version, seed,
        sizes, checksums of the files read), as JSON values. Equal provenance means
        equal bytes.
      read: make or read every split. It is given a scratch folder that survives an
        interruption, for builds that can go on where they stopped; arrays may be
        memory maps into it. Raises DataError.
      trivial_baselines: accuracies in [0, 1] on the test split of answers that see almost
        nothing of the input (majority class, ...), by name, in order of strength.
      validation_is_test: the validation split is the test split, so that selection
        by validation reads the test; a result of such a task is marked.
      verify: recompute what can be, by other means than made it, and compare; returns
        a sentence on what was compared, raises DataError where it differs. None where
        the input does not determine its label.
    """

    name: str
    vocab_size: int
    num_classes: int
    max_length: int
    source: str
    provenance: Mapping[str, Any]
    read: Callable[[Path], Mapping[str, Split]]
    trivial_baselines: Callable[[Mapping[str, Split]], Mapping[str, float]]
    num_documents: int = 1
    pad_id: int | None = 0
    validation_is_test: bool = False
    verify: Callable[[Mapping[str, Split]], str] | None = None


def majority_accuracy(splits: Mapping[str, Split]) -> float:
    """Return the test accuracy of always answering the most frequent training label.

    >>> ones = Split(np.zeros((3, 1), np.uint8), np.array([1, 1, 0], np.int32))
    >>> round(majority_accuracy({"train": ones, "test": ones}), 3)
    0.667
    """
    answer = np.bincount(splits["train"].labels).argmax()
    return float(np.mean(splits["test"].labels == answer))


def check_choice(option: str, value: str, choices: Iterable[str]) -> None:
    """Check that a value is one of the choices of an option.

    Raises:
      ValueError: it is not; says which is closest, and all there are.
    """
    choices = list(choices)
    if value not in choices:
        close = difflib.get_close_matches(value, choices, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ";"
        raise ValueError(f"unknown {option} {value!r}{hint} have: {', '.join(choices)}")
