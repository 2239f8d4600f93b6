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

from tasks._release import Release, open_release
from tasks._release.files import describe_file
from tasks._retrieval import pairs, papers, sample
from tasks._retrieval.documents import VOCAB_SIZE
from tasks._retrieval.readers import readers
from tasks.task import Split, Task, check_choice

__all__ = ["make_task"]

# Raise it with every change that makes other examples from the same files.
_FILES_VERSION = 1
_INSTEAD = "source='sample' runs the same pipeline on small made-up data"


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
        and their citations (see tasks/_retrieval/papers.py); or "sample", a few
        hundred made-up pairs.
      directory: of "official" the release's archive or a folder above tsv_data; of
        "papers" the folder of its files; not for "sample".
      length: bytes of a document, from its start.
      num_train: first examples that are used, at most; 0: all.
      num_validation: likewise.
      num_test: likewise.

    Raises:
      ValueError: an option is out of its range.
      DataError: there are no such files.
    """
    limits = {"train": num_train, "validation": num_validation, "test": num_test}
    makers = {"official": _official, "papers": _papers, "sample": _sample}
    _check_options(source, list(makers), limits, length)
    provenance, read = makers[source](directory, limits, length)
    return Task(
        name="retrieval",
        vocab_size=VOCAB_SIZE,
        num_classes=2,
        max_length=length,
        num_documents=2,
        source=source,
        provenance=provenance | {"length": length, "limits": limits},
        read=read,
        trivial_baselines=readers,
    )


def _check_options(
    source: str, sources: list[str], limits: Mapping[str, int], length: int
) -> None:
    """Raise ValueError for the first option that is out of its range."""
    check_choice("source", source, sources)
    if length < 1:
        raise ValueError(f"length is {length}, but must be at least 1")
    for split, limit in limits.items():
        if limit < 0:
            raise ValueError(f"num_{split} is {limit}, but must be at least 0")


_Source = tuple[dict[str, Any], Callable[[Path], Mapping[str, Split]]]


def _official(directory: str, limits: Mapping[str, int], length: int) -> _Source:
    """Return provenance and reader of the release's pairs."""
    release = open_release(directory, pairs.PART, _INSTEAD)
    provenance = {"files_version": _FILES_VERSION, **release.describe()}
    return provenance, functools.partial(_read_official, release, limits, length)


def _read_official(
    release: Release, limits: Mapping[str, int], length: int, scratch: Path
) -> dict[str, Split]:
    """Read the release's pairs, unpacked to `scratch` where they are not."""
    return pairs.read_splits(release.extract(scratch), limits, length, scratch)


def _papers(directory: str, limits: Mapping[str, int], length: int) -> _Source:
    """Return provenance and reader of other papers and their citations."""
    files = papers.find_files(Path(directory).expanduser() if directory else None)
    provenance = {
        "files_version": _FILES_VERSION,
        "files": {role: describe_file(file) for role, file in files.items()},
        "documents": papers.count_papers(files, limits),
    }
    return provenance, functools.partial(papers.read_splits, files, limits, length)


def _sample(directory: str, limits: Mapping[str, int], length: int) -> _Source:
    """Return provenance and reader of made-up pairs."""
    provenance = {"sample_version": sample.SAMPLE_VERSION}
    return provenance, functools.partial(sample.read_splits, limits, length)
