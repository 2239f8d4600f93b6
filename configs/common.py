"""Every setting once, with unit or source; each task has a file that says what differs.

Sections are handed whole to the one constructor that reads them, so a key that
nothing reads is an error. `run` and the seeds cannot change what a trained model is
and are left out of a config's hash; everything else is in it.
"""

from collections.abc import Callable, Mapping

from ml_collections import ConfigDict

from tasks import check_choice


def common_config() -> ConfigDict:
    """Return the settings shared by all tasks, at the values LRA uses for most."""
    config = ConfigDict()
    config.task = ""  # a file of tasks/
    config.recipe = ""  # the named budget; a result carries it
    config.mixer = "fnet"  # a file of lra_fnet/mixers/
    config.num_layers = 4
    config.seed = 0  # of the parameters, the dropout and the order of examples
    config.num_seeds = 1  # seed, seed + 1, ... trained together in one program

    # Hybrid: some layers get another mixer (FNet paper, section 4.4 and table 7).
    config.hybrid = ConfigDict()
    config.hybrid.mixer = "transformer"
    config.hybrid.num_layers = 0  # how many of num_layers
    config.hybrid.layout = "top"  # "bottom", "middle", "mixed" or "top"

    # Decoder: where the answer is a sequence, and not one position's class.
    config.decoder = ConfigDict()
    config.decoder.num_layers = 0  # 0: none
    config.decoder.mixer = "transformer"  # one with a causal form
    config.decoder.num_heads = 8  # of the attention to what was encoded

    # Data: options of the task; see its own file.
    config.data = ConfigDict()

    config.encoder = ConfigDict()
    config.encoder.inputs = "tokens"  # as LRA; "values": pixels as real numbers
    config.encoder.width = 512  # d
    config.encoder.mlp_dim = 1024  # hidden units of each MLP and of the head
    config.encoder.dropout_rate = 0.1  # share of units
    config.encoder.positions = "sinusoid"  # or "learned", "none"
    config.encoder.norm_placement = "published"  # as the mixer's paper; "pre", "post"
    config.encoder.padding = "keep"  # or "zero_embeddings", "zero_layers"
    config.encoder.pool = "cls"  # or mean, max, first, first_and_mean, last
    # True: position t of every layer reads positions <= t alone. It takes a pool of
    # mean, max and last, and a mixer with a causal form: docs/mixers.md marks them.
    config.encoder.causal = False
    config.encoder.comparison = "concat"  # of two documents; or "match"
    # Experts in place of the MLP of some layers: docs/experts.md.
    config.encoder.moe_layers = 0  # how many of num_layers, the middle ones
    config.encoder.num_experts = 4  # each an MLP of the sizes above
    config.encoder.expert_capacity = 1.0  # tokens of each, times real tokens / experts
    config.encoder.router_z_loss = 1e-4  # its weight; Sparse Mixers and ST-MoE
    config.encoder.dtype = "float32"  # of activations; or "bfloat16"
    # Of products of float32 matrices; CPUs compute all three alike.
    config.encoder.precision = "default"  # the device's fastest; "high", "highest"

    # Mixers: their hyperparameters are fields of the classes in lra_fnet/mixers, with
    # defaults, units and sources there. --config.mixers.NAME.KEY=VALUE changes one.
    config.mixers = ConfigDict()
    # What a recipe sets for every mixer with a field of the name, such as num_heads.
    config.every_mixer = ConfigDict()

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
    # Of the corpus also "causal": every position predicts the id after it.
    config.train.objective = "classify"
    config.train.num_steps = 5000  # steps
    config.train.batch_size = 32  # examples per step, over all devices
    config.train.micro_batches = 0  # parts a batch is computed in; 0: what is fastest
    config.train.eval_every = 500  # steps between validations, which select the model

    # Pre-training on the inputs of the training split: docs/pretraining.md.
    config.pretrain = ConfigDict()
    config.pretrain.objective = "none"  # or "masked": first restore hidden positions
    config.pretrain.num_steps = 0  # of train.num_steps; half is usual
    config.pretrain.mask_rate = 0.15  # probability of a position; Amos et al., by task
    config.pretrain.learning_rate = 0.0  # as the schedule's; 0: the same

    # The encoder's first parameters, from another run: docs/pretraining.md.
    config.init = ConfigDict()
    config.init.from_run = ""  # its workdir; "": drawn by the seed
    config.init.weights = ""  # what names them, filled in when the run is configured

    # Run: nothing here changes a result.
    config.run = ConfigDict()
    config.run.log_every = 100  # steps between log lines
    config.run.checkpoint_every = 1000  # steps between checkpoints
    config.run.eval_batch_size = 128  # examples per call, over all devices
    # Steps per compiled call; 0: 1 on CPUs, else what takes a second, at most 100.
    config.run.steps_per_call = 0
    config.run.tensorboard = False  # write event files to <workdir>/tensorboard
    return config


