"""How much a comparison measures: sizes for what computes, rounds, seconds."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax

from lra_fnet.speed.setting import Setting, base_config, make_setting

MLP_FACTOR = 4  # hidden units for each channel, as LRA's Text and Retrieval have
PUBLISHED = MappingProxyType({"mixers.fnet.algorithm": "published"})


class Size(NamedTuple):
    """Hold channels, positions, and the examples of a batch over all devices."""

    width: int
    length: int
    batch: int

    def __str__(self) -> str:
        return f"length {self.length:,}, width {self.width}"


@dataclasses.dataclass(frozen=True)
class Plan:
    """Hold how much is measured.

    Attributes:
      task: whose layers, heads and classes the models have.
      rounds: of each comparison, at most.
      seconds: after which a comparison gets no further round.
      tokens: of a step, by width: the widths at which steps are compared.
      length: of their examples.
      attention_tokens: of a step where attention takes part.
      attention_lengths: at which FNet meets it.
      attention_width: of both.
      dtype: of activations.
    """

    task: str
    rounds: int
    seconds: float
    tokens: Mapping[int, int]
    attention_tokens: int
    attention_lengths: tuple[int, ...]
    dtype: str
    length: int = 2048
    attention_width: int = 128

    def sizes(self) -> list[Size]:
        """Return the sizes at which steps are compared."""
        return [
            Size(width, self.length, _batch(tokens, self.length))
            for width, tokens in self.tokens.items()
        ]

    def attention_sizes(self) -> list[Size]:
        """Return the sizes at which FNet meets attention."""
        return [
            Size(self.attention_width, length, _batch(self.attention_tokens, length))
            for length in self.attention_lengths
        ]

    def setting(
        self, model: str, size: Size, more: Mapping[str, Any] = MappingProxyType({})
    ) -> Setting:
        """Return a model of the task's depth in training.

        Args:
          model: name of the mixer.
          size: of the model and its batch.
          more: other values of the config, by key.
        """
        values = {
            "model": model,
            "encoder.width": size.width,
            "encoder.mlp_dim": MLP_FACTOR * size.width,
            "encoder.dtype": self.dtype,
            "train.batch_size": size.batch,
        }
        config = base_config(self.task, values | dict(more))
        return make_setting(config, size.length)


def plan_here(task: str, rounds: int, seconds: float) -> Plan:
    """Return a plan for what JAX computes on: CPUs get little to do."""
    if jax.default_backend() == "cpu":
        tokens = {128: 2**14, 512: 2**12}
        return Plan(task, rounds, seconds, tokens, 2**13, (2048, 4096), "float32")
    tokens = {128: 2**18, 512: 2**18}
    lengths = 2048, 4096, 16384
    return Plan(task, rounds, seconds, tokens, 2**15, lengths, "bfloat16")


def _batch(tokens: int, length: int) -> int:
    """Return how many examples have about so many tokens; each device has one."""
    devices = jax.local_device_count()
    return devices * max(1, tokens // (length * devices))
