"""Algorithms for the FNet transform y = Re(F_l F_d x), all exact.

With x real, y[n, k] = sum over m, j of cos(2 pi (n m / l + k j / d)) x[m, j]. Two
symmetries follow, with indices modulo l and d, and each halves the work:

    y[-n, -k] = y[n, k]                      half of the outputs are enough
    y depends on x[m, j] + x[-m, -j] alone   and so are half of the inputs

`matrix` and `two_stage` multiply by tables of cosines and sines, for processors whose
matrix units are far ahead of their memory.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Complex, Float

LARGEST_TABLE = 4096  # points of a transform by one matrix, whose table is 17 MB

Product = Callable[[str, ArrayLike, ArrayLike], Array]  # an einsum of two operands
# Else a product is of TensorFloat-32 or bfloat16 numbers on accelerators.
exact_product: Product = functools.partial(
    jnp.einsum, precision=jax.lax.Precision.HIGHEST
)


def published(x: Float[Array, "*b l d"]) -> Float[Array, "*b l d"]:
    """Transform by the paper's formula, as its code does; the baseline.

    Cost: 5 l d log2(l d) operations; complex numbers are written and read between.
    """
    return jnp.fft.fftn(x, axes=(-2, -1)).real


def real_fft(x: Float[Array, "*b l d"]) -> Float[Array, "*b l d"]:
    """Transform real numbers to half of the columns and mirror them.

    Cost: 2.5 l d log2(l d) operations, any length and width.
    """
    half = jnp.fft.rfft2(x).real
    return with_mirrored_columns(half, mirrored_rows(half), x.shape[-1])


def folded_fft(x: Float[Array, "*b l d"]) -> Float[Array, "*b l d"]:
    """Fold to half of the columns, transform to half of the rows, mirror them.

    Cost: 1.25 l d log2(l d) operations, and two transpositions of half of the numbers.
    """
    length, width = x.shape[-2:]
    spectrum = jnp.fft.rfft(folded_columns(x, weight=0.5), axis=-2)
    # The inverse transform has the other sign of k, and counts inner columns twice.
    lower = jnp.fft.irfft(spectrum, n=width, norm="forward")  # rows -n of y
    upper = jnp.roll(jnp.flip(lower, axis=-1), 1, axis=-1)  # rows n
    inner = lower[..., 1 : (length + 1) // 2, :]
    return jnp.concatenate([upper, jnp.flip(inner, axis=-2)], axis=-2)


def matrix(
    x: Float[Array, "*b l d"], *, product: Product = exact_product
) -> Float[Array, "*b l d"]:
    """Fold both axes, multiply by cosines and by sines, unfold.

    y = C_l E C_d - S_l O S_d, where E and O are the parts of x that are even and odd
    in both axes, a quarter of its numbers each. Cost: l d (l + d) / 2 operations.
    """
    length, width = x.shape[-2:]
    rows, columns = _half_tables(length, x.dtype), _half_tables(width, x.dtype)
    mixed = (
        product("...mj,nm->...jn", part, table)
        for part, table in zip(_quarters(x), rows, strict=True)
    )
    even, odd = (
        product("...jn,jk->...nk", part, table)
        for part, table in zip(mixed, columns, strict=True)
    )
    upper = with_mirrored_columns(even - odd, even + odd, width)  # rows n
    lower = with_mirrored_columns(even + odd, even - odd, width)  # rows -n
    inner = lower[..., 1 : (length + 1) // 2, :]
    return jnp.concatenate([upper, jnp.flip(inner, axis=-2)], axis=-2)


def two_stage(
    x: Float[Array, "*b l d"], *, product: Product = exact_product
) -> Float[Array, "*b l d"]:
    """Fold the columns, transform the length l = p q in two stages, then the width.

    With m = q m1 + m2 and n = k1 + p k2 the angle n m / l falls apart into
    k1 m1 / p + k1 m2 / l + k2 m2 / q: two small transforms, a rotation between them.
    Because the folded x is real, k1 = 0 ... p // 2 are enough.
    Cost: l d (p + 2 q + d / 2) operations.
    """
    (p, q), width = stages(x.shape[-2]), x.shape[-1]
    folded = folded_columns(x)
    folded = folded.reshape(*x.shape[:-2], p, q, folded.shape[-1])  # m1, m2, j
    first = product("cki,...imj->...ckmj", _first_table(p, x.dtype), folded)
    # Between the stages: a rotation by -2 pi k1 m2 / l.
    cosine, sine = _tables(p // 2 + 1, q, p * q, x.dtype)[..., None]
    real, imaginary = first[..., 0, :, :, :], first[..., 1, :, :, :]
    turned = jnp.stack(
        [real * cosine + imaginary * sine, imaginary * cosine - real * sine], axis=-4
    )
    spectrum = product("cmen,...ckmj->...enkj", _second_table(q, x.dtype), turned)
    even, odd = (
        product("...nkj,jh->...nkh", spectrum[..., part, :, :, :], table)
        for part, table in enumerate(_half_tables(width, x.dtype))
    )
    upper = with_mirrored_columns(even + odd, even - odd, width)  # rows n
    lower = with_mirrored_columns(even - odd, even + odd, width)  # rows -n
    inner = lower[..., 1 : (p + 1) // 2, :]
    rows = jnp.concatenate([upper, jnp.flip(inner, axis=(-3, -2))], axis=-2)
    return rows.reshape(x.shape)


def causal(x: Float[Array, "*b l d"]) -> Float[Array, "*b l d"]:
    """Transform with sums over m <= n alone: F_l without what is above its diagonal.

    Bluestein (1970): n m = (n^2 + m^2 - (n - m)^2) / 2. So with z the transformed rows
    and the chirp c[t] = exp(-pi i t^2 / l), the sum is a causal convolution,

        y[n] = Re(c[n] sum over m <= n of conj(c[n - m]) c[m] z[m])

    It takes complex transforms of between 2 l and 4 l points, any length and width.
    """
    chirp, kernel = _chirp(x.shape[-2], x.dtype)
    z = jnp.fft.fft(x, axis=-1) * chirp
    spectrum = jnp.fft.fft(z, len(kernel), axis=-2) * kernel
    return (jnp.fft.ifft(spectrum, axis=-2)[..., : len(chirp), :] * chirp).real


@functools.cache
def stages(length: int) -> tuple[int, int]:
    """Return p and q with p q = length whose two stages cost least, p + 2 q.

    >>> stages(4000)
    (100, 40)
    """
    divisors = (q for q in range(1, length + 1) if length % q == 0)
    return min(((length // q, q) for q in divisors), key=lambda pq: pq[0] + 2 * pq[1])


def folded_columns(
    x: Float[Array, "*b l d"], weight: float = 1.0
) -> Float[Array, "*b l h"]:
    """Return (x[m, j] + x[-m, -j]) weight in the columns j = 0 ... d // 2.

    Columns 0 and d / 2 are their own partners and stay what they are.
    """
    width = x.shape[-1]
    pairs = (width - 1) // 2
    partner = mirrored_rows(jnp.flip(x[..., width - pairs :], axis=-1))
    inner = (x[..., 1 : pairs + 1] + partner) * weight
    own = x[..., pairs + 1 : width // 2 + 1]  # column d / 2, where there is one
    return jnp.concatenate([x[..., :1], inner, own], axis=-1)


def mirrored_rows(x: Float[Array, "*b l h"]) -> Float[Array, "*b l h"]:
    """Return x[-m mod l]."""
    return jnp.roll(jnp.flip(x, axis=-2), 1, axis=-2)


def with_mirrored_columns(
    left: Float[Array, "*b r h"], mirrored: Float[Array, "*b r h"], width: int
) -> Float[Array, "*b r d"]:
    """Append the columns d // 2 + 1 ... d - 1: column d - k is `mirrored` at k."""
    right = jnp.flip(mirrored[..., 1 : (width + 1) // 2], axis=-1)
    return jnp.concatenate([left, right], axis=-1)


def _quarters(x: Float[Array, "*b l d"]) -> list[Float[Array, "*b r h"]]:
    """Return the parts of x that are even in both axes, and odd in both.

    Rows 0 ... l // 2 and columns 0 ... d // 2, where partners are added up.
    """
    return [_folded(half, axis=-1)[i] for i, half in enumerate(_folded(x, axis=-2))]


def _folded(x: Array, axis: int) -> tuple[Array, Array]:
    """Return x[m] + x[-m] and x[m] - x[-m] for m = 0 ... size // 2 of an axis.

    What is its own partner stays what it is; its sines are zero.
    """
    size = x.shape[axis]
    pairs = (size - 1) // 2
    own = jax.lax.slice_in_dim(x, 0, size // 2 + 1, axis=axis)
    partner = jnp.flip(jax.lax.slice_in_dim(x, size - pairs, size, axis=axis), axis)
    around = [(0, 0)] * x.ndim
    around[axis] = (1, size // 2 - pairs)
    partner = jnp.pad(partner, around)
    return own + partner, own - partner


def _half_tables(size: int, dtype: np.dtype) -> Float[np.ndarray, "2 h h"]:
    """Return cosines and sines of 2 pi n m / size for n, m = 0 ... size // 2."""
    return _tables(size // 2 + 1, size // 2 + 1, size, dtype)


def _first_table(p: int, dtype: np.dtype) -> Float[np.ndarray, "2 k p"]:
    """Return the real and imaginary parts of a transform to k1 = 0 ... p // 2."""
    cosine, sine = _tables(p // 2 + 1, p, p, dtype)
    return np.stack([cosine, -sine])


def _second_table(q: int, dtype: np.dtype) -> Float[np.ndarray, "2 q 2 q"]:
    """Return a transform of pairs (real, imaginary) at m2 to pairs at k2."""
    cosine, sine = _tables(q, q, q, dtype)
    return np.stack([np.stack([cosine, sine]), np.stack([-sine, cosine])], axis=2)


@functools.lru_cache(maxsize=16)
def _tables(
    rows: int, columns: int, size: int, dtype: np.dtype
) -> Float[np.ndarray, "2 n m"]:
    """Return cosines and sines of 2 pi n m / size, computed in float64."""
    # The product is taken modulo the size first: large angles would lose digits.
    turns = np.arange(rows)[:, None] * np.arange(columns) % size
    angles = 2 * math.pi / size * turns
    return np.stack([np.cos(angles), np.sin(angles)]).astype(dtype)


@functools.lru_cache(maxsize=16)
def _chirp(
    length: int, dtype: np.dtype
) -> tuple[Complex[np.ndarray, "l 1"], Complex[np.ndarray, "n 1"]]:
    """Return c and the transform of its conjugate, with room for a convolution.

    Both are computed in float64; the phases are exact, as t^2 is taken modulo 2 l.
    """
    steps = np.arange(length)
    chirp = np.exp(-1j * math.pi / length * (steps**2 % (2 * length)))[:, None]
    size = 1 << (2 * length - 2).bit_length()  # of 2, the power from 2 l - 1 on
    kernel = np.fft.fft(chirp.conj(), size, axis=0)
    wide = np.result_type(dtype, np.complex64)
    return chirp.astype(wide), kernel.astype(wide)
