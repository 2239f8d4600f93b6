"""ListOps: the value, 0 to 9, of a nested list of MIN, MAX, median and sum modulo 10.

Vocabulary (16 ids): 0 padding; 1 `[MIN`, 2 `[MAX`, 3 `[MED`, 4 `[SM`, the operators
with their opening bracket; 5 `]`; 6 to 15 the digits 0 to 9. Rows are padded at the
right. A median that ends in .5 is rounded down.

Nangia and Bowman, ListOps: A Diagnostic Dataset for Latent Tree Learning, 2018;
Tay et al., Long Range Arena: A Benchmark for Efficient Transformers, 2020.
"""

import dataclasses
import functools
import hashlib
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from tasks.sources.release import AGAIN, Part, Release, open_release, read_lines
from tasks.task import (
    DataError,
    Split,
    Splits,
    Task,
    check_choice,
    check_labels,
    check_range,
    lazily,
    split_generated,
)

TITLE = "ListOps"
ORDER = 1

# LRA: ids were the order of a Python set of byte strings, another one in every process;
# here they are these positions. LRA counts a 17th id, for unknown tokens: none occurs.
TOKENS = ("[PAD]", "[MIN", "[MAX", "[MED", "[SM", "]", *"0123456789")
PAD, MIN, MAX, MED, SM, CLOSE, ZERO = range(7)

# Raise it with every change that makes other examples from the same grammar.
GENERATOR_VERSION = 1
# Raise it with every change that makes other examples from the same files.
_FILES_VERSION = 1
PART = Part(
    folder="listops-1000",
    files={
        "train": "basic_train.tsv",
        "validation": "basic_val.tsv",
        "test": "basic_test.tsv",
    },
    instead="source='generated' makes as many examples of the same kind",
    counts={"train": 96_000, "validation": 2_000, "test": 2_000},
)
_HEADER = b"Source\tTarget"
_FIRST_LINE = 2  # of a file that has an example; the header is line 1


@dataclasses.dataclass(frozen=True)
class Grammar:
    """All that determines an endless sequence of generated examples."""

    seed: int  # of the random streams, in [0, 2^64)
    max_depth: int  # of a node; the root has depth 1, nodes at max_depth are digits
    max_args: int  # most arguments of an operator, at least 2
    min_length: int  # every expression has more tokens, brackets included
    max_length: int  # every expression has fewer tokens; also the length of a row


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
      directory: a folder above listops-1000; only for "official".
      seed: of the generator.
      num_train: examples; of the files, lines at most.
      num_validation: likewise.
      num_test: likewise.
      max_depth: see Grammar; only for "generated".
      max_args: likewise.
      min_length: likewise.
      max_length: positions of a row; generated expressions have fewer tokens, those
        of the files must not have more.

    Raises:
      ValueError: an option is out of its range.
      DataError: there are no such files.
    """
    sizes = {"train": num_train, "validation": num_validation, "test": num_test}
    grammar = Grammar(seed, max_depth, max_args, min_length, max_length)
    check_choice("source", source, ("generated", "official"))
    check_range(1, num_train=num_train, num_validation=num_validation)
    check_range(1, num_test=num_test, max_depth=max_depth)
    check_range(2, max_args=max_args)
    check_range(0, min_length=min_length)
    # Lengths of generated expressions lie strictly between the two.
    least = min_length + 2 if source == "generated" else 1
    check_range(least, max_length=max_length)
    check_range(0, 2**64 - 1, seed=seed)
    if source == "official":
        release = open_release(directory, PART)
        provenance = {
            "files_version": _FILES_VERSION,
            **release.describe(),
            "max_length": max_length,
            "limits": sizes,
        }
        read = functools.partial(_read_official, release, sizes, max_length)
    else:
        provenance = {
            "generator_version": GENERATOR_VERSION,
            **dataclasses.asdict(grammar),
            "sizes": sizes,
        }
        read = functools.partial(_read_generated, grammar, sizes)
    return Task(
        name="listops",
        vocab_size=len(TOKENS),
        classes=TOKENS[ZERO:],
        max_length=max_length,
        source=source,
        provenance=provenance,
        read=read,
        trivial_baselines=lazily("tasks.trivial", "listops_baselines"),
        read_file=functools.partial(
            lazily("tasks.sources.file", "read_expressions"), max_length
        ),
        verify=verify,
    )


def verify(splits: Splits) -> str:
    """Evaluate every expression again; return a sentence on what was compared.

    Raises:
      DataError: a label is not the value of its expression.
    """
    recompute_labels = lazily("tasks.generators.listops", "recompute_labels")
    meaning = "the value of their expression"
    total = check_labels("listops", splits, recompute_labels, meaning)
    return f"every label is the value of its expression ({total:,} evaluated)"


def _wrong_labels(split: Split) -> np.ndarray:
    from tasks.generators.listops import recompute_labels

    return np.flatnonzero(recompute_labels(np.asarray(split.inputs)) != split.labels)


# ---------------------------------------------------------------------------
# The language


def encode(expression: str) -> np.ndarray:
    """Return the token ids, uint8 (l,), of an expression, without its parentheses.

    >>> encode("( ( ( [MAX 4 ) 3 ) ] )").tolist()
    [2, 10, 9, 5]

    Raises:
      ValueError: the expression has a token that is not in the vocabulary.
    """
    # LRA: drops the parentheses too; they only show a left-nested binary parse.
    tokens = expression.replace("(", "").replace(")", "").split()
    ids = {token: index for index, token in enumerate(TOKENS) if index != PAD}
    try:
        return np.frombuffer(bytearray(map(ids.__getitem__, tokens)), np.uint8)
    except KeyError as error:
        have = " ".join(ids)
        raise ValueError(f"unknown token {error.args[0]!r}; have: {have}") from None


def decode(ids: Iterable[int]) -> str:
    """Return the expression that the token ids, with or without padding, stand for.

    >>> decode([2, 10, 9, 5, 0, 0])
    '[MAX 4 3 ]'
    """
    return " ".join(TOKENS[token] for token in ids if token != PAD)


def features(inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Return depth, int (n,), and root operator, words (n,), of expressions (n, l).

    >>> features(np.array([[2, 10, 1, 9, 5, 5, 0]], np.uint8))["depth"].tolist()
    [2]
    """
    ids = np.asarray(inputs)
    opened = ((ids >= MIN) & (ids <= SM)).astype(np.int16)
    depth = np.cumsum(opened - (ids == CLOSE), axis=1, dtype=np.int16).max(axis=1)
    names = np.array([token.lstrip("[") for token in TOKENS])
    return {"depth": depth, "root operator": names[ids[:, 0]]}


