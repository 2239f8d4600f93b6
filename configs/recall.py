"""Recall, a probe: the value of a key among 1,024 positions of noise, 64 classes.

make task=recall recipe=quick
    rows of 256 positions with 8 pairs; two CPU cores: FNet 1.5 minutes, 1.6 %, chance
make task=recall recipe=small
    rows of 1,024 positions with 32 pairs
make task=recall recipe=lra2020
    the budget of ListOps; there are no published numbers
make task=recall recipe=strong
    a modern recipe

The learning rate decides much here: compare mixers at the best of 1e-3, 3e-3 and
1e-2, chosen on the validation split.
"""

from ml_collections import ConfigDict

from configs.common import (
    apply_recipe,
    common_config,
    keep_listops_budget,
    set_quick_probe,
    set_small_probe,
    set_strong_probe,
)


def get_config(recipe: str = "lra2020") -> ConfigDict:
    """Return the config of a recipe: "quick", "small", "lra2020" or "strong"."""
    config = common_config()
    config.task = "recall"
    config.data.source = "generated"
    config.data.seed = 0  # of the generated examples
    config.data.num_train = 100_000  # examples
    config.data.num_validation = 2_000
    config.data.num_test = 2_000
    config.data.length = 1_024  # positions of a row
    config.data.num_pairs = 32  # pairs of a row, 1 to 64
    config.pretrain.mask_rate = 0.1
    recipes = {
        "quick": quick,
        "small": set_small_probe,
        "lra2020": keep_listops_budget,
        "strong": set_strong_probe,
    }
    return apply_recipe(config, recipe, recipes)


def quick(config: ConfigDict) -> None:
    """Shorten the rows: a model of this size learns long ones in more steps."""
    set_quick_probe(config)
    config.data.length = 256
    config.data.num_pairs = 8
