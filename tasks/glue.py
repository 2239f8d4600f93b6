"""GLUE: classify a sentence, or a pair of them, read byte by byte from TSV files.

Not a task of the arena: what FNet's authors fine-tune on. Pairs are read as one text
with a tab between them, so that every mixer sees both at once.

Vocabulary (257 ids): as in Text, 0 padding, 1 to 256 the bytes 0 to 255, each plus one.

Wang et al., GLUE (2018), https://arxiv.org/abs/1804.07461; the files are those of its
download script. Labels of its test files are not public: the test split here is the
development file, and validation examples are carved out of the training file. STS-B,
whose labels are no classes, is left out.
"""

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tasks.sources.folder import given
from tasks.sources.papers import write_ids
from tasks.sources.release import describe_file
from tasks.task import DataError, Split, Task, check_choice, check_range, lazily

TITLE = "GLUE"
ORDER = 14

# Raise it with every change that makes other examples from the same files.
_VERSION = 1
_SAMPLE = "sample 1"
_SHARE = 10  # one of so many training examples is carved out for validation

Row = tuple[bytes, int]  # text and label
Rows = Mapping[str, Sequence[Row]]  # by "train" and "dev"


class Form(NamedTuple):
    """Where a data set of GLUE has what, columns counted from 0."""

    folder: str
    texts: tuple[int, ...]
    label: int
    classes: tuple[str, ...]
    num_columns: int  # of a line, at least
    has_header: bool = True
    dev: str = "dev.tsv"


_ENTAILMENT = ("not_entailment", "entailment")
FORMS = {
    "sst2": Form("SST-2", (0,), 1, ("0", "1"), 2),
    "cola": Form("CoLA", (3,), 1, ("0", "1"), 4, has_header=False),
    "mrpc": Form("MRPC", (3, 4), 0, ("0", "1"), 5),
    "qqp": Form("QQP", (3, 4), 5, ("0", "1"), 6),
    "qnli": Form("QNLI", (1, 2), 3, _ENTAILMENT, 4),
    "rte": Form("RTE", (1, 2), 3, _ENTAILMENT, 4),
    "wnli": Form("WNLI", (1, 2), 3, ("0", "1"), 4),
    "mnli": Form(
        "MNLI",
        (8, 9),
        -1,
        ("contradiction", "entailment", "neutral"),
        12,
        dev="dev_matched.tsv",
    ),
}


def make_task(
    source: str = "folder",
    directory: str = "",
    dataset: str = "sst2",
    length: int = 512,
    num_train: int = 0,
) -> Task:
    """Return a task of GLUE.

    Args:
      source: "folder", or "sample" for a few hundred made-up reviews.
      directory: the folder of the data set, or the one above it; it holds train.tsv
        and dev.tsv.
      dataset: a name in FORMS.
      length: bytes read of each example, the positions of a row.
      num_train: at most so many training examples; 0 is all.

    Raises:
      ValueError: an option is out of its range.
      DataError: there are no such files.
    """
    check_choice("source", source, ("folder", "sample"))
    check_choice("dataset", dataset, FORMS)
    check_range(1, length=length)
    check_range(0, num_train=num_train)
    form = FORMS[dataset]
    read: Callable[[], Rows] = functools.partial(_sample, form)
    data: Any = _SAMPLE
    if source == "folder":
        files = _find(directory, form)
        read = functools.partial(_read_files, files, form)
        data = {part: describe_file(path) for part, path in files.items()}
    return Task(
        name=f"glue-{dataset}",
        vocab_size=257,
        classes=form.classes,
        max_length=length,
        source=source,
        provenance={
            "version": _VERSION,
            "data": data,
            "dataset": dataset,
            "length": length,
            "num_train": num_train,
        },
        read=functools.partial(_read, read, length, num_train),
        trivial_baselines=lazily("tasks.trivial", "text_baselines"),
        read_file=functools.partial(lazily("tasks.sources.file", "read_text"), length),
    )


def _find(directory: str, form: Form) -> dict[str, Path]:
    """Return the training and the development file.

    Raises:
      ValueError: no folder is named.
      DataError: a file is not there.
    """
    path = given(directory, f"{form.folder} or the folder above it")
    folder = path / form.folder if (path / form.folder).is_dir() else path
    files = {"train": folder / "train.tsv", "dev": folder / form.dev}
    for file in files.values():
        if not file.is_file():
            raise DataError(f"there is no {file}; GLUE's download script writes it")
    return files


def _read_files(files: Mapping[str, Path], form: Form) -> Rows:
    return {part: list(read_tsv(path, form)) for part, path in files.items()}


def read_tsv(path: Path, form: Form) -> Iterator[Row]:
    """Yield text and label of every line; quotes mean nothing in these files.

    Raises:
      DataError: a line has too few columns, no text, or a label that is no class.
    """
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip() or (number == 1 and form.has_header):
            continue
        place, cells = f"{path}:{number}", line.rstrip(b"\r").split(b"\t")
        if len(cells) < form.num_columns:
            raise DataError(
                f"{place}: {len(cells)} columns, {form.folder} has {form.num_columns}"
            )
        label = cells[form.label].decode(errors="replace")
        if label not in form.classes:
            raise DataError(
                f"{place}: the label is {label!r}, none of {', '.join(form.classes)}"
            )
        texts = [cells[column].strip() for column in form.texts]
        if not all(texts):
            raise DataError(f"{place}: a text is empty")
        yield b"\t".join(texts), form.classes.index(label)


def _sample(form: Form) -> Rows:
    """Return made-up reviews; classes beyond the second take turns with the others."""
    from tasks.samples import made_up_reviews

    parts = zip(("train", "dev"), made_up_reviews().values(), strict=True)
    return {
        part: [
            (review.text, number % len(form.classes))
            for number, review in enumerate(reviews)
        ]
        for part, reviews in parts
    }


def _read(
    load: Callable[[], Rows], length: int, num_train: int, scratch: Path
) -> dict[str, Split]:
    """Order, carve and encode; texts that occur twice stay on one side of the cut."""
    rows = load()
    train = sorted(rows["train"], key=_digest)
    validation = [row for row in train if _digest(row)[0] % _SHARE == 0]
    rest = [row for row in train if _digest(row)[0] % _SHARE]
    splits = {
        "train": rest[: num_train or None],
        "validation": validation,
        "test": sorted(rows["dev"], key=_digest),
    }
    return {name: _encoded(split, length) for name, split in splits.items()}


def _digest(row: Row) -> bytes:
    return hashlib.sha256(row[0]).digest()


def _encoded(rows: Sequence[Row], length: int) -> Split:
    """Return rows as ids, uint8 (n, length), and labels."""
    inputs = np.zeros((len(rows), length), np.uint8)
    for ids, (text, _) in zip(inputs, rows, strict=True):
        write_ids(ids, text, "a text")
    return Split(inputs, np.array([label for _, label in rows], np.int32))
