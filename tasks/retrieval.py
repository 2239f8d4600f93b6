"""Retrieval: whether one of two papers cites the other, from their bytes.

Vocabulary (257 ids): 0 padding; byte b is b + 1. A document is cut to its first
`length` bytes and padded at the right; the two documents of a pair are kept apart.

Radev et al., The ACL Anthology Network Corpus, 2013; Tay et al., Long Range Arena: A
Benchmark for Efficient Transformers, 2020.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tasks.sources import papers
from tasks.sources.release import Part, describe_file, open_release
from tasks.task import Splits, Task, check_choice, check_range, lazily

TITLE = "Retrieval"
ORDER = 3

# Raise it with every change that makes other examples from the same files.
_FILES_VERSION = 1
# Raise it with every change that makes other made-up pairs.
_SAMPLE_VERSION = 1
PART = Part(
    folder="tsv_data",
    files={
        "train": "new_aan_pairs.train.tsv",
        "validation": "new_aan_pairs.eval.tsv",
        "test": "new_aan_pairs.test.tsv",
    },
    instead="source='sample' runs the same pipeline on small made-up data",
    counts={"train": 147_086, "validation": 18_090, "test": 17_437},
)


def make_task(
    source: str = "official",
    directory: str = "",
    length: int = 4_000,
    num_train: int = 0,
    num_validation: int = 0,
    num_test: int = 0,
) -> Task:
    """Return the Retrieval task.

    Only scores on "official" compare with published ones.

    Args:
      source: "official", the pairs of the original release; "papers", other papers
        and their citations (see tasks/sources/papers.py); or "sample", a few hundred
        made-up pairs.
      directory: of "official" a folder above tsv_data; of "papers" the folder of its
        files; not for "sample".
      length: bytes of a document, from its start.
      num_train: pairs, from the first, at most; 0: all.
      num_validation: likewise.
      num_test: likewise.

    Raises:
      ValueError: an option is out of its range.
      DataError: there are no such files.
    """
    limits = {"train": num_train, "validation": num_validation, "test": num_test}
    makers = {"official": _official, "papers": _papers, "sample": _sample}
    check_choice("source", source, makers)
    check_range(1, length=length)
    check_range(0, num_train=num_train, num_validation=num_validation)
    check_range(0, num_test=num_test)
    provenance, read = makers[source](directory, limits, length)
    return Task(
        name="retrieval",
        vocab_size=papers.VOCAB_SIZE,
        classes=("no citation", "citation"),
        max_length=length,
        num_documents=2,
        source=source,
        provenance=provenance | {"length": length, "limits": limits},
        read=read,
        trivial_baselines=lazily("tasks.trivial", "retrieval_baselines"),
        read_file=functools.partial(lazily("tasks.sources.file", "read_pairs"), length),
    )


_Source = tuple[dict[str, Any], Callable[[Path], Splits]]


def _official(directory: str, limits: Mapping[str, int], length: int) -> _Source:
    """Return provenance of the release's pairs, and what reads them."""
    release = open_release(directory, PART)
    provenance = {"files_version": _FILES_VERSION, **release.describe()}
    return provenance, functools.partial(papers.read_release, release, limits, length)


def _papers(directory: str, limits: Mapping[str, int], length: int) -> _Source:
    """Return provenance of other papers and their citations, and what reads them."""
    files = papers.find_files(Path(directory).expanduser() if directory else None)
    provenance = {
        "files_version": _FILES_VERSION,
        "files": {role: describe_file(file) for role, file in files.items()},
        "documents": papers.count_papers(files, limits),
    }
    return provenance, functools.partial(papers.read_papers, files, limits, length)


def _sample(directory: str, limits: Mapping[str, int], length: int) -> _Source:
    """Return provenance of made-up pairs, and what makes them."""
    make = lazily("tasks.samples", "made_up_pairs")
    provenance = {"sample_version": _SAMPLE_VERSION}
    return provenance, functools.partial(make, limits, length)
