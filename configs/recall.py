"""Recall, a probe: the value of a key among 1,024 positions of noise, 64 classes.

make task=recall recipe=quick
    rows of 64 positions, 4 pairs of 8 symbols; half a minute on one CPU core: FNet
    13.2 % at its best rate, chance; mixer=cnn with --config.hybrid.num_layers=1 has
    100 % in most runs
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
    config.data.num_pairs = 32  # pairs of a row, 1 to num_symbols
    config.data.num_symbols = 64  # of keys and of values, 1 to 64
    config.pretrain.mask_rate = 0.1
    recipes = {
        "quick": quick,
        "small": small,
        "lra2020": keep_listops_budget,
        "strong": set_strong_probe,
    }
    return apply_recipe(config, recipe, recipes)


def quick(config: ConfigDict) -> None:
    """Shorten the rows and take fewer symbols: what a few minutes can learn."""
    set_quick_probe(config)
    config.data.length = 64
    config.data.num_pairs = 4
    config.data.num_symbols = 8
    config.encoder.pool = "last"  # where the row asks


def small(config: ConfigDict) -> None:
    """Read whole rows."""
    set_small_probe(config)
    config.encoder.pool = "last"
