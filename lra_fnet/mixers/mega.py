"""Mega: an exponential moving average, then gated attention with one head."""

import math
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lra_fnet.mixers._attention import rotated
from lra_fnet.mixers._blocks import join_chunks, split_chunks
from lra_fnet.mixers._convolution import exponential_sum, long_convolution
from lra_fnet.mixers._products import pair_products, weighted_sums
from lra_fnet.model import zero_padding

ATTENTION_FUNCTIONS = ("softmax", "laplace")


class Mixer(nn.Module):
    """Mix by o = f(Q K^T / t + bias) V inside chunks, Q and K of m = EMA(x), and gates.

    The layer's result (1 - g) x + g silu(W m + U (r o)), with gates g = sigmoid(W_g m)
    and r = silu(W_r m), holds its own residual. The encoder adds x to what is returned
    here, so that is g (silu(W m + U (r o)) - x). Q and K are scaled and shifted copies
    of silu(W_z m), V is silu(W_v x), and the bias is a learned function of distance.

    This replaces the whole residual sum where the norm follows it, as in the paper's
    text tasks; with the norm before, x here is the normalized one. The averages run in
    both directions; that of the future starts at the next token, so that the token
    itself counts once. The causal form has the average of the past alone, and attends
    to the chunk's positions so far.

    Cost O(l c d + l d log l + l d^2), chunks of c.

    References:
      Ma et al., Mega (2022), https://arxiv.org/abs/2209.10655, sections 3.1 to 3.5.
    """

    # The order of the text tasks; the released image runs normalize before.
    norm_placement: ClassVar[str] = "post"
    formula: ClassVar[str] = (
        "y = g (silu(W m + U (r o)) - x), o = f(Q K^T / t + bias) V, m = EMA(x)"
    )
    cost: ClassVar[str] = "l c d + l d log l + l d^2"
    exponent: ClassVar[float] = 1.0

    ema_dim: int = 16  # averages per channel and direction; the paper's
    attention_dim: int = 64  # width of Q and K
    value_factor: int = 2  # width of V in widths of x
    chunk_size: int = 128  # tokens that attend to each other, Mega-chunk; 0: all, Mega
    attention_function: str = "softmax"  # as the text tasks; or "laplace"
    dropout_rate: float = 0.1  # of the attention weights; LRA's
    causal: bool = False  # encoder.causal sets it

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Average over the real tokens, attend to those of the chunk, and gate."""
        x, width = zero_padding(x, mask), x.shape[-1]
        value_dim = self.value_factor * width
        moved = MovingAverage(self.ema_dim, self.causal, name="ema")(x)
        value = nn.silu(_dense(value_dim, x.dtype, "value")(x))
        heads = self._attend(moved, value, mask, train)
        reset = nn.silu(_dense(value_dim, x.dtype, "reset")(moved))
        update = nn.sigmoid(_dense(width, x.dtype, "update")(moved))
        candidate = _dense(width, x.dtype, "from_average")(moved)
        candidate += _dense(width, x.dtype, "from_heads", False)(reset * heads)
        return update * (nn.silu(candidate) - x)

    def _attend(
        self,
        moved: Float[Array, "b l d"],
        value: Float[Array, "b l v"],
        mask: Bool[Array, "b l"],
        train: bool,
    ) -> Float[Array, "b l v"]:
        """Return for each position the weighted sum of the values of its chunk."""
        length = moved.shape[1]
        size = min(self.chunk_size or length, length)
        parts = (*self._query_and_key(moved), value, mask)
        query, key, value, mask = (split_chunks(part, size) for part in parts)
        scores = pair_products(query, key)
        keys = mask[:, :, None]
        if self.causal:
            keys = keys & jnp.tril(jnp.ones((size, size), bool))
        weights = self._weights(scores, keys)
        dropout = nn.Dropout(self.dropout_rate, deterministic=not train)
        weights = dropout(weights).astype(value.dtype)
        heads = weighted_sums(weights, value).astype(value.dtype)
        return join_chunks(heads, length)

    def _query_and_key(
        self, moved: Float[Array, "b l d"]
    ) -> tuple[Float[Array, "b l z"], Float[Array, "b l z"]]:
        """Scale and shift one projection in two ways.

        A shift of the keys adds the same to all scores of a query, which the softmax
        takes out again: only the Laplace function has it.
        """
        shared = nn.silu(_dense(self.attention_dim, moved.dtype, "shared")(moved))
        query, key = self._scaled("query", shared), self._scaled("key", shared)
        if self.attention_function != "softmax":
            key = self._shifted("key", key)
        return self._shifted("query", query), key

    def _scaled(self, name: str, z: Float[Array, "b l z"]) -> Float[Array, "b l z"]:
        """Multiply every column by a learned factor."""
        init = nn.initializers.normal(0.02)
        return z * self.param(f"{name}_scale", init, z.shape[-1:]).astype(z.dtype)

    def _shifted(self, name: str, z: Float[Array, "b l z"]) -> Float[Array, "b l z"]:
        """Add a learned number to every column."""
        init = nn.initializers.zeros
        return z + self.param(f"{name}_shift", init, z.shape[-1:]).astype(z.dtype)

    def _weights(
        self, scores: Float[Array, "b c s s"], keys: Bool[Array, "b c #s s"]
    ) -> Float[Array, "b c s s"]:
        """Apply the attention function to the keys that count.

        Raises:
          ValueError: `attention_function` is neither of the choices.
        """
        bias = self._distance_bias(scores.shape[-1])
        if self.attention_function == "softmax":
            scores = scores / math.sqrt(self.attention_dim) + bias
            lowest = jnp.finfo(jnp.float32).min
            weights = jax.nn.softmax(jnp.where(keys, scores, lowest), axis=-1)
            # Else a position that may read nothing would read the future.
            return jnp.where(keys, weights, 0) if self.causal else weights
        if self.attention_function == "laplace":
            count = jnp.maximum(keys.sum(axis=-1, keepdims=True), 1)
            return jnp.where(keys, laplace(scores / count + bias), 0)
        raise ValueError(
            f"attention_function is {self.attention_function!r}; "
            f"choose from {ATTENTION_FUNCTIONS}"
        )

    def _distance_bias(self, size: int) -> Float[Array, "s s"]:
        """Return products of two learned vectors turned by their positions.

        The paper's rotary bias: unlike a table of distances it has no longest one.
        """
        init = nn.initializers.normal(0.02)
        left, right = self.param("bias", init, (2, self.attention_dim))
        shape = (1, size, 1, self.attention_dim)
        left = rotated(jnp.broadcast_to(left, shape), 1e4)[0, :, 0]
        right = rotated(jnp.broadcast_to(right, shape), 1e4)[0, :, 0]
        return left @ right.T


class MovingAverage(nn.Module):
    """Average by silu(y + w x), y = sum over h of c_h EMA_h(x), in both directions.

    EMA_h is the damped average s_t = a b x_t + (1 - a e) s_{t-1}, with a and e in
    (0, 1) per channel and h. The released code adds w x and the SiLU to the paper's
    equations 4 to 6. Computed as a convolution, in float32.
    """

    ema_dim: int  # averages per channel and direction
    causal: bool  # the direction of the past alone

    @nn.compact
    def __call__(self, x: Float[Array, "b l d"]) -> Float[Array, "b l d"]:
        """Average over both sides of every position."""
        length, width = x.shape[1:]
        kernels = self._kernels(length, width)
        skip = self.param("skip", nn.initializers.normal(1.0), (width,))
        average = long_convolution(x.astype(jnp.float32), *kernels)
        return nn.silu(average + skip * x).astype(x.dtype)

    def _kernels(self, length: int, width: int) -> list[Float[Array, "l d"]]:
        """Return the kernel of the past and, unless causal, that of the future."""
        shape = (1 if self.causal else 2, width, self.ema_dim)
        normal = nn.initializers.normal
        rate = nn.sigmoid(self.param("rate", normal(0.2), shape))
        damping = nn.sigmoid(self.param("damping", normal(0.2), shape))
        expansion = self.param("expansion", _alternating, shape)
        readout = self.param("readout", normal(self.ema_dim**-0.5), shape)
        weights = rate * expansion * readout
        # Float32 rounds a saturated product to 1, whose complement has no logarithm.
        log_decay = jnp.log(jnp.maximum(1 - rate * damping, 1e-6))
        return [
            exponential_sum(*direction, length)
            for direction in zip(weights, log_decay, strict=True)
        ]


def laplace(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return the normal distribution function that comes closest to relu(x)^2.

    Its mean is sqrt(1/2) and its standard deviation sqrt(1 / (4 pi)), so that value
    and slope agree at sqrt(1/2).

    >>> laplace(jnp.array([0.5**0.5]))
    Array([0.5], dtype=float32)
    """
    return (1 + jax.lax.erf((x - math.sqrt(0.5)) * math.sqrt(2 * math.pi))) / 2


def _alternating(key: Array, shape: tuple[int, ...]) -> Float[Array, "*shape"]:
    """Draw values near 1 and -1 in turns along the last axis."""
    signs = 1 - 2 * (jnp.arange(shape[-1]) % 2)
    return signs + 0.02 * jax.random.normal(key, shape)


def _dense(
    features: int, dtype: jnp.dtype, name: str, use_bias: bool = True
) -> nn.Dense:
    """Return a projection, initialized as LRA's are."""
    init = nn.initializers.xavier_uniform()
    return nn.Dense(features, use_bias, dtype, kernel_init=init, name=name)
