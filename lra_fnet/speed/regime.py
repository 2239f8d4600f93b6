"""The whole trainer against a plain one, in processes of their own that take turns.

The plain one has one CPU device, the allocator as it is, the published formula, and
dropout by JAX's own random bits. Its steps, its model and its sizes are the same.

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
from collections.abc import Iterator
from typing import Any, cast

import jax
from jaxtyping import Array, Float, PyTree, Shaped
from ml_collections import ConfigDict

from lra_fnet.process import set_up
from lra_fnet.speed.comparison import Comparison
from lra_fnet.speed.plan import PUBLISHED, Plan
from lra_fnet.speed.setting import Setting, base_config, make_setting
from lra_fnet.speed.timing import spread
from lra_fnet.step import Program

# Tasks whose recipe has a width of at most 128: length, and the batch for CPUs.
CASES = {"image": (1024, 32), "pathfinder": (1024, 64), "retrieval": (4000, 2)}
PAIRS = 3
STEPS, GROUPS = 5, 3


class PlainProgram(Program):
    """Draw dropout masks by JAX's own generator."""

    def _logits(
        self, params: PyTree, inputs: Shaped[Array, "b ..."], key: Any = None
    ) -> Float[Array, "b c"]:
        """Apply the model, with dropout if there is a key for it."""
        rngs = None if key is None else {"dropout": key}
        train = key is not None
        logits = self.model.apply({"params": params}, inputs, train=train, rngs=rngs)
        return cast(Array, logits)


def plain(program: Program) -> PlainProgram:
    """Return the program with JAX's own random bits."""
    return PlainProgram(
        program.model, program.optimizer, program.mesh, program.accumulate
    )


def trainer(plan: Plan) -> Iterator[Comparison]:
    """Compare the trainer as it is with the plain one."""
    with tempfile.TemporaryDirectory() as cache:
        pairs = [
            (_elsewhere(True, cache), _elsewhere(False, cache)) for _ in range(PAIRS)
        ]
    for task in CASES:
        ratios = [slow[task] / fast[task] for slow, fast in pairs]
        seconds = {
            "plain trainer": statistics.median(slow[task] for slow, _ in pairs),
            "trainer": statistics.median(fast[task] for _, fast in pairs),
        }
        batch = _case_config(task, {}).train.batch_size
        names = "trainer", "plain trainer"
        yield Comparison(
            "trainer", f"sizes of {task}", *names, spread(ratios), None, seconds, batch
        )


def _elsewhere(is_plain: bool, cache: str) -> dict[str, float]:
    """Measure one of the two in another process; later ones find its compilations."""
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


def case_setting(
    task: str, overrides: dict[str, Any], is_plain: bool = False
) -> Setting:
    """Return a task at its recipe's sizes, in a small batch on CPUs."""
    length, config = CASES[task][0], _case_config(task, overrides)
    if is_plain:
        config.update_from_flattened_dict(dict(PUBLISHED))
        return make_setting(config, length, changed=plain)
    return make_setting(config, length)


def _case_config(task: str, overrides: dict[str, Any]) -> ConfigDict:
    """Return the config of a case."""
    if jax.default_backend() == "cpu":
        overrides = overrides | {"train.batch_size": CASES[task][1]}
    return base_config(task, overrides)


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
    settings = {task: case_setting(task, {}, is_plain) for task in CASES}
    print(json.dumps({task: seconds_of_a_step(s) for task, s in settings.items()}))


if __name__ == "__main__":
    main()
