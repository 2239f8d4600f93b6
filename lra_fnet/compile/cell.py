"""One cell: the training and the evaluation call of a run, compiled as the run does.

Shapes stand for the state and the data, so that nothing is computed or read.
"""

import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.layout import Format, Layout
from ml_collections import ConfigDict

from lra_fnet.config import make_program, seeds_of, task_facts
from lra_fnet.evaluate import Evaluator
from lra_fnet.hardware import call_memory, default_steps_per_call, memory_limit
from lra_fnet.step import DeviceSplit, Program, TrainState, by_rows
from lra_fnet.train import compile_training
from tasks import Task

# Examples of the splits that the release fixes, which no config tells.
SPLIT_SIZES: Mapping[str, tuple[int, int, int]] = {
    "text": (22_500, 2_500, 25_000),
    "image": (45_000, 5_000, 10_000),
    "retrieval": (147_086, 18_090, 17_437),
}
SPLITS = ("train", "validation", "test")

_COLLECTIVES = r"(all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute)"


def compile_cell(config: ConfigDict, devices: Sequence[jax.Device]) -> dict[str, Any]:
    """Compile the calls of a run on some devices; return what is known of them.

    Both are split into as many parts as the run would take.

    Raises:
      OutOfMemory: a call does not fit, whatever it is split into.
      JaxRuntimeError: XLA cannot compile it.
    """
    task = task_facts(config)
    program = make_program(config, task, devices)
    state, splits = shapes_of_run(program, config, task)
    started = time.monotonic()
    program, training, flops = _training(program, config, state, splits["train"])
    trained = time.monotonic()
    evaluator = Evaluator(program, config.run.eval_batch_size)
    evaluation, batch = evaluator.compile(state.params, splits["validation"])
    ended = time.monotonic()
    # What a call needs beside its arguments, which are counted below.
    beside = max(
        call_memory(training) - num_bytes((splits["train"], state)),
        call_memory(evaluation) - num_bytes((splits["validation"], state.params)),
    )
    # All splits, the state and the best parameters so far lie there during every call.
    kept = num_bytes((splits, state, state.params))
    of_training = {"flops_of_a_step": flops["train_step"]}
    return {
        "device": devices[0].device_kind,
        "devices_used": program.mesh.size,
        "micro_batches": program.micro_batches,
        "needed_bytes": kept + beside,
        "limit_bytes": memory_limit(devices[0]),
        "training": describe(training, trained - started) | of_training,
        "evaluation": describe(evaluation, ended - trained) | {"batch_size": batch},
    }


def _training(
    program: Program, config: ConfigDict, state: TrainState, split: DeviceSplit
) -> tuple[Program, jax.stages.Compiled, dict[str, float | None]]:
    """Compile the training call, in as many micro-batches as the run would take."""
    steps = config.run.steps_per_call or default_steps_per_call(program.mesh)
    shape = (config.num_seeds, steps, config.train.batch_size)
    indices = jax.ShapeDtypeStruct(shape, jnp.int32)
    call = (state, *split, indices, np.int32(1))
    return compile_training(program, call, fixed=config.train.micro_batches > 0)


def shapes_of_run(
    program: Program, config: ConfigDict, task: Task
) -> tuple[TrainState, dict[str, DeviceSplit]]:
    """Return shapes of a run's state, and of its splits by name, whole on each device.

    Token ids are bytes, as in prepared data.
    """

    def shaped(shape: tuple[int, ...], dtype: Any, layout: Layout | None = None) -> Any:
        where = Format(layout, program.replicated) if layout else program.replicated
        return jax.ShapeDtypeStruct(shape, dtype, sharding=where)

    splits = {
        name: DeviceSplit(
            shaped(
                (size, *task.row_shape),
                jnp.uint8,
                by_rows(1 + len(task.row_shape)),
            ),
            shaped((size,), jnp.int32),
        )
        for name, size in zip(SPLITS, split_sizes(config), strict=True)
    }
    seeds = jnp.array(seeds_of(config))
    state = jax.eval_shape(program.init, seeds, splits["train"].inputs)
    return jax.tree.map(lambda leaf: shaped(leaf.shape, leaf.dtype), state), splits


def split_sizes(config: ConfigDict) -> list[int]:
    """Return the examples of the splits: what the config says, else the release's."""
    released = SPLIT_SIZES.get(config.task, (0, 0, 0))
    asked = [config.data[f"num_{name}"] for name in SPLITS]
    return [own or whole for own, whole in zip(asked, released, strict=True)]


def num_bytes(tree: Any) -> int:
    """Return the bytes of all arrays of a tree, as their shapes tell."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def describe(compiled: jax.stages.Compiled, seconds: float) -> dict[str, Any]:
    """Return memory and FLOPs of one device, and which operations a program has.

    XLA counts the body of the loop over steps once; for an absent GPU it tells neither
    FLOPs nor the bytes that operations read and write.

    Args:
      compiled: the program.
      seconds: that compiling it took, refused attempts included.
    """
    cost = compiled.cost_analysis() or {}
    return {
        "compile_seconds": round(seconds, 1),
        "bytes": call_memory(compiled),
        "compiler_flops": cost.get("flops"),
        "compiler_bytes": cost.get("bytes accessed"),
        **operations(compiled.as_text() or ""),
    }


def operations(text: str) -> dict[str, Any]:
    """Count Fourier transforms, custom calls and collectives in a compiled program.

    >>> operations('a = f32[2] fft(b), c = all-reduce-start(d)')["fft"]
    1
    """
    calls = re.findall(r'custom_call_target="([^"]+)"', text)
    collectives = re.findall(rf" {_COLLECTIVES}(?:-start)?\(", text)
    return {
        "fft": len(re.findall(r" fft\(", text)),
        "custom_calls": dict(sorted(Counter(calls).items())),
        "collectives": dict(sorted(Counter(collectives).items())),
    }
