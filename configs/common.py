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
    config.mixers.fnet = ConfigDict({"algorithm": "auto"})  # or lra_fnet.fourier's
    config.mixers.transformer = ConfigDict(
        {"num_heads": 8, "qkv_dim": 0, "dropout_rate": 0.1}  # qkv_dim 0: the width
    )
    # The other ten of LRA's mixers, at the values of its released code or else of the
    # paper. num_heads 8, qkv_dim 0 (the width) and dropout_rate 0.1 are LRA's.
    config.mixers.local = ConfigDict(
        {"num_heads": 8, "qkv_dim": 0, "dropout_rate": 0.1, "block_size": 50}
    )
    config.mixers.sparse = ConfigDict(
        {"num_heads": 8, "qkv_dim": 0, "dropout_rate": 0.1}
        | {"block_size": 50, "num_summaries": 10}
    )
    config.mixers.longformer = ConfigDict(
        {"num_heads": 8, "qkv_dim": 0, "dropout_rate": 0.1, "window_size": 512}
    )
    config.mixers.linformer = ConfigDict(
        {"num_heads": 8, "qkv_dim": 0, "dropout_rate": 0.1, "rank": 16}
    )
    config.mixers.reformer = ConfigDict(
        # LRA: 1 hash; its 10 chunks per sequence are not taken over. The paper's 4 to 8
        # hashes come closer to attention between all pairs.
        {"num_heads": 8, "qkv_dim": 0, "dropout_rate": 0.1}
        | {"chunk_size": 64, "num_hashes": 1, "seed": 0}
    )
    config.mixers.sinkhorn = ConfigDict(
        # Iterations and temperature: usual values, not tuned here.
        {"num_heads": 8, "qkv_dim": 0, "dropout_rate": 0.1}
        | {"block_size": 50, "num_iterations": 8, "temperature": 0.75}
    )
    config.mixers.synthesizer = ConfigDict(  # rank: written in LRA's text config
        {"num_heads": 8, "qkv_dim": 0, "dropout_rate": 0.1, "rank": 32}
    )
    config.mixers.bigbird = ConfigDict(
        {"num_heads": 8, "qkv_dim": 0, "dropout_rate": 0.1}
        | {"block_size": 64, "num_window_blocks": 3}
        | {"num_global_blocks": 2, "num_random_blocks": 3, "seed": 0}
    )
    config.mixers.linear_transformer = ConfigDict({"num_heads": 8, "qkv_dim": 0})
    config.mixers.performer = ConfigDict(
        {"num_heads": 8, "qkv_dim": 0, "num_features": 256, "seed": 0}
    )
    # FNet's controls and ablations: the transform replaced, nothing else.
    config.mixers.linear = ConfigDict()
    config.mixers.random = ConfigDict({"seed": 0})  # of its matrices
    config.mixers.ff_only = ConfigDict()
    config.mixers.fourier_seq = ConfigDict()
    config.mixers.fourier_abs = ConfigDict()
    config.mixers.hartley = ConfigDict()
    config.mixers.dct = ConfigDict()
    config.mixers.hadamard = ConfigDict()
    config.mixers.fnet_gate = ConfigDict(
        # 256: the row above in Path-X, and its neighbours; 16,384: its whole length.
        {"num_bands": 256, "max_period": 16384, "kernel_size": 5}
    )
    config.mixers.transformer_rope = ConfigDict(
        {"num_heads": 8, "qkv_dim": 0, "rotary_base": 1e4, "implementation": "auto"}
    )
    config.mixers.nystromformer = ConfigDict(
        # Landmarks and kernel as in its authors' LRA runs; 6 iterations are usual.
        {"num_heads": 8, "qkv_dim": 0, "dropout_rate": 0.1}
        | {"num_landmarks": 128, "num_iterations": 6, "kernel_size": 35}
    )
    # 5 positions: a locality control in the sense of arXiv 2501.14850.
    config.mixers.cnn = ConfigDict({"kernel_size": 5, "depthwise": True})
    config.mixers.chordmixer = ConfigDict()
    config.mixers.gmlp = ConfigDict({"hidden_dim": 0})  # of each half; 0: the width
    config.mixers.cosformer = ConfigDict({"num_heads": 8, "qkv_dim": 0})
    config.mixers.luna = ConfigDict(  # 256 slots: the Luna-256 of published tables
        {"num_heads": 8, "qkv_dim": 0, "dropout_rate": 0.1, "num_slots": 256}
    )
    config.mixers.lru = ConfigDict(  # memories of 10 to 1,000 tokens, any phase; chosen
        {"state_dim": 256, "min_radius": 0.9, "max_radius": 0.999, "max_phase": 6.28}
    )
    config.mixers.s5 = ConfigDict(  # the size of its Pathfinder runs
        {"state_dim": 256, "num_blocks": 8, "min_step": 1e-3, "max_step": 0.1}
    )
    config.mixers.s4d = ConfigDict(  # S4D-Inv; not tuned
        {"state_dim": 64, "initialization": "inverse"}
        | {"min_step": 1e-3, "max_step": 0.1}
    )
    config.mixers.mega = ConfigDict(  # Mega-chunk; chunk_size 0 is Mega
        {"ema_dim": 16, "attention_dim": 64, "value_factor": 2, "chunk_size": 128}
        | {"attention_function": "softmax", "dropout_rate": 0.1}
    )
    config.mixers.hyena = ConfigDict(  # order 2 as published; the rest not tuned
        {"order": 2, "short_kernel_size": 3, "filter_dim": 64, "filter_depth": 4}
        | {"num_bands": 16, "sine_frequency": 14.0}
    )
    config.mixers.retnet = ConfigDict(  # values twice as wide: the paper's allocation
        {"num_heads": 8, "qkv_dim": 0, "value_factor": 2, "chunk_size": 64}
    )
    config.mixers.mamba2 = ConfigDict(  # 7: the causal 4 in both directions
        {"num_heads": 8, "state_dim": 64, "expansion": 2}
        | {"kernel_size": 7, "chunk_size": 64}
    )
    config.mixers.b2s6 = ConfigDict(  # 8 blocks: its LRA runs; 32: Mamba's 16, complex
        {"num_blocks": 8, "state_dim": 32, "chunk_size": 64}
        | {"min_step": 1e-3, "max_step": 0.1}
    )

    # AdamW with LRA's constants (lra_benchmarks/utils/train_utils.py).
    config.optimizer = ConfigDict()
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.98
    config.optimizer.eps = 1e-9
    config.optimizer.weight_decay = 0.1  # times the learning rate, per step
    config.optimizer.decay_all = True  # LRA: also biases and norms; False: matrices
    config.optimizer.clip_norm = 0.0  # of the global gradient norm; 0: no clip
    config.optimizer.ssm_factor = 1.0  # of the learning rate of parameters named ssm_

    config.schedule = ConfigDict()
    config.schedule.schedule = "rsqrt"  # or "cosine", "constant"
    config.schedule.learning_rate = 0.05  # rsqrt divides it by sqrt(warmup_steps)
    config.schedule.warmup_steps = 1000  # steps

    config.train = ConfigDict()
    config.train.num_steps = 5000  # steps
    config.train.batch_size = 32  # examples per step, over all devices
    config.train.accumulate = 0  # parts a batch is computed in; 0: what is fastest
    config.train.eval_every = 500  # steps between validations, which select the model

    # Run: nothing here changes a result.
    config.run = ConfigDict()
    config.run.log_every = 100  # steps between log lines
    config.run.checkpoint_every = 1000  # steps between checkpoints
    config.run.eval_batch_size = 128  # examples per call, over all devices
    config.run.steps_per_call = 0  # steps per compiled call; 0: 1 on CPU, else 100
    config.run.tensorboard = False  # write event files to <workdir>/tensorboard
    return config


