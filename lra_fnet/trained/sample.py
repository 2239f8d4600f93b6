"""Text that a trained language model writes, byte by byte."""

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree, UInt

from lra_fnet.step import Program
from lra_fnet.trained.restore import restore
from tasks.corpus import decode
from tasks.text import encode


def sample(
    workdir: Path, start: str, seed: str, temperature: float, draw: int
) -> Iterator[bytes]:
    """Yield the start, then one byte at a time until a window of the model is full.

    The model reads the whole window for each byte; it is causal, so that what is not
    written yet changes nothing.

    Args:
      workdir: of a run on a corpus, with train.objective=causal.
      start: what the text begins with.
      seed: of the run, as typed; "" where it has one.
      temperature: logits are divided by it; 0: always the most probable byte.
      draw: another text for another number.

    Raises:
      ValueError: the run is no language model or has no such seed, or the start is
        empty or fills the window.
      WorkdirError, CheckpointError: see `restore`.
    """
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature is {temperature}; it must be >= 0 and finite")
    if not 0 <= draw < 2**32:
        raise ValueError(f"draw is {draw}; it must be from 0 to 2^32 - 1")
    run = restore(workdir)
    if run.config.train.objective != "causal" or run.task.answer_length:
        raise ValueError(
            f"{workdir} holds no language model of a text; make task=corpus data=DIR "
            "trains one"
        )
    _, _, params = run.chosen(seed)
    ids, length = encode(start.encode()), run.task.max_length
    if not 0 < len(ids) < length:
        raise ValueError(
            f"the start has {len(ids)} bytes; the model needs 1 to {length - 1}"
        )
    yield decode(ids)
    window = jnp.zeros(length, jnp.uint8).at[: len(ids)].set(ids)
    key = jax.random.key(draw)
    for position in range(len(ids), length):
        logits = _logits(run.program, params, window, position - 1)
        chosen = _choose(logits, jax.random.fold_in(key, position), temperature)
        window = window.at[position].set(chosen)
        yield decode(np.array([chosen]))


@partial(jax.jit, static_argnums=0)
def _logits(
    program: Program,
    params: PyTree,
    window: UInt[Array, "l"],
    position: Int[Array, ""],
) -> Float[Array, "c"]:
    """Return the logits of the id that follows a position; padding never does."""
    with program.tracing():
        found: Any = program.model.apply({"params": params}, window[None], train=False)
    return found.logits[0, position].at[0].set(-jnp.inf)


def _choose(logits: Float[Array, "c"], key: Array, temperature: float) -> int:
    """Draw an id by its probability at a temperature."""
    if not temperature:
        return int(jnp.argmax(logits))
    return int(jax.random.categorical(key, logits / temperature))
