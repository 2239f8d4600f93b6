"""The FNet transform y = Re(F_l F_d x) by matrix products, exactly or in 16 bits.

For processors whose matrix units are far ahead of their memory. Tables are made in
float64. They carry powers of two, which change no digit and keep what lies between two
products near the size of x, so that 16 bits can hold it.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from lra_fnet.mixers._fourier_algorithms import folded_columns, with_mirrored_columns

LARGEST_TABLE = 4096  # points of a transform by one matrix, whose table is 17 MB


def matrix(x: Float[Array, "*b l d"], operands: DTypeLike) -> Float[Array, "*b l d"]:
    """Fold both axes, multiply by cosines and by sines, unfold.

    y = C_l E C_d - S_l O S_d, where E and O are the parts of x that are even and odd
    in both axes, a quarter of its numbers each. Cost: l d (l + d) / 2 operations.
    """
    length, width = x.shape[-2:]
    scale = _power_near_root(length)
    even, odd = (
        _product(
            "...nj,jk->...nk",
            _product("nm,...mj->...nj", rows / scale, part, operands),
            columns * scale,
            operands,
        )
        for rows, part, columns in zip(
            _half_tables(length), _quarters(x), _half_tables(width), strict=True
        )
    )
    upper = with_mirrored_columns(even - odd, even + odd, width)  # rows n
    lower = with_mirrored_columns(even + odd, even - odd, width)  # rows -n
    inner = lower[..., 1 : (length + 1) // 2, :]
    return jnp.concatenate([upper, jnp.flip(inner, axis=-2)], axis=-2)


def two_stage(x: Float[Array, "*b l d"], operands: DTypeLike) -> Float[Array, "*b l d"]:
    """Fold the columns, transform the length l = p q in two stages, then the width.

    With m = q m1 + m2 and n = k1 + p k2 the angle n m / l falls apart into
    k1 m1 / p + k1 m2 / l + k2 m2 / q: two small transforms, a rotation between them.
    Because the folded x is real, k1 = 0 ... p // 2 are enough.
    Cost: l d (p + 2 q + d / 2) operations.
    """
    (p, q), width = stages(x.shape[-2]), x.shape[-1]
    scale_p, scale_q = _power_near_root(p), _power_near_root(q)
    folded = folded_columns(x)
    folded = folded.reshape(*x.shape[:-2], p, q, folded.shape[-1])  # m1, m2, j
    first = _product("cki,...imj->...ckmj", _first_table(p) / scale_p, folded, operands)
    turned = _turned(first, length=x.shape[-2])
    second = _second_table(q) / scale_q
    spectrum = _product("cmen,...ckmj->...enkj", second, turned, operands)
    even, odd = (
        _product("...nkj,jh->...nkh", part, table * (scale_p * scale_q), operands)
        for part, table in zip(
            (spectrum[..., 0, :, :, :], spectrum[..., 1, :, :, :]),
            _half_tables(width),
            strict=True,
        )
    )
    upper = with_mirrored_columns(even + odd, even - odd, width)  # rows n
    lower = with_mirrored_columns(even - odd, even + odd, width)  # rows -n
    inner = lower[..., 1 : (p + 1) // 2, :]
    rows = jnp.concatenate([upper, jnp.flip(inner, axis=(-3, -2))], axis=-2)
    return rows.reshape(x.shape)


def exactly(algorithm: Callable[[Array, DTypeLike], Array]) -> Callable[[Array], Array]:
    """Multiply in the dtype of x."""
    return lambda x: algorithm(x, x.dtype)


def in_float16(
    algorithm: Callable[[Array, DTypeLike], Array],
) -> Callable[[Array], Array]:
    """Multiply float16 numbers and add float32 ones.

    The error is 5e-4 of the result (root of mean squares) against float64; bfloat16's
    would be eight times that. The mean over the length, which reaches row 0 alone, is
    taken out first: rounding it would leak into all rows. A power of two for each
    example brings its largest number to 1, so that small gradients do not vanish.
    """

    def mix(x: Float[Array, "*b l d"]) -> Float[Array, "*b l d"]:
        mean = x.mean(axis=-2, keepdims=True)
        centred = x - mean
        largest = jnp.abs(centred).max(axis=(-2, -1), keepdims=True)
        _, exponent = jnp.frexp(largest)
        y = algorithm(jnp.ldexp(centred, -exponent), jnp.float16)
        of_mean = jnp.fft.fft(mean[..., 0, :]).real * x.shape[-2]
        return jnp.ldexp(y, exponent).astype(x.dtype).at[..., 0, :].add(of_mean)

    return mix


@functools.cache
def stages(length: int) -> tuple[int, int]:
    """Return p and q with p q = length whose two stages cost least, p + 2 q.

    >>> stages(4000)
    (100, 40)
    """
    divisors = (q for q in range(1, length + 1) if length % q == 0)
    return min(((length // q, q) for q in divisors), key=lambda pq: pq[0] + 2 * pq[1])


def _product(spec: str, left, right, operands: DTypeLike) -> Array:
    """Multiply numbers of dtype `operands`, and add float32 or wider ones."""
    return jnp.einsum(
        spec,
        jnp.asarray(left, operands),
        jnp.asarray(right, operands),
        precision=jax.lax.Precision.HIGHEST,  # else TensorFloat-32, or bfloat16
        preferred_element_type=jnp.promote_types(operands, jnp.float32),
    )


def _quarters(
    x: Float[Array, "*b l d"],
) -> tuple[Float[Array, "*b r h"], Float[Array, "*b r h"]]:
    """Return the parts of x that are even in both axes, and odd in both.

    Rows 0 ... l // 2 and columns 0 ... d // 2, where partners are added up.
    """
    even, odd = _folded(x, axis=x.ndim - 2)
    last = x.ndim - 1
    return _folded(even, axis=last)[0], _folded(odd, axis=last)[1]


def _folded(x: Array, axis: int) -> tuple[Array, Array]:
    """Return x[m] + x[-m] and x[m] - x[-m] for m = 0 ... size // 2 of an axis.

    What is its own partner stays what it is; its sines are zero.
    """
    size = x.shape[axis]
    pairs = (size - 1) // 2
    own = jax.lax.slice_in_dim(x, 0, size // 2 + 1, axis=axis)
    partner = jnp.flip(jax.lax.slice_in_dim(x, size - pairs, size, axis=axis), axis)
    padding = [(0, 0)] * x.ndim
    padding[axis] = (1, size // 2 - pairs)
    partner = jnp.pad(partner, padding)
    return own + partner, own - partner


def _turned(
    first: Float[Array, "*b 2 k q h"], length: int
) -> Float[Array, "*b 2 k q h"]:
    """Rotate the complex numbers of the first stage by -2 pi k1 m2 / l."""
    cosine, sine = (
        jnp.asarray(table[..., None], first.dtype)
        for table in _tables(first.shape[-3], first.shape[-2], length)
    )
    real, imaginary = first[..., 0, :, :, :], first[..., 1, :, :, :]
    turned = (real * cosine + imaginary * sine, imaginary * cosine - real * sine)
    return jnp.stack(turned, axis=-4)


def _half_tables(size: int) -> Float[np.ndarray, "2 h h"]:
    """Return cosines and sines of 2 pi n m / size for n, m = 0 ... size // 2."""
    return _tables(size // 2 + 1, size // 2 + 1, size)


def _first_table(p: int) -> Float[np.ndarray, "2 k p"]:
    """Return the real and imaginary parts of a transform to k1 = 0 ... p // 2."""
    cosine, sine = _tables(p // 2 + 1, p, p)
    return np.stack([cosine, -sine])


def _second_table(q: int) -> Float[np.ndarray, "2 q 2 q"]:
    """Return a transform of pairs (real, imaginary) at m2 to pairs at k2."""
    cosine, sine = _tables(q, q, q)
    to_real, to_imaginary = np.stack([cosine, sine]), np.stack([-sine, cosine])
    return np.stack([to_real, to_imaginary], axis=2)


@functools.lru_cache(maxsize=16)
def _tables(rows: int, columns: int, size: int) -> Float[np.ndarray, "2 n m"]:
    """Return cosines and sines of 2 pi n m / size."""
    # The product is taken modulo the size first: large angles would lose digits.
    turns = np.arange(rows)[:, None] * np.arange(columns) % size
    angles = 2 * math.pi / size * turns
    return np.stack([np.cos(angles), np.sin(angles)])


def _power_near_root(size: int) -> float:
    """Return the power of two nearest to the square root, on a logarithmic scale."""
    return 2.0 ** round(math.log2(size) / 2)
