"""The original release's archive, read from front to back; nothing else is unpacked.

`lra_release.gz` is a tar, gzip-compressed, of some three million members. Two passes
are made over it: the first finds the copies of what is needed, the second reads the
deepest of them and stops at its last member.
"""

import contextlib
import dataclasses
import gzip
import io
import json
import logging
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from tasks._release.files import Part, chunks, deepest, describe_file
from tasks.task import DataError

_GZIP_MAGIC = b"\x1f\x8b"
_BUFFER_SIZE = 1 << 20

# Number of files by role.
_Counts = dict[str, int]


@dataclasses.dataclass(frozen=True)
class ArchivedRelease:
    """Read one part of the release from its archive.

    Attributes:
      path: of the archive, a tar, plain or gzip-compressed.
      part: what is read.
      missing: the advice to give where the archive does not hold the part.
    """

    path: Path
    part: Part
    missing: str

    def describe(self) -> dict[str, Any]:
        """Return what determines the bytes that are read: the whole archive's digest.

        Which copies there are is known after a pass over the archive only, and is
        logged then; which of them is read follows from the bytes.
        """
        return {
            "archive": describe_file(self.path),
            "folder": self.part.folder,
            "files": dict(self.part.files),
            "copy": "deepest",
        }

    def extract(self, scratch: Path) -> dict[str, Path]:
        """Return the part's files by role, unpacked to `scratch` where they are not.

        Only for parts without a *.

        Raises:
          DataError: the archive is damaged, unsafe, or lacks the part.
        """
        folder = scratch / "release"
        if not folder.exists():
            aside = scratch / "release.part"
            shutil.rmtree(aside, ignore_errors=True)
            with _opened(self.path) as members:
                for member, name, stream in self._chosen(members, scratch):
                    _check_with_tarfile(member, aside, self.path)
                    target = aside / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("wb") as file:
                        file.writelines(chunks(stream))
            aside.rename(folder)
        return {role: folder / name for role, name in self.part.files.items()}

    def stream(self, scratch: Path) -> Iterator[tuple[str, bytes]]:
        """Yield path and content of the part's files, in the archive's order.

        Raises:
          DataError: the archive is damaged, unsafe, or lacks the part.
        """
        with _opened(self.path) as members:
            for _, name, stream in self._chosen(members, scratch):
                yield name, stream.read()

    def copies(self, scratch: Path) -> dict[str, _Counts]:
        """Return the folders that hold the whole part, with their files by role.

        The first call reads the whole archive and keeps the answer in `scratch`.

        Raises:
          DataError: the archive is damaged or unsafe.
        """
        status = self.path.stat()
        identity = [status.st_size, status.st_mtime_ns, dataclasses.asdict(self.part)]
        file = scratch / "release_index.json"
        if file.exists():
            index = json.loads(file.read_text())
            if index["identity"] == identity:
                return index["copies"]
        index = {"identity": identity, "copies": self._find_copies()}
        aside = file.with_suffix(".part")
        aside.write_text(json.dumps(index))
        aside.rename(file)
        return index["copies"]

    def _find_copies(self) -> dict[str, _Counts]:
        """Read the whole archive for the folders that hold the whole part."""
        copies: dict[str, _Counts] = {}
        with _opened(self.path) as members:
            for member, _ in members:
                place = self.part.locate(member.name)
                if place and member.isreg():
                    copy, role, _ = place
                    counts = copies.setdefault(copy, dict.fromkeys(self.part.files, 0))
                    counts[role] += 1
        return {copy: counts for copy, counts in copies.items() if all(counts.values())}

    def _chosen(
        self, members: "_Members", scratch: Path
    ) -> Iterator[tuple[tarfile.TarInfo, str, IO[bytes]]]:
        """Yield header, path and open content of the files of the deepest copy."""
        copies = self.copies(scratch)
        chosen = self._choose(copies)
        missing = sum(copies[chosen].values())
        for member, stream in members:
            place = self.part.locate(member.name)
            if place and place[0] == chosen and stream:
                yield member, place[2], stream
                missing -= 1
            if not missing:
                return
        raise DataError(f"{self.path} changed while it was read; run again")

    def _choose(self, copies: dict[str, _Counts]) -> str:
        """Return the copy to read, and log which there are."""
        if not copies:
            raise DataError(self.missing)
        chosen = deepest(copies)
        logging.getLogger(__name__).info(
            "%s: reading %s, the deepest of: %s",
            self.path.name,
            chosen,
            ", ".join(f"{copy} {counts}" for copy, counts in sorted(copies.items())),
        )
        return chosen


class _Header(tarfile.TarInfo):
    """Raise on a header that is damaged or absent, where tarfile takes it for the end.

    A tar ends in blocks of zeros.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf == bytes(tarfile.BLOCKSIZE):
                raise
            raise tarfile.ReadError(str(error)) from None


_Members = Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[_Members]:
    """Open an archive and give its members; what is wrong with it is a DataError."""
    with path.open("rb") as raw:
        try:
            content = _unzipped(raw)
            # Read forward only, as mode "r|" would, but in a third of the time.
            with tarfile.open(fileobj=content, mode="r:", tarinfo=_Header) as archive:
                yield _safe_members(archive, content, raw, path)
        except (tarfile.ReadError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(
                f"{path} is not a whole tar archive, plain or gzip-compressed "
                f"({error}, at byte {raw.tell()} of {path.stat().st_size}); it is "
                "damaged or cut short: delete it and download it again"
            ) from error


def _unzipped(raw: io.BufferedReader) -> IO[bytes]:
    """Return the stream, decompressed if it starts as gzip does."""
    if raw.peek(2)[:2] != _GZIP_MAGIC:
        return raw
    return io.BufferedReader(gzip.GzipFile(fileobj=raw), _BUFFER_SIZE)


def _safe_members(
    archive: tarfile.TarFile, content: IO[bytes], raw: IO[bytes], path: Path
) -> _Members:
    """Yield the members and, of files, the open content; refuse what is unsafe.

    `content` is what `raw` holds, decompressed.
    """
    size = path.stat().st_size
    with tqdm(
        total=size, desc=path.name, unit="B", unit_scale=True, disable=None
    ) as bar:
        while (member := archive.next()) is not None:
            # Or the headers of three million members stay in memory.
            archive.members = []  # type: ignore[attr-defined]
            _check_safe(member, path)
            yield member, archive.extractfile(member)
            bar.update(raw.tell() - bar.n)
    # To the end of the file, where gzip's own checksum is.
    for _ in chunks(content):
        pass


def _check_safe(member: tarfile.TarInfo, path: Path) -> None:
    """Raise DataError for a member that could be written, or point, anywhere else."""
    if member.name.startswith("/"):
        fault = "an absolute path"
    elif ".." in member.name.split("/"):
        fault = "a path that leaves the archive"
    elif member.issym() or member.islnk():
        fault = "a link"
    elif not (member.isreg() or member.isdir()):
        fault = "a device"
    else:
        return
    raise _refusal(member, path, fault)


def _check_with_tarfile(member: tarfile.TarInfo, target: Path, path: Path) -> None:
    """Raise DataError for a member that tarfile's filter for data would not unpack."""
    try:
        tarfile.data_filter(member, str(target))
    except tarfile.FilterError as error:
        raise _refusal(member, path, str(error)) from error


def _refusal(member: tarfile.TarInfo, path: Path, fault: str) -> DataError:
    """Return the error of an unsafe member."""
    return DataError(
        f"{path}: refused, as the member {member.name!r} is {fault}; the release has "
        "no such member: download it again, or, if you trust this archive, unpack it "
        "and give the folder as directory"
    )