def fresh_rows(inputs: np.ndarray, seen: set[bytes]) -> list[int]:
    """Return the indices of the rows of inputs, (n, l), not in `seen`; add the rows."""
    fresh = []
    for index, row in enumerate(inputs):
        digest = hashlib.blake2b(row.tobytes(), digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            fresh.append(index)
    return fresh


def count_duplicates(splits: Splits) -> int:
    """Return how many examples repeat an earlier one, of their own or another split."""
    seen: set[bytes] = set()
    return sum(
        len(each) - len(fresh_rows(each.inputs, seen)) for each in splits.values()
    )


# ---------------------------------------------------------------------------
# Sources


def _read_generated(
    grammar: Grammar, sizes: Mapping[str, int], scratch: Path
) -> dict[str, Split]:
    from tasks.generators.listops import generate

    examples = Split(*generate(grammar, sum(sizes.values())))
    wrong = _wrong_labels(examples)
    if len(wrong):
        raise DataError(
            f"{len(wrong)} generated labels differ from their recomputed values, the "
            f"first is {decode(examples.inputs[wrong[0]])!r}; the generator or the "
            "evaluator is broken: run tests/tasks/test_listops.py"
        )
    return _with_features(split_generated(examples, sizes))


def _with_features(splits: Mapping[str, Split]) -> dict[str, Split]:
    """Return the splits, the test examples with their features."""
    test = splits["test"]
    test = dataclasses.replace(test, features=features(test.inputs))
    return {**splits, "test": test}


def _read_official(
    release: Release, limits: Mapping[str, int], max_length: int, scratch: Path
) -> dict[str, Split]:
    """Return the first limits[split] examples of every split's file."""
    splits = {
        split: _read_split(release, split, limit, max_length)
        for split, limit in limits.items()
    }
    duplicates = count_duplicates(splits)
    if duplicates:
        message = "ListOps files: %d expressions occur in an earlier line or split"
        logging.getLogger(__name__).warning(message, duplicates)
    return _with_features(splits)


def _read_split(release: Release, split: str, limit: int, max_length: int) -> Split:
    """Return the first `limit` examples of a file, every label checked."""
    file, count = release.file(split), release.part.counts[split]
    rows, labels = [], []
    for place, line in read_lines(file, limit, count, _HEADER):
        source, label = _columns(line, place)
        rows.append(_tokens(source, max_length, place))
        labels.append(label)
    inputs = np.zeros((len(rows), max_length), np.uint8)
    for row, ids in zip(inputs, rows, strict=True):
        row[: len(ids)] = ids
    examples = Split(inputs, np.array(labels, np.int32))
    _check_labels(examples, file)
    return examples


def _columns(line: bytes, place: str) -> tuple[str, int]:
    """Return the expression and the label of a line."""
    try:
        source, tab, label = line.decode("utf-8").partition("\t")
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: not UTF-8 ({error.reason}); {AGAIN}") from None
    if not tab:
        raise DataError(f"{place}: no tab, so no column Target; {AGAIN}")
    if label not in TOKENS[ZERO:]:
        raise DataError(f"{place}: label {label!r} is not one of 0 to 9; {AGAIN}")
    return source, int(label)


def _tokens(source: str, max_length: int, place: str) -> np.ndarray:
    try:
        ids = encode(source)
    except ValueError as error:
        raise DataError(f"{place}: {error}; {AGAIN}") from None
    if len(ids) > max_length:
        raise DataError(
            f"{place}: {len(ids)} tokens, more than max_length={max_length}; "
            "raise max_length"
        )
    return ids


def _check_labels(split: Split, file: Path) -> None:
    """Raise DataError at the first expression that has no value, or another one."""
    from tasks.generators.listops import recompute_labels

    for index in _wrong_labels(split)[:1]:
        row, label = split.inputs[index], split.labels[index]
        value = recompute_labels(row[None])[0]
        opened = np.count_nonzero((row >= MIN) & (row <= SM))
        closed = np.count_nonzero(row == CLOSE)
        if value >= 0:
            fault = f"wrong label {label}, the value is {value}"
        elif opened != closed:
            fault = f"unbalanced bracket: {opened} operators, {closed} closing brackets"
        else:
            fault = "empty, an operator without arguments, or a stray token"
        raise DataError(f"{file}:{index + _FIRST_LINE}: {fault}; {AGAIN}")
