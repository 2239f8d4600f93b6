"""Score parameters on a whole split, every example exactly once."""

import time

import jax
import numpy as np
from jaxtyping import Float, Int, PyTree

from lra_fnet import hosts
from lra_fnet.batches import evaluation_batches
from lra_fnet.device import (
    CALLS_AHEAD,
    call_memory,
    default_steps_per_call,
    examples_at_once,
    usable_memory,
)
from lra_fnet.metrics import Sums
from lra_fnet.step import DeviceSplit, Program

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
        """Return the sums of a split, (s,), and the answers to its examples."""
        calls = self._calls(len(split.labels))
        compiled = self._program_for(params, split, calls[0])
        started = time.monotonic()
        outputs = []
        for call in calls:
            outputs.append(compiled(params, *split, *call))
            # XLA on CPUs waits for ever where more than 32 calls that add over devices
            # are dispatched and not done.
            jax.block_until_ready(outputs[-CALLS_AHEAD - 1 : -CALLS_AHEAD])
        sums, answers = jax.device_get(list(zip(*outputs, strict=True)))
        num_seeds = answers[0].shape[0]
        answers = np.concatenate(answers, axis=1).reshape(num_seeds, -1)
        self._seconds += time.monotonic() - started
        return sum(sums[1:], sums[0]), answers[:, : len(split.labels)]

    def compile(self, params: PyTree, split: DeviceSplit) -> None:
        """Compile for splits of this size ahead of use, in batches that fit."""
        mesh = self._program.mesh
        while True:
            call = self._calls(len(split.labels))[0]
            compiled = self._program_for(params, split, call)
            fits = call_memory(compiled) <= usable_memory(mesh)
            if (
                all(hosts.exchange("evaluation fits", fits))
                or self._batch_size == mesh.size
            ):
                return
            self._compiled.clear()
            self._batch_size = max(self._batch_size // 2, mesh.size)
            self._batch_size -= self._batch_size % mesh.size

    def take_seconds(self) -> dict[str, float]:
        """Return the time spent evaluating and compiling since this was last asked."""
        taken = {"seconds": self._seconds, "compile_seconds": self._compile_seconds}
        self._seconds = self._compile_seconds = 0.0
        return taken

    def _calls(self, num_examples: int) -> list[Call]:
        """Return indices and weights (k, b) of each call: one call, on CPUs many."""
        mesh = self._program.mesh
        indices, weight = evaluation_batches(num_examples, self._batch_size)
        if default_steps_per_call(mesh) > 1:
            return [(indices, weight)]
        parts = (len(indices), -1, examples_at_once(mesh, self._batch_size))
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
