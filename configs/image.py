"""Image: grey CIFAR-10, 1,024 pixels in a row, ten classes.

make task=image recipe=quick
    two CPU cores: 4 minutes; FNet 32.1 % (1 seed), pixels as numbers
make task=image recipe=small
    all data thrice, 8 to 20 minutes while other work ran; FNet 44.9 % (3 seeds)
make task=image recipe=lra2020
    the released budget, 35,000 steps; published: FNet 38.67 %, Transformer 42.44 %
make task=image recipe=strong
    a modern recipe, 250 epochs, pixels as numbers; not measured here
"""

from ml_collections import ConfigDict

from configs.common import (
    apply_recipe,
    common_config,
    set_small,
    set_strong,
)


def get_config(recipe: str = "lra2020") -> ConfigDict:
    """Return the config of a recipe: "quick", "small", "lra2020" or "strong"."""
    config = common_config()
    config.task = "image"
    config.data.source = "tfds"  # or "folder": binary version or arrays; "sample"
    config.data.directory = ""  # of the folder; TFDS's data_dir for "tfds"
    config.data.num_train = 0  # images, 0: all; a bound
    config.data.num_validation = 5_000  # the last of the training images, as in LRA
    config.data.num_test = 0  # images, 0: all; a bound
    config.num_layers = 1
    config.encoder.width = 128
    config.encoder.mlp_dim = 128
    config.encoder.dropout_rate = 0.3
    config.encoder.positions = "learned"
    # LRA: a CLS slot, as a 1,025th position; here every position is a pixel.
    config.encoder.pool = "mean"
    config.every_mixer.num_heads = 8
    config.every_mixer.qkv_dim = 64
    config.every_mixer.dropout_rate = 0.2
    config.optimizer.weight_decay = 0.0
    config.pretrain.mask_rate = 0.5
    config.schedule.schedule = "lra_cosine"
    config.schedule.learning_rate = 5e-4
    config.schedule.warmup_steps = 175  # one epoch
    recipes = {"quick": quick, "small": small, "lra2020": lra2020, "strong": strong}
    return apply_recipe(config, recipe, recipes)


def lra2020(config: ConfigDict) -> None:
    """Set the released budget (lra_benchmarks/image/configs/cifar10)."""
    config.train.batch_size = 256
    config.train.num_steps = 35_000
    config.train.eval_every = 875  # LRA: every 175


def quick(config: ConfigDict) -> None:
    """Shrink small's budget and the number of examples, never their length."""
    small(config)
    config.data.num_train = 20_000
    config.data.num_validation = 2_000
    config.data.num_test = 2_000
    config.train.num_steps = 1_000
    config.train.eval_every = 250


def small(config: ConfigDict) -> None:
    """Read every training image three times, pixels as numbers."""
    set_small(config)
    config.encoder.inputs = "values"
    config.train.num_steps = 4_200
    config.train.eval_every = 700


def strong(config: ConfigDict) -> None:
    """Train longer, at S5's sizes, with pixels as numbers."""
    set_strong(config, weight_decay=0.07, warmup_steps=900)  # one epoch
    config.num_layers = 6
    config.encoder.inputs = "values"
    config.encoder.width = 512
    config.encoder.mlp_dim = 1024
    config.encoder.dropout_rate = 0.1
    config.every_mixer.qkv_dim = 0
    config.train.batch_size = 50
    config.train.num_steps = 225_000  # 250 epochs
    config.train.eval_every = 900
