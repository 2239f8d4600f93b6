"""The frozen facts of a benchmark task, and the error every bad input raises."""

import dataclasses
import difflib
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

SPLITS = ("train", "validation", "test")


class DataError(Exception):
    """Bad, missing or damaged data; the message says where and what to do."""


@dataclasses.dataclass(frozen=True)
class Split:
    """The tokenized examples of one split.

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
        return len(self.labels)

    def part(self, start: int | None, stop: int | None) -> "Split":
        """Return the examples from start to before stop."""
        features = {name: each[start:stop] for name, each in self.features.items()}
        return Split(self.inputs[start:stop], self.labels[start:stop], features)


Splits = Mapping[str, Split]


@dataclasses.dataclass(frozen=True)
class Task:
    """A benchmark task; it knows no batch size, device, model or config.

    Attributes:
      name: the file it lives in, `tasks/<name>.py`.
      vocab_size: ids run from 0 to vocab_size - 1.
      classes: the names of the classes, by label.
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
      trivial_baselines: accuracies in [0, 1] on the test split of answers that see
        almost nothing of the input (majority class, ...), by name, in order of
        strength.
      labels_are_next_ids: a label is the id that follows the inputs, so that every
        position has one, and ids that are rare may be in no split.
      answer_length: where the answer is a sequence: its ids, of which the label is the
        last and the others end each row, after a mark. An answer is right if all are.
      validation_is_test: the validation split is the test split, so that selection
        by validation reads the test; a result of such a task is marked.
      num_first: how many examples the training split begins with that are to be read
        first, once, in their order: a curriculum.
      verify: recompute what can be, by other means than made it, and compare; returns
        a sentence on what was compared, raises DataError where it differs. None where
        the input does not determine its label.
      read_file: yield name and inputs of each example in a file of the user's.
    """

    name: str
    vocab_size: int
    classes: tuple[str, ...]
    max_length: int
    source: str
    provenance: Mapping[str, Any]
    read: Callable[[Path], Splits]
    trivial_baselines: Callable[[Splits], Mapping[str, float]]
    num_documents: int = 1
    pad_id: int | None = 0
    labels_are_next_ids: bool = False
    answer_length: int = 0
    validation_is_test: bool = False
    num_first: int = 0
    verify: Callable[[Splits], str] | None = None
    read_file: Callable[[Path], Iterator[tuple[str, np.ndarray]]] | None = None

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Return the shape of the inputs of an example."""
        documents = (self.num_documents,) if self.num_documents > 1 else ()
        return (*documents, self.max_length)

    @property
    def num_classes(self) -> int:
        """Return how many classes there are."""
        return len(self.classes)


def lazily(module: str, function: str) -> Callable[..., Any]:
    """Return a function whose module, which takes long to import, waits for a call."""

    def call(*arguments: Any) -> Any:
        return getattr(importlib.import_module(module), function)(*arguments)

    return call


def check_labels(
    task: str,
    splits: Splits,
    answers: Callable[[np.ndarray], np.ndarray],
    meaning: str,
) -> int:
    """Check that every label is what its input says; return how many there are.

    Args:
      task: its name, for the message.
      splits: by name.
      answers: returns the labels, int (n,), that inputs have.
      meaning: what a label is.

    Raises:
      DataError: one is not; names the first.
    """
    for name, split in splits.items():
        wrong = np.flatnonzero(answers(np.asarray(split.inputs)) != split.labels)
        if len(wrong):
            raise DataError(
                f"{task}, {name} split: {len(wrong):,} labels are not {meaning}, the "
                f"first is example {wrong[0]}"
            )
    return sum(map(len, splits.values()))


def split_generated(examples: Split, sizes: Mapping[str, int]) -> dict[str, Split]:
    """Split examples into test, validation and train, in this order.

    LRA: takes training examples first. Taken last, fewer of them move nothing else.
    """
    splits, start = {}, 0
    for name in reversed(SPLITS):
        splits[name] = examples.part(start, start + sizes[name])
        start += sizes[name]
    return splits


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


def check_range(least: int, most: int | None = None, **options: int) -> None:
    """Check that options, by name, lie between least and most, both included.

    >>> check_range(1, num_train=9, num_test=0)
    Traceback (most recent call last):
    ValueError: num_test is 0, but must be at least 1

    Raises:
      ValueError: one does not; names the first.
    """
    for option, value in options.items():
        if value < least or (most is not None and value > most):
            bounds = f"at least {least}" if most is None else f"from {least} to {most}"
            raise ValueError(f"{option} is {value}, but must be {bounds}")
