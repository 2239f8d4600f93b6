"""The folder of a run: whose it is, who works in it, and files that are whole."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from lra_fnet.config import config_hash, differences, placeless, with_todays_keys

PRETRAINING_FOLDER = (
    "pretraining"  # folder of a run's first steps, if it was pre-trained
)
CONFIG_FILE = "config.json"


class WorkdirError(Exception):
    """The workdir belongs to another run or to none; the message says what differs."""


def default_workdir(identity: Mapping[str, Any]) -> Path:
    """Return runs/<task>/<mixer>-<recipe>-<seeds>-<hash>: no two configs share one."""
    first, count = identity["seed"], identity["num_seeds"]
    seeds = f"seed{first}" if count == 1 else f"seeds{first}-{first + count - 1}"
    parts = (identity["mixer"], identity["recipe"], seeds, config_hash(identity))
    return Path("runs", identity["task"], "-".join(parts))


def beside_other_data(workdir: Path, checksum: str | None) -> Path:
    """Return the workdir, or a folder beside it where it holds a run on other data.

    Args:
      workdir: as the run is called.
      checksum: of the data of the run; None if that is not known yet.
    """
    path = workdir / CONFIG_FILE
    if checksum is None or not path.exists():
        return workdir
    if read_claim(workdir)["data_checksum"] == checksum:
        return workdir
    return workdir.with_name(f"{workdir.name}-{checksum[:8]}")


def claim(workdir: Path, identity: Mapping[str, Any], checksum: str) -> None:
    """Write config and data checksum into a new workdir, or check they are this run's.

    Raises:
      WorkdirError: another config or other data; names every difference.
    """
    path = workdir / CONFIG_FILE
    if not path.exists():
        workdir.mkdir(parents=True, exist_ok=True)
        write_json(path, {"config": identity, "data_checksum": checksum})
        return
    owner = read_claim(workdir)
    changed = _changed(owner, identity)
    if owner["data_checksum"] != checksum:
        changed.append(f"data checksum: {owner['data_checksum']} -> {checksum}")
    if changed:
        raise WorkdirError(
            f"{workdir} holds a run with another config ({'; '.join(changed)}); choose "
            "another workdir, or delete that one"
        )


def is_of_another(workdir: Path, identity: Mapping[str, Any]) -> bool:
    """Return whether a workdir holds a run with another config."""
    if not (workdir / CONFIG_FILE).exists():
        return False
    try:
        return bool(_changed(read_claim(workdir), identity))
    except WorkdirError:
        return True


def read_claim(workdir: Path) -> dict[str, Any]:
    """Return the config and data checksum of the run in a workdir.

    Raises:
      WorkdirError: there is no run there.
    """
    try:
        claim = json.loads((workdir / CONFIG_FILE).read_text())
        checksum = str(claim["data_checksum"])
        config = with_todays_keys(claim["config"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WorkdirError(
            f"no run in {workdir}: {CONFIG_FILE} cannot be read ({error})"
        ) from error
    return {"data_checksum": checksum, "config": config}


def _changed(owner: Mapping[str, Any], identity: Mapping[str, Any]) -> list[str]:
    """Return in what a config differs from that of the run in a workdir."""
    return differences(_without_run(owner["config"]), _without_run(identity))


def _without_run(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config without what cannot change a result."""
    return {key: value for key, value in placeless(identity).items() if key != "run"}


class FolderLocked(Exception):
    """Another process holds the lock of the folder."""


class FolderLock:
    """A lock on a folder for one process, as a context manager.

    The lock sits beside the folder, as `.<name>.lock`, so that renaming or deleting
    the folder does not disturb it. `wait` waits for the holder instead of raising.

    Raises:
      FolderLocked: another process holds it and `wait` is False.
      WorkdirError: it is a file, or has no name, so that there is no place beside it.
    """

    def __init__(self, folder: Path, wait: bool = False):
        folder = folder.absolute()
        if not folder.name:
            raise WorkdirError(f"{folder} cannot be the folder of one run")
        if folder.exists() and not folder.is_dir():
            raise WorkdirError(f"{folder} is a file; name a folder")
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
        with named(self._path):
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


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file in one move, so that it is whole or absent."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text in one move; see `write_bytes`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one move, so that it is whole or absent.

    Raises:
      OSError: it cannot be written; names it.
    """
    aside = path.with_name(f".{path.name}.tmp")
    try:
        with named(path), aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Add the name of a file to errors of writing, which have none (a full disk)."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
