"""Turn the sums of dispatched steps into log lines, one interval behind the device."""

import time

import jax
import numpy as np
import optax

from lra_fnet.logbook import Logbook
from lra_fnet.metrics import Sums


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
        self, log: Logbook, schedule: optax.Schedule, step: int, num_steps: int
    ):
        self._log = log
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
        self._log.write("train", step, values)
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
