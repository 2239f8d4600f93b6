"""Parts of attention: projections to and from heads, and a softmax with a mask."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def to_heads(
    x: Float[Array, "b l d"], num_heads: int, qkv_dim: int, name: str
) -> Float[Array, "b l h k"]:
    """Project to the heads, together as wide as x where qkv_dim is 0.

    LRA: projections without bias, Xavier uniform.

    Raises:
      ValueError: the heads cannot share that width evenly.
    """
    width = qkv_dim or x.shape[-1]
    if width % num_heads:
        raise ValueError(f"num_heads is {num_heads}; it must divide the width {width}")
    return nn.DenseGeneral(
        (num_heads, width // num_heads),
        use_bias=False,
        kernel_init=nn.initializers.xavier_uniform(),
        dtype=x.dtype,
        name=name,
    )(x)


def from_heads(heads: Float[Array, "b l h k"], width: int) -> Float[Array, "b l d"]:
    """Project the heads side by side to `width` channels."""
    return nn.DenseGeneral(
        width,
        axis=(-2, -1),
        use_bias=False,
        kernel_init=nn.initializers.xavier_uniform(),
        dtype=heads.dtype,
        name="out",
    )(heads)


def attention_weights(
    query: Float[Array, "b l h k"],
    key: Float[Array, "b m h k"],
    mask: Bool[Array, "b m"],
) -> Float[Array, "b h l m"]:
    """Return softmax(Q K^T / sqrt(k)) over the keys of the mask, in float32.

    Where the mask has none the weights are equal, and finite.
    """
    scores = jnp.einsum(
        "blhk,bmhk->bhlm", query, key, preferred_element_type=jnp.float32
    )
    scores = scores * query.shape[-1] ** -0.5
    lowest = jnp.finfo(jnp.float32).min
    return jax.nn.softmax(jnp.where(mask[:, None, None], scores, lowest), axis=-1)


def weighted_values(
    weights: Float[Array, "b h l m"], value: Float[Array, "b m h k"]
) -> Float[Array, "b l h k"]:
    """Return for every query the sum of values by its weights, in their dtype."""
    return jnp.einsum("bhlm,bmhk->blhk", weights.astype(value.dtype), value)
