"""The memory of a program, estimated from its trace: what lives at once, in its order.

A compiler orders and fuses a program, and compiling all programs of a table would take
hours. Walking their traces takes seconds.
"""

import math
from collections import defaultdict
from typing import Any

from lra_fnet.flops import inner_programs


def largest_live_bytes(jaxpr: Any) -> int:
    """Return the most bytes that arguments and values of a program take at once.

    >>> import jax, jax.numpy as jnp
    >>> a = jnp.ones((10, 10))  # 400 bytes, live to the end as an argument
    >>> largest_live_bytes(jax.make_jaxpr(lambda a: (a @ a) @ a)(a))
    1200
    """
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    arguments = sum(_bytes(v) for v in (*jaxpr.invars, *jaxpr.constvars))
    return arguments + _largest_made(jaxpr)


def _largest_made(jaxpr: Any) -> int:
    """Return the most bytes of values made by a program that are live at once."""
    ends = _ends(jaxpr)
    live = most = 0
    for position, equation in enumerate(jaxpr.eqns):
        made = sum(_bytes(v) for v in equation.outvars)
        inside = [_largest_made(inner) for inner in inner_programs(equation)]
        most = max(most, live + max(made, *inside, 0))
        live += made - sum(_bytes(v) for v in ends[position])
    return most


def _ends(jaxpr: Any) -> dict[int, list[Any]]:
    """Return the values made by a program by the position of their last use."""
    made = {v: position for position, e in enumerate(jaxpr.eqns) for v in e.outvars}
    last = dict(made)  # what nothing uses ends where it is made
    for position, equation in enumerate(jaxpr.eqns):
        for variable in equation.invars:
            if not hasattr(variable, "val") and variable in made:
                last[variable] = position
    results = {v for v in jaxpr.outvars if not hasattr(v, "val")}
    ends: dict[int, list[Any]] = defaultdict(list)
    for variable, position in last.items():
        if variable not in results:
            ends[position].append(variable)
    return ends


def _bytes(variable: Any) -> int:
    """Return the size of a value; random keys are two words."""
    array = variable.aval
    size = getattr(array.dtype, "itemsize", 8)
    return math.prod(array.shape) * size
