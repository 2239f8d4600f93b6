"""Measure which Fourier algorithm is fastest on this backend: `make speed-fourier`.

Every algorithm runs forward and backward between element-wise operations, all in turns,
on all devices. The rule of the choice: `real_fft`, unless another was faster in nine of
ten rounds and by 3 % in the median; of several, the fastest. The published formula is
measured to compare with, and never chosen.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.typing import DTypeLike
from jaxtyping import Array, Float
from tqdm import tqdm

from lra_fnet.hardware import describe_device, examples_at_once
from lra_fnet.mixers._fourier import (
    ALGORITHMS,
    DEFAULT,
    MEASUREMENTS,
    Operator,
    supports,
)
from lra_fnet.result import git_commit, library_versions
from lra_fnet.speed.timing import Sample, interleaved, speed_ups
from lra_fnet.step import make_mesh
from lra_fnet.workdir import write_json

LENGTHS = (1024, 2000, 2048, 4000, 4096, 16384)
WIDTHS = (64, 128, 256, 512)
DTYPES = ("float32", "bfloat16")
BASE = "published"

ROUNDS, SECONDS = 10, 8.0  # of a shape, at most
PATIENCE = 3.0  # times the quickest: what is slower is not measured again
LEAST_GAIN = 1.03
LEAST_WINS = 0.9  # of the rounds
FEWEST_ROUNDS = 5  # to choose by

# Numbers in the array that is transformed: enough to keep the devices busy, few enough
# to fit beside the complex intermediate results. On CPUs more do not change the ratios.
ELEMENTS = {"cpu": 2**22}
ELEMENTS_OF_AN_ACCELERATOR = 2**26


def measure_transforms(arguments: argparse.Namespace) -> None:
    """Measure all shapes, and write and print this backend's table of choices.

    Args:
      arguments: texts `lengths` and `widths`, empty for the defaults, and the file `to`
        or None for the one in use.
    """
    lengths = sizes(arguments.lengths) or LENGTHS
    widths = sizes(arguments.widths) or WIDTHS
    path = arguments.to or MEASUREMENTS
    shapes = [(n, d, dtype) for n in lengths for d in widths for dtype in DTYPES]
    rows = [measured_row(*shape) for shape in tqdm(shapes, unit="shape")]
    write_choices(rows, path)
    print(f"Speed-up over the published formula\n\n{document(rows)}\n\nwrote {path}")


def sizes(text: str) -> list[int]:
    """Return the numbers in a text, in order; commas or spaces separate them.

    Raises:
      ValueError: what is no whole number of 1 or more.

    >>> sizes("2048,1024")
    [1024, 2048]
    """
    words = text.replace(",", " ").split()
    wrong = [word for word in words if not word.isdecimal() or int(word) < 1]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is no size; it must be a whole number >= 1")
    return sorted(map(int, words))


def measured_row(
    length: int, width: int, dtype: str, seconds: float = SECONDS
) -> dict[str, Any]:
    """Return the row of a shape: the choice, and each speed-up over `published`."""
    operators = {
        name: in_network(operator)
        for name, operator in ALGORITHMS.items()
        if supports(name, length, width)
    }
    shape = batch_for(length, width), length, width
    calls = transform_calls(operators, shape, dtype)
    samples = interleaved(calls, ROUNDS, seconds, PATIENCE)
    speeds = {
        name: round(statistics.median(speed_ups(samples[BASE], own, clock())), 2)
        for name, own in samples.items()
    }
    algorithm = choice(samples, clock())
    row = {"length": length, "width": width, "dtype": dtype, "algorithm": algorithm}
    return row | {"speeds": speeds}


def clock() -> str:
    """Return which seconds count.

    CPU devices share the batch, so that all cores work; their own seconds are then the
    same measure as the clock's, but other work on the machine hardly changes them.
    """
    return "processor" if jax.default_backend() == "cpu" else "wall"


def choice(samples: Mapping[str, Sequence[Sample]], by: str) -> str:
    """Return the algorithm to take, by the rule above.

    >>> quick, slow = [Sample(1.0, 1.0)] * 9, [Sample(2.0, 2.0)] * 9
    >>> choice({"real_fft": slow, "matrix": quick}, "wall")
    'matrix'
    """
    gains = {DEFAULT: 1.0}
    for name in samples.keys() - {BASE, DEFAULT}:
        rounds = speed_ups(samples[DEFAULT], samples[name], by)
        wins = sum(ratio > 1 for ratio in rounds) / len(rounds)
        gain = statistics.median(rounds)
        enough = len(rounds) >= FEWEST_ROUNDS and wins >= LEAST_WINS
        if enough and gain >= LEAST_GAIN:
            gains[name] = gain
    return max(gains, key=lambda name: (gains[name], name))


def write_choices(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the rows as this backend's part of the table; the other parts stay."""
    parts = json.loads(path.read_text()) if path.exists() else {}
    parts[jax.default_backend()] = {
        "device": describe_device(make_mesh(jax.local_device_count())),
        "versions": library_versions(),
        "commit": git_commit(),
        "clock": clock(),
        "rows": list(rows),
    }
    write_json(path, dict(sorted(parts.items())))


