"""Checkpoints of a run: one file each, whole or absent, written in the background.

A file is the sha256 of what follows, then the arrays as Flax's msgpack bytes. It is
written beside its place, flushed to the disk and renamed, so that an interruption at
any moment leaves the earlier ones as they were. Of several hosts the first one writes.
"""

import errno
import hashlib
import logging
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import flax.serialization
import flax.struct
import jax

from lra_fnet import hosts
from lra_fnet.step import Best, TrainState

LOG = logging.getLogger(__name__)
KEPT = 2  # the newest, and one before it should the newest turn out unreadable
FOLDER = "checkpoints"  # in the workdir
SUFFIX = ".msgpack"
DIGEST_BYTES = 32


class CheckpointError(Exception):
    """A checkpoint cannot be written or read; the message says what to do."""


@flax.struct.dataclass
class Snapshot:
    """Everything a run needs to resume."""

    state: TrainState
    best: Best


class Checkpoints:
    """The snapshots of one workdir, as a context manager.

    Reading them changes nothing: another process may be writing there.
    """

    def __init__(self, workdir: Path):
        self._folder = workdir / FOLDER
        self._writer = ThreadPoolExecutor(max_workers=1)
        self._last_write: Future[None] | None = None

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the write under way; its error, if any, has been or is raised."""
        self._writer.shutdown()

    def steps(self) -> list[int]:
        """Return the steps of the complete checkpoints, newest first."""
        return _steps_in(self._folder)

    def save(self, step: int, snapshot: Snapshot) -> None:
        """Copy the snapshot to the host and start writing it.

        Raises:
          CheckpointError: the write before this one failed.
        """
        self.wait()
        if not hosts.is_first():
            return
        arrays = jax.device_get(_without_keys(snapshot))
        self._last_write = self._writer.submit(self._write, step, arrays)

    def wait(self) -> None:
        """Wait until the last write is on disk.

        Raises:
          CheckpointError: it failed.
        """
        if self._last_write is None:
            return
        write, self._last_write = self._last_write, None
        try:
            write.result()
        except OSError as error:
            kept = self.steps()
            newest = f"the one of step {kept[0]:,}" if kept else "none yet"
            remedy = "Free some space and repeat" if is_full(error) else "Repeat"
            raise CheckpointError(
                f"cannot write a checkpoint to {self._folder}: {error.strerror}; the "
                f"last good one is kept ({newest}). {remedy} the command to resume"
            ) from error

    def restore(self, like: Snapshot) -> Snapshot | None:
        """Return the newest intact snapshot, None where there is no checkpoint.

        `like` gives structure, shapes, dtypes and shardings. Of several hosts the first
        one reads for all.

        Raises:
          CheckpointError: there are checkpoints and none is intact.
          HostError: the first host has raised that.
        """
        plain = _without_keys(like)
        own = hosts.on_first(lambda: self._newest(plain))
        payload = hosts.bytes_from_first(own or b"")
        if not payload:
            return None
        arrays = flax.serialization.from_bytes(plain, payload)
        return jax.tree.map(_onto_device, like, arrays)

    def _newest(self, like: Snapshot) -> bytes | None:
        """Return the bytes of the newest snapshot that is intact and fits `like`."""
        steps = self.steps()
        for step in steps:
            try:
                payload = self._read(step)
                flax.serialization.from_bytes(like, payload)
                return payload
            except (OSError, ValueError, KeyError) as error:
                LOG.warning("cannot read checkpoint %d: %s", step, error)
        if steps:
            raise CheckpointError(
                f"no checkpoint in {self._folder} can be read (tried steps {steps}); "
                "delete that folder to train from the start"
            )
        return None

    def _write(self, step: int, arrays: Snapshot) -> None:
        """Write one file, then delete those that are no longer kept."""
        payload = flax.serialization.to_bytes(arrays)
        self._folder.mkdir(parents=True, exist_ok=True)
        for unfinished in self._folder.glob("*.tmp"):  # by a process that was killed
            unfinished.unlink()
        place = self._folder / f"{step}{SUFFIX}"
        aside = place.with_suffix(".tmp")
        try:
            with aside.open("wb") as file:
                file.write(hashlib.sha256(payload).digest())
                file.write(payload)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, place)
        finally:
            aside.unlink(missing_ok=True)
        for old in self.steps()[KEPT:]:
            (self._folder / f"{old}{SUFFIX}").unlink()

    def _read(self, step: int) -> bytes:
        """Return the arrays of one file as bytes.

        Raises:
          ValueError: the bytes are not those that were written.
        """
        content = (self._folder / f"{step}{SUFFIX}").read_bytes()
        digest, payload = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.sha256(payload).digest() != digest:
            raise ValueError("sha256 differs")
        return payload


def newest_digest(workdir: Path) -> str:
    """Return the sha256 of the newest checkpoint's arrays; "" where there is none.

    Nothing but that is read, and nothing written.
    """
    folder = workdir / FOLDER
    for step in _steps_in(folder)[:1]:
        with (folder / f"{step}{SUFFIX}").open("rb") as file:
            return file.read(DIGEST_BYTES).hex()
    return ""


def _steps_in(folder: Path) -> list[int]:
    """Return the steps of the complete checkpoints in a folder, newest first."""
    names = (path.stem for path in folder.glob(f"*{SUFFIX}"))
    return sorted((int(name) for name in names if name.isdecimal()), reverse=True)


def is_full(error: OSError) -> bool:
    """Return whether a write failed for want of space."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _without_keys(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot with random keys as plain integers, which can be written."""
    return jax.tree.map(lambda a: jax.random.key_data(a) if _is_key(a) else a, snapshot)


def _onto_device(like: jax.Array, array: Any) -> jax.Array:
    """Put an array where its like is."""
    array = hosts.put(array, like.sharding)
    return jax.random.wrap_key_data(array) if _is_key(like) else array


def _is_key(array: jax.Array) -> bool:
    """Tell random keys from numbers."""
    return jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key)
