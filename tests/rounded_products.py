"""A plugin of pytest: float32 products round their operands as accelerators' do.

At JAX's default precision a TPU multiplies float32 matrices in one pass of bfloat16,
whose numbers have 7 bits behind the leading one, and an NVIDIA GPU in TF32, 10 bits.
Here a CPU rounds the operands of products and convolutions likewise, and leaves alone
those that ask for more than the default:

    ROUNDED_TO=7 python -m pytest -p rounded_products tests/model/test_classifier.py
"""

import os

import numpy as np
from jax.extend.core.primitives import conv_general_dilated_p, dot_general_p
from jax.interpreters import mlir
from jaxlib.mlir.dialects import stablehlo

VARIABLE = "ROUNDED_TO"  # bits
DEFAULT = (None, "DEFAULT")


def pytest_configure():
    """Round from now on, as the environment asks."""
    round_products(int(os.environ[VARIABLE]))


def round_products(bits):
    """Round the operands of what this process compiles for CPUs from now on."""
    for primitive in (dot_general_p, conv_general_dilated_p):
        # JAX has no public name for the rule that a new one replaces.
        rule = mlir._platform_specific_lowerings["cpu"].get(primitive)
        rule = rule or mlir._lowerings[primitive]
        rounding = _with_rounding(getattr(rule, "rule", rule), bits)
        mlir.register_lowering(primitive, rounding, platform="cpu")


def _with_rounding(rule, bits):
    """Return a rule that rounds float32 operands and hands them to another rule."""

    def lower(context, *operands, precision, **parameters):
        rounded = list(operands)
        for i, shaped in enumerate(context.avals_in):
            if shaped.dtype == np.float32 and _is_default(precision):
                rounded[i] = stablehlo.reduce_precision(
                    operands[i], mlir.i32_attr(8), mlir.i32_attr(bits)
                )
        return rule(context, *rounded, precision=precision, **parameters)

    return lower


def _is_default(precision):
    """Tell whether a product has no precision of its own: one, or one an operand."""
    pair = precision if isinstance(precision, tuple) else (precision,)
    return all(getattr(each, "name", each) in DEFAULT for each in pair)
