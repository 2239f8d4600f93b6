"""What a comparison measures: models at LRA's sizes, in batches for what computes."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax

from lra_fnet.config import lra_config
from lra_fnet.speed.setting import Setting, make_setting
from lra_fnet.step import Program

PUBLISHED = MappingProxyType({"mixers.fnet.algorithm": "published"})
NOTHING: Mapping[str, Any] = MappingProxyType({})
Times = dict[str, float]  # seconds of a step, by task


class Case(NamedTuple):
    """Hold positions, and the examples of a batch that suit two CPU cores."""

    length: int
    cpu_batch: int


# At the sizes of their recipe `lra2020`; accelerators take its batch, too.
CASES = MappingProxyType(
    {
        "listops": Case(2000, 4),
        "text": Case(4000, 4),
        "retrieval": Case(4000, 2),
        "image": Case(1024, 32),
        "pathfinder": Case(1024, 64),
        "pathx": Case(16384, 4),
    }
)


@dataclasses.dataclass(frozen=True)
class Plan:
    """Hold how much is measured.

    Attributes:
      tasks: at whose sizes steps are compared.
      rounds: of each comparison, at most.
      seconds: after which a comparison gets no further round.
      tokens: of a step where sizes are not a task's.
      lengths: at which FNet meets attention.
      dtype: of activations.
      trainers: what plain and whole trainers took, in pairs, measured already.
    """

    tasks: tuple[str, ...]
    rounds: int
    seconds: float
    tokens: int
    lengths: tuple[int, ...]
    dtype: str
    trainers: Sequence[tuple[Times, Times]] = ()

    def batch(self, length: int) -> int:
        """Return how many examples have about so many tokens; each device has one."""
        devices = jax.local_device_count()
        return devices * max(1, self.tokens // (length * devices))


def plan_here(task: str, rounds: int, seconds: float) -> Plan:
    """Return a plan for what JAX computes on: CPUs get little to do.

    Without a task, steps are compared at sizes of width 128, twice, and 512.
    """
    tasks = (task,) if task else ("image", "retrieval", "listops")
    if jax.default_backend() == "cpu":
        return Plan(tasks, rounds, seconds, 2**13, (2048, 4096), "float32")
    return Plan(tasks, rounds, seconds, 2**15, (2048, 4096, 16384), "bfloat16")


def recipe_setting(
    task: str,
    more: Mapping[str, Any] = NOTHING,
    changed: Callable[[Program], Program] = lambda program: program,
) -> Setting:
    """Return FNet in training at the sizes of a task's recipe.

    Args:
      task: a key of CASES.
      more: other values of the config, by key.
      changed: as in make_setting.
    """
    config = lra_config(task, {"train.batch_size": batch_size(task), **more})
    return make_setting(config, CASES[task].length, changed)


def batch_size(task: str) -> int:
    """Return the batch of a task's recipe, or on CPUs what suits them."""
    if jax.default_backend() == "cpu":
        return CASES[task].cpu_batch
    return lra_config(task, NOTHING).train.batch_size


def described(setting: Setting, task: str) -> str:
    """Return the sizes of a setting in words."""
    model = setting.program.model
    length = setting.split.inputs.shape[-1]
    return f"{task}: length {length:,}, width {model.width}, hidden {model.mlp_dim}"
