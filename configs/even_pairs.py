"""Even pairs, a probe: the parity of the changes in 500 to 1,023 bits, two classes.

make task=even_pairs recipe=quick
    rows of 20 to 39 bits; two CPU cores: half a minute; FNet 100 % (1 seed)
make task=even_pairs recipe=small
    rows of 500 to 1,023 bits
make task=even_pairs recipe=lra2020
    the budget of ListOps; there are no published numbers
make task=even_pairs recipe=strong
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
    config.task = "even_pairs"
    config.data.source = "generated"
    config.data.seed = 0  # of the generated examples
    config.data.num_train = 100_000  # examples
    config.data.num_validation = 2_000
    config.data.num_test = 2_000
    config.data.min_length = 500  # fewest bits of a row
    config.data.max_length = 1_024  # positions of a row, which has fewer bits
    config.pretrain.mask_rate = 0.1
    recipes = {
        "quick": quick,
        "small": set_small_probe,
        "lra2020": keep_listops_budget,
        "strong": set_strong_probe,
    }
    return apply_recipe(config, recipe, recipes)


def quick(config: ConfigDict) -> None:
    """Shorten the rows."""
    set_quick_probe(config)
    config.data.min_length = 20
    config.data.max_length = 40