def set_mixers(config: ConfigDict, **values: float) -> None:
    """Set hyperparameters, such as num_heads, in every mixer that has them."""
    for mixer in config.mixers.values():
        for key in values.keys() & mixer.keys():
            mixer[key] = values[key]


def set_quick(config: ConfigDict) -> None:
    """Set what the quick recipes share: a small model and a short schedule."""
    config.encoder.width = 64
    config.encoder.mlp_dim = 128
    config.encoder.dropout_rate = 0.0
    # Of 32 numbers each; on CPUs attention costs as many softmaxes as it has heads.
    set_mixers(config, num_heads=2, dropout_rate=0.0)
    config.optimizer.weight_decay = 0.01
    config.schedule.schedule = "cosine"
    config.schedule.learning_rate = 2e-3
    config.schedule.warmup_steps = 50
    config.train.eval_every = 200
    config.run.log_every = 50
    config.run.checkpoint_every = 200


def set_strong(config: ConfigDict, weight_decay: float, warmup_steps: int) -> None:
    """Set the optimiser that the strongest published models have in common.

    AdamW with its usual constants, no decay of biases and norms, a clipped gradient,
    and half a cosine after the warm-up, as S5, S4 and Mega.
    """
    config.encoder.pool = "mean"
    config.optimizer.b2 = 0.999
    config.optimizer.eps = 1e-8
    config.optimizer.weight_decay = weight_decay
    config.optimizer.decay_all = False
    config.optimizer.clip_norm = 1.0
    config.schedule.schedule = "cosine"
    config.optimizer.ssm_factor = 0.25  # S5: 1/2 to 1/5, by task
    config.schedule.learning_rate = 1e-3
    config.schedule.warmup_steps = warmup_steps


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
