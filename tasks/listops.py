"""ListOps: the value, 0 to 9, of a nested list of MIN, MAX, median and sum modulo 10.

Vocabulary (16 ids): 0 padding; 1 `[MIN`, 2 `[MAX`, 3 `[MED`, 4 `[SM`, the operators
with their opening bracket; 5 `]`; 6 to 15 the digits 0 to 9. Rows are padded at the
right. A median that ends in .5 is rounded down.

Nangia and Bowman, ListOps: A Diagnostic Dataset for Latent Tree Learning, 2018;
Tay et al., Long Range Arena: A Benchmark for Efficient Transformers, 2020.
"""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tasks._listops import files
from tasks._listops.expression import TOKENS, decode, encode, recompute_labels
from tasks._listops.features import features
from tasks._listops.generator import GENERATOR_VERSION, Recipe, generate
from tasks._listops.readers import readers
from tasks._release import Release, open_release
from tasks.task import DataError, Split, Task, check_choice

__all__ = ["TOKENS", "decode", "encode", "make_task", "recompute_labels"]

_SOURCES = ("generated", "official")
# Raise it with every change that makes other examples from the same files.
_FILES_VERSION = 1
_INSTEAD = "source='generated' makes as many examples of the same kind"


def make_task(
    source: str = "generated",
    directory: str = "",
    seed: int = 0,
    num_train: int = 96_000,
    num_validation: int = 2_000,
    num_test: int = 2_000,
    max_depth: int = 10,
    max_args: int = 10,
    min_length: int = 500,
    max_length: int = 2_000,
) -> Task:
    """Return the ListOps task, generated or from the files of the original release.

    Of the generated examples the first num_test are the test split, the next
    num_validation the validation split, the rest the training split: with fewer
    training examples test and validation stay the same, and training is a prefix.

    Args:
      source: "generated", or "official" for the release's files.
      directory: of the files, a folder above listops-1000, or the release's archive;
        only for "official".
      seed: of the generator, in [0, 2^64); only for "generated".
      num_train: examples; of the files, the first num_train lines at most.
      num_validation: examples; of the files, likewise.
      num_test: examples; of the files, likewise.
      max_depth: of a node, the root being at depth 1; only for "generated".
      max_args: most arguments of an operator; only for "generated".
      min_length: generated expressions have more tokens, brackets included; only for
        "generated".
      max_length: positions of a row; generated expressions have fewer tokens, those
        of the files must not have more.

    Raises:
      ValueError: an option is out of its range.
      DataError: there are no such files.
    """
    sizes = {"train": num_train, "validation": num_validation, "test": num_test}
    recipe = Recipe(seed, max_depth, max_args, min_length, max_length)
    _check_options(source, directory, sizes, recipe)
    if source == "official":
        release = open_release(directory, files.PART, _INSTEAD)
        provenance = _official_provenance(release, sizes, max_length)
        read = functools.partial(_read_official, release, sizes, max_length)
    else:
        provenance = _generated_provenance(recipe, sizes)
        read = functools.partial(_read_generated, recipe, sizes)
    return Task(
        name="listops",
        vocab_size=len(TOKENS),
        num_classes=10,
        max_length=max_length,
        source=source,
        provenance=provenance,
        read=read,
        trivial_baselines=readers,
        verify=verify,
    )


def verify(splits: Mapping[str, Split]) -> str:
    """Evaluate every expression again; return a sentence on what was compared.

    Raises:
      DataError: a label is not the value of its expression.
    """
    for name, split in splits.items():
        wrong = np.flatnonzero(
            recompute_labels(np.asarray(split.inputs)) != split.labels
        )
        if len(wrong):
            raise DataError(
                f"listops, {name} split: {len(wrong):,} labels are not the value of "
                f"their expression, the first is example {wrong[0]}"
            )
    return f"every label is the value of its expression ({_total(splits):,} evaluated)"


def _total(splits: Mapping[str, Split]) -> int:
    """Return the number of examples of all splits."""
    return sum(map(len, splits.values()))


def _check_options(
    source: str, directory: str, sizes: Mapping[str, int], recipe: Recipe
) -> None:
    """Raise ValueError for the first option that is out of its range."""
    check_choice("source", source, _SOURCES)
    if source == "official" and not directory:
        raise ValueError("source='official' needs directory: its files or archive")
    lowest = {f"num_{split}": (size, 1) for split, size in sizes.items()}
    lowest |= {
        "max_depth": (recipe.max_depth, 1),
        "max_args": (recipe.max_args, 2),
        "min_length": (recipe.min_length, 0),
        "max_length": (recipe.max_length, 1),
    }
    if source == "generated":
        # Lengths lie strictly between the two.
        lowest["max_length"] = (recipe.max_length, recipe.min_length + 2)
    for option, (value, least) in lowest.items():
        if value < least:
            raise ValueError(f"{option} is {value}, but must be at least {least}")
    if not 0 <= recipe.seed < 2**64:
        raise ValueError(f"seed is {recipe.seed}, but must lie in [0, 2^64)")


def _generated_provenance(recipe: Recipe, sizes: Mapping[str, int]) -> dict[str, Any]:
    """Return what determines the bytes of the generated splits."""
    return {
        "generator_version": GENERATOR_VERSION,
        **dataclasses.asdict(recipe),
        "sizes": dict(sizes),
    }


def _official_provenance(
    release: Release, limits: Mapping[str, int], max_length: int
) -> dict[str, Any]:
    """Return what determines the bytes of the splits read from files."""
    return {
        "files_version": _FILES_VERSION,
        **release.describe(),
        "max_length": max_length,
        "limits": dict(limits),
    }


def _read_generated(
    recipe: Recipe, sizes: Mapping[str, int], scratch: Path
) -> dict[str, Split]:
    """Generate the splits; seconds, so nothing is kept in `scratch`."""
    inputs, labels = generate(recipe, sum(sizes.values()))
    wrong = np.flatnonzero(recompute_labels(inputs) != labels)
    if len(wrong):
        raise DataError(
            f"{len(wrong)} generated labels differ from their recomputed values, the "
            f"first is {decode(inputs[wrong[0]])!r}; the generator or the evaluator is "
            "broken: run tests/test_listops.py"
        )
    # LRA: takes training examples first. Taken last, fewer of them move nothing else.
    splits, start = {}, 0
    for split in ("test", "validation", "train"):
        end = start + sizes[split]
        splits[split] = Split(inputs[start:end], labels[start:end])
        start = end
    return _with_features(splits)


def _read_official(
    release: Release, limits: Mapping[str, int], max_length: int, scratch: Path
) -> dict[str, Split]:
    """Read the splits from the files, unpacked to `scratch` where they are not."""
    return _with_features(
        files.read_splits(release.extract(scratch), limits, max_length)
    )


def _with_features(splits: Mapping[str, Split]) -> dict[str, Split]:
    """Return the splits, the test examples with their features."""
    test = splits["test"]
    return {
        **splits,
        "test": dataclasses.replace(test, features=features(test.inputs)),
    }
