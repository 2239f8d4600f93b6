"""The original Long Range Arena release, read from a folder it was unpacked to.

In the release, folders lie nested and some of them twice, such as `lra_release/
listops-1000` and `lra_release/lra_release/listops-1000`. The deepest copy that is
complete is read, as by most later work on the benchmark. docs/data.md says how to
fetch and unpack it.

What is missing or damaged is a DataError that names the file.
"""

import codecs
import dataclasses
import hashlib
import io
import itertools
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
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
    """The files of one task in the release; roles are splits, or kinds of files."""

    folder: str  # as in the release, such as "pathfinder32/curv_contour_length_14"
    files: Mapping[
        str, str
    ]  # paths below it by role; a * is any characters but a slash
    instead: str  # ends a sentence that starts "without the release, "
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)  # examples


@dataclasses.dataclass(frozen=True)
class Release:
    """One part of the release in the folder it was unpacked to."""

    directory: Path  # any folder above the part
    part: Part
    copies: tuple[str, ...]  # paths in `directory` of the folders with the whole part

    @property
    def copy(self) -> str:
        """The copy that is read: below most folders; of several, the first by name."""
        depth = {copy: len(PurePosixPath(copy).parts) for copy in self.copies}
        return min(self.copies, key=lambda copy: (-depth[copy], copy))

    @property
    def folder(self) -> Path:
        """The folder that is read."""
        return self.directory / self.copy

    def file(self, role: str) -> Path:
        """Return the file of a role that has no * in its path."""
        return self.folder / self.part.files[role]

    def stream(self, role: str) -> Iterator[tuple[str, bytes]]:
        """Yield path and content of the files of a role, sorted."""
        for path in sorted(self.folder.glob(self.part.files[role])):
            yield path.relative_to(self.folder).as_posix(), path.read_bytes()

    def describe(self) -> dict[str, Any]:
        """Return what determines the bytes that are read, and the copies there are."""
        return {
            "files": {role: self._describe(role) for role in self.part.files},
            "copies": list(self.copies),
            "copy": self.copy,
        }

    def _describe(self, role: str) -> dict[str, str | int]:
        """Return name, size and SHA-256 of a role's file, or of all its files."""
        pattern = self.part.files[role]
        if "*" not in pattern:
            return describe_file(self.file(role))
        digest, count, size = hashlib.sha256(), 0, 0
        for name, content in self.stream(role):
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
    where = f"in {path}" if path else "as data= (data.directory) is empty"
    if path and path.is_file():
        where = f"as {path} is a file: unpack it with tar -xf"
    return (
        f"no {names} together in a folder {part.folder}, {where}; data= is a folder "
        f"above it, and docs/data.md says how to get the release (8.2 GB); without it, "
        f"{part.instead}"
    )


# ---------------------------------------------------------------------------
# Lines


def read_lines(
    file: Path, limit: int = 0, count: int = 0, header: bytes = b""
) -> Iterator[tuple[str, bytes]]:
    """Yield place and bytes of the lines below the header, without their breaks.

    Args:
      file: of the release.
      limit: lines at most; 0: all.
      count: lines the release has; fewer are refused where the limit does not ask for
        fewer.
      header: the first line, which then must be there.
    """
    first = 2 if header else 1
    number = first - 1
    with file.open("rb") as stream:
        if stream.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            stream.seek(0)
        if header:
            _check_header(stream.readline(), header, file)
        lines = tqdm(stream, desc=file.name, unit=" lines", disable=None)
        for number, line in enumerate(itertools.islice(lines, limit or None), first):
            if not line.endswith(b"\n"):
                fault = "the last line has no line break"
                raise DataError(f"{file}:{number}: {fault}; {AGAIN}")
            yield f"{file}:{number}", line.rstrip(b"\r\n")
    found = number - first + 1
    if not found:
        raise DataError(f"{file}:{first}: no examples; {AGAIN}")
    check_count(f"{file}: {found:,} examples", found, limit, count)


def _check_header(line: bytes, header: bytes, file: Path) -> None:
    if line.rstrip(b"\r\n") != header:
        fault = (
            f"the header is not {header.decode()!r}" if line else "the file is empty"
        )
        raise DataError(f"{file}:1: {fault}; {AGAIN}")


