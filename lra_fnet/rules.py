"""The rules under which numbers of the benchmark are comparable, and equal parameters.

Long Range Arena (Tay et al., 2020), section 3.2 and its repository's README: fixed
sizes and hyperparameters, at most 10 % more parameters than the base Transformer, the
same input, no pre-training. A run that breaks one is "free-for-all". Recipes other than
the released budget have rows of their own for mixers that were pre-trained, and mark
those with more parameters.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
from numpy.polynomial import Polynomial

from lra_fnet.config import (
    MOST_PARAMETERS,
    OFFICIAL,
    TOO_MANY,
    changes,
    load_config,
    make_program,
    resolve,
)
from tasks import Task, make_task

BASE = "transformer"

# What a row of a table chooses for itself, and what changes no result.
FREE = ("mixer", "mixers", "hybrid", "pretrain", "init", "seed", "num_seeds", "run")
FREE_KEYS = ("data.source", "data.directory", "train.micro_batches")
# What the command that repeats a run says by variables of make.
OF_DATA = ("data.source", "data.directory")
SAID_BY_VARIABLES = ("mixer", "seed", "num_seeds", *OF_DATA, "init.from_run")
PARITY_KEYS = ("encoder.width", "encoder.mlp_dim")

TOLERANCE = 0.01  # of equal parameters
WIDTH_STEP = 8  # widths are multiples of it, so that heads divide them


def count_parameters(config: ConfigDict, task: Task) -> int:
    """Return the number of parameters of the model of a config; nothing is computed.

    Raises:
      ValueError: a value of the config is out of its range, or a mixer fails that has
        hyperparameters other than the recipe's; names these.
    """
    inputs = jax.ShapeDtypeStruct((1, *task.row_shape), jnp.uint8)
    init = partial(make_program(config, task).model.init, train=False)
    try:
        shapes = jax.eval_shape(init, jax.random.key(0), inputs)
    except ValueError:
        raise
    except Exception as error:
        values = ", ".join(
            f"{key}={value}"
            for key, value in recipe_changes(config).items()
            if key.startswith("mixers.")
        )
        if not values:  # a fault of the mixer
            raise
        raise ValueError(
            f"the model cannot be built with {values} and encoder.width="
            f"{config.encoder.width} ({type(error).__name__}: {error}); LRA_DEBUG=1 "
            "shows where"
        ) from error
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


# ---------------------------------------------------------------------------
# The rules


def check_rules(
    config: ConfigDict, task: Task, parameters: int, parity: str
) -> dict[str, Any]:
    """Return whether a run keeps the rules, with what breaks them.

    Args:
      config: of the run; it is compared with its recipe as the files have it.
      task: of the run.
      parameters: of the run's model.
      parity: "params" if the sizes were solved to match the base Transformer's
        parameters, which makes other sizes fair.
    """
    base = base_parameters(config, task)
    reasons = [
        f"{key} is {value}, not the recipe's"
        for key, value in recipe_changes(config).items()
        if not _is_free(key, parity)
    ]
    official = config.recipe == OFFICIAL
    if official and (config.pretrain.num_steps or config.init.weights):
        reasons.append("pre-trained, which the benchmark leaves out of its scope")
    if official and parameters > MOST_PARAMETERS * base:
        reasons.append(
            f"{parameters:,} parameters, {parameters / base:.2f} times the base "
            f"Transformer's {base:,}; {TOO_MANY}"
        )
    return {
        "free_for_all": bool(reasons),
        "reasons": reasons,
        "base_parameters": base,
        "parity": parity,
    }


def recipe_changes(config: ConfigDict) -> dict[str, Any]:
    """Return the keys whose values are not the recipe's, with the run's values."""
    kept = {"mixer": config.mixer}
    kept |= {f"hybrid.{key}": value for key, value in config.hybrid.items()}
    recipe = load_config(config.task, config.recipe, kept)
    changed = changes(resolve(recipe), resolve(config))
    return {key: after for key, (_, after) in changed.items()}


def base_parameters(config: ConfigDict, task: Task) -> int:
    """Return the parameters of the recipe's Transformer on the recipe's own task."""
    kept = {"mixer": BASE, "hybrid.num_layers": 0}
    of_data = {"source", "directory"} & {
        *config.data
    }  # what is generated has no folder
    kept |= {f"data.{key}": config.data[key] for key in of_data}
    base = load_config(config.task, config.recipe, kept)
    if base.data != config.data:
        task = make_task(base.task, **base.data)
    return count_parameters(base, task)


def repeat_command(config: ConfigDict) -> str:
    """Return the command that repeats a run; `data=` is for the reader to fill in."""
    parts = [f"make task={config.task} mixer={config.mixer} recipe={config.recipe}"]
    parts.append(f"seed={config.seed}")
    if config.num_seeds > 1:
        parts.append(f"seeds={config.num_seeds}")
    recipe = load_config(config.task, config.recipe)
    hybrid = changes(recipe.hybrid.to_dict(), config.hybrid.to_dict())
    changed = {f"hybrid.{key}": after for key, (_, after) in hybrid.items()}
    changed |= recipe_changes(config)
    if "data.source" in changed:
        parts.append(f"source={config.data.source}")
    if "data.directory" in changed:
        parts.append("data=DIR")
    if "init.from_run" in changed:
        parts.append("init_from=RUN")
    flags = [
        f"--config.{key}={value}"
        for key, value in changed.items()
        if key not in SAID_BY_VARIABLES and not key.startswith("run.")
    ]
    return " ".join([*parts, *([f'flags="{" ".join(flags)}"'] if flags else [])])


def _is_free(key: str, parity: str) -> bool:
    """Return whether a row of the table may choose the value of a key."""
    is_size = parity == "params" and key in PARITY_KEYS
    return is_size or key in FREE_KEYS or key.split(".")[0] in FREE


# ---------------------------------------------------------------------------
# Equal parameters


def match_parameters(config: ConfigDict) -> None:
    """Set width and MLP of a config so that parameters match within 1 %.

    The width comes first, with an MLP in proportion to it; the MLP then takes up what
    is left. Where that is too much or too little, the next widths are tried.

    Args:
      config: of the run; its `encoder.width` and `encoder.mlp_dim` are changed. The
        Transformer of its recipe is the base.

    Raises:
      ValueError: no such sizes; says how close the closest come.
    """
    task = make_task(config.task, **config.data)
    wanted = base_parameters(config, task)
    sizes = load_config(config.task, config.recipe).encoder

    def count(width: int, mlp_dim: int) -> int:
        config.encoder.width, config.encoder.mlp_dim = width, mlp_dim
        return count_parameters(config, task)

    found: dict[tuple[int, int], float] = {}
    for width in _widths(count, wanted, sizes):
        mlp_dim = solve(partial(count, width), wanted, (2, 64, 512))
        mlp_dim = max(round(mlp_dim), 2)
        found[width, mlp_dim] = abs(count(width, mlp_dim) / wanted - 1)
        if found[width, mlp_dim] <= TOLERANCE:
            return
    width, mlp_dim = min(found, key=lambda sizes: found[sizes])
    raise ValueError(
        f"parity=params: {config.mixer} cannot have the base Transformer's {wanted:,} "
        f"parameters; the closest are {count(width, mlp_dim):,}, at width {width} and "
        f"MLP {mlp_dim}"
    )


def _widths(
    count: Callable[[int, int], int], wanted: int, sizes: ConfigDict
) -> Sequence[int]:
    """Return widths to try, the likeliest first: the MLP in the recipe's proportion."""
    proportion = sizes.mlp_dim / sizes.width
    first = WIDTH_STEP * round(sizes.width / WIDTH_STEP)
    ideal = solve(
        lambda width: count(width, round(width * proportion)),
        wanted,
        (first, 2 * first, 3 * first),
    )
    nearest = max(round(ideal / WIDTH_STEP), 1)
    steps = sorted(range(-2, 3), key=lambda n: (abs(n), n))
    return [WIDTH_STEP * (nearest + n) for n in steps if nearest + n > 0]


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
