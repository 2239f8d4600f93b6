"""BigBird: every block reads its neighbors, a few global blocks and random ones."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from lra_fnet.mixers._attention import (
    attention_weights,
    from_heads,
    to_heads,
    weighted_values,
)
from lra_fnet.mixers._blocks import Keys, attend, join_chunks, split_chunks
from lra_fnet.mixers._seeds import layer_seed


class Mixer(nn.Module):
    """Mix by softmax(Q K^T / sqrt(k)) V over window, global and random blocks.

    A block of w positions reads n blocks around it, g global ones and r random ones;
    the global blocks read everything. The random ones are drawn once, for all heads,
    others in every layer.

    Cost O(l (n + g + r) w d + l d^2).

    References:
      Zaheer et al., Big Bird (2020), https://arxiv.org/abs/2007.14062, section 2 and
        appendix D (the internal construction, by blocks).
    """

    num_heads: int = 8  # LRA
    qkv_dim: int = 0  # over all heads together; 0: the width of x, as LRA
    dropout_rate: float = 0.1  # of the attention weights; LRA
    block_size: int = 64  # w, positions; LRA
    num_window_blocks: int = 3  # n, odd: the block itself and those on either side; LRA
    num_global_blocks: int = 2  # g, the first of the sequence; LRA has two as well
    num_random_blocks: int = 3  # r, besides the others; LRA
    seed: int = 0  # of the random blocks; the seed of the run does not change them

    formula: ClassVar[str] = (
        "y = softmax(Q K^T / sqrt(k)) V W over window, global and random blocks"
    )
    cost: ClassVar[str] = "l (n + g + r) w d + l d^2"
    exponent: ClassVar[float] = 1.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Attend from every position to the real ones of its blocks."""
        length, width = x.shape[1:]
        block = min(self.block_size, length)
        query, key, value = (
            split_chunks(to_heads(x, self.num_heads, self.qkv_dim, name), block)
            for name in ("query", "key", "value")
        )
        real = split_chunks(mask, block)
        # LRA: the first and the last block are global; the last is padding in most
        # documents, so here they are the first ones. It also takes the padding that
        # fills the last block for real.
        num_global = min(self.num_global_blocks, query.shape[1])
        dropout = nn.Dropout(self.dropout_rate, deterministic=not train)
        groups = [
            global_keys(key, value, real, num_global),
            self._other_keys(key, value, real, num_global),
        ]
        heads = attend(query[:, num_global:], groups, dropout)
        everything = read_all(query[:, :num_global], key, value, real, dropout)
        heads = jnp.concatenate([everything, heads], axis=1)
        return from_heads(join_chunks(heads, length), width)

    def _other_keys(
        self,
        key: Float[Array, "b n w h k"],
        value: Float[Array, "b n w h k"],
        real: Bool[Array, "b n w"],
        num_global: int,
    ) -> Keys:
        """Gather for each block that is not global its window and random blocks."""
        chosen = choose_blocks(
            num_blocks=key.shape[1],
            num_global=num_global,
            num_window=self.num_window_blocks,
            num_random=self.num_random_blocks,
            seed=layer_seed(self.seed, self.path),
        )
        key, value, real = (part[:, chosen] for part in (key, value, real))
        return _joined(key, value, real & (chosen >= 0)[..., None])


def global_keys(
    key: Float[Array, "b n w h k"],
    value: Float[Array, "b n w h k"],
    real: Bool[Array, "b n w"],
    num_global: int,
) -> Keys:
    """Return the keys of the first blocks, for the queries of all the others."""
    return _joined(*(part[:, None, :num_global] for part in (key, value, real)))


def read_all(
    query: Float[Array, "b g w h k"],
    key: Float[Array, "b n w h k"],
    value: Float[Array, "b n w h k"],
    real: Bool[Array, "b n w"],
    dropout: nn.Dropout,
) -> Float[Array, "b g w h k"]:
    """Attend from a few blocks to everything."""
    rows, key, value, real = (
        part.reshape(len(part), -1, *part.shape[3:])
        for part in (query, key, value, real)
    )
    weights = dropout(attention_weights(rows, key, real))
    return weighted_values(weights, value).reshape(query.shape)


def _joined(
    key: Float[Array, "b n c w h k"],
    value: Float[Array, "b n c w h k"],
    real: Bool[Array, "b n c w"],
) -> Keys:
    """Put the c blocks that a block reads one after the other."""
    batch, rows, chosen, block, *heads = key.shape
    shape = (batch, rows, chosen * block)
    real = real.reshape(shape)[:, :, None, None]
    return Keys(key.reshape(*shape, *heads), value.reshape(*shape, *heads), real)


def choose_blocks(
    num_blocks: int, num_global: int, num_window: int, num_random: int, seed: int
) -> Int[np.ndarray, "rows chosen"]:
    """List for each block after the global ones its window and its random blocks.

    None is global, none is listed twice; -1 fills rows that have fewer.

    >>> choose_blocks(5, num_global=1, num_window=3, num_random=0, seed=0).tolist()
    [[1, 2, -1], [1, 2, 3], [2, 3, 4], [3, 4, -1]]
    """
    random = np.random.default_rng(seed)
    others = np.arange(num_global, num_blocks)
    rows = []
    for row in others:
        in_window = np.abs(others - row) <= num_window // 2
        drawn = random.permutation(others[~in_window])[:num_random]
        rows.append([*others[in_window], *sorted(drawn)])
    most = max(map(len, rows), default=0)
    padded = [row + [-1] * (most - len(row)) for row in rows]
    return np.array(padded, int).reshape(len(rows), most)
