"""Retrieval: does one paper cite the other, read as bytes, twice 4,000, two classes.

make task=retrieval recipe=quick source=sample
    two CPU cores: minutes; made-up pairs, to see that it runs
make task=retrieval recipe=small source=papers data=FOLDER
    one and a half passes, 59 minutes while other work ran; FNet 70.1 % (1 seed) on
    pairs of real papers that are not LRA's
make task=retrieval recipe=lra2020 data=FOLDER
    the released budget, 5,000 steps; published: FNet 59.61 %, Transformer 57.46 %
make task=retrieval recipe=strong data=FOLDER
    a modern recipe, 20 epochs; not measured here
"""

from ml_collections import ConfigDict

from configs.common import (
    apply_recipe,
    common_config,
    set_quick,
    set_small_text,
    set_strong,
)


def get_config(recipe: str = "lra2020") -> ConfigDict:
    """Return the config of a recipe: "quick", "small", "lra2020" or "strong"."""
    config = common_config()
    config.task = "retrieval"
    config.data.source = "official"  # or "papers": papers and pairs of them; "sample"
    config.data.directory = ""  # above the release; of papers and pairs
    config.data.length = 4_000  # bytes per document
    config.data.num_train = 0  # pairs, 0: all; a bound
    config.data.num_validation = 0
    config.data.num_test = 0
    config.num_layers = 4
    config.encoder.width = 128
    config.encoder.mlp_dim = 512
    config.encoder.pool = "first"  # LRA: its two-document encoders have no CLS slot
    config.every_mixer.num_heads = 4
    recipes = {"quick": quick, "small": small, "lra2020": lra2020, "strong": strong}
    return apply_recipe(config, recipe, recipes)


def lra2020(config: ConfigDict) -> None:
    """Set the released budget (lra_benchmarks/matching/configs)."""
    config.schedule.warmup_steps = 8_000  # LRA: more than there are steps
    config.train.num_steps = 5_000
    config.train.eval_every = 500  # LRA: every 100, the test split too


def quick(config: ConfigDict) -> None:
    """Shrink the model and the number of pairs, never their length."""
    set_quick(config)
    config.data.num_train = 8_000
    config.data.num_validation = 250
    config.data.num_test = 500
    config.num_layers = 2
    # As in FNet's own pooler; its transform puts the sum over all positions there.
    config.encoder.pool = "first"
    config.train.batch_size = 8
    config.train.num_steps = 240
    config.train.eval_every = 120
    config.run.checkpoint_every = 100
    config.run.eval_batch_size = 8


def small(config: ConfigDict) -> None:
    """Read every pair of the papers at hand one and a half times."""
    set_small_text(config)
    config.num_layers = 1
    config.encoder.mlp_dim = 128
    # FNet's sums over all positions stand at the first, other mixers' at each.
    config.encoder.pool = "first_and_mean"
    # From vectors side by side not even counts of bytes are compared in this time.
    config.encoder.comparison = "match"
    config.schedule.learning_rate = 2e-3
    config.train.num_steps = 3_000
    config.train.eval_every = 500
    config.run.eval_batch_size = 8


def strong(config: ConfigDict) -> None:
    """Train longer, at the sizes S5 and Mega share."""
    set_strong(
        config, weight_decay=0.05, warmup_steps=4_600
    )  # one epoch of the release's pairs
    config.num_layers = 6
    config.encoder.mlp_dim = 256
    config.train.num_steps = 92_000  # 20 epochs
    config.train.eval_every = 4_600
