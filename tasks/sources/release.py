"""The original Long Range Arena release, read from a folder it was unpacked to.

In the release, folders lie nested and some of them twice, such as `lra_release/
listops-1000` and `lra_release/lra_release/listops-1000`. The deepest copy that is
complete is read, as by most later work on the benchmark. docs/data.md says how to
fetch and unpack it.
"""

import dataclasses
import hashlib
import io
import itertools
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from tqdm import tqdm

from tasks.task import DataError, Split

# Where the authors publish the release (github.com/google-research/long-range-arena).
URL = "https://storage.googleapis.com/long-range-arena/lra_release.gz"
AGAIN = "the file is damaged or cut short: unpack it again from the release"
_IMAGES = "imgs"  # folders of images, millions in all, and no part in them


@dataclasses.dataclass(frozen=True)
class Part:
    """The files of one task in the release.

    Attributes:
      folder: as in the release, such as "pathfinder32/curv_contour_length_14".
      files: paths below it by role, such as {"train": "basic_train.tsv"}; in a path a
        * stands for any characters but a slash.
      instead: how to do without: the end of a sentence that starts "without the
        release, ".
    """

    folder: str
    files: Mapping[str, str]
    instead: str


@dataclasses.dataclass(frozen=True)
class Release:
    """One part of the release in the folder it was unpacked to.

    Attributes:
      directory: the folder.
      part: what is read.
      copies: paths in `directory` of the folders that hold the whole part.
    """

    directory: Path
    part: Part
    copies: tuple[str, ...]

    @property
    def copy(self) -> str:
        """The copy that is read: below most folders; of several, the first by name."""
        depth = {copy: len(PurePosixPath(copy).parts) for copy in self.copies}
        return min(self.copies, key=lambda copy: (-depth[copy], copy))

    def file(self, role: str) -> Path:
        """Return the file of a role that has no * in its path."""
        return self.directory / self.copy / self.part.files[role]

    def stream(self) -> Iterator[tuple[str, bytes]]:
        """Yield path and content of all files of the copy, sorted within a role."""
        for role in self.part.files:
            yield from self._stream(role)

    def describe(self) -> dict[str, Any]:
        """Return what determines the bytes that are read, and the copies there are."""
        return {
            "files": {role: self._describe(role) for role in self.part.files},
            "copies": list(self.copies),
            "copy": self.copy,
        }

    def _stream(self, role: str) -> Iterator[tuple[str, bytes]]:
        folder = self.directory / self.copy
        for path in sorted(folder.glob(self.part.files[role])):
            yield path.relative_to(folder).as_posix(), path.read_bytes()

    def _describe(self, role: str) -> dict[str, str | int]:
        """Return name, size and SHA-256 of a role's file, or of all its files."""
        pattern = self.part.files[role]
        if "*" not in pattern:
            return describe_file(self.file(role))
        digest, count, size = hashlib.sha256(), 0, 0
        for name, content in self._stream(role):
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
            count, size = count + 1, size + len(content)
        facts: dict[str, str | int] = {"name": pattern, "files": count, "bytes": size}
        return facts | {"sha256": digest.hexdigest()}


