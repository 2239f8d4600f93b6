"""The original Long Range Arena release: its archive, or a folder it was unpacked to.

In the release, folders lie nested and some of them twice, such as `lra_release/
listops-1000` and `lra_release/lra_release/listops-1000`. The deepest copy that is
complete is read, as by most later work on the benchmark.

`python -m tasks._release <file or folder>` downloads the archive.
"""

import dataclasses
import hashlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks._release.archive import ArchivedRelease
from tasks._release.download import download
from tasks._release.files import Part, deepest, describe_file
from tasks.task import DataError

__all__ = ["ARCHIVE", "URL", "Part", "download", "open_release"]

# Where the authors publish the release (github.com/google-research/long-range-arena).
URL = "https://storage.googleapis.com/long-range-arena/lra_release.gz"
ARCHIVE = "lra_release.gz"
# Folders that hold millions of images, and no part of the release.
_PRUNED = ("imgs",)


@dataclasses.dataclass(frozen=True)
class UnpackedRelease:
    """Read one part of the release from a folder it was unpacked to.

    Attributes:
      directory: the folder.
      part: what is read.
      copies: paths in `directory` of the folders that hold the whole part.
    """

    directory: Path
    part: Part
    copies: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Return the copy that is read."""
        return self.directory / deepest(self.copies)

    def describe(self) -> dict[str, Any]:
        """Return what determines the bytes that are read, and the copies there are."""
        return {
            "files": {role: self._describe(role) for role in self.part.files},
            "copies": list(self.copies),
            "copy": deepest(self.copies),
        }

    def extract(self, scratch: Path) -> dict[str, Path]:
        """Return the part's files by role; only for parts without a *."""
        return {role: self.folder / name for role, name in self.part.files.items()}

    def stream(self, scratch: Path) -> Iterator[tuple[str, bytes]]:
        """Yield path and content of the part's files, sorted within a role."""
        for pattern in self.part.files.values():
            for path in sorted(self.folder.glob(pattern)):
                yield path.relative_to(self.folder).as_posix(), path.read_bytes()

    def _describe(self, role: str) -> dict[str, str | int]:
        """Return name, size and SHA-256 of a role's file, or of all its files."""
        pattern = self.part.files[role]
        if "*" not in pattern:
            return describe_file(self.folder / pattern)
        digest, count, size = hashlib.sha256(), 0, 0
        for path in sorted(self.folder.glob(pattern)):
            content = path.read_bytes()
            name = path.relative_to(self.folder).as_posix()
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
            count, size = count + 1, size + len(content)
        return {
            "name": pattern,
            "files": count,
            "bytes": size,
            "sha256": digest.hexdigest(),
        }


Release = ArchivedRelease | UnpackedRelease


def open_release(directory: str | Path, part: Part, instead: str) -> Release:
    """Return the reader of one part of the release.

    Args:
      directory: the archive, a folder that it lies in, or a folder anywhere below
        which the unpacked part lies.
      part: what is read.
      instead: how to do without, for the error: the end of a sentence that starts
        "without the release, ".

    Raises:
      DataError: there is neither.
    """
    path = Path(directory).expanduser() if directory else None
    missing = _missing(path, part, instead)
    if path and path.is_file():
        return ArchivedRelease(path, part, missing)
    if path and path.is_dir():
        copies = tuple(sorted(_find_copies(path, part)))
        if copies:
            logging.getLogger(__name__).info(
                "%s: reading %s, the deepest of: %s",
                path,
                deepest(copies),
                ", ".join(copies),
            )
            return UnpackedRelease(path, part, copies)
        if (path / ARCHIVE).is_file():
            return ArchivedRelease(path / ARCHIVE, part, missing)
    raise DataError(missing)


def _find_copies(directory: Path, part: Part) -> Iterator[str]:
    """Yield the paths in `directory` of the folders that hold the whole part.

    `directory` itself may have any name.
    """
    wanted = Path(part.folder).parts
    for folder, folders, _ in os.walk(directory):
        folders[:] = (name for name in folders if name not in _PRUNED)
        path = Path(folder)
        named = path.absolute().parts[-len(wanted) :] == wanted
        if (named or path == directory) and _is_complete(path, part):
            yield path.relative_to(directory).as_posix()


def _is_complete(folder: Path, part: Part) -> bool:
    """Tell whether a folder holds a file of every role."""
    return all(
        any(path.is_file() for path in folder.glob(pattern))
        for pattern in part.files.values()
    )


def _missing(path: Path | None, part: Part, instead: str) -> str:
    """Return the message for a part that is not there."""
    names = ", ".join(part.files.values())
    where = f"in {path}" if path else "as the option directory is empty"
    target = path if path and path.is_dir() else "."
    return (
        f"no {names} together in a folder {part.folder}, {where}\n"
        f"get the release of the Long Range Arena: python -m tasks._release {target}, "
        f"which fetches {URL} (8.2 GB, a tar despite its name)\n"
        f"give as directory the archive, which need not be unpacked (18.6 GB), or a "
        f"folder above {part.folder}\n"
        f"without the release, {instead}"
    )


if __name__ == "__main__":
    download(URL, Path(sys.argv[1] if len(sys.argv) > 1 else "."))
