"""Floating-point operations, counted equation by equation in a traced program.

XLA's own count is right for matrix products and element-wise work, but it counts the
body of a loop once and a Fourier transform several times over. This count follows the
algorithm instead, for any mixer without a line of the mixer's own:

    matrix product, convolution   2 for each product that is added up
    Fourier transform of N        5 N log2 N; 2.5 N log2 N from or to real numbers
    scan                          its length times its body
    branches                      the dearest one
    element-wise, sums            1 for each number, exp and tanh too

Moving, comparing and integer arithmetic, which includes random bits, count nothing.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped

# One operation for each number of the result.
ELEMENTWISE = frozenset(
    """
    acos acosh add add_any asin asinh atan atan2 atanh cbrt cos cosh digamma div erf
    erf_inv erfc exp exp2 expm1 integer_pow lgamma log log1p logistic max min mul neg
    pow rem rsqrt sin sinh sqrt square sub tan tanh
    """.split()  # noqa: SIM905, shorter than the list
)
# One operation for each number of the first operand.
REDUCTIONS = frozenset(
    """
    cumlogsumexp cummax cummin cumprod cumsum reduce_max reduce_min reduce_prod
    reduce_sum reduce_window_sum
    """.split()  # noqa: SIM905
)
# One operation for each number of the third operand: what is added where.
SCATTERS = frozenset({"scatter-add", "scatter-mul", "scatter-sub"})
COMPLEX = 2  # operations that adding complex numbers takes for each that real ones take
COMPLEX_PRODUCT = 6  # 4 products and 2 sums
COMPLEX_TERM = 8  # a product, added to a sum


def count_flops(jaxpr: Any) -> float:
    """Return the floating-point operations of a traced program.

    The body of a loop whose rounds are known only when it runs counts once. In a
    training call that loop goes over the steps, so the count is that of one step.

    >>> a = jnp.ones((2, 3))
    >>> count_flops(jax.make_jaxpr(lambda a: jnp.exp(a @ a.T))(a))
    28.0
    """
    return float(sum(_equation(equation) for equation in _open(jaxpr).eqns))


def forward_flops(model: nn.Module, inputs: Shaped[Array, "n ..."]) -> float:
    """Return the operations of `model(inputs, train=False)` on one example.

    Only shapes are looked at; nothing is computed.
    """
    example = jax.ShapeDtypeStruct((1, *inputs.shape[1:]), inputs.dtype)
    key = jax.eval_shape(lambda: jax.random.key(0))
    params = jax.eval_shape(partial(model.init, train=False), key, example)
    apply = jax.jit(partial(model.apply, train=False))
    return count_flops(apply.trace(params, example).jaxpr)


def _open(jaxpr: Any) -> Any:
    """Return a jaxpr without its constants."""
    return getattr(jaxpr, "jaxpr", jaxpr)


def _equation(equation: Any) -> float:
    """Return the operations of one equation, its inner programs included."""
    name, operands = equation.primitive.name, [v.aval for v in equation.invars]
    if name in RULES:
        return RULES[name](equation)
    inner = [count_flops(jaxpr) for jaxpr in inner_programs(equation)]
    if inner:
        return _times(equation) * (max(inner) if name == "cond" else sum(inner))
    result = equation.outvars[0].aval
    if name in ELEMENTWISE:
        product = name in ("mul", "div", "integer_pow", "square")
        return _each(result, COMPLEX_PRODUCT if product else COMPLEX)
    if name in REDUCTIONS:
        return _each(operands[0], COMPLEX)
    if name in SCATTERS:
        return _each(operands[2], COMPLEX)
    return 0.0


def inner_programs(equation: Any) -> Iterator[Any]:
    """Yield the programs an equation holds, but not the test that ends a loop."""
    for key, value in equation.params.items():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if key != "cond_jaxpr" and hasattr(_open(item), "eqns"):
                yield item


def _times(equation: Any) -> int:
    """Return how often an equation runs its inner program."""
    if equation.primitive.name == "scan":
        return equation.params["length"]
    if equation.primitive.name == "shard_map":  # the inner shapes are one device's
        return equation.params["mesh"].size
    return 1


def _each(array: Any, for_complex: int) -> float:
    """Return the numbers of an array, weighted if complex; none if not floating."""
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        return 0.0
    is_complex = jnp.issubdtype(array.dtype, jnp.complexfloating)
    return float(math.prod(array.shape)) * (for_complex if is_complex else 1)


def _matrix_product(equation: Any) -> float:
    """Count 2 for each number of the result and each term of its sum."""
    (contracted, _), _ = equation.params["dimension_numbers"]
    shape = equation.invars[0].aval.shape
    terms = math.prod(shape[axis] for axis in contracted)
    result = equation.outvars[0].aval
    return _each(result, COMPLEX_TERM // 2) * 2 * terms


def _convolution(equation: Any) -> float:
    """Count 2 for each number of the result and each tap of its kernel."""
    kernel = equation.invars[1].aval
    out_axis = equation.params["dimension_numbers"].rhs_spec[0]
    taps = math.prod(kernel.shape) / kernel.shape[out_axis]
    return _each(equation.outvars[0].aval, COMPLEX_TERM // 2) * 2 * taps


def _fourier(equation: Any) -> float:
    """Count 5 N log2 N for each complex transform of N, half of it for a real one."""
    points = math.prod(equation.params["fft_lengths"])
    sides = [equation.invars[0].aval, equation.outvars[0].aval]
    real = [side for side in sides if jnp.issubdtype(side.dtype, jnp.floating)]
    transforms = math.prod([*real, sides[0]][0].shape) / points
    return (2.5 if real else 5) * points * math.log2(points) * transforms


RULES = {
    "dot_general": _matrix_product,
    "conv_general_dilated": _convolution,
    "fft": _fourier,
}
