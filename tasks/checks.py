"""Check a prepared data set beyond its checksums: balance, repeats, empty examples."""

import dataclasses
import hashlib
from collections.abc import Iterator

import numpy as np

from tasks import DataError, Split, Task
from tasks.task import Splits


@dataclasses.dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    name: str
    passed: bool
    detail: str

    def line(self) -> str:
        """Return the outcome as a printed line."""
        return f"{'ok' if self.passed else 'FAILED':<6}  {self.name}: {self.detail}"


# A class with less than this share of an even one says that labels are wrong.
LEAST_SHARE = 0.25
# Natural data repeat themselves a little: 123 of IMDb's 25,000 test reviews are in its
# training split. More than this says that splits were mixed.
MOST_REPEATED = 0.01


def check_splits(task: Task, splits: Splits) -> Iterator[Finding]:
    """Yield the outcome of every check of a task's splits."""
    for name, split in splits.items():
        if not task.labels_are_next_ids:  # bytes are not equally frequent
            yield _balance(task, name, split)
        yield _empty(task, name, split)
    yield from _repeats(task, splits)
    yield _labels(task, splits)


def _balance(task: Task, name: str, split: Split) -> Finding:
    shares = np.bincount(split.labels, minlength=task.num_classes) / len(split)
    least, most = float(shares.min()), float(shares.max())
    passed = least >= LEAST_SHARE / task.num_classes
    return Finding(f"label balance, {name}", passed, f"{least:.1%} to {most:.1%}")


def _empty(task: Task, name: str, split: Split) -> Finding:
    """Check that every document has more than one kind of token."""
    inputs = split.inputs.reshape(-1, split.inputs.shape[-1])
    first, constant = inputs[:, :1], 0
    for start in range(0, len(inputs), 1_000):  # maps of gigabytes are read in parts
        rows = slice(start, start + 1_000)
        constant += int((inputs[rows] == first[rows]).all(axis=1).sum())
    detail = f"{constant:,} of {len(inputs):,} documents"
    return Finding(f"empty or constant, {name}", constant == 0, detail)


def _repeats(task: Task, splits: Splits) -> Iterator[Finding]:
    """Check that few examples repeat one of their own split or of another."""
    digests = {name: _digests(split) for name, split in splits.items()}
    if task.validation_is_test:
        same = digests.pop("validation") == digests["test"]
        detail = "the validation split is the test split, as the task says"
        yield Finding("repeated examples, validation", same, detail)
    for name, own in digests.items():
        others = set().union(*(digests[o] for o in digests if o != name))
        within = len(own) - len(set(own))
        across = sum(digest in others for digest in own)
        limit = MOST_REPEATED * len(own)
        yield Finding(
            f"repeated examples, {name}",
            within <= limit and across <= limit,
            f"{within:,} within the split, {across:,} in another ({len(own):,} in all)",
        )


def _digests(split: Split) -> list[bytes]:
    return [
        hashlib.blake2b(row.tobytes(), digest_size=12).digest() for row in split.inputs
    ]


def _labels(task: Task, splits: Splits) -> Finding:
    if task.verify is None:
        detail = "the input does not determine its label: nothing to recompute"
        return Finding("labels", True, detail)
    try:
        return Finding("labels", True, task.verify(splits))
    except DataError as error:
        return Finding("labels", False, str(error))
