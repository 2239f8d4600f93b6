"""Longformer: a sliding window, and a first position that sees and is seen by all."""

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
from lra_fnet.mixers._blocks import (
    Keys,
    attend,
    join_chunks,
    split_chunks,
    with_neighbors,
)


class Mixer(nn.Module):
    """Mix by softmax(Q K^T / sqrt(k)) V over |i - j| <= w / 2 and j = 0, then project.

    Position 0, the place of CLS, is global: all positions read it, and it reads all
    of them by queries, keys and values of its own.

    Cost O(l w d + l d^2).

    References:
      Beltagy et al., Longformer (2020), https://arxiv.org/abs/2004.05150, section 3.1.
    """

    num_heads: int = 8  # LRA
    qkv_dim: int = 0  # over all heads together; 0: the width of x, as LRA
    dropout_rate: float = 0.1  # of the attention weights; LRA
    window_size: int = 512  # w, positions, half of them on either side; LRA

    formula: ClassVar[str] = (
        "y = softmax(Q K^T / sqrt(k)) V W over |i - j| <= w / 2 and j = 0; y_0 over all"
    )
    cost: ClassVar[str] = "l w d + l d^2"
    exponent: ClassVar[float] = 1.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Attend from every position to the first and the real ones of its window."""
        # LRA: has no global position, and makes its window of masks over all pairs.
        dropout = nn.Dropout(self.dropout_rate, deterministic=not train)
        first = self._first(x, mask, dropout)
        heads = self._window(x, mask, dropout)
        heads = jnp.concatenate([first, heads[:, 1:]], axis=1)
        return from_heads(heads, x.shape[-1])

    def _first(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], dropout: nn.Dropout
    ) -> Float[Array, "b 1 h k"]:
        """Attend from the first position to all."""
        query, key, value = (
            to_heads(part, self.num_heads, self.qkv_dim, f"global_{name}")
            for part, name in ((x[:, :1], "query"), (x, "key"), (x, "value"))
        )
        return weighted_values(dropout(attention_weights(query, key, mask)), value)

    def _window(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], dropout: nn.Dropout
    ) -> Float[Array, "b l h k"]:
        """Attend from blocks of w / 2 queries to the first key and to three blocks."""
        length, radius = x.shape[1], self.window_size // 2
        query, key, value = (
            to_heads(x, self.num_heads, self.qkv_dim, name)
            for name in ("query", "key", "value")
        )
        first = Keys(
            key[:, None, :1], value[:, None, :1], mask[:, None, None, None, :1]
        )
        block = max(1, min(radius, length))
        is_near = near(block, radius)
        # The first key has its own place; in the window it would count twice.
        real = with_neighbors(split_chunks(mask.at[:, 0].set(False), block))
        key, value = (
            with_neighbors(split_chunks(part, block)) for part in (key, value)
        )
        window = Keys(key, value, is_near & real[:, :, None, None])
        heads = attend(split_chunks(query, block), [first, window], dropout)
        return join_chunks(heads, length)


def near(block: int, radius: int) -> Bool[Array, "w 3*w"]:
    """Tell which keys of three blocks are within the radius of a query of the second.

    >>> near(2, 1).astype(int).tolist()
    [[0, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 0]]
    """
    query = block + jnp.arange(block)[:, None]
    return jnp.abs(query - jnp.arange(3 * block)) <= radius
