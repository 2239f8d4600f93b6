"""ChordMixer: rotate groups of channels by powers of two."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int


class Mixer(nn.Module):
    """Mix by y_g[i] = x_g[(i + offset_g) mod n] with offsets 0, 1, 2, 4, 8, ...

    The channels are cut in groups g of almost equal size, one per offset below the
    length l. n is the number of real tokens of each sequence and i counts them, so
    that padding never enters; padded positions stay as they are. After log2 l layers
    every token has reached every other. The channels are combined by the MLP of the
    encoder. Where there are fewer channels than offsets, the largest are left out.

    In the paper one residual spans an MLP and the rotation after it, without a norm.

    Cost O(l d), no parameters.

    References:
      Khalitov et al., ChordMixer (2022), https://arxiv.org/abs/2206.05852, the Rotate
        step.
    """

    formula: ClassVar[str] = "y_g[i] = x_g[(i + 2^g) mod n]"
    cost: ClassVar[str] = "l d"
    exponent: ClassVar[float] = 1.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Rotate each group over the real tokens."""
        offsets = chord_offsets(x.shape[1])
        sizes = [
            len(part) for part in np.array_split(np.arange(x.shape[2]), len(offsets))
        ]
        groups = jnp.split(x, np.cumsum(sizes)[:-1].tolist(), axis=-1)
        turned = [
            _gather(group, rotation(mask, offset)) if offset else group
            for group, offset in zip(groups, offsets, strict=True)
        ]
        return jnp.concatenate(turned, axis=-1)


def chord_offsets(length: int) -> list[int]:
    """Return 0 and the powers of two below the length.

    >>> chord_offsets(9)
    [0, 1, 2, 4, 8]
    """
    return [0, *(2**k for k in range((length - 1).bit_length()))]


def rotation(mask: Bool[Array, "b l"], offset: int) -> Int[Array, "b l"]:
    """Return the position that each reads: the real token `offset` further on."""
    # The real positions in order, and which of them each position is.
    positions = jnp.argsort(~mask, axis=1, stable=True)
    rank = jnp.cumsum(mask, axis=1) - 1
    count = jnp.maximum(mask.sum(axis=1, keepdims=True), 1)
    source = jnp.take_along_axis(positions, (rank + offset) % count, axis=1)
    return jnp.where(mask, source, jnp.arange(mask.shape[1]))


def _gather(
    group: Float[Array, "b l c"], source: Int[Array, "b l"]
) -> Float[Array, "b l c"]:
    """Read every position from its source; no two read the same.

    Saying so makes the derivative a permutation instead of a sum with conflicts.
    """
    rows = jnp.arange(len(group))[:, None]
    reads = group.at[rows, source]
    return reads.get(unique_indices=True, mode="promise_in_bounds")
