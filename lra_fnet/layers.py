"""The parts of the encoder that are not mixers: MLP, positions, pooling."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float


class Mlp(nn.Module):
    """Widen, apply GELU (tanh form), and come back to the width of x.

    Vaswani et al. (2017), section 3.3, with the GELU of LRA and FNet.
    """

    mlp_dim: int
    dropout_rate: float

    @nn.compact
    def __call__(self, x: Float[Array, "b l d"], train: bool) -> Float[Array, "b l d"]:
        """Transform every position alone."""
        shape, width = x.shape, x.shape[-1]
        # As a matrix: for gradients of parameters XLA on CPUs would transpose arrays
        # with two axes to sum over, and compute the GELU's derivative in that order.
        x = x.reshape(-1, width)
        x = nn.gelu(_block_dense(self.mlp_dim, x.dtype)(x), approximate=True)
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        x = _block_dense(width, x.dtype)(x)
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        return x.reshape(shape)


def _block_dense(features: int, dtype: jnp.dtype) -> nn.Dense:
    """Return a dense layer with the initialisers of LRA's MLP block."""
    return nn.Dense(
        features,
        dtype=dtype,
        kernel_init=nn.initializers.xavier_uniform(),
        bias_init=nn.initializers.normal(stddev=1e-6),
    )


def sinusoid_positions(length: int, width: int) -> Float[np.ndarray, "l d"]:
    """Return sines in the first half of the columns and cosines in the second.

    Wavelengths grow geometrically from 2 pi to 20,000 pi, as in Vaswani et al. (2017),
    section 3.5; halves instead of interleaved columns, as in LRA's code.

    >>> sinusoid_positions(2, 4).astype(float).round(3).tolist()
    [[0.0, 0.0, 1.0, 1.0], [0.841, 0.0, 0.54, 1.0]]
    """
    num_sines = (width + 1) // 2
    exponents = np.arange(num_sines) / max(num_sines - 1, 1)
    angles = np.arange(length)[:, None] * 10_000.0**-exponents
    waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    return waves[:, :width].astype(np.float32)


def zero_padding(
    x: Float[Array, "b l d"], mask: Bool[Array, "b l"]
) -> Float[Array, "b l d"]:
    """Set the padded positions to zero."""
    return jnp.where(mask[..., None], x, 0)


def masked_mean(
    x: Float[Array, "b l d"], mask: Bool[Array, "b l"]
) -> Float[Array, "b d"]:
    """Average the real positions; zero for a row without any.

    LRA: its MEAN pooling divides by the padded length and adds the padding in.
    """
    count = jnp.maximum(mask.sum(axis=1, keepdims=True), 1)
    total = zero_padding(x, mask).astype(jnp.float32).sum(axis=1)
    return (total / count).astype(x.dtype)