def describe_file(file: Path) -> dict[str, str | int]:
    """Return the name, size in bytes and SHA-256 of a file."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"name": file.name, "bytes": file.stat().st_size, "sha256": digest}


def open_release(directory: str | Path, part: Part) -> Release:
    """Return one part of the release.

    Args:
      directory: a folder anywhere below which the part lies; "" is none.
      part: what is read.

    Raises:
      DataError: there is no such part.
    """
    path = Path(directory).expanduser() if directory else None
    copies = tuple(sorted(_find_copies(path, part))) if path else ()
    if not path or not copies:
        raise DataError(_missing(path, part))
    release = Release(path, part, copies)
    message = "%s: reading %s, the deepest of: %s"
    log = logging.getLogger(__name__)
    log.info(message, path, release.copy, ", ".join(copies))
    return release


def _find_copies(directory: Path, part: Part) -> Iterator[str]:
    """Yield the paths in `directory` of the folders that hold the whole part.

    `directory` itself may have any name.
    """
    wanted = Path(part.folder).parts
    for folder, folders, _ in os.walk(directory):
        folders[:] = (name for name in folders if name != _IMAGES)
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


def _missing(path: Path | None, part: Part) -> str:
    names = ", ".join(part.files.values())
    where = f"in {path}" if path else "as the option directory is empty"
    if path and path.is_file():
        where = f"as {path} is a file: unpack it with tar -xf"
    return (
        f"no {names} together in a folder {part.folder}, {where}\n"
        f"get the release of the Long Range Arena: curl -C - -O {URL} "
        "(8.2 GB), then tar -xf lra_release.gz (18.6 GB; see docs/data.md)\n"
        f"give as directory a folder above {part.folder}\n"
        f"without the release, {part.instead}"
    )


# ---------------------------------------------------------------------------
# Lines


def read_lines(
    file: Path, limit: int = 0, header: bytes = b""
) -> Iterator[tuple[str, bytes]]:
    """Yield place and bytes of the lines below the header, without their breaks.

    Args:
      file: of the release.
      limit: lines at most; 0: all.
      header: the first line, which then must be there.

    Raises:
      DataError: there are no lines, or another header.
    """
    number = 0
    with file.open("rb") as stream:
        if header and (found := stream.readline()).rstrip(b"\r\n") != header:
            fault = f"the header is not {header.decode()!r}"
            fault = fault if found else "the file is empty"
            raise DataError(f"{file}:1: {fault}; {AGAIN}")
        lines = tqdm(stream, desc=file.name, unit=" lines", disable=None)
        first = 2 if header else 1
        for number, line in enumerate(itertools.islice(lines, limit or None), first):
            yield f"{file}:{number}", line.rstrip(b"\r\n")
    if not number:
        fault = "no example after the header" if header else "the file is empty"
        raise DataError(f"{file}:{first}: {fault}; {AGAIN}")


# ---------------------------------------------------------------------------
# Images: imgs/<b>/sample_<i>.png; line by line, metadata/<b>.npy, which is plain text,
# says imgs/<b> sample_<i>.png <number> <label> ...

# LRA: 80, 10 and 10 % in the order of its TFDS builder, which cannot be had from the
# files. Here the order is that of a hash of the file names.
_SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
# A copy of the release was reported whose labels do not fit its images (issue 38 of
# the LRA repository). Labels this far from even say that something is wrong.
_EVEN = (0.45, 0.55)


def read_images(
    release: Release, size: int, limits: Mapping[str, int]
) -> dict[str, Split]:
    """Return the splits, read from PNG files and metadata; bounded by the limits.

    Raises:
      DataError: an image or a line of metadata is damaged or missing.
    """
    images: dict[str, np.ndarray] = {}
    labels: dict[str, int] = {}
    files = tqdm(release.stream(), desc="pathfinder", unit=" files", disable=None)
    for name, content in files:
        if name.endswith(".npy"):
            labels.update(_read_metadata(name, content))
        elif content:  # LRA: the release has an empty file, which its loader drops too
            images[name] = decode_png(name, content, size)
    _check_labels(images, labels)
    names = sorted(images, key=lambda name: hashlib.sha256(name.encode()).digest())
    return dict(_split(names, images, labels, limits))


def _read_metadata(name: str, content: bytes) -> Iterator[tuple[str, int]]:
    """Yield the path and the label of every line."""
    for number, line in enumerate(content.decode("latin-1").splitlines(), 1):
        columns, place = line.split(), f"{name}:{number}"
        if len(columns) < 4:
            raise DataError(f"{place}: {len(columns)} columns, needs at least 4")
        if columns[3] not in ("0", "1"):
            raise DataError(f"{place}: label {columns[3]!r} is not 0 or 1")
        yield f"{columns[0]}/{columns[1]}", int(columns[3])


def decode_png(name: str, content: bytes, size: int) -> np.ndarray:
    """Return the pixels of a PNG file, uint8 (size * size,).

    Raises:
      DataError: damaged, in color, or of another size.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{name} is no intact PNG file ({error})") from error
    if pixels.shape != (size, size) or pixels.dtype != np.uint8:
        raise DataError(
            f"{name} has shape {pixels.shape} and type {pixels.dtype}; "
            f"needs ({size}, {size}) and uint8"
        )
    return pixels.ravel()


def _check_labels(images: Mapping[str, Any], labels: Mapping[str, int]) -> None:
    """Raise DataError where images and labels do not belong together."""
    without = sorted(images.keys() - labels.keys())
    if without:
        raise DataError(
            f"{len(without):,} images have no line of metadata, such as {without[0]}"
        )
    if not images:
        raise DataError("no images, or only empty ones")
    share = float(np.mean([labels[name] for name in images]))
    if not _EVEN[0] <= share <= _EVEN[1]:
        raise DataError(
            f"{share:.1%} of the labels are 1, expected about a half: images and "
            "metadata may be of different copies"
        )


def _split(
    names: list[str],
    images: Mapping[str, np.ndarray],
    labels: Mapping[str, int],
    limits: Mapping[str, int],
) -> Iterator[tuple[str, Split]]:
    """Yield the splits, each the first of its share."""
    start = 0.0
    for split, share in _SHARES.items():
        first, last = round(start * len(names)), round((start + share) * len(names))
        chosen = names[first:last][: limits[split]]
        start += share
        inputs = np.stack([images[name] for name in chosen])
        yield (
            split,
            Split(inputs, np.array([labels[name] for name in chosen], np.int32)),
        )