def keep_listops_budget(config: ConfigDict) -> None:
    """Keep the sizes and the budget that LRA gives ListOps, for tasks it has not."""


def set_quick(config: ConfigDict) -> None:
    """Set what the quick recipes share: a small model and a short schedule."""
    config.encoder.width = 64
    config.encoder.mlp_dim = 128
    config.encoder.dropout_rate = 0.0
    # Of 32 numbers each; on CPUs attention costs as many softmaxes as it has heads.
    config.every_mixer.num_heads = 2
    config.every_mixer.dropout_rate = 0.0
    config.optimizer.weight_decay = 0.01
    config.schedule.schedule = "cosine"
    config.schedule.learning_rate = 2e-3
    config.schedule.warmup_steps = 50
    config.train.eval_every = 200
    config.run.log_every = 50
    config.run.checkpoint_every = 200


def set_small(config: ConfigDict) -> None:
    """Set what the small recipes share: quick's model on all data, for longer.

    The same sizes, steps and learning rate for every mixer of a task. They were chosen
    for FNet, on the validation split (Pathfinder's: for fnet_gate, on other images);
    docs/recipes.md says among how many.
    """
    set_quick(config)
    config.schedule.learning_rate = 3e-3
    config.schedule.warmup_steps = 100
    config.num_layers = 2
    config.train.batch_size = 32
    config.train.eval_every = 350
    config.run.log_every = 100
    config.run.eval_batch_size = 32


def set_small_text(config: ConfigDict) -> None:
    """Set what the small recipes of tasks that read padded bytes share."""
    set_small(config)
    config.encoder.mlp_dim = 256
    config.encoder.positions = "none"
    # Most positions of a short text are padding, which would drown the sums.
    config.encoder.padding = "zero_layers"
    config.encoder.pool = "mean"


def set_small_probe(config: ConfigDict) -> None:
    """Set what the small recipes of probes share: two passes over the examples."""
    set_small(config)
    config.encoder.pool = "mean"
    config.train.num_steps = 6_000
    config.train.eval_every = 1_000


def set_quick_probe(config: ConfigDict) -> None:
    """Set what the quick recipes of probes share: four passes over fewer examples."""
    set_small_probe(config)
    config.data.num_train = 16_000
    config.train.num_steps = 2_000
    config.train.eval_every = 500


def set_strong(config: ConfigDict, weight_decay: float, warmup_steps: int) -> None:
    """Set the optimizer that the strongest published models have in common.

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


def set_strong_probe(config: ConfigDict) -> None:
    """Set what the strong recipes of probes share: 40 passes over the examples."""
    set_strong(config, weight_decay=0.04, warmup_steps=2_000)  # one epoch
    config.num_layers = 4
    config.encoder.width = 256
    config.encoder.mlp_dim = 512
    config.encoder.dropout_rate = 0.0
    config.train.batch_size = 50
    config.train.num_steps = 80_000
    config.train.eval_every = 2_000


def apply_recipe(
    config: ConfigDict, recipe: str, recipes: Mapping[str, Callable]
) -> ConfigDict:
    """Return the config changed by the recipe of that name, locked.

    Raises:
      ValueError: no such recipe; names the closest and all there are.
    """
    check_choice("recipe", recipe, recipes)
    config.recipe = recipe
    recipes[recipe](config)
    return config.lock()
