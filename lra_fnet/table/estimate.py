"""What a cell will cost, read off the trace of its training step; nothing is computed.

Operations are counted (see flops.py), so they are the same on every machine, and with
them the order of cells and the shards. Memory is that of all values of the step that
live at once, in the order in which they are written. A compiler does better, by fusing
what is element-wise: over the grid's twelve models on ListOps and Image, `lra2020` in
batches of 2 and `quick` in batches of 8, XLA's own figure on CPUs is 65 to 96 % of this
one. So it is an upper estimate.
"""

import dataclasses
import sys
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
from tqdm import tqdm

from lra_fnet.config import make_program
from lra_fnet.flops import count_flops
from lra_fnet.step import Program, make_mesh
from lra_fnet.table.cells import Cell, Protocol
from lra_fnet.table.memory import largest_live_bytes


@dataclasses.dataclass(frozen=True)
class Cost:
    """Hold what a cell of a protocol is estimated to need.

    Attributes:
      operations: floating-point operations of all its training steps.
      memory: bytes of a step on one device, the batch in one part.
      problem: why there is no estimate, such as a model that cannot be built.
    """

    operations: float
    memory: int
    problem: str = ""


Costs = dict[Protocol, Cost]


def estimate_all(cells: Iterable[Cell]) -> Costs:
    """Return the cost of every protocol of the cells; about half a second for each."""
    protocols = list(dict.fromkeys(cell.protocol for cell in cells))
    shown = tqdm(
        protocols,
        desc="estimating the cost",
        file=sys.stdout,
        disable=not sys.stdout.isatty(),
        leave=False,
    )
    costs = {protocol: estimate(protocol) for protocol in shown}
    jax.clear_caches()  # this process waits for hours; the memory is for the others
    return costs


def estimate(protocol: Protocol) -> Cost:
    """Return the cost of a cell of a protocol.

    What cannot be traced costs nothing: it will fail, and had better do so first.
    """
    try:
        program = trace_step(protocol).jaxpr
    except Exception as error:  # whatever a mixer raises; its run will say the same
        return Cost(0.0, 0, f"{type(error).__name__}: {error}".splitlines()[0])
    operations = protocol.config.train.num_steps * count_flops(program)
    return Cost(operations, largest_live_bytes(program))


def trace_step(protocol: Protocol) -> jax.stages.Traced:
    """Trace a training step on one device, from shapes alone."""
    config, task = protocol.config, protocol.data.task
    mesh = make_mesh(1)
    program = dataclasses.replace(make_program(config, task), mesh=mesh)
    documents = (task.num_documents,) if task.num_documents > 1 else ()
    batch_size = config.train.batch_size
    num_examples = max(protocol.data.num_train, batch_size)
    shape = (num_examples, *documents, task.max_length)
    inputs = jax.ShapeDtypeStruct(shape, jnp.uint8)
    seeds, labels, indices, num_steps = (
        jax.ShapeDtypeStruct(shape, jnp.int32)
        for shape in ((1,), (num_examples,), (1, 1, batch_size), ())
    )
    state = jax.eval_shape(program.init, seeds, inputs)
    call = (state, inputs, labels, indices, num_steps)
    return Program.train.trace(program, *call)


def cheapest_first(cells: Sequence[Cell], costs: Costs) -> list[Cell]:
    """Return the cells by their operations; in the order of the grid where equal."""
    return sorted(cells, key=lambda cell: costs[cell.protocol].operations)
