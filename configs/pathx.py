"""Path-X: Pathfinder in 128 x 128 pixels, 16,384 in a row, two classes.

make task=pathx recipe=quick
    two CPU cores: minutes; chance at this budget
make task=pathx recipe=lra2020
    the released budget, 500,000 steps; published: all of LRA's
    at chance
make task=pathx recipe=strong
    a modern recipe, 75 epochs, pixels as numbers; not measured here
"""

from ml_collections import ConfigDict

from configs.common import apply_recipe, set_quick, set_strong
from configs.pathfinder import pathfinder_config, set_small_model


def get_config(recipe: str = "lra2020") -> ConfigDict:
    """Return the config of a recipe: "quick", "small", "lra2020" or "strong"."""
    config = pathfinder_config()
    config.task = "pathx"
    del config.data.size  # 128, by definition
    recipes = {"quick": quick, "small": small, "lra2020": lra2020, "strong": strong}
    return apply_recipe(config, recipe, recipes)


def lra2020(config: ConfigDict) -> None:
    """Set the released budget (lra_benchmarks/image/configs/pathfinder128)."""
    config.num_layers = 1
    config.encoder.width = 32
    config.encoder.mlp_dim = 32
    config.encoder.positions = "learned"
    config.every_mixer.num_heads = 2
    config.every_mixer.qkv_dim = 16
    config.optimizer.clip_norm = 1.0
    config.schedule.warmup_steps = 2_500  # one epoch
    config.train.batch_size = 64
    config.train.num_steps = 500_000
    config.train.eval_every = 12_500  # LRA: every 2,500


def quick(config: ConfigDict) -> None:
    """Shrink the model and the number of examples, never their length."""
    set_quick(config)
    config.data.num_train = 2_000
    config.data.num_validation = 200
    config.data.num_test = 400
    config.num_layers = 2
    config.encoder.width = 32
    config.encoder.mlp_dim = 64
    config.schedule.warmup_steps = 20
    config.train.batch_size = 8
    config.train.num_steps = 200
    config.train.eval_every = 100
    config.run.log_every = 25
    config.run.checkpoint_every = 100
    config.run.eval_batch_size = 8


def small(config: ConfigDict) -> None:
    """Keep Pathfinder's small model; at this budget nothing learns the task."""
    set_small_model(config)
    config.num_layers = 4
    config.train.batch_size = 4
    config.train.num_steps = 1_000
    config.run.eval_batch_size = 4


def strong(config: ConfigDict) -> None:
    """Train longer, at S5's sizes, with pixels as numbers."""
    set_strong(config, weight_decay=0.06, warmup_steps=18_750)  # 5 % of the steps
    config.num_layers = 6
    config.encoder.inputs = "values"
    config.encoder.width = 128
    config.encoder.mlp_dim = 256
    config.encoder.dropout_rate = 0.0
    config.schedule.learning_rate = 6e-4
    config.train.batch_size = 32
    config.train.num_steps = 375_000  # 75 epochs
    config.train.eval_every = 5_000
