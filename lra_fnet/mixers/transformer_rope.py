"""The Transformer with rotary positions and, where there is one, a fused kernel."""

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lra_fnet.hardware import target
from lra_fnet.mixers._attention import from_heads, rotated, to_heads
from lra_fnet.mixers._tiled_attention import attend_in_tiles

IMPLEMENTATIONS = ("auto", "cudnn", "tiled", "xla")


class Mixer(nn.Module):
    """Mix by softmax(R(Q) R(K)^T / sqrt(k)) V in parallel heads, then project.

    R turns the pair of channels j of the vector at position n by the angle
    n base^(-2 j / k), so that scores depend on positions by their difference alone.

    Pairs are channels j and j + k / 2 instead of the paper's 2 j and 2 j + 1, which a
    permutation of the projections makes up for. Attention weights have no dropout,
    unlike LRA's: fused kernels have none.

    Cost O(l^2 d + l d^2); memory O(l d) in a fused kernel and O(l^2) in XLA's; in tiles
    as the Transformer.

    References:
      Su et al., RoFormer (2021), https://arxiv.org/abs/2104.09864, section 3.2.
    """

    num_heads: int = 8  # LRA
    qkv_dim: int = 0  # over all heads together; 0: the width of x, as LRA
    rotary_base: float = 1e4  # ratio of the slowest to the fastest turn; the paper's
    # "cudnn", which computes in bfloat16; "tiled"; "xla"; "auto": one of the first two
    implementation: str = "auto"
    causal: bool = False  # encoder.causal sets it; in tiles alone

    formula: ClassVar[str] = "y = softmax(R(Q) R(K)^T / sqrt(k)) V W"
    cost: ClassVar[str] = "l^2 d + l d^2"
    exponent: ClassVar[float] = 2.0

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Attend from real positions to real ones; padding reads zeros."""
        query, key, value = (
            to_heads(x, self.num_heads, self.qkv_dim, name)
            for name in ("query", "key", "value")
        )
        query, key = (rotated(heads, self.rotary_base) for heads in (query, key))
        kernel = self._kernel(query)
        if kernel == "cudnn":
            heads = _fused_attention(query, key, value, mask)
        elif kernel == "tiled":
            platform = target().platform
            heads = attend_in_tiles(
                *(query, key, value, mask),
                platform=platform,
                causal=self.causal,
                query_mask=mask,
            )
        else:
            heads = jax.nn.dot_product_attention(
                query, key, value, mask=mask[:, None, None, :], implementation="xla"
            )
        heads = jnp.where(mask[..., None, None], heads, 0)  # as tiles leave padding
        return from_heads(heads, x.shape[-1])

    def _kernel(self, query: Float[Array, "b l h k"]) -> str:
        """Return the implementation: for "auto", cuDNN's where it is exact enough.

        Raises:
          ValueError: `implementation` is none of the choices, or not causal.
        """
        if self.implementation not in IMPLEMENTATIONS:
            raise ValueError(
                f"implementation is {self.implementation!r}; "
                f"choose from {IMPLEMENTATIONS}"
            )
        if self.causal and self.implementation not in ("auto", "tiled"):
            raise ValueError(
                f"implementation {self.implementation!r} is not causal; take 'tiled'"
            )
        if self.causal or self.implementation != "auto":
            return self.implementation.replace("auto", "tiled")
        head_dim = query.shape[-1]
        fits = query.dtype == jnp.bfloat16 and head_dim % 8 == 0 and head_dim <= 128
        return "cudnn" if fits and _has_fused_attention(target()) else "tiled"


def _has_fused_attention(device: Any) -> bool:
    """Tell whether cuDNN's kernel runs there: NVIDIA's, from Ampere (8.0) on."""
    generation = str(getattr(device, "compute_capability", "")).split(".")[0]
    return generation.isdigit() and int(generation) >= 8


def _fused_attention(
    query: Float[Array, "b l h k"],
    key: Float[Array, "b l h k"],
    value: Float[Array, "b l h k"],
    mask: Bool[Array, "b l"],
) -> Float[Array, "b l h k"]:
    """Attend by cuDNN's kernel, in bfloat16."""
    key, value, count = real_first(key, value, mask)
    heads = jax.nn.dot_product_attention(
        *(heads.astype(jnp.bfloat16) for heads in (query, key, value)),
        key_value_seq_lengths=count,
        implementation="cudnn",
    )
    return heads.astype(query.dtype)


def real_first(
    key: Float[Array, "b l h k"],
    value: Float[Array, "b l h k"],
    mask: Bool[Array, "b l"],
) -> tuple[Float[Array, "b l h k"], Float[Array, "b l h k"], Array]:
    """Move the real keys to the front, and count them.

    A kernel without an l x l mask takes a number of keys. Attention does not depend
    on their order, once positions are turned into them.
    """
    order = jnp.argsort(~mask, axis=1, stable=True)[:, :, None, None]
    key, value = (jnp.take_along_axis(heads, order, axis=1) for heads in (key, value))
    # A row of padding alone attends to its first key, to be finite.
    return key, value, jnp.maximum(mask.sum(axis=1, dtype=jnp.int32), 1)
