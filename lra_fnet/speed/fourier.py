"""Measure which Fourier algorithm is fastest on this device: `make speed-fourier`.

Every algorithm runs forward and backward between element-wise operations, all in turns,
on all devices. The rule of the choice: `real_fft`, unless another was faster in nine of
ten rounds and by 3 % in the median; of several, the fastest. The published formula is
measured to compare with, and never chosen.
"""

import argparse
import itertools
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

from lra_fnet.config import names_in
from lra_fnet.hardware import (
    describe_device,
    examples_at_once,
    first_device,
    repeatable_options,
)
from lra_fnet.mixers._fourier import (
    ALGORITHMS,
    CHOICES,
    DEFAULT,
    Operator,
    kind_of,
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
LEAST_GAIN, LEAST_WINS, FEWEST_ROUNDS = 1.03, 0.9, 5  # wins: of the rounds

# Numbers in the array that is transformed: enough to keep the devices busy, few enough
# to fit beside the complex intermediate results.
ELEMENTS = {"cpu": 2**22, "gpu": 2**26, "tpu": 2**26}


def measure_transforms(arguments: argparse.Namespace) -> None:
    """Measure all shapes, and write and print this device's table of choices."""
    lengths, widths = sizes(arguments.lengths), sizes(arguments.widths)
    path, commit = arguments.to or CHOICES, git_commit()
    shapes = itertools.product(lengths or LENGTHS, widths or WIDTHS, DTYPES)
    rows = [measured_row(*shape) for shape in tqdm([*shapes], unit="shape")]
    write_choices(rows, path, commit)
    print(f"Speed-up over the published formula\n\n{document(rows)}\n\nwrote {path}")


def sizes(text: str) -> list[int]:
    """Return the numbers in a text, in order; commas or spaces separate them.

    >>> sizes("2048,1024")
    [1024, 2048]

    Raises:
      ValueError: one is no whole number, or less than 1.
    """
    typed = names_in(text)
    for each in typed:
        if not each.isdecimal() or not int(each):
            raise ValueError(f"{each!r} is no size; write whole numbers from 1 on")
    return sorted(map(int, typed))


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
    """Return which seconds count: on CPUs those that other work hardly changes."""
    return "processor" if first_device().platform == "cpu" else "wall"


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


def write_choices(
    rows: Sequence[Mapping[str, Any]], path: Path, commit: str | None
) -> None:
    """Write the rows as the part of this kind of device; the other parts stay."""
    parts = json.loads(path.read_text()) if path.exists() else {}
    parts[kind_of(first_device())] = {
        "device": describe_device(make_mesh(jax.local_device_count())),
        "versions": library_versions(),
        "commit": commit,
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


def batch_for(length: int, width: int) -> int:
    """Return how many examples of a shape an array has: a multiple of the devices."""
    devices = jax.local_device_count()
    elements = ELEMENTS[first_device().platform]
    return devices * max(1, round(elements / (length * width * devices)))


def in_network(operator: Operator) -> Operator:
    """Return an operator between element-wise operations, which XLA can fuse."""

    def network(x: Float[Array, "b l d"]) -> Float[Array, "b l d"]:
        scale = float(np.prod(x.shape[-2:])) ** -0.5
        return x + operator(x * x) * scale

    return network


def transform_calls(
    operators: Mapping[str, Operator], shape: tuple[int, int, int], dtype: DTypeLike
) -> dict[str, Callable[[], Array]]:
    """Return calls that apply each operator, forward and backward, to one array.

    All devices share the batch, and compute as many examples together as in training.
    """
    mesh = make_mesh(shape[0])
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    shared = jax.device_put(jnp.asarray(x, dtype), NamedSharding(mesh, P("data")))
    return {
        name: partial(_compiled(operator, shared, mesh), shared)
        for name, operator in operators.items()
    }


def _compiled(
    operator: Operator, x: Float[Array, "b l d"], mesh: Mesh
) -> jax.stages.Compiled:
    """Compile a function of each device's share of a batch."""
    at_once = examples_at_once(mesh, len(x)) // mesh.size

    def on_device(x: Float[Array, "b l d"]) -> tuple[Array, Array]:
        parts = x.reshape(-1, at_once, *x.shape[1:])
        y = jax.lax.map(partial(there_and_back, operator), parts)
        # In a step the devices add up their gradients; without any such exchange JAX
        # may let CPU devices compute one after the other.
        return y.reshape(x.shape), jax.lax.psum(y[0, 0, 0, 0], "data")

    share, out = P("data"), (P("data"), P())
    shared = jax.shard_map(
        on_device, mesh=mesh, in_specs=share, out_specs=out, check_vma=False
    )
    lowered = jax.jit(shared).lower(x)
    options = dict(repeatable_options(mesh, lowered))  # as in a step
    return lowered.compile(compiler_options=options)


def there_and_back(operator: Operator, x: Float[Array, "b l d"]) -> Array:
    """Transform, and pull the result back."""
    # It is its own gradient here: two transforms of the same numbers XLA would do once.
    y, pulled_back = jax.vjp(operator, x)
    return pulled_back(y)[0]
