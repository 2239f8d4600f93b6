"""The FNet transform y = Re(F_l F_d x) as an operator on real arrays.

Lee-Thorp et al., FNet (2021), https://arxiv.org/abs/2105.03824, equation 3. F_l and
F_d are the unnormalized discrete Fourier transforms over the length l and the width d.
"""

import functools
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lra_fnet.hardware import target
from lra_fnet.mixers import _fourier_algorithms as algorithms
from tasks import check_choice

Operator = Callable[[Array], Array]
AUTO = "auto"
DEFAULT = "real_fft"  # what "auto" stands for where nothing says otherwise


def fourier_mix(
    x: Float[Array, "*b l d"], algorithm: str = AUTO
) -> Float[Array, "*b l d"]:
    """Return Re(F_l F_d x) over the last two axes, in the dtype of x.

    It is computed in float32 or wider: the sums reach the thousands for unit normal
    inputs. The derivative is the transform again, of the gradient, and saves nothing.

    Args:
      x: real numbers.
      algorithm: a name in ALGORITHMS; "auto": what is fastest, as far as known.

    Raises:
      ValueError: no such algorithm, or not for this length and width.

    >>> fourier_mix(jnp.ones((2, 3)))
    Array([[6., 0., 0.],
           [0., 0., 0.]], dtype=float32)
    """
    check_algorithm(algorithm)
    length, width = x.shape[-2:]
    if algorithm == AUTO:
        algorithm = chosen_algorithm(length, width, str(x.dtype))
    elif not supports(algorithm, length, width):
        raise ValueError(
            f"algorithm {algorithm!r} would need a table of more than "
            f"{algorithms.LARGEST_TABLE} points at length {length} and width {width}; "
            "take 'real_fft' or 'auto'"
        )
    return ALGORITHMS[algorithm](x)


def causal_fourier_mix(x: Float[Array, "*b l d"]) -> Float[Array, "*b l d"]:
    """Return Re(tril(F_l) F_d x), in which row n is a sum over the rows up to n.

    In the dtype of x, and computed as `fourier_mix`; tril sets to zero what is above
    the diagonal.

    >>> causal_fourier_mix(jnp.ones((2, 3))).round().astype(int).tolist()
    [[3, 0, 0], [0, 0, 0]]
    """
    return algorithms.causal(widened(x)).astype(x.dtype)


def check_algorithm(algorithm: str) -> None:
    """Check the name of an algorithm.

    Raises:
      ValueError: there is none; names the closest and all there are.
    """
    check_choice("algorithm", algorithm, (AUTO, *ALGORITHMS))


def supports(algorithm: str, length: int, width: int) -> bool:
    """Tell whether the tables of an algorithm are small enough for a shape.

    >>> supports("two_stage", 16_384, 128), supports("two_stage", 16_381, 128)
    (True, False)
    """
    if algorithm == "matrix":
        return max(length, width) <= algorithms.LARGEST_TABLE
    if algorithm == "two_stage":  # a prime length has one stage alone
        return max(*algorithms.stages(length), width) <= algorithms.LARGEST_TABLE
    return True


def symmetric(operator: Operator) -> Operator:
    """Run a linear operator in float32 or wider, and again as its own derivative.

    A symmetric operator is its own transpose. Differentiating through the complex
    transform inside it would save and compute more.
    """
    wide = in_wide(operator)
    mix = jax.custom_vjp(wide)
    mix.defvjp(lambda x: (wide(x), None), lambda _, gradient: (wide(gradient),))
    return mix


def in_wide(operator: Operator) -> Operator:
    """Run an operator in float32 or wider, and return the dtype of x."""

    @functools.wraps(operator)
    def wide(x: Array) -> Array:
        return operator(widened(x)).astype(x.dtype)

    return wide


def widened(x: Float[Array, "*b l d"]) -> Float[Array, "*b l d"]:
    """Return x in float32 or wider: jax.numpy.fft has no bfloat16."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


ALGORITHMS: Mapping[str, Operator] = MappingProxyType(
    {
        # The baseline: also differentiated as the paper's code is.
        "published": in_wide(algorithms.published),
        "real_fft": symmetric(algorithms.real_fft),
        "folded_fft": symmetric(algorithms.folded_fft),
        "matrix": symmetric(algorithms.matrix),
        "two_stage": symmetric(algorithms.two_stage),
    }
)

# ---------------------------------------------------------------------------
# What "auto" stands for

CHOICES = Path(__file__).with_name("_fourier_choice.json")


def chosen_algorithm(
    length: int, width: int, dtype: str, kind: str | None = None
) -> str:
    """Return what "auto" stands for on a kind of device, by default the target's.

    It is the fastest algorithm at the closest shape that was measured on this kind of
    device; for some TPUs, where nothing was, by the compiler's estimate.

    >>> chosen_algorithm(2048, 512, "float32", kind="none")
    'real_fft'
    """
    table = choices().get(kind or kind_of(target()), {"rows": []})
    rows = [row for row in table["rows"] if row["dtype"] == dtype]
    if not rows:
        return DEFAULT

    def distance(row: Mapping[str, Any]) -> float:
        shape = math.log(row["length"] / length), math.log(row["width"] / width)
        return sum(map(abs, shape))

    choice = min(rows, key=distance)["algorithm"]
    return choice if supports(choice, length, width) else DEFAULT


def kind_of(device: Any) -> str:
    """Return whose rows count for a device: its kind's, or those of all CPUs."""
    return "cpu" if device.platform == "cpu" else device.device_kind


@functools.cache
def choices() -> dict[str, Any]:
    """Return the table that `speed-fourier` writes: device and rows by its kind."""
    return json.loads(CHOICES.read_text())
