"""GLUE: classify sentences or pairs, 512 bytes, from the benchmark's TSV files.

make task=glue data=DIR recipe=quick flags="--config.data.dataset=rte"
    two CPU cores; nothing here is measured, since the files are the user's
make task=glue data=DIR recipe=small
    all data, four passes over SST-2's size
make task=glue data=DIR recipe=lra2020
    the sizes that LRA gives Text; there are no published numbers
make task=glue data=DIR recipe=strong
    a modern recipe

To fine-tune an encoder that was pre-trained on a corpus: docs/pretraining.md.
"""

from ml_collections import ConfigDict

from configs.common import apply_recipe, common_config, set_small_text, set_strong


def get_config(recipe: str = "lra2020") -> ConfigDict:
    """Return the config of a recipe: "quick", "small", "lra2020" or "strong"."""
    config = common_config()
    config.task = "glue"
    config.data.source = "folder"  # train.tsv and dev.tsv; "sample"
    config.data.directory = ""  # of the data set, or the one above it
    config.data.dataset = "sst2"  # cola, mrpc, qqp, qnli, rte, wnli, mnli
    config.data.length = 512  # bytes of an example
    config.data.num_train = 0  # examples, 0: all; a bound
    recipes = {"quick": quick, "small": small, "lra2020": lra2020, "strong": strong}
    return apply_recipe(config, recipe, recipes)


def lra2020(config: ConfigDict) -> None:
    """Keep the sizes that LRA gives Text."""
    config.encoder.width = 256
    config.encoder.mlp_dim = 1024
    config.every_mixer.num_heads = 4


def quick(config: ConfigDict) -> None:
    """Take a few thousand examples."""
    small(config)
    config.data.num_train = 8_000
    config.train.num_steps = 500
    config.train.eval_every = 250


def small(config: ConfigDict) -> None:
    """Take the model that Text's small recipe has."""
    set_small_text(config)
    config.train.num_steps = 8_000
    config.train.eval_every = 1_000


def strong(config: ConfigDict) -> None:
    """Train longer, at the sizes of Text's strong recipe."""
    set_strong(config, weight_decay=0.07, warmup_steps=1_000)
    config.num_layers = 6
    config.encoder.width = 256
    config.encoder.mlp_dim = 512
    config.train.batch_size = 50
    config.train.num_steps = 40_000
    config.train.eval_every = 1_000
