"""Score parameters on a whole split, every example once; say where they are right."""

import math
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, PyTree, Shaped

from lra_fnet import hosts
from lra_fnet.batches import evaluation_batches
from lra_fnet.hardware import (
    CALLS_AHEAD,
    OutOfMemory,
    compiled_with_need,
    default_batches_per_call,
    examples_at_once,
    usable_memory,
)
from lra_fnet.metrics import Sums
from lra_fnet.step import DeviceSplit, Program
from tasks import Split

# Indices and weights of the examples of one call.
Call = tuple[Int[np.ndarray, "k b"], Float[np.ndarray, "k b"]]


class Evaluator:
    """Evaluate with the compiled programs kept, one for each size of split."""

    def __init__(self, program: Program, batch_size: int):
        self._program = program
        # A multiple of the devices; what it adds to the last batch has weight 0.
        self._batch_size = -(-batch_size // program.mesh.size) * program.mesh.size
        self._compiled: dict[tuple[int, ...], jax.stages.Compiled] = {}
        self._seconds = 0.0
        self._compile_seconds = 0.0

    def __call__(
        self, params: PyTree, split: DeviceSplit
    ) -> tuple[Sums, Int[np.ndarray, "s n"]]:
        """Return the sums of a split, (s,), and the answers to its examples.

        Raises:
          OutOfMemory: see `compile`.
        """
        if split.inputs.shape not in self._compiled:
            self.compile(params, split)
        compiled = self._compiled[split.inputs.shape]
        started = time.monotonic()
        outputs = []
        for call in self._calls(len(split.labels)):
            outputs.append(compiled(params, *split, *call))
            # XLA on CPUs waits for ever where more than 32 calls that add over devices
            # are dispatched and not done.
            jax.block_until_ready(outputs[-CALLS_AHEAD - 1 : -CALLS_AHEAD])
        sums, answers = jax.device_get(list(zip(*outputs, strict=True)))
        num_seeds = answers[0].shape[0]
        answers = np.concatenate(answers, axis=1).reshape(num_seeds, -1)
        self._seconds += time.monotonic() - started
        return sum(sums[1:], sums[0]), answers[:, : len(split.labels)]

    def compile(
        self, params: PyTree, split: DeviceSplit
    ) -> tuple[jax.stages.Compiled, int]:
        """Compile for splits of this size ahead of use, in batches that fit.

        Returns the call and the examples of its batches, over all devices.

        Raises:
          OutOfMemory: XLA refuses even one example on each device.
        """
        mesh = self._program.mesh
        while True:
            call = self._calls(len(split.labels))[0]
            compiled, need = compiled_with_need(
                partial(self._program_for, params, split, call)
            )
            need, smallest = max(hosts.exchange(need)), self._batch_size == mesh.size
            fits = all(hosts.exchange(need <= usable_memory(mesh)))
            if compiled and (fits or (smallest and need < math.inf)):
                return compiled, self._batch_size
            if smallest:
                raise OutOfMemory(
                    "an evaluation call does not fit even with one example on each "
                    "device: take a smaller model, or fewer seeds"
                )
            self._compiled.clear()
            self._batch_size = max(self._batch_size // 2, mesh.size)
            self._batch_size -= self._batch_size % mesh.size

    def take_seconds(self) -> dict[str, float]:
        """Return the time spent evaluating and compiling since this was last asked."""
        taken = {"seconds": self._seconds, "compile_seconds": self._compile_seconds}
        self._seconds = self._compile_seconds = 0.0
        return taken

    def _calls(self, num_examples: int) -> list[Call]:
        """Return indices and weights (k, b) of each call, all of the same shape."""
        mesh, size = self._program.mesh, self._batch_size
        num_batches = -(-num_examples // size)
        num_calls = -(-num_batches // default_batches_per_call(mesh))
        in_a_call = -(-num_batches // num_calls)
        indices, weight = evaluation_batches(num_examples, size, in_a_call)
        parts = (len(indices) // in_a_call, -1, examples_at_once(mesh, size))
        return list(zip(indices.reshape(parts), weight.reshape(parts), strict=True))

    def _program_for(
        self, params: PyTree, split: DeviceSplit, call: Call
    ) -> jax.stages.Compiled:
        """Return the program for a split of this size, compiled at first use."""
        shape = split.inputs.shape
        if shape not in self._compiled:
            started = time.monotonic()
            lowered = Program.evaluate.lower(self._program, params, *split, *call)
            self._compiled[shape] = self._program.compile(lowered)
            self._compile_seconds += time.monotonic() - started
        return self._compiled[shape]


# Numbers with more values than this are put into as many ranges of about equal size.
MOST_RANGES = 10

# One line of a table: {"low", "high"} or {"value"}, and {"correct", "examples"}.
Line = dict[str, Any]


def breakdown(
    split: Split, pad_id: int | None, correct: Bool[np.ndarray, " n"]
) -> dict[str, list[Line]]:
    """Return right answers and examples by every feature of the examples.

    Length counts tokens, of both documents where there are two; where nothing is
    padded all examples have the same and it is left out.
    """
    features = dict(split.features)
    if pad_id is not None:
        real = np.asarray(split.inputs) != pad_id
        features["length"] = real.reshape(len(split), -1).sum(axis=1)
    return {name: accuracy_by(values, correct) for name, values in features.items()}


def accuracy_by(
    values: Shaped[np.ndarray, " n"], correct: Bool[np.ndarray, " n"]
) -> list[Line]:
    """Return right answers and examples for every word, or every range of numbers.

    >>> accuracy_by(np.array([1, 2, 2]), np.array([True, True, False]))[1]
    {'low': 2, 'high': 2, 'correct': 1, 'examples': 2}
    """
    parts: list[tuple[Line, np.ndarray]]
    if values.dtype.kind == "U":
        parts = [({"value": str(word)}, values == word) for word in np.unique(values)]
    else:
        parts = [
            ({"low": low, "high": high}, (low <= values) & (values <= high))
            for low, high in ranges(values)
        ]
    return [{**label, **_counts(correct[members])} for label, members in parts]


def ranges(values: Shaped[np.ndarray, " n"]) -> list[tuple[int, int]]:
    """Return the bounds, both included, of ranges that hold every one of the values."""
    distinct = np.unique(values)
    starts = distinct
    if len(distinct) > MOST_RANGES:
        shares = np.arange(MOST_RANGES) / MOST_RANGES
        starts = np.unique(np.quantile(values, shares, method="higher"))
    ends = [*(distinct[np.searchsorted(distinct, starts[1:]) - 1]), distinct[-1]]
    return [(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]


def _counts(correct: Bool[np.ndarray, " n"]) -> Mapping[str, int]:
    """Return how many answers there are, and how many are right."""
    return {"correct": int(correct.sum()), "examples": len(correct)}
