"""What a speed measurement computes: a model at LRA's sizes on made-up examples."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree
from ml_collections import ConfigDict

from lra_fnet.batches import call_indices
from lra_fnet.config import make_program, task_facts
from lra_fnet.hardware import default_steps_per_call, examples_at_once
from lra_fnet.step import DeviceSplit, Program, TrainState

MOST_STEPS_PER_CALL = 10  # more would make a call of a slow mixer last for minutes


@dataclasses.dataclass
class Setting:
    """Hold a program in training and one batch of examples without padding.

    Attributes:
      program: model, optimiser and devices.
      state: after the steps taken so far; each call of `step` replaces it.
      split: as many examples as a batch has.
      batch_size: examples of a step.
      steps_per_call: of a training call, as the trainer takes on these devices.
    """

    program: Program
    state: TrainState
    split: DeviceSplit
    batch_size: int
    steps_per_call: int

    @functools.cached_property
    def training(self) -> jax.stages.Compiled:
        """Compile a training call."""
        return self.program.compile(self.lowered())

    def lowered(self) -> jax.stages.Lowered:
        """Return a training call as XLA is given it."""
        return Program.train.lower(self.program, self.state, *self._batches)

    def compile(self) -> None:
        """Compile a training call now, so that no step will."""
        _ = self.training

    @functools.cached_property
    def inference(self) -> jax.stages.Compiled:
        """Compile the answers to one batch."""
        lowered = Program.evaluate.lower(
            self.program, self.state.params, *self.split, *self._evaluation
        )
        return self.program.compile(lowered)

    def step(self) -> PyTree:
        """Train on, `steps_per_call` steps; the state before is given away."""
        self.state, sums, _ = self.training(self.state, *self._batches)
        return self.state, sums

    def answer(self) -> PyTree:
        """Answer the batch."""
        return self.inference(self.state.params, *self.split, *self._evaluation)

    @functools.cached_property
    def _batches(self) -> tuple[Any, ...]:
        """Return what a training call reads."""
        steps, batch = self.steps_per_call, self.batch_size
        indices = call_indices((0,), 0, steps, steps, batch, batch)
        return *self.split, indices, np.int32(steps)

    @functools.cached_property
    def _evaluation(self) -> tuple[np.ndarray, np.ndarray]:
        """Return which examples are answered, and with which weight."""
        at_once = examples_at_once(self.program.mesh, self.batch_size)
        indices = np.arange(self.batch_size, dtype=np.int32).reshape(-1, at_once)
        return indices, np.ones(indices.shape, np.float32)


def make_setting(
    config: ConfigDict,
    length: int,
    changed: Callable[[Program], Program] = lambda program: program,
) -> Setting:
    """Return a setting with random ids at the batch size of the config.

    Args:
      config: of the model.
      length: positions of an example; the config's own does not count.
      changed: returns what is to compute in the place of the config's program.
    """
    task, batch_size = task_facts(config), config.train.batch_size
    program = changed(make_program(config, task))
    documents = (task.num_documents,) if task.num_documents > 1 else ()
    random = np.random.default_rng(0)
    inputs = random.integers(1, task.vocab_size, (batch_size, *documents, length))
    dtype = np.uint8 if task.vocab_size <= 256 else np.uint16
    labels = random.integers(0, task.num_classes, batch_size).astype(np.int32)
    split = program.put(inputs.astype(dtype), labels)
    steps = min(default_steps_per_call(program.mesh), MOST_STEPS_PER_CALL)
    state = program.init(jnp.array([config.seed]), split.inputs)
    return Setting(program, state, split, batch_size, steps)
