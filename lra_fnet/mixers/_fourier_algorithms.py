"""The FNet transform y = Re(F_l F_d x) by fast Fourier transforms, exactly.

With x real, y[n, k] = sum over m, j of cos(2 pi (n m / l + k j / d)) x[m, j]. Two
symmetries follow, with indices modulo l and d, and each halves the work:

    y[-n, -k] = y[n, k]                      half of the outputs are enough
    y depends on x[m, j] + x[-m, -j] alone   and so are half of the inputs
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


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


def real_fft_each(x: Float[Array, "*b l d"]) -> Float[Array, "*b l d"]:
    """Transform one example after the other by `real_fft`, into its place of y.

    Cost: the same, but in a processor's cache, where a batch does not fit. XLA on CPUs
    runs such a loop on one thread: it takes a device for each core to use all.
    """
    examples = x.reshape(-1, *x.shape[-2:])

    def put(i: Int[Array, ""], y: Float[Array, "n l d"]) -> Float[Array, "n l d"]:
        example = jax.lax.dynamic_slice_in_dim(examples, i, 1)
        half = jnp.fft.rfft2(example).real
        y = jax.lax.dynamic_update_slice(y, half, (i, 0, 0))
        rest = mirrored_columns(mirrored_rows(half), x.shape[-1])
        return jax.lax.dynamic_update_slice(y, rest, (i, 0, half.shape[-1]))

    y = jax.lax.fori_loop(0, len(examples), put, jnp.zeros_like(examples))
    return y.reshape(x.shape)


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
    return jnp.concatenate([left, mirrored_columns(mirrored, width)], axis=-1)


def mirrored_columns(
    mirrored: Float[Array, "*b r h"], width: int
) -> Float[Array, "*b r c"]:
    """Return the columns d // 2 + 1 ... d - 1: column d - k is `mirrored` at k."""
    return jnp.flip(mirrored[..., 1 : (width + 1) // 2], axis=-1)
