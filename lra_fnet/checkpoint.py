"""Checkpoints of a run: the state and the best parameters, kept by Orbax.

Orbax writes a checkpoint into a temporary folder and renames it, in the background;
one that was not finished is never taken for one.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import flax.struct
import jax
import orbax.checkpoint as ocp
from absl import logging

from lra_fnet.step import Best, TrainState

KEPT = 2  # the newest, and one before it should the newest turn out unreadable


class CheckpointError(Exception):
    """A checkpoint cannot be written or read; the message says what to do."""


@flax.struct.dataclass
class Snapshot:
    """Hold everything a run needs to go on."""

    state: TrainState
    best: Best


class Checkpoints:
    """Save and restore the snapshots of one workdir."""

    def __init__(self, workdir: Path):
        self._folder = (workdir / "checkpoints").absolute()
        options = ocp.CheckpointManagerOptions(max_to_keep=KEPT)
        with self._explained("open"):
            self._manager = ocp.CheckpointManager(self._folder, options=options)

    def latest_step(self) -> int | None:
        """Return the step of the newest complete checkpoint, None without any."""
        return self._manager.latest_step()

    def save(self, step: int, snapshot: Snapshot) -> None:
        """Start writing the snapshot; the arrays may be donated at once.

        Raises:
          CheckpointError: this write cannot begin, or the one before it failed.
        """
        if step == self.latest_step():
            return
        with self._explained("write"):
            self._manager.save(step, args=ocp.args.StandardSave(snapshot))

    def wait(self) -> None:
        """Wait until the last write is on disk.

        Raises:
          CheckpointError: it failed.
        """
        with self._explained("write"):
            self._manager.wait_until_finished()
            self._manager.check_for_errors()

    def restore(self, like: Snapshot) -> Snapshot | None:
        """Return the newest readable snapshot, None where there is no checkpoint.

        `like` gives shapes, dtypes and shardings.

        Raises:
          CheckpointError: there are checkpoints and none can be read.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            try:
                args = ocp.args.StandardRestore(_abstract(like))
                return self._manager.restore(step, args=args)
            except Exception as error:
                # Orbax raises what its storage raises, of many types.
                logging.warning("cannot read checkpoint %d: %s", step, error)
        if steps:
            raise CheckpointError(
                f"no checkpoint in {self._folder} can be read (tried steps {steps}); "
                "delete that folder to train from the start"
            )
        return None

    def close(self) -> None:
        """Wait for the last write and release the folder."""
        self.wait()
        self._manager.close()

    @contextlib.contextmanager
    def _explained(self, verb: str) -> Iterator[None]:
        """Turn what the storage raises into one sentence that says what to do."""
        try:
            yield
        except Exception as error:
            raise CheckpointError(
                f"cannot {verb} checkpoints in {self._folder}: {_root_cause(error)}; "
                "the checkpoints complete so far are kept: free space or mend the "
                "folder, and run the same command to go on"
            ) from error


def _abstract(like: Snapshot) -> Snapshot:
    """Return the shapes, dtypes and shardings of a snapshot."""
    return jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), like
    )


def _root_cause(error: BaseException) -> str:
    """Return the first line of the innermost error."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
