"""The record of a run: one JSON line per event, one printed line, a progress bar."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from tqdm import tqdm

from lra_fnet.metrics import Sums
from lra_fnet.workdir import named, write_text

FILE_NAME = "metrics.jsonl"
END_BYTES = 64 * 1024  # more than the longest lines that a run of many seeds writes

Record = dict[str, Any]


class Logbook:
    """Write the events of a run to `<workdir>/metrics.jsonl`, and show them.

    Resuming from a checkpoint drops the events after it, since they happen again.
    """

    def __init__(self, workdir: Path, step: int, num_steps: int, tensorboard: bool):
        self.path = workdir / FILE_NAME
        self._rewrite([r for r in self.records() if r["step"] <= step])
        self._file = self.path.open("a")
        self._bar = tqdm(
            total=num_steps,
            initial=step,
            unit="step",
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
            leave=False,
        )
        self._events = _event_writer(workdir, step) if tensorboard else None

    def records(self, event: str | None = None) -> Iterator[Record]:
        """Yield the events written so far, all or those of one kind."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        for line in lines:
            record = _parse(line)
            if record and event in (None, record["event"]):
                yield record

    def write(self, event: str, step: int, values: Mapping[str, Any]) -> None:
        """Record what happened at a step; values with a seed axis become lists."""
        plain = {name: _plain(value) for name, value in values.items()}
        with named(self.path):
            self._file.write(json.dumps({"event": event, "step": step, **plain}) + "\n")
            self._file.flush()
        if self._events:
            for name, value in plain.items():
                self._events.add_scalar(f"{event}/{name}", np.mean(value), step)

    def sync(self) -> None:
        """Bring what was written to the disk, before a checkpoint that counts on it."""
        with named(self.path):
            os.fsync(self._file.fileno())

    def say(self, line: str) -> None:
        """Print a line above the progress bar."""
        self._bar.write(line, file=sys.stdout)
        sys.stdout.flush()

    def advance(self, step: int) -> None:
        """Move the progress bar to a step."""
        self._bar.update(step - self._bar.n)

    def __enter__(self) -> "Logbook":
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files and remove the bar."""
        self._bar.close()
        with contextlib.suppress(OSError):  # what `write` has raised
            self._file.close()
        if self._events:
            self._events.close()

    def _rewrite(self, records: Sequence[Record]) -> None:
        """Replace the file in one move, so that none of it is lost half-way."""
        write_text(self.path, "".join(json.dumps(r) + "\n" for r in records))


class SilentLogbook(Logbook):
    """Take the events of a run and drop them, on the hosts that do not write."""

    def __init__(self) -> None:
        pass

    def write(self, event: str, step: int, values: Mapping[str, Any]) -> None:
        """Record nothing."""

    def sync(self) -> None:
        """Have no file."""

    def say(self, line: str) -> None:
        """Print nothing."""

    def advance(self, step: int) -> None:
        """Have no progress bar."""

    def __exit__(self, *_: object) -> None:
        """Have nothing to close."""


def last_step(workdir: Path) -> int:
    """Return the last step in the record of a run; 0 where there is none."""
    try:
        with (workdir / FILE_NAME).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - END_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return 0
    records = filter(None, map(_parse, lines))
    return max((record["step"] for record in records), default=0)


def _parse(line: str) -> Record | None:
    """Read one line; a kill can tear the last one, which then never happened."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    is_event = isinstance(record, dict) and {"event", "step"} <= record.keys()
    return record if is_event else None


def _plain(value: Any) -> Any:
    """Return an array as a number or a list of numbers."""
    return value.tolist() if hasattr(value, "tolist") else value


def _event_writer(workdir: Path, step: int) -> Any:
    """Return a TensorBoard writer (tensorboardX, which needs no TensorFlow)."""
    from tensorboardX import SummaryWriter

    # purge_step hides the events that happen again after resuming from a checkpoint.
    return SummaryWriter(str(workdir / "tensorboard"), purge_step=step + 1)


class NotFinite(Exception):
    """The loss became NaN or infinite at `step`."""

    def __init__(self, step: int):
        super().__init__(
            f"the loss is not finite at step {step:,}; checkpoints from before it are "
            "kept. Lower schedule.learning_rate or set optimizer.clip_norm"
        )
        self.step = step


class Progress:
    """Collect the outputs of calls and report each interval when it is computed.

    The sums of an interval are read once the next call has been dispatched, so the
    device never waits for the host.
    """

    def __init__(
        self,
        log: Logbook,
        schedule: optax.Schedule,
        step: int,
        num_steps: int,
        event: str = "train",
    ):
        self._log = log
        self._event = event
        self._schedule = schedule
        self._num_steps = num_steps
        self._open: list[tuple[Sums, jax.Array]] = []
        self._pending: list[tuple[Sums, jax.Array]] = []
        self._reported_step = self._pending_step = step
        self._steady = False  # the first interval also warms up caches and clocks
        self._started = time.monotonic()

    def add(self, sums: Sums, bad_step: jax.Array) -> None:
        """Take the outputs of a call just dispatched; report the interval before it."""
        self.flush()
        self._open.append((sums, bad_step))

    def end(self, step: int) -> None:
        """End the interval at this step."""
        self._pending, self._open = self._open, []
        self._pending_step = step

    def flush(self) -> None:
        """Wait for the interval that has ended, and report it.

        Raises:
          NotFinite: a loss in it was not.
        """
        if not self._pending:
            return
        outputs, self._pending = jax.device_get(self._pending), []
        now = time.monotonic()
        seconds, self._started = now - self._started, now
        self._report(outputs, self._pending_step, seconds)

    def restart_clock(self) -> None:
        """Leave out of the next interval what was done since the last one."""
        self._started = time.monotonic()

    def _report(
        self, outputs: list[tuple[Sums, np.ndarray]], step: int, seconds: float
    ) -> None:
        """Log one interval."""
        sums = sum((s for s, _ in outputs[1:]), outputs[0][0])
        num_steps = step - self._reported_step
        rate = num_steps / seconds
        learning_rate = float(self._schedule(step - 1))
        values = {
            "loss": sums.mean_loss(),
            "accuracy": sums.accuracy(),
            "learning_rate": learning_rate,
            "num_steps": num_steps,
            "seconds": seconds,
            "steady": self._steady,
        }
        self._log.write(self._event, step, values)
        self._log.say(self._line(step, sums, learning_rate, rate))
        self._log.advance(step)
        self._reported_step, self._steady = step, True
        _check_finite(outputs)

    def _line(self, step: int, sums: Sums, learning_rate: float, rate: float) -> str:
        """Return the printed line of an interval; seeds are averaged."""
        remaining = int((self._num_steps - step) / rate)
        minutes, seconds = divmod(remaining, 60)
        return (
            f"step {step:>{len(str(self._num_steps))}}/{self._num_steps}"
            f"  loss {np.mean(sums.mean_loss()):.4f}"
            f"  accuracy {100 * np.mean(sums.accuracy()):5.2f} %"
            f"  lr {learning_rate:.2e}  {rate:.2f} steps/s"
            f"  ETA {minutes // 60}:{minutes % 60:02}:{seconds:02}"
        )


def _check_finite(outputs: list[tuple[Sums, np.ndarray]]) -> None:
    """Raise NotFinite with the first step at which a loss was not."""
    bad_steps = np.array([bad_step for _, bad_step in outputs])
    if (bad_steps >= 0).any():
        raise NotFinite(int(bad_steps[bad_steps >= 0].min()))
