"""The whole trainer against a plain one, in processes of their own that take turns.

The plain one has one CPU device, whole batches, the allocator and XLA's options as they
are, the published formula, and dropout by JAX's own random bits. Its steps, its model
and its sizes are the same.

python -m lra_fnet.speed.regime [--plain]     measures one of the two
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any, cast

import jax
from jaxtyping import Array, Float, PyTree, Shaped

from lra_fnet.hardware import set_up
from lra_fnet.speed.comparison import Comparison
from lra_fnet.speed.plan import (
    NOTHING,
    PUBLISHED,
    Plan,
    Times,
    batch_size,
    recipe_setting,
)
from lra_fnet.speed.setting import Setting
from lra_fnet.speed.timing import spread
from lra_fnet.step import Program

TASKS = ("image", "pathfinder", "retrieval")  # whose recipes have width 128 or less
PAIRS = 3
STEPS, GROUPS = 5, 3


class PlainProgram(Program):
    """Draw dropout masks by JAX's own generator; compile as XLA does by itself."""

    def _logits(
        self, params: PyTree, inputs: Shaped[Array, "b ..."], key: Any = None
    ) -> Float[Array, "b c"]:
        """Apply the model, with dropout if there is a key for it."""
        rngs = None if key is None else {"dropout": key}
        train = key is not None
        logits = self.model.apply({"params": params}, inputs, train=train, rngs=rngs)
        return cast(Array, logits)


def plain(program: Program) -> PlainProgram:
    """Return the program in whole batches, with what JAX and XLA do by themselves."""
    return PlainProgram(program.model, program.optimizer, program.mesh)


def in_turns() -> list[tuple[Times, Times]]:
    """Return what a plain trainer and the trainer took, in pairs of processes.

    A process that computes on a GPU takes most of its memory, so this comes before the
    process that calls it computes anything.
    """
    with tempfile.TemporaryDirectory() as cache:
        return [(_measured(True, cache), _measured(False, cache)) for _ in range(PAIRS)]


def trainer(plan: Plan) -> Iterator[Comparison]:
    """Compare the trainer with the plain one, by the plan's `trainers`."""
    for task in TASKS:
        pairs = [(plain[task], whole[task]) for plain, whole in plan.trainers]
        plains, wholes = zip(*pairs, strict=True)
        yield Comparison(
            section="trainer",
            setting=f"sizes of {task}",
            of="trainer",
            to="plain trainer",
            wall=spread([plain / whole for plain, whole in pairs]),
            processor=None,
            seconds={
                "trainer": statistics.median(wholes),
                "plain trainer": statistics.median(plains),
            },
            batch_size=batch_size(task),
        )


def _measured(is_plain: bool, cache: str) -> Times:
    """Measure one of the two in another process; later ones find its compilations.

    Raises:
      RuntimeError: the process failed; with what it wrote.
    """
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command = [sys.executable, "-m", "lra_fnet.speed.regime"]
    if is_plain:
        environment["JAX_NUM_CPU_DEVICES"] = "1"
        command.append("--plain")
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def trainer_setting(
    task: str, is_plain: bool, more: Mapping[str, Any] = NOTHING
) -> Setting:
    """Return what one of the two trains."""
    if is_plain:
        return recipe_setting(task, {**more, **PUBLISHED}, changed=plain)
    return recipe_setting(task, more)


def seconds_of_a_step(setting: Setting) -> float:
    """Return the median over groups of steps, each dispatched without waiting."""
    jax.block_until_ready(setting.step())
    groups = []
    for _ in range(GROUPS):
        started = time.perf_counter()
        for _ in range(STEPS):
            result = setting.step()
        jax.block_until_ready(result)
        groups.append(time.perf_counter() - started)
    return statistics.median(groups) / (STEPS * setting.steps_per_call)


def main() -> None:
    """Print the seconds of a step for every case as JSON."""
    parser = argparse.ArgumentParser(prog="python -m lra_fnet.speed.regime")
    parser.add_argument("--plain", action="store_true")
    is_plain = parser.parse_args().plain
    if not is_plain:
        set_up()
    settings = {task: trainer_setting(task, is_plain) for task in TASKS}
    print(json.dumps({task: seconds_of_a_step(s) for task, s in settings.items()}))


if __name__ == "__main__":
    main()
