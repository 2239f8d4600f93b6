"""The matrix products of attention, whose derivatives leave the weights as they lie.

The derivative of each has a product with the transposed weights, W^T V, whose W is the
largest array there is. XLA turns it around in memory first, on CPUs for up to half of
the time of a training step. (V^T W)^T is the same and turns around what is small.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lra_fnet.hardware import target


@jax.custom_vjp
def pair_products(
    query: Float[Array, "... q k"], key: Float[Array, "... m k"]
) -> Float[Array, "... q m"]:
    """Return Q K^T, added up in float32."""
    return product(query, turned(key))


def _of_pairs(saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    """Return the gradients of queries and keys."""
    query, key = saved
    to_query = product(gradient.astype(key.dtype), key)
    to_key = turned_product(gradient.astype(query.dtype), query)
    return to_query.astype(query.dtype), to_key.astype(key.dtype)


pair_products.defvjp(lambda *qk: (pair_products(*qk), qk), _of_pairs)


@jax.custom_vjp
def weighted_sums(
    weights: Float[Array, "... q m"], value: Float[Array, "... m v"]
) -> Float[Array, "... q v"]:
    """Return W V, added up in float32."""
    return product(weights, value)


def _of_sums(saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    """Return the gradients of weights and values."""
    weights, value = saved
    to_weights = product(gradient.astype(value.dtype), turned(value))
    to_value = turned_product(weights, gradient.astype(weights.dtype))
    return to_weights.astype(weights.dtype), to_value.astype(value.dtype)


weighted_sums.defvjp(lambda *wv: (weighted_sums(*wv), wv), _of_sums)


def turned_product(
    weights: Float[Array, "... q m"], values: Float[Array, "... q v"]
) -> Float[Array, "... m v"]:
    """Return W^T V, added up in float32; on CPUs as (V^T W)^T.

    XLA would undo that without the barriers.
    """
    if target().platform != "cpu":
        return product(turned(weights), values)
    as_written = jax.lax.optimization_barrier
    return turned(as_written(product(as_written(turned(values)), weights)))


def product(
    left: Float[Array, "... a b"], right: Float[Array, "... b c"]
) -> Float[Array, "... a c"]:
    """Multiply matrices and add up in float32."""
    return jnp.matmul(left, right, preferred_element_type=jnp.float32)


def turned(matrix: Float[Array, "... a b"]) -> Float[Array, "... b a"]:
    """Return the transposed matrix, or matrices."""
    return jnp.swapaxes(matrix, -1, -2)
