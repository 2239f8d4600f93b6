"""Pathfinder: do two discs mark one dashed curve, 32 x 32 pixels, two classes.

make task=pathfinder recipe=quick
    two CPU cores: minutes; chance at this budget
make task=pathfinder recipe=small
    three passes after shorter curves, pixels as numbers; fnet_gate 70.7 %
    (3 seeds) in 22 to 35 minutes while other work ran, FNet 48.9 %, chance (1 seed),
    in 9
make task=pathfinder recipe=lra2020
    the released budget, 62,400 steps; published: FNet 77.80 %, Transformer 71.40 %
make task=pathfinder recipe=strong
    a modern recipe, pixels as numbers; not measured here

64 x 64: flags="--config.data.size=64".
"""

from ml_collections import ConfigDict

from configs.common import (
    apply_recipe,
    common_config,
    set_quick,
    set_small,
    set_strong,
)


def pathfinder_config() -> ConfigDict:
    """Return what Pathfinder and Path-X share."""
    config = common_config()
    config.task = "pathfinder"
    config.data.source = "generated"  # or "official": the release's images; "sample"
    config.data.directory = ""  # a folder above the release
    config.data.size = 32  # pixels; 32, 64, 128 (Path-X) or 256
    config.data.difficulty = "hard"  # curves of 14 dashes; "intermediate" 9, "easy" 6
    config.data.seed = 0  # of the generated images
    config.data.num_train = 160_000  # images, as in LRA
    config.data.num_validation = 20_000
    config.data.num_test = 20_000
    config.data.curriculum = 0  # images of shorter curves, read before the others
    config.data.num_distractors = 0  # curves; 0: LRA's documentation, 5 at size 32
    config.data.refuse_orientations = True  # as the original; it makes images sparser
    config.data.stretch = True  # each image to 0..255, as the original
    config.encoder.pool = "mean"
    config.optimizer.weight_decay = 0.0
    config.pretrain.mask_rate = 0.5
    config.schedule.schedule = "lra_cosine"
    config.schedule.learning_rate = 1e-3
    return config


def set_small_model(config: ConfigDict) -> None:
    """Set what the small recipes of Pathfinder and Path-X share."""
    set_small(config)
    config.encoder.inputs = "values"
    config.encoder.positions = "learned"
    config.encoder.width = 32
    config.encoder.mlp_dim = 64


def get_config(recipe: str = "lra2020") -> ConfigDict:
    """Return the config of a recipe: "quick", "small", "lra2020" or "strong"."""
    config = pathfinder_config()
    recipes = {"quick": quick, "small": small, "lra2020": lra2020, "strong": strong}
    return apply_recipe(config, recipe, recipes)


def lra2020(config: ConfigDict) -> None:
    """Set the released budget and the Transformer's sizes (image/configs/pathfinder32).

    LRA: each of its models has other sizes on this task; here all have the same.
    """
    config.num_layers = 4
    config.encoder.width = 32
    config.encoder.mlp_dim = 32
    config.encoder.dropout_rate = 0.2
    config.every_mixer.num_heads = 4
    config.every_mixer.qkv_dim = 16
    config.schedule.warmup_steps = 312  # one epoch
    config.train.batch_size = 512
    config.train.num_steps = 62_400
    config.train.eval_every = 1_560  # LRA: every 312


def quick(config: ConfigDict) -> None:
    """Shrink the model and the number of examples, never their length."""
    set_quick(config)
    config.data.num_train = 20_000
    config.data.num_validation = 1_000
    config.data.num_test = 2_000
    config.num_layers = 2
    config.train.batch_size = 32
    config.train.num_steps = 400
    config.run.eval_batch_size = 32


def small(config: ConfigDict) -> None:
    """Read shorter curves first, then every image three times, pixels as numbers.

    LRA: has no such images. Without them nothing tried here has left chance, nor has it
    with the mean of all positions, in which the few of the discs drown.
    """
    set_small_model(config)
    config.data.curriculum = 76_800  # images, 2,400 steps
    config.encoder.pool = "max"
    config.train.num_steps = 17_400
    config.train.eval_every = 2_900


def strong(config: ConfigDict) -> None:
    """Train longer, at S5's sizes, with pixels as numbers."""
    set_strong(config, weight_decay=0.03, warmup_steps=25_000)  # 10 epochs
    config.num_layers = 6
    config.encoder.inputs = "values"
    config.encoder.width = 192
    config.encoder.mlp_dim = 384
    config.encoder.dropout_rate = 0.05
    config.train.batch_size = 64
    config.train.num_steps = 500_000  # 200 epochs
    config.train.eval_every = 2_500
