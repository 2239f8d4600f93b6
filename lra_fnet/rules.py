"""The rules under which the numbers of a benchmark may stand side by side.

Long Range Arena (Tay et al., 2020), section 3.2 and its repository's README: fixed
sizes and hyperparameters, at most 10 % more parameters than the base Transformer, no
pretraining, the same input. A run that breaks one is "free-for-all".
"""

from typing import Any

from ml_collections import ConfigDict

from lra_fnet.build import config_mixers, count_parameters
from lra_fnet.protocol import changes, resolved_config
from tasks import Task, make_task

BASE = "transformer"
MOST_PARAMETERS = 1.1  # times those of the base Transformer

# What a row of the table chooses for itself, and what changes no result.
FREE = ("model", "mixers", "hybrid", "seed", "num_seeds", "run")
FREE_KEYS = ("data.source", "data.directory", "train.accumulate")
PARITY_KEYS = ("encoder.width", "encoder.mlp_dim")


def recipe_changes(config: ConfigDict, recipe: ConfigDict) -> dict[str, Any]:
    """Return the keys whose values are not the recipe's, with the run's values."""
    new = resolved_config(config, config_mixers(config))
    own = recipe.copy_and_resolve_references()
    with own.unlocked():
        own.update({"model": config.model, "hybrid": config.hybrid})
    old = resolved_config(own, config_mixers(own))
    return {key: after for key, (_, after) in changes(old, new).items()}


def check_rules(
    config: ConfigDict, recipe: ConfigDict, task: Task, parameters: int, parity: str
) -> dict[str, Any]:
    """Return whether a run keeps the rules, with what breaks them.

    Args:
      config: of the run.
      recipe: the recipe's own config, without the run's changes.
      task: of the run.
      parameters: of the run's model.
      parity: "params" if the sizes were solved to match the base Transformer's
        parameters, which makes other sizes fair.
    """
    base = base_parameters(config, recipe, task)
    reasons = [
        f"{key} is {value}, not the recipe's"
        for key, value in recipe_changes(config, recipe).items()
        if not _is_free(key, parity)
    ]
    if parameters > MOST_PARAMETERS * base:
        reasons.append(
            f"{parameters:,} parameters, {parameters / base:.2f} times the base "
            f"Transformer's {base:,}; at most {MOST_PARAMETERS:g} times are allowed"
        )
    return {
        "free_for_all": bool(reasons),
        "reasons": reasons,
        "base_parameters": base,
        "parity": parity,
    }


def base_parameters(config: ConfigDict, recipe: ConfigDict, task: Task) -> int:
    """Return the parameters of the recipe's Transformer on the recipe's own task."""
    base = recipe.copy_and_resolve_references()
    with base.unlocked():
        base.model, base.hybrid.num_layers = BASE, 0
        for key in ("source", "directory"):
            base.data[key] = config.data[key]
    if base.data != config.data:
        task = make_task(base.task, **base.data)
    return count_parameters(base, task)


def repeat_command(config: ConfigDict, recipe: ConfigDict) -> str:
    """Return the command that repeats a run; `data=` is for the reader to fill in."""
    parts = [f"make task={config.task} model={config.model} recipe={config.recipe}"]
    parts.append(f"seed={config.seed}")
    if config.num_seeds > 1:
        parts.append(f"seeds={config.num_seeds}")
    changed = recipe_changes(config, recipe)
    if "data.source" in changed:
        parts.append(f"source={config.data.source}")
    if "data.directory" in changed:
        parts.append("data=DIR")
    flags = [
        f"--config.{key}={value}"
        for key, value in changed.items()
        if key not in ("model", "seed", "num_seeds", "data.source", "data.directory")
        and not key.startswith("run.")
    ]
    return " ".join([*parts, *([f'flags="{" ".join(flags)}"'] if flags else [])])


def _is_free(key: str, parity: str) -> bool:
    """Return whether a row of the table may choose the value of a key."""
    is_size = parity == "params" and key in PARITY_KEYS
    return is_size or key in FREE_KEYS or key.split(".")[0] in FREE