def check_count(what: str, found: int, limit: int, count: int) -> None:
    """Check that a split is as large as in the release, or as its limit asks for."""
    if found < min(limit or count, count):
        raise DataError(
            f"{what}, but the release has {count:,}; {AGAIN}, or set num_train, "
            "num_validation and num_test to what is there, for a subset"
        )


# ---------------------------------------------------------------------------
# Images: imgs/<b>/sample_<i>.png; line by line, metadata/<b>.npy, which is plain text,
# says imgs/<b> sample_<i>.png <number> <label> ...

# LRA: 80, 10 and 10 % in the order of its TFDS builder, which cannot be had from the
# files. Here the order is that of a hash of the file names.
_SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
# A copy of the release was reported whose labels do not fit its images (issue 38 of
# the LRA repository). Labels this far from even say that something is wrong.
_EVEN = (0.45, 0.55)
# Of every size and contour length.
NUM_IMAGES = 200_000
# LRA: one image of the release is an empty file, which its loader drops too.
_MOST_EMPTY = 10


def read_images(
    release: Release, size: int, limits: Mapping[str, int], scratch: Path
) -> dict[str, Split]:
    """Return the splits, read from PNG files and metadata; bounded by the limits."""
    try:
        images, labels, num_empty = _load_images(release, size)
        splits = dict(_split(images, labels, limits))
        if len(images) + num_empty < NUM_IMAGES:
            for split, limit in limits.items():
                what = f"{len(images):,} images, {len(splits[split]):,} for {split}"
                full = round(_SHARES[split] * NUM_IMAGES)
                check_count(what, len(splits[split]), limit, full)
    except DataError as error:
        raise DataError(f"{release.folder}: {error}") from None
    return splits


def _load_images(
    release: Release, size: int
) -> tuple[dict[str, np.ndarray], dict[str, int], int]:
    """Return images and labels by path, and the number of empty files."""
    images, empty = {}, []
    labels: dict[str, int] = {}
    for name, content in release.stream("metadata"):
        labels.update(_read_metadata(name, content))
    files = release.stream("images")
    for name, content in tqdm(files, "pathfinder", unit=" images", disable=None):
        if content:
            images[name] = decode_png(name, content, size)
        else:
            empty.append(name)
    _check_names(images, labels, empty)
    return images, labels, len(empty)


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
    """Return the pixels of a PNG file, uint8 (size * size,)."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            # The bytes of a palette image are numbers of colors, not brightness.
            pixels = np.asarray(image.convert("L") if image.mode == "P" else image)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{name} is no intact PNG file ({error})") from error
    if pixels.shape != (size, size) or pixels.dtype != np.uint8:
        raise DataError(
            f"{name} has shape {pixels.shape} and type {pixels.dtype}; "
            f"needs ({size}, {size}) and uint8"
        )
    return pixels.ravel()


def _check_names(
    images: Mapping[str, Any], labels: Mapping[str, int], empty: Sequence[str]
) -> None:
    """Raise DataError where images and labels do not belong together."""
    complaints = {
        "images have no line of metadata": images.keys() - labels.keys(),
        "lines of metadata have no image": labels.keys() - images.keys() - {*empty},
        "images are empty files": empty if len(empty) > _MOST_EMPTY else (),
    }
    for complaint, names in complaints.items():
        if names:
            raise DataError(f"{len(names):,} {complaint}, such as {min(names)}")
    if not images:
        raise DataError("no images, or only empty ones")
    share = float(np.mean([labels[name] for name in images]))
    if not _EVEN[0] <= share <= _EVEN[1]:
        raise DataError(
            f"{share:.1%} of the labels are 1, expected about a half: images and "
            "metadata may be of different copies"
        )


def _split(
    images: Mapping[str, np.ndarray],
    labels: Mapping[str, int],
    limits: Mapping[str, int],
) -> Iterator[tuple[str, Split]]:
    """Yield the splits, each the first of its share."""
    names = sorted(images, key=lambda name: hashlib.sha256(name.encode()).digest())
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
