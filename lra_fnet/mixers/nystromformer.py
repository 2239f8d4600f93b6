"""Nystromformer: softmax attention of low rank, through landmarks."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._attention import (
    attention_weights,
    from_heads,
    to_heads,
    weighted_values,
)
from lra_fnet.mixers._convolution import depthwise_conv
from lra_fnet.model import zero_padding


class Mixer(nn.Module):
    """Mix by S(Q, K~) S(Q~, K~)^+ S(Q~, K) V + conv(V) in parallel heads, then project.

    S(Q, K) = softmax(Q K^T / sqrt(k)). The landmarks Q~ and K~ are the means of m
    segments of the queries and the keys, over their real tokens. The pseudoinverse is
    iterated; with a landmark per token the result is softmax attention.

    Cost O(l m d + m^3 h + l d^2), h heads.

    References:
      Xiong et al., Nystromformer (2021), https://arxiv.org/abs/2102.03902, section 3,
        and figure 2 for the convolution over V.
    """

    num_heads: int = 8  # LRA
    qkv_dim: int = 0  # over all heads together; 0: the width of x, as LRA
    dropout_rate: float = 0.1  # of the weights by which landmarks read tokens; LRA
    num_landmarks: int = 128  # m, at most, of equal segments; the authors' LRA runs
    num_iterations: int = 6  # of the pseudoinverse; usual
    kernel_size: int = 35  # positions of the convolution per head; their LRA runs

    formula: ClassVar[str] = "y = (S(Q, K~) S(Q~, K~)^+ S(Q~, K) V + conv(V)) W"
    cost: ClassVar[str] = "l m d + m^3 h + l d^2"
    exponent: ClassVar[float] = 1.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Attend from every position to the real ones, through the landmarks."""
        query, key, value = (
            to_heads(x, self.num_heads, self.qkv_dim, name)
            for name in ("query", "key", "value")
        )
        query_means, _ = segment_means(query, mask, self.num_landmarks)
        key_means, is_real = segment_means(key, mask, self.num_landmarks)
        to_landmarks = attention_weights(query, key_means, is_real)
        between = attention_weights(query_means, key_means, is_real)
        between = jnp.where(is_real[:, None, :, None], between, 0)
        to_tokens = attention_weights(query_means, key, mask)
        dropout = nn.Dropout(self.dropout_rate, deterministic=not train)
        summaries = weighted_values(dropout(to_tokens), value)
        inverse = pseudoinverse(between, self.num_iterations)
        summaries = weighted_values(inverse, summaries.astype(jnp.float32))
        heads = weighted_values(to_landmarks, summaries).astype(x.dtype)
        return from_heads(heads + self._skip(value, mask), x.shape[-1])

    def _skip(
        self, value: Float[Array, "b l h k"], mask: Bool[Array, "b l"]
    ) -> Float[Array, "b l h k"]:
        """Convolve the real values over positions."""
        head_dim = value.shape[-1]
        init = nn.initializers.normal(self.kernel_size**-0.5)
        kernel = self.param("kernel", init, (self.kernel_size, self.num_heads))
        flat = zero_padding(value.reshape(*value.shape[:2], -1), mask)
        return depthwise_conv(flat, kernel.repeat(head_dim, axis=1)).reshape(
            value.shape
        )


def segment_means(
    heads: Float[Array, "b l h k"], mask: Bool[Array, "b l"], num_landmarks: int
) -> tuple[Float[Array, "b m h k"], Bool[Array, "b m"]]:
    """Average the real tokens of each segment, and tell which segments have any."""
    batch, length, *rest = heads.shape
    size = -(-length // num_landmarks)
    extra = -length % size
    heads = jnp.where(mask[:, :, None, None], heads, 0)
    heads = jnp.pad(heads, ((0, 0), (0, extra), (0, 0), (0, 0)))
    count = jnp.pad(mask, ((0, 0), (0, extra))).reshape(batch, -1, size).sum(axis=2)
    total = heads.reshape(batch, -1, size, *rest).astype(jnp.float32).sum(axis=2)
    means = total / jnp.maximum(count, 1)[:, :, None, None]
    return means.astype(heads.dtype), count > 0


def pseudoinverse(
    matrix: Float[Array, "b h m m"], num_iterations: int
) -> Float[Array, "b h m m"]:
    """Return the Moore-Penrose inverse by iteration; zero rows and columns stay zero.

    Z <- Z (13 I - M Z (15 I - M Z (7 I - M Z))) / 4 from Z = M^T / (|M|_1 |M|_inf).
    The norms are those of each matrix; the authors' code takes one over the batch,
    which makes a result depend on its neighbors.
    """
    identity = jnp.eye(matrix.shape[-1])
    columns, rows = (jnp.abs(matrix).sum(axis).max(-1) for axis in (-2, -1))
    # Rows of a softmax sum to 1, so that both norms are at least 1, or 0.
    norms = jnp.maximum(columns * rows, 1)[..., None, None]
    inverse = jnp.swapaxes(matrix, -1, -2) / norms
    for _ in range(num_iterations):
        product = _multiply(matrix, inverse)
        inner = _multiply(product, 7 * identity - product)
        inner = _multiply(product, 15 * identity - inner)
        inverse = _multiply(inverse, 13 * identity - inner) / 4
    return inverse


def _multiply(
    left: Float[Array, "b h m m"], right: Float[Array, "b h m m"]
) -> Float[Array, "b h m m"]:
    """Multiply in full float32: errors would grow with every iteration."""
    return jnp.matmul(left, right, precision="highest")
