"""What a task needs of the original release, and which of several copies it reads."""

import dataclasses
import functools
import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

_CHUNK = 1 << 20


@dataclasses.dataclass(frozen=True)
class Part:
    """Name the files of one task: a folder of the release, and paths below it.

    Attributes:
      folder: as in the release, such as "pathfinder32/curv_contour_length_14".
      files: paths below it by role, such as {"train": "basic_train.tsv"}; in a path a
        * stands for any characters but a slash.
    """

    folder: str
    files: Mapping[str, str]

    @functools.cached_property
    def _expression(self) -> re.Pattern[str]:
        """Compile what a member's whole name has to match."""
        paths = "|".join(
            f"(?P<{role}>{re.escape(path).replace(re.escape('*'), '[^/]*')})"
            for role, path in self.files.items()
        )
        return re.compile(f"(?P<_copy>(?:.*/)?{re.escape(self.folder)})/(?:{paths})")

    def locate(self, name: str) -> tuple[str, str, str] | None:
        """Return a file's copy, role and path in the copy; None if it is not needed.

        >>> Part("listops-1000", {"test": "*_test.tsv"}).locate(
        ...     "a/listops-1000/basic_test.tsv"
        ... )
        ('a/listops-1000', 'test', 'basic_test.tsv')
        """
        found = self._expression.fullmatch(name)
        if not found or not found.lastgroup:
            return None
        return found["_copy"], found.lastgroup, found[found.lastgroup]


def deepest(copies: Iterable[str]) -> str:
    """Return the copy below most folders; of several, the first by name.

    >>> deepest(["lra_release/tsv_data", "tsv_data"])
    'lra_release/tsv_data'
    """
    return min(copies, key=lambda copy: (-len(PurePosixPath(copy).parts), copy))


def describe_file(file: Path) -> dict[str, str | int]:
    """Return the name, size in bytes and SHA-256 of a file.

    The digest is taken from `<file>.sha256`, as `sha256sum` prints it and `download`
    leaves it, if that is not older than the file: the archive has 8 GB.
    """
    digest = _noted_digest(file) or sha256(file)
    return {"name": file.name, "bytes": file.stat().st_size, "sha256": digest}


def note_digest(file: Path, digest: str) -> None:
    """Write a file's SHA-256 beside it, so that it need not be computed again."""
    _note(file).write_text(f"{digest}  {file.name}\n")


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file, with a progress bar where that takes long."""
    digest = hashlib.sha256()
    size = file.stat().st_size
    bar = tqdm(
        total=size,
        desc=f"checksum of {file.name}",
        unit="B",
        unit_scale=True,
        disable=True if size < 100 * _CHUNK else None,
    )
    with file.open("rb") as stream, bar:
        for chunk in chunks(stream):
            digest.update(chunk)
            bar.update(len(chunk))
    return digest.hexdigest()


def chunks(stream: IO[bytes]) -> Iterable[bytes]:
    """Return an iterator over the rest of a stream, a MiB at a time."""
    return iter(lambda: stream.read(_CHUNK), b"")


def _note(file: Path) -> Path:
    """Return the path of the file that notes the digest of `file`."""
    return file.with_name(f"{file.name}.sha256")


def _noted_digest(file: Path) -> str | None:
    """Return the digest noted beside a file; None if there is none, or an old one."""
    note = _note(file)
    if not note.is_file() or note.stat().st_mtime_ns < file.stat().st_mtime_ns:
        return None
    found = re.match(r"([0-9a-f]{64})\s", note.read_text(errors="replace"))
    return found[1] if found else None
