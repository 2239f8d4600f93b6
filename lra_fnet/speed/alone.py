"""The Fourier transform without a model around it, forward and backward, compiled."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from lra_fnet.mixers._fourier import ALGORITHMS, Operator
from lra_fnet.step import make_mesh

# Numbers in the array that is transformed: enough to keep the devices busy, few enough
# to fit beside the complex intermediate results. On CPUs more do not change the ratios.
ELEMENTS = {"cpu": 2**22}
ELEMENTS_OF_AN_ACCELERATOR = 2**26


def batch_for(length: int, width: int) -> int:
    """Return how many examples of a shape an array has: a multiple of the devices."""
    devices = jax.local_device_count()
    elements = ELEMENTS.get(jax.default_backend(), ELEMENTS_OF_AN_ACCELERATOR)
    return devices * max(1, round(elements / (length * width * devices)))


def transform_calls(
    names: Sequence[str],
    shape: tuple[int, int, int],
    dtype: DTypeLike,
    in_network: bool,
    mesh: Mesh | None = None,
) -> dict[str, Callable[[], Array]]:
    """Return what transforms an array forward and backward, by name of the algorithm.

    Args:
      names: of algorithms.
      shape: batch, length, width.
      dtype: of the array.
      in_network: with element-wise work before and after, as in a network, where XLA
        on CPUs runs a transform on one thread and can fuse what is around it.
      mesh: devices that share the batch, as in training; default: all.
    """
    mesh = mesh or make_mesh(shape[0])
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    shared = jax.device_put(jnp.asarray(x, dtype), NamedSharding(mesh, P("data")))
    body = _in_network if in_network else _there_and_back
    return {
        name: partial(_compiled(partial(body, ALGORITHMS[name]), shared, mesh), shared)
        for name in names
    }


def _compiled(
    body: Callable[[Array], Array], x: Float[Array, "b l d"], mesh: Mesh
) -> jax.stages.Compiled:
    """Compile a function of each device's share of a batch."""

    def on_device(x: Float[Array, "b l d"]) -> tuple[Array, Array]:
        y = body(x)
        # In a step the devices add up their gradients; without any such exchange JAX
        # may let CPU devices compute one after the other.
        return y, jax.lax.psum(y[0, 0, 0], "data")

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


def _in_network(operator: Operator, x: Float[Array, "b l d"]) -> Array:
    """Go there and back through a product, the transform and a residual sum."""
    scale = float(np.prod(x.shape[-2:])) ** -0.5

    def network(x: Float[Array, "b l d"]) -> Float[Array, "b l d"]:
        return x + operator(x * x) * scale

    return _there_and_back(network, x)
