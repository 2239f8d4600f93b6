"""Performer: softmax attention through positive orthogonal random features."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._attention import from_heads, kernel_attention, to_heads
from lra_fnet.mixers._seeds import layer_seed


class Mixer(nn.Module):
    """Mix by weights f(q_i) . f(k_j), normalized, then project.

    f(z) = exp(U^T z / k^(1/4) - |z|^2 / (2 sqrt(k))) with m random directions U,
    orthogonal k at a time. The mean of f(q_i) . f(k_j) / m is exp(q_i . k_j / sqrt(k)),
    so that the result tends to softmax attention as m grows. The directions come from
    `seed` and are never redrawn; the paper redraws them during training.

    Cost O(l m d + l d^2).

    References:
      Choromanski et al., Rethinking Attention with Performers (2020),
        https://arxiv.org/abs/2009.14794, lemma 1 and section 2.4 (FAVOR+).
    """

    num_heads: int = 8  # LRA
    qkv_dim: int = 0  # over all heads together; 0: the width of x, as LRA
    num_features: int = 256  # m; LRA's default
    seed: int = 0  # of the directions; the seed of the run does not change them

    formula: ClassVar[str] = (
        "y_i = sum_j w_ij v_j / sum_j w_ij W, w_ij = f(q_i) . f(k_j), f random"
    )
    cost: ClassVar[str] = "l m d + l d^2"
    exponent: ClassVar[float] = 1.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Attend from every position to the real ones, in float32."""
        # LRA: ReLU features, not these, and two of these in ListOps; ignores the mask
        # and draws anew from the sum of the queries.
        query, key, value = (
            to_heads(x, self.num_heads, self.qkv_dim, name).astype(jnp.float32)
            for name in ("query", "key", "value")
        )
        seed = layer_seed(self.seed, self.path)
        directions = orthogonal_directions(query.shape[-1], self.num_features, seed)
        query, key = (exponents(part, jnp.asarray(directions)) for part in (query, key))
        query, key = positive_features(query, key, mask)
        heads = kernel_attention(query, key, value)
        return from_heads(heads.astype(x.dtype), x.shape[-1])


def orthogonal_directions(
    head_dim: int, num_features: int, seed: int
) -> Float[np.ndarray, "k m"]:
    """Draw columns each distributed as a normal vector, orthogonal k at a time.

    >>> directions = orthogonal_directions(3, 7, seed=0)
    >>> bool(abs(directions[:, 0] @ directions[:, 2]) < 1e-5)
    True
    """
    random = np.random.default_rng(seed)
    num_squares = -(-num_features // head_dim)
    squares = random.normal(size=(num_squares, head_dim, head_dim))
    rotations, triangles = np.linalg.qr(squares)
    # The signs that LAPACK leaves make directions that favor one side.
    rotations = rotations * np.sign(np.einsum("skk->sk", triangles))[:, None]
    rotations = np.concatenate(rotations, axis=1)[:, :num_features]
    norms = np.linalg.norm(random.normal(size=(head_dim, num_features)), axis=0)
    return (rotations * norms).astype(np.float32)


def exponents(
    heads: Float[Array, "b l h k"], directions: Float[Array, "k m"]
) -> Float[Array, "b l h m"]:
    """Return U^T z / k^(1/4) - |z|^2 / (2 sqrt(k)), the logarithms of the features."""
    heads = heads * heads.shape[-1] ** -0.25
    squares = jnp.sum(heads**2, axis=-1, keepdims=True)
    return jnp.einsum("blhk,km->blhm", heads, directions) - squares / 2


def positive_features(
    query: Float[Array, "b l h m"],
    key: Float[Array, "b l h m"],
    mask: Bool[Array, "b l"],
) -> tuple[Float[Array, "b l h m"], Float[Array, "b l h m"]]:
    """Return the exponentials, up to a factor per query that the normalizer cancels.

    Each feature of the keys is divided by its largest over the real positions, and
    that of the queries multiplied by it: a query's largest feature is then 1 and meets
    a sum of at least 1, so that nothing overflows, nor all of a row underflows.
    """
    is_real = mask[:, :, None, None]
    lowest = -1e30
    largest = jnp.max(jnp.where(is_real, key, lowest), axis=1, keepdims=True)
    largest = jax.lax.stop_gradient(largest)
    key = jnp.exp(jnp.where(is_real, key - largest, lowest))
    query = query + largest
    top = jax.lax.stop_gradient(query.max(axis=-1, keepdims=True))
    return jnp.exp(query - top), key
