"""One transform, compiled forward and backward, and the error of its algorithm."""

import re
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding
from jax.typing import ArrayLike
from jaxtyping import Array

from lra_fnet.compile.cell import describe
from lra_fnet.compile.fourier import Transform
from lra_fnet.hardware import memory_limit
from lra_fnet.mixers import _fourier_algorithms as algorithms
from lra_fnet.mixers._fourier import Operator, symmetric
from lra_fnet.speed.fourier import in_network, there_and_back

# How a platform multiplies float32 numbers: each as a sum of so many terms, of so many
# bits behind the leading one; products of terms too small to count are left out. Of
# three terms of bfloat16 six products are left, of TPUs' highest precision.
ROUNDING: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "tpu": {"default": (7, 1), "high": (7, 2), "highest": (7, 3)},
    "gpu": {"default": (10, 1), "high": (10, 1), "highest": (23, 1)},
}


def compile_transform(transform: Transform, device: jax.Device) -> dict[str, Any]:
    """Compile a transform between element-wise operations, and its derivative.

    Raises:
      JaxRuntimeError: XLA cannot compile it, or its memory does not suffice.
    """
    algorithm, precision = transform.algorithm, transform.precision
    exact = partial(jnp.einsum, precision=precision)
    operator = in_network(symmetric(with_product(algorithm, exact)))
    shape = transform.batch, transform.length, transform.width
    here = SingleDeviceSharding(device)
    x = jax.ShapeDtypeStruct(shape, jnp.float32, sharding=here)
    started = time.monotonic()
    compiled = jax.jit(partial(there_and_back, operator)).lower(x).compile()
    facts = describe(compiled, time.monotonic() - started)
    return {
        "device": device.device_kind,
        **facts,
        "needed_bytes": facts["bytes"],
        "limit_bytes": memory_limit(device),
        "cycles": estimated_cycles(compiled.as_text() or ""),
        "error": largest_error(transform, device.platform),
    }


def with_product(algorithm: str, product: algorithms.Product) -> Operator:
    """Return an algorithm that multiplies by a product, where it has any."""
    operator = getattr(algorithms, algorithm)
    if operator is algorithms.real_fft:
        return operator
    return partial(operator, product=product)


def estimated_cycles(text: str) -> int | None:
    """Return the cycles that XLA for TPUs expects, one operation after the other.

    It notes them at each operation of a scheduled program. That is not documented, and
    other versions may leave it out: None.

    >>> estimated_cycles('a, {"estimated_cycles":"12"} b, {"estimated_cycles":"5"}')
    17
    """
    found = re.findall(r'"estimated_cycles":\s*"?(\d+)', text)
    return sum(map(int, found)) if found else None


def largest_error(transform: Transform, platform: str) -> float:
    """Return the largest error of a number, over the root mean square of all.

    Against float64, of one example of unit normal numbers. It is an emulation: this
    CPU multiplies numbers that were rounded as the platform rounds them. What XLA makes
    of an FFT it does not emulate; `real_fft` is a CPU's here.
    """
    shape = transform.length, transform.width
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    exact = np.fft.fft2(x.astype(np.float64)).real
    product = rounded_product(*ROUNDING[platform][transform.precision])
    operator = jax.jit(with_product(transform.algorithm, product))
    error = np.abs(np.asarray(operator(x), np.float64) - exact).max()
    return float(error / np.sqrt(np.mean(exact**2)))


def rounded_product(bits: int, terms: int) -> algorithms.Product:
    """Return an einsum of float32 operands, each cut into terms of so many bits.

    Products of terms whose places add up to more than the last are left out, as XLA
    does: of 1, 2, 3 terms there are 1, 3, 6 products.
    """
    pairs = [(i, j) for i in range(terms) for j in range(terms - i)]

    def product(subscripts: str, a: ArrayLike, b: ArrayLike) -> Array:
        parts = cut(a, bits, terms), cut(b, bits, terms)
        smallest_first = sorted(pairs, key=sum, reverse=True)
        exact = partial(jnp.einsum, subscripts, precision=jax.lax.Precision.HIGHEST)
        found = [exact(parts[0][i], parts[1][j]) for i, j in smallest_first]
        return sum(found[1:], found[0])

    return product


def cut(x: ArrayLike, bits: int, terms: int) -> list[Array]:
    """Return numbers of so many bits whose sum is x, but for the rounding of the last.

    >>> [float(each) for each in cut(jnp.float32(1.01), 7, 2)]
    [1.0078125, 0.0021820068359375]
    """
    found, rest = [], jnp.asarray(x)
    for _ in range(terms):
        found.append(jax.lax.reduce_precision(rest, 8, bits))
        rest = rest - found[-1]
    return found
