"""Corpus: a language model of a text of yours, byte by byte, in windows of 256.

make task=corpus data=DIR recipe=quick
    1.5 minutes; IMDb's reviews: FNet 3.58 bits per byte, cnn 2.43 (docs/language.md)
make task=corpus data=DIR recipe=small
    four layers of 128, four times the steps; not measured here
make task=corpus data=DIR recipe=lra2020
    the budget of ListOps; there are no published numbers
make task=corpus data=DIR recipe=strong
    a modern recipe; not measured here
"""

from ml_collections import ConfigDict

from configs.common import (
    apply_recipe,
    common_config,
    keep_listops_budget,
    set_small,
    set_strong,
)


def get_config(recipe: str = "lra2020") -> ConfigDict:
    """Return the config of a recipe: "quick", "small", "lra2020" or "strong"."""
    config = common_config()
    config.task = "corpus"
    config.data.source = "folder"  # files *.txt; "sample"
    config.data.directory = ""  # of the texts
    config.data.length = 256  # bytes of a window
    config.data.num_train = 0  # windows, 0: all; a bound
    config.data.num_validation = 2_000  # windows
    config.data.num_test = 2_000
    config.encoder.positions = "learned"
    # Every position predicts the next byte, from those before it. With "classify", and
    # causal=False, the whole window says what follows it.
    config.encoder.causal = True
    config.encoder.pool = "mean"
    config.train.objective = "causal"
    # FNet's published transform learns how frequent bytes are and no more, alone and
    # below an attention layer: docs/language.md.
    config.every_mixer.orthonormal = True
    recipes = {
        "quick": quick,
        "small": small,
        "lra2020": keep_listops_budget,
        "strong": strong,
    }
    return apply_recipe(config, recipe, recipes)


def quick(config: ConfigDict) -> None:
    """Train a small model on as many windows as the steps need."""
    set_small(config)
    config.train.num_steps = 1_000
    config.train.eval_every = 250


def small(config: ConfigDict) -> None:
    """Take four layers, and four times the steps."""
    set_small(config)
    config.num_layers = 4
    config.encoder.width = 128
    config.encoder.mlp_dim = 256
    config.every_mixer.num_heads = 4
    config.train.num_steps = 4_000
    config.train.eval_every = 500


def strong(config: ConfigDict) -> None:
    """Train longer, at the sizes of small language models."""
    set_strong(config, weight_decay=0.1, warmup_steps=1_000)
    config.num_layers = 6
    config.encoder.width = 384
    config.encoder.mlp_dim = 1536
    config.every_mixer.num_heads = 6
    config.train.batch_size = 64
    config.train.num_steps = 50_000
    config.train.eval_every = 1_000
