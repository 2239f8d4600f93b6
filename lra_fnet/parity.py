"""Sizes that give a model as many parameters as the base Transformer has."""

import math
from collections.abc import Callable, Sequence

from ml_collections import ConfigDict
from numpy.polynomial import Polynomial

from lra_fnet.build import count_parameters
from lra_fnet.rules import base_parameters
from tasks import make_task

TOLERANCE = 0.01
WIDTH_STEP = 8  # widths are multiples of it, so that heads divide them


def match_parameters(config: ConfigDict, recipe: ConfigDict) -> None:
    """Set width and MLP of a config so that parameters match within 1 %.

    The width comes first, with an MLP in proportion to it; the MLP then takes up what
    is left. Where that is too much or too little, the next widths are tried.

    Args:
      config: of the run; its `encoder.width` and `encoder.mlp_dim` are changed.
      recipe: the recipe's own config, whose Transformer is the base.

    Raises:
      ValueError: no such sizes; says how close the closest come.
    """
    task = make_task(config.task, **config.data)
    wanted = base_parameters(config, recipe, task)
    proportion = recipe.encoder.mlp_dim / recipe.encoder.width

    def count(width: int, mlp_dim: int) -> int:
        config.encoder.width, config.encoder.mlp_dim = width, mlp_dim
        return count_parameters(config, task)

    first = WIDTH_STEP * round(recipe.encoder.width / WIDTH_STEP)
    ideal = solve(
        lambda width: count(width, round(width * proportion)),
        wanted,
        (first, 2 * first, 3 * first),
    )
    nearest = max(round(ideal / WIDTH_STEP), 1)
    found: dict[tuple[int, int], float] = {}
    for steps in sorted(range(-2, 3), key=lambda n: (abs(n), n)):
        width = WIDTH_STEP * (nearest + steps)
        if width < WIDTH_STEP:
            continue
        mlp_dim = solve(lambda mlp_dim: count(width, mlp_dim), wanted, (2, 64, 512))  # noqa: B023
        mlp_dim = max(round(mlp_dim), 2)
        found[width, mlp_dim] = abs(count(width, mlp_dim) / wanted - 1)
        if found[width, mlp_dim] <= TOLERANCE:
            return
    width, mlp_dim = min(found, key=lambda sizes: found[sizes])
    raise ValueError(
        f"parity=params: {config.model} cannot have the base Transformer's {wanted:,} "
        f"parameters; the closest are {count(width, mlp_dim):,}, at width {width} and "
        f"MLP {mlp_dim}"
    )


def solve(count: Callable[[int], int], wanted: int, sizes: Sequence[int]) -> float:
    """Return the size at which the parabola through three counts reaches `wanted`.

    Matrices make the number of parameters a polynomial of second degree in either size.

    >>> round(solve(lambda size: size * size + 3, 52, (1, 2, 3)), 6)
    7.0
    """
    excess = Polynomial.fit(sizes, [count(size) - wanted for size in sizes], 2)
    c, b, a = (float(coefficient) for coefficient in excess.convert().coef)
    # The form of the root that is exact for a line, too, which is what an MLP gives.
    return -2 * c / (b + math.sqrt(max(b * b - 4 * a * c, 0.0)))