def document(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as a Markdown table, a column for each algorithm."""
    shapes = pd.DataFrame(rows).drop(columns="speeds")
    speeds = pd.DataFrame([row["speeds"] for row in rows]).reindex(columns=ALGORITHMS)
    table = shapes.rename(columns={"algorithm": "choice"}).join(speeds)
    return table.to_markdown(index=False)


# ---------------------------------------------------------------------------
# The transform, forward and backward, compiled


def batch_for(length: int, width: int) -> int:
    """Return how many examples of a shape an array has: a multiple of the devices."""
    devices = jax.local_device_count()
    elements = ELEMENTS.get(jax.default_backend(), ELEMENTS_OF_AN_ACCELERATOR)
    return devices * max(1, round(elements / (length * width * devices)))


def in_network(operator: Operator) -> Operator:
    """Return an operator between element-wise operations, as in a network.

    There XLA on CPUs runs a Fourier transform on one thread, and can fuse what is
    around it.
    """

    def network(x: Float[Array, "b l d"]) -> Float[Array, "b l d"]:
        scale = float(np.prod(x.shape[-2:])) ** -0.5
        return x + operator(x * x) * scale

    return network


def transform_calls(
    operators: Mapping[str, Operator],
    shape: tuple[int, int, int],
    dtype: DTypeLike,
    mesh: Mesh | None = None,
    at_once: int | None = None,
) -> dict[str, Callable[[], Array]]:
    """Return calls that apply each operator to an array, forward and backward.

    Args:
      operators: by name.
      shape: batch, length, width.
      dtype: of the array.
      mesh: devices that share the batch; default: all.
      at_once: examples that they compute together; default: as in training.
    """
    mesh = mesh or make_mesh(shape[0])
    at_once = at_once or examples_at_once(mesh, shape[0])
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    shared = jax.device_put(jnp.asarray(x, dtype), NamedSharding(mesh, P("data")))
    calls = {}
    for name, operator in operators.items():
        compiled = _compiled(operator, shared, mesh, at_once // mesh.size)
        calls[name] = partial(compiled, shared)
    return calls


def _compiled(
    operator: Operator, x: Float[Array, "b l d"], mesh: Mesh, at_once: int
) -> jax.stages.Compiled:
    """Compile a function of each device's share of a batch, so many at a time."""

    def on_device(x: Float[Array, "b l d"]) -> tuple[Array, Array]:
        parts = x.reshape(-1, at_once, *x.shape[1:])
        one_part = partial(_there_and_back, operator)
        # Without a loop where there is one part: see lra_fnet/step.py.
        whole = len(parts) == 1
        y = one_part(parts[0])[None] if whole else jax.lax.map(one_part, parts)
        # In a step the devices add up their gradients; without any such exchange JAX
        # may let CPU devices compute one after the other.
        return y.reshape(x.shape), jax.lax.psum(y[0, 0, 0, 0], "data")

    shared = jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=P("data"),
        out_specs=(P("data"), P()),
        check_vma=False,
    )
    return jax.jit(shared).lower(x).compile()


def _there_and_back(operator: Operator, x: Float[Array, "b l d"]) -> Array:
    """Transform, and pull the result back.

    The result is its own gradient here, so that neither direction is computed from the
    same numbers as the other, which XLA would notice and do once.
    """
    y, pulled_back = jax.vjp(operator, x)
    return pulled_back(y)[0]
