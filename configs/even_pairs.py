"""Even pairs, a probe: the parity of the changes in 500 to 1,023 bits, two classes.

make task=even_pairs recipe=quick
    two CPU cores: minutes; rows of 20 to 39 bits
make task=even_pairs recipe=small
    rows of 500 to 1,023 bits
make task=even_pairs recipe=lra2020
    the budget of ListOps; there are no published numbers
make task=even_pairs recipe=strong
    a modern recipe

The learning rate decides much here: compare mixers at the best of
1e-3, 3e-3 and 1e-2, chosen on the validation split.
"""

from ml_collections import ConfigDict

from configs.common import apply_recipe, common_config, set_small, set_strong


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
    recipes = {"quick": quick, "small": small, "lra2020": lra2020, "strong": strong}
    return apply_recipe(config, recipe, recipes)


def lra2020(config: ConfigDict) -> None:
    """Keep the sizes and the budget that LRA gives ListOps."""


def quick(config: ConfigDict) -> None:
    """Shorten the rows."""
    set_probe(config)
    config.data.num_train = 16_000
    config.data.min_length = 20
    config.data.max_length = 40
    config.train.num_steps = 2_000
    config.train.eval_every = 500


def small(config: ConfigDict) -> None:
    """Read every training example twice."""
    set_probe(config)
    config.train.num_steps = 6_000
    config.train.eval_every = 1_000


def set_probe(config: ConfigDict) -> None:
    """Set what the small recipes of probes share."""
    set_small(config)
    config.encoder.pool = "mean"


def strong(config: ConfigDict) -> None:
    """Train longer, at the sizes of ListOps."""
    set_strong(config, weight_decay=0.04, warmup_steps=2_000)  # one epoch
    config.num_layers = 4
    config.encoder.width = 256
    config.encoder.mlp_dim = 512
    config.encoder.dropout_rate = 0.0
    config.train.batch_size = 50
    config.train.num_steps = 80_000  # 40 epochs
    config.train.eval_every = 2_000
