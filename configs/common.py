"""Every knob once, with its unit or source; the files beside this one say what differs.

Sections are handed whole to the one constructor that reads them, so a key that
nothing reads is an error. `run` and the seeds cannot change what a trained model is
and are left out of a config's hash; everything else is in it.
"""

import difflib
from collections.abc import Callable, Mapping

from ml_collections import ConfigDict


def common_config() -> ConfigDict:
    """Return the knobs shared by all tasks, at the values LRA uses for most."""
    config = ConfigDict()
    config.task = ""  # a file of tasks/
    config.recipe = ""  # the named protocol; a result carries it
    config.model = "fnet"  # a file of lra_fnet/mixers/
    config.num_layers = 4
    config.seed = 0  # of the parameters, the dropout and the order of examples
    config.num_seeds = 1  # seed, seed + 1, ... trained together in one program

    # Hybrid: some layers get another mixer (FNet paper, section 4.4 and table 7).
    config.hybrid = ConfigDict()
    config.hybrid.mixer = "transformer"
    config.hybrid.num_layers = 0  # how many of num_layers
    config.hybrid.layout = "top"  # "bottom", "middle", "mixed" or "top"

    # Data: the options of the task, in its own file.
    config.data = ConfigDict()

    config.encoder = ConfigDict()
    config.encoder.inputs = "tokens"  # as LRA; "values": pixels as real numbers
    config.encoder.width = 512  # d
    config.encoder.mlp_dim = 1024  # hidden units of each MLP and of the head
    config.encoder.dropout_rate = 0.1  # share of units
    config.encoder.positions = "sinusoid"  # or "learned", "none"
    config.encoder.norm_placement = "published"  # as the mixer's paper; "pre", "post"
    config.encoder.padding = "keep"  # or "zero_embeddings", "zero_layers"
    config.encoder.pool = "cls"  # or "mean", "first"
    config.encoder.dtype = "float32"  # of activations; or "bfloat16"

    # Mixers: one line of hyperparameters per baseline.
    config.mixers = ConfigDict()
    config.mixers.fnet = ConfigDict()
    config.mixers.transformer = ConfigDict(
        {"num_heads": 8, "qkv_dim": 0, "dropout_rate": 0.1}  # qkv_dim 0: the width
    )

    # AdamW with LRA's constants (lra_benchmarks/utils/train_utils.py).
    config.optimizer = ConfigDict()
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.98
    config.optimizer.eps = 1e-9
    config.optimizer.weight_decay = 0.1  # times the learning rate, per step
    config.optimizer.decay_all = True  # LRA: also biases and norms; False: matrices
    config.optimizer.clip_norm = 0.0  # of the global gradient norm; 0: no clip

    config.schedule = ConfigDict()
    config.schedule.schedule = "rsqrt"  # or "cosine", "constant"
    config.schedule.learning_rate = 0.05  # rsqrt divides it by sqrt(warmup_steps)
    config.schedule.warmup_steps = 1000  # steps

    config.train = ConfigDict()
    config.train.num_steps = 5000  # steps
    config.train.batch_size = 32  # examples per step, over all devices
    config.train.accumulate = 1  # parts a batch is computed in, to save memory
    config.train.eval_every = 500  # steps between validations, which select the model

    # Run: nothing here changes a result.
    config.run = ConfigDict()
    config.run.log_every = 100  # steps between log lines
    config.run.checkpoint_every = 1000  # steps between checkpoints
    config.run.eval_batch_size = 128  # examples per call, over all devices
    config.run.steps_per_call = 0  # steps per compiled call; 0: 1 on CPU, else 100
    config.run.tensorboard = False  # write event files to <workdir>/tensorboard
    return config


def apply_recipe(
    config: ConfigDict, recipe: str, recipes: Mapping[str, Callable]
) -> ConfigDict:
    """Return the config changed by the recipe of that name, locked.

    Raises:
      ValueError: no such recipe; names the closest and all there are.
    """
    if recipe not in recipes:
        close = difflib.get_close_matches(recipe, recipes, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ";"
        names = ", ".join(recipes)
        raise ValueError(f"unknown recipe {recipe!r}{hint} have: {names}")
    config.recipe = recipe
    recipes[recipe](config)
    return config.lock()
