"""A lock on a folder, released by the system when its holder ends in any way."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import IO


class FolderLocked(Exception):
    """Another process holds the lock of the folder."""


class FolderLock:
    """Hold a folder for one process, as a context manager.

    The lock sits beside the folder, as `.<name>.lock`, so that renaming or deleting
    the folder does not disturb it. `wait` waits for the holder instead of raising.

    Raises:
      FolderLocked: another process holds it and `wait` is False.
    """

    def __init__(self, folder: Path, wait: bool = False):
        self._path = folder.with_name(f".{folder.name.lstrip('.')}.lock")
        self._wait = wait
        self._file: IO[str] | None = None

    def __enter__(self) -> "FolderLock":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a+")
        try:
            flags = fcntl.LOCK_EX | (0 if self._wait else fcntl.LOCK_NB)
            fcntl.flock(self._file, flags)
        except BlockingIOError as error:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise FolderLocked(holder) from error
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._file is not None
        self._file.close()
