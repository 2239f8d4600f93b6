"""From a config to the objects of a run; each section goes to one constructor."""

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from lra_fnet.device import examples_at_once
from lra_fnet.encoder import Classifier
from lra_fnet.mixers import layer_names, mixer_class
from lra_fnet.optim import make_optimizer, make_schedule
from lra_fnet.step import Program, make_mesh
from lra_fnet.xla_options import fastest_options
from tasks import Task


def check_counts(config: ConfigDict) -> None:
    """Check the numbers that a loop or a division would trip over much later.

    Raises:
      ValueError: names the key, its value and what it must be.
    """
    positive = [
        ("", ("num_layers", "num_seeds")),
        ("train.", ("num_steps", "batch_size", "eval_every")),
        ("run.", ("log_every", "checkpoint_every", "eval_batch_size")),
    ]
    for section, names in positive:
        values = config[section.rstrip(".")] if section else config
        for name in names:
            if values[name] < 1:
                raise ValueError(f"{section}{name} is {values[name]}; it must be >= 1")
    if config.train.batch_size % max(config.train.accumulate, 1):
        raise ValueError(
            f"train.accumulate is {config.train.accumulate}, which does not divide "
            f"train.batch_size, {config.train.batch_size}"
        )


def config_layers(config: ConfigDict) -> tuple[str, ...]:
    """Return the mixer name of every layer."""
    hybrid = config.hybrid
    return layer_names(
        config.model, config.num_layers, hybrid.mixer, hybrid.num_layers, hybrid.layout
    )


def config_mixers(config: ConfigDict) -> dict[str, dict[str, Any]]:
    """Return the hyperparameters of the mixers that the layers use, by name."""
    return {name: mixer_values(config, name) for name in set(config_layers(config))}


def mixer_values(config: ConfigDict, name: str) -> dict[str, Any]:
    """Return a mixer's line of the config; without one, the defaults of its fields.

    Raises:
      ValueError: no such mixer, or fields without a value.
    """
    fields = [
        field
        for field in dataclasses.fields(mixer_class(name))
        if field.name not in ("parent", "name")  # Linen's own
    ]
    line = {} if "." in name else config.mixers.get(name, {})
    values = {f.name: f.default for f in fields} | dict(line)
    missing = [key for key in values if values[key] is dataclasses.MISSING]
    if missing:
        raise ValueError(
            f"model {name!r} needs values for {', '.join(missing)}: a line "
            "config.mixers of its own in configs/common.py, or defaults of its fields"
        )
    return values


def config_schedule(config: ConfigDict) -> optax.Schedule:
    """Return the learning rate as a function of the step."""
    return make_schedule(**config.schedule, num_steps=config.train.num_steps)


def make_program(config: ConfigDict, task: Task) -> Program:
    """Return model, optimiser and devices of a config, ready to compile.

    Raises:
      ValueError: an unknown model, or a value out of its range.
    """
    factories = {
        name: partial(mixer_class(name), **values)
        for name, values in config_mixers(config).items()
    }
    model = Classifier(
        mixers=tuple(factories[name] for name in config_layers(config)),
        num_classes=task.num_classes,
        vocab_size=task.vocab_size,
        pad_id=task.pad_id,
        num_documents=task.num_documents,
        **config.encoder,
    )
    batch_size, accumulate = config.train.batch_size, config.train.accumulate
    mesh = make_mesh(batch_size // max(accumulate, 1))
    return Program(
        model=model,
        optimizer=make_optimizer(config_schedule(config), **config.optimizer),
        mesh=mesh,
        accumulate=accumulate or batch_size // examples_at_once(mesh, batch_size),
        compiler_options=fastest_options(),
    )


def count_parameters(config: ConfigDict, task: Task) -> int:
    """Return the number of parameters of the model of a config; nothing is computed."""
    documents = (task.num_documents,) if task.num_documents > 1 else ()
    inputs = jax.ShapeDtypeStruct((1, *documents, task.max_length), jnp.uint8)
    init = partial(make_program(config, task).model.init, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), inputs)
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
