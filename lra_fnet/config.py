"""A run's config: load it, change it by flags, check it, resolve it, hash it, build it.

A config comes from `configs/<task>.py` and one of its recipes. Flags change single
keys. What a run then is, and what its hash is taken of, is the resolved config: plain
values, with the hyperparameters of the mixers that the layers use and no others.
"""

import ast
import dataclasses
import difflib
import hashlib
import importlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from lra_fnet.mixers import (
    NOT_HYPERPARAMETERS,
    layer_names,
    mixer_class,
    mixer_names,
)
from tasks import Task, check_choice, check_task_name, make_task

if TYPE_CHECKING:  # the report reads configs, and needs no JAX for it
    from lra_fnet.metrics import Objective
    from lra_fnet.step import Program

OFFICIAL = "lra2020"  # the recipe of the released budget and of the published table
# Under its rules a model has at most so many times the base Transformer's parameters.
MOST_PARAMETERS = 1.1
TOO_MANY = f"at most {MOST_PARAMETERS:g} times are allowed"
RECIPES = (OFFICIAL, "strong", "small", "quick")
OBJECTIVES = ("classify", "causal")
PRETRAINING = ("none", "masked")
FLAG = "--config."
# Keys that do not change what one seed's trained model is.
OUTSIDE_HASH = ("run", "seed", "num_seeds")
# Keys that had other names when hashes were first taken: a new name is no new run.
NAME_IN_HASH = {"mixer": "model", "train.micro_batches": "accumulate"}
# Keys that came later, with what was done before: at this value, no new run either.
ADDED_SINCE = {
    "encoder.comparison": "concat",
    "encoder.precision": "default",
    "encoder.causal": False,
    "encoder.moe_layers": 0,
    "encoder.num_experts": 4,
    "encoder.expert_capacity": 1.0,
    "encoder.router_z_loss": 1e-4,
    "mixers.fnet.orthonormal": False,
    "train.objective": "classify",
}

_NEVER = object()  # equal to no value

Resolved = Mapping[str, Any]


# ---------------------------------------------------------------------------
# Loading


def load_config(
    task: str, recipe: str, changes: Mapping[str, Any] | None = None
) -> ConfigDict:
    """Return the locked config of a recipe with other values for some keys.

    Args:
      task: a file of `tasks` and `configs`.
      recipe: one of the task's recipes.
      changes: values by dotted key; texts, as flags are, are read as the type of the
        value they replace. `mixers.NAME.KEY` is a hyperparameter of any mixer.

    Raises:
      ValueError: an unknown task, recipe or key, with the closest there is; or a value
        that is of another type or out of its range.
      WorkdirError: init.from_run names no run.
    """
    changes = dict(changes or {})
    for key in ("task", "recipe"):
        if key in changes:
            raise ValueError(f"no flag sets {key}; write {key}={changes[key]}")
    config = recipe_config(task, recipe)
    of_mixers = {k: changes.pop(k) for k in [*changes] if k.startswith("mixers.")}
    for key, value in changes.items():
        set_key(config, key, value)
    check_ranges(config)
    for name in (config.hybrid.mixer, config.decoder.mixer):
        mixer_class(name)  # raises for an unknown one, used or not
    layers = mixers_used(config)
    of_mixers = {section_key(key, layers): value for key, value in of_mixers.items()}
    for name in {*map(section, layers), *(key.split(".")[1] for key in of_mixers)}:
        add_mixer(config, name)
    for key, value in of_mixers.items():
        set_key(config, key, value)
    check_config(config)
    if config.init.from_run and not config.init.weights:
        from lra_fnet.trained.initial import weights_of

        config.init.weights = weights_of(Path(config.init.from_run).expanduser())
    return config.lock()


def recipe_config(task: str, recipe: str) -> ConfigDict:
    """Return the config of a recipe as its file has it, not yet locked.

    Raises:
      ValueError: no such task or recipe.
    """
    check_task_name(task)
    config = importlib.import_module(f"configs.{task}").get_config(recipe)
    return config.copy_and_resolve_references().unlock()


def read_flags(flags: Iterable[str]) -> dict[str, str]:
    """Return the changes that flags of the form `--config.KEY=VALUE` ask for.

    Raises:
      ValueError: a flag of another form.

    >>> read_flags(["--config.train.num_steps=100"])
    {'train.num_steps': '100'}
    """
    changes = {}
    for flag in flags:
        key, equals, value = flag.removeprefix(FLAG).partition("=")
        if not flag.startswith(FLAG) or not key or not equals:
            raise ValueError(f"cannot read {flag!r}; write {FLAG}KEY=VALUE")
        changes[key] = value
    return changes


def names_in(text: str) -> list[str]:
    """Return the names in a text, each once; commas or spaces separate them.

    >>> names_in("fnet,transformer fnet")
    ['fnet', 'transformer']
    """
    return [*dict.fromkeys(text.replace(",", " ").split())]


def set_key(config: ConfigDict, key: str, value: Any) -> None:
    """Set the value of a dotted key.

    Raises:
      ValueError: no such key, or a value of another type.
    """
    keys = known_keys(config)
    if key not in keys:
        close = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]}?" if close else "; see configs/common.py"
        raise ValueError(f"no key {key}{hint}")
    *sections, name = key.split(".")
    section = config
    for each in sections:
        section = section[each]
    section[name] = _as_type_of(section[name], key, value)


def known_keys(config: ConfigDict) -> list[str]:
    """Return the dotted names of all values of a config."""
    return [key for key, _ in _leaves(config)]


# What a value must be, by the type of the one it replaces.
KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    tuple: "numbers with commas between them",
    type(None): "a number, None or a text in quotes",
}


def _as_type_of(old: Any, key: str, value: Any) -> Any:
    """Return a new value for a key in the type of the old one."""
    words = {"true": True, "1": True, "false": False, "0": False}
    try:
        if isinstance(old, bool):
            return words[str(value).lower()]
        if isinstance(old, int) and not isinstance(value, str) and value != int(value):
            raise ValueError
        if isinstance(old, tuple | None) and isinstance(value, str):
            value = ast.literal_eval(value)
        if isinstance(old, tuple) and not isinstance(value, list | tuple):
            value = (value,)
        return value if old is None else type(old)(value)
    except (KeyError, ValueError, TypeError, SyntaxError):
        kind = KINDS.get(type(old), f"of the type {type(old).__name__}")
        raise ValueError(f"{key} is {value!r}; it must be {kind}") from None


# ---------------------------------------------------------------------------
# Mixers


def config_layers(config: ConfigDict) -> tuple[str, ...]:
    """Return the mixer name of every layer."""
    hybrid = config.hybrid
    return layer_names(
        config.mixer, config.num_layers, hybrid.mixer, hybrid.num_layers, hybrid.layout
    )


def mixers_used(config: ConfigDict) -> tuple[str, ...]:
    """Return the mixers of all layers, of encoder and decoder."""
    decoder = (config.decoder.mixer,) if config.decoder.num_layers else ()
    return (*config_layers(config), *decoder)


def section(name: str) -> str:
    """Return the key of a mixer's section: dots, as in module names, can be no keys.

    >>> section("package.module")
    'package/module'
    """
    return name.replace(".", "/")


def section_key(key: str, names: Iterable[str]) -> str:
    """Return the key of a hyperparameter that was typed as `mixers.NAME.KEY`.

    >>> section_key("mixers.package.module.rank", ["package.module"])
    'mixers.package/module.rank'
    """
    for name in names:
        if key.startswith(f"mixers.{name}."):
            return key.replace(name, section(name), 1)
    return key


def add_mixer(config: ConfigDict, name: str) -> None:
    """Give a mixer, named by its section, its section of the config.

    Its values are the defaults of its class, unless the recipe says otherwise for all
    mixers (`every_mixer`).

    Raises:
      ValueError: no such mixer, or a field of it without a default.
    """
    values = default_values(name.replace("/", "."), config.every_mixer)
    config.mixers[name] = ConfigDict(values)


def default_values(name: str, common: Mapping[str, Any] | ConfigDict) -> dict[str, Any]:
    """Return the hyperparameters of a mixer: `common` ones, else its class's defaults.

    Raises:
      ValueError: no such mixer, or a field of it without a default.
    """
    fields = {
        field.name: field.default
        for field in dataclasses.fields(mixer_class(name))
        if field.name not in NOT_HYPERPARAMETERS
    }
    missing = [key for key in fields if fields[key] is dataclasses.MISSING]
    if missing:
        raise ValueError(
            f"mixer {name!r}: no default for {', '.join(missing)}; give the field a "
            "value, and a tuple for several (no default_factory)"
        )
    return fields | {key: common[key] for key in common if key in fields}


def config_mixers(config: ConfigDict) -> dict[str, dict[str, Any]]:
    """Return the hyperparameters of the mixers that the layers use, by name."""
    names = set(mixers_used(config))
    return {name: config.mixers[section(name)].to_dict() for name in names}


# ---------------------------------------------------------------------------
# Checking

# The least and the most that a number may be; None: no bound.
RANGES: Mapping[str, tuple[float, float | None]] = {
    "num_layers": (1, None),
    "seed": (0, 2**32 - 1),  # JAX's keys have no room for more
    "num_seeds": (1, None),
    "hybrid.num_layers": (0, None),
    "decoder.num_layers": (0, None),
    "decoder.num_heads": (1, None),
    "encoder.width": (1, None),
    "encoder.mlp_dim": (1, None),
    "encoder.moe_layers": (0, None),
    "encoder.num_experts": (1, None),
    "encoder.router_z_loss": (0, None),
    "optimizer.weight_decay": (0, None),
    "optimizer.clip_norm": (0, None),
    "optimizer.ssm_factor": (0, None),
    "schedule.learning_rate": (0, None),
    "schedule.warmup_steps": (0, None),
    "pretrain.num_steps": (0, None),
    "pretrain.learning_rate": (0, None),
    "train.num_steps": (1, None),
    "train.batch_size": (1, None),
    "train.micro_batches": (0, None),
    "train.eval_every": (1, None),
    "run.log_every": (1, None),
    "run.checkpoint_every": (1, None),
    "run.eval_batch_size": (1, None),
    "run.steps_per_call": (0, None),
}
# Numbers that 0 is too small for.
POSITIVE = ("encoder.expert_capacity", "optimizer.eps")
# Numbers that must be smaller than 1, too.
SHARES = ("encoder.dropout_rate", "optimizer.b1", "optimizer.b2")


def check_ranges(config: ConfigDict) -> None:
    """Check the numbers that have a least or a most.

    Raises:
      ValueError: names the key, its value and what it must be.
    """
    values = dict(_leaves(config))
    for key, (least, most) in RANGES.items():
        bound = f">= {least}" if most is None else f"from {least} to {most}"
        if not least <= values[key] <= (math.inf if most is None else most):
            raise ValueError(f"{key} is {values[key]}; it must be {bound}")


def check_config(config: ConfigDict) -> None:
    """Check the numbers that a loop or a division would trip over much later.

    Raises:
      ValueError: names the key, its value and what it must be.
    """
    check_ranges(config)
    values = dict(_leaves(config))
    for key, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{key} is {value}; it must be finite")
    for key in SHARES:
        if not 0 <= values[key] < 1:
            raise ValueError(f"{key} is {values[key]}; it must be >= 0 and < 1")
    _check_hyperparameters(config)
    for key in ("data.num_validation", "data.num_test"):
        if values.get(key) == 1:
            raise ValueError(f"{key} is 1; a score needs >= 2 examples")
    if config.seed + config.num_seeds > 2**32:
        raise ValueError("seed + num_seeds is more than 2^32, the number of seeds")
    _check_language_model(config)
    _check_pretraining(config)
    for key in POSITIVE:
        if not values[key] > 0:
            raise ValueError(f"{key} is {values[key]}; it must be > 0")
    if config.encoder.moe_layers > config.num_layers:
        raise ValueError(
            f"encoder.moe_layers is {config.encoder.moe_layers}; it must be from 0 to "
            f"num_layers, {config.num_layers}"
        )
    parts, batch_size = config.train.micro_batches, config.train.batch_size
    if batch_size % max(parts, 1):
        raise ValueError(
            f"train.micro_batches is {parts}, which does not divide train.batch_size, "
            f"{batch_size}"
        )


def _check_hyperparameters(config: ConfigDict) -> None:
    """Check the numbers of mixers; those of other packages may be negative."""
    own = mixer_names()
    for name, values in config.mixers.items():
        for key, value in values.items():
            if key == "dropout_rate" and not 0 <= value < 1:
                bound = ">= 0 and < 1"
            elif name in own and isinstance(value, int | float) and value < 0:
                bound = ">= 0"
            else:
                continue
            raise ValueError(f"mixers.{name}.{key} is {value}; it must be {bound}")


def _check_language_model(config: ConfigDict) -> None:
    """Check that nothing can read what it is to predict; see `check_config`."""
    check_choice("train.objective", config.train.objective, OBJECTIVES)
    is_causal, layers = config.train.objective == "causal", config.decoder.num_layers
    if is_causal and bool(layers) == config.encoder.causal:
        raise ValueError(
            f"train.objective is 'causal' with decoder.num_layers={layers} and "
            f"encoder.causal={config.encoder.causal}; no position may read a later "
            "one: set encoder.causal to true, or give it a decoder"
        )
    if layers and not is_causal:
        raise ValueError(
            f"decoder.num_layers is {layers}, and train.objective 'classify' has no "
            "use for a decoder; set it to 0"
        )
    if config.encoder.causal and config.encoder.moe_layers:
        raise ValueError(
            "encoder.causal is True and encoder.moe_layers not 0, but experts choose "
            "among all tokens of a row; set one of them only"
        )


def _check_pretraining(config: ConfigDict) -> None:
    """Check objective, steps and rate of pre-training; see `check_config`."""
    objective, steps = config.pretrain.objective, config.pretrain.num_steps
    rate, all_steps = config.pretrain.mask_rate, config.train.num_steps
    check_choice("pretrain.objective", objective, PRETRAINING)
    if not 0 < rate < 1:
        raise ValueError(f"pretrain.mask_rate is {rate}; it must be > 0 and < 1")
    if objective == "none" and steps:
        raise ValueError(
            f"pretrain.num_steps is {steps} and pretrain.objective 'none'; set both"
        )
    if objective != "none" and not 0 < steps < all_steps:
        raise ValueError(
            f"pretrain.num_steps is {steps}; it must be > 0 and less than "
            f"train.num_steps, {all_steps}, which counts them; half is usual"
        )


def task_facts(config: ConfigDict) -> Task:
    """Return the facts of a config's task without its data; a sample has the same."""
    values = dict(config.data)
    if values.get("source", "generated") != "generated":
        values["source"] = "sample"
    return make_task(config.task, **values)


# ---------------------------------------------------------------------------
# What a run is


def resolve(config: ConfigDict) -> dict[str, Any]:
    """Return the config as plain values, with the mixers its layers use and no other.

    A mixer added to the suite does not change the configs of the others; nor do the
    settings of pre-training, of a decoder, or of a run to begin from, where there is
    none.
    """
    plain = json.loads(config.to_json_best_effort())
    del plain["every_mixer"]
    if config.pretrain.objective == "none":
        del plain["pretrain"]
    if not config.init.weights:
        del plain["init"]
    if not config.decoder.num_layers:
        del plain["decoder"]
    return plain | {"mixers": dict(sorted(config_mixers(config).items()))}


def as_config(resolved: Resolved) -> ConfigDict:
    """Return the locked config that was resolved.

    Raises:
      ValueError: it has other keys than this version's config, or values that it would
        not take; names them.
    """
    check_keys(resolved)
    mixers = {
        section(name): {
            key: tuple(value) if isinstance(value, list) else value  # JSON has no tuple
            for key, value in values.items()
        }
        for name, values in resolved["mixers"].items()
    }
    recipe = recipe_config(resolved["task"], resolved["recipe"]).to_dict()
    left_out = {name: recipe[name] for name in ("pretrain", "init")}
    left_out["decoder"] = recipe["decoder"] | {"num_layers": 0}
    config = {**left_out, **resolved, "mixers": mixers, "every_mixer": {}}
    locked = ConfigDict(config).lock()
    check_config(locked)
    return locked


def check_keys(resolved: Resolved) -> None:
    """Check that a resolved config has the keys of this version, with their types.

    Raises:
      ValueError: names the keys that are missing, unknown, or of another type.
    """
    kept = ("task", "recipe", "mixer", "hybrid")
    if not all(resolved.get(key) for key in kept):
        raise ValueError(f"a config of another version, without {' or '.join(kept)}")
    task, recipe, mixer, hybrid = (resolved[key] for key in kept)
    changes = {"mixer": mixer, "num_layers": resolved.get("num_layers", 1)}
    changes |= {f"hybrid.{key}": value for key, value in hybrid.items()}
    if pretrain := resolved.get("pretrain"):
        changes["train.num_steps"] = resolved.get("train", {}).get("num_steps", 1)
        changes |= {f"pretrain.{key}": value for key, value in pretrain.items()}
    sections = {"decoder": {"num_layers": 0}, **resolved}
    for name in ("init", "decoder"):
        changes |= {f"{name}.{k}": value for k, value in sections.get(name, {}).items()}
    # What a decoder and the objective go with is checked together.
    for name, key in (("encoder", "causal"), ("train", "objective")):
        values = resolved.get(name)
        if isinstance(values, Mapping) and key in values:
            changes[f"{name}.{key}"] = values[key]
    today = resolve(load_config(task, recipe, changes))
    found, known = dict(_leaves(resolved)), dict(_leaves(today))
    faults = [f"it lacks {key}" for key in sorted(known.keys() - found.keys())]
    faults += [f"it has {key}" for key in sorted(found.keys() - known.keys())]
    for key in known.keys() & found.keys():
        if not _is_like(found[key], known[key]):
            faults.append(f"its {key} is {found[key]!r}")
    if faults:
        raise ValueError(f"the config is of another version: {', '.join(faults)}")


def _is_like(value: Any, default: Any) -> bool:
    """Return whether a value, perhaps from JSON, is of the type of a default."""
    wider = {float: int, tuple: list}.get(type(default))
    return default is None or type(value) in (type(default), wider)


def config_hash(resolved: Resolved) -> str:
    """Return 12 hexadecimal digits that name a resolved config, seeds aside."""
    hashed = {k: v for k, v in placeless(resolved).items() if k not in OUTSIDE_HASH}
    hashed = _renamed(_without_added(hashed), NAME_IN_HASH)
    text = json.dumps(hashed, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def with_todays_keys(resolved: Resolved) -> dict[str, Any]:
    """Return the resolved config of an earlier version with the keys of this one."""
    names = {}
    for key, old in NAME_IN_HASH.items():
        place, dot, new = key.rpartition(".")
        names[f"{place}{dot}{old}"] = new
    today = _renamed(resolved, names)
    for key, value in ADDED_SINCE.items():
        *sections, name = key.split(".")
        section: Any = today
        for each in sections:
            section = section.get(each) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section.setdefault(name, value)
    return today


def _without_added(resolved: Resolved, prefix: str = "") -> dict[str, Any]:
    """Return a copy without the later keys whose value is what was done before."""
    return {
        name: _without_added(value, f"{prefix}{name}.")
        if isinstance(value, Mapping)
        else value
        for name, value in resolved.items()
        if ADDED_SINCE.get(prefix + name, _NEVER) != value
    }


def placeless(resolved: Resolved) -> dict[str, Any]:
    """Return a config without the folders of data and of another run to begin from.

    They are others on each machine, and checksums say what lies there.
    """
    without = {**resolved, "data": {**resolved["data"], "directory": ""}}
    if "init" in resolved:
        without["init"] = {**resolved["init"], "from_run": ""}
    return without


def changes(old: Resolved, new: Resolved) -> dict[str, tuple[Any, Any]]:
    """Return the keys whose values differ, with both values.

    >>> changes({"train": {"num_steps": 3}}, {"train": {"num_steps": 4}})
    {'train.num_steps': (3, 4)}
    """
    before, after = dict(_leaves(old)), dict(_leaves(new))
    keys = sorted(before.keys() | after.keys())
    pairs = {key: (before.get(key), after.get(key)) for key in keys}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def differences(old: Resolved, new: Resolved) -> list[str]:
    """List the keys whose values differ, as `key: old -> new`.

    >>> differences({"train": {"num_steps": 3}}, {"train": {"num_steps": 4}})
    ['train.num_steps: 3 -> 4']
    """
    pairs = changes(old, new).items()
    return [f"{key}: {before} -> {after}" for key, (before, after) in pairs]


def _leaves(
    tree: Mapping[str, Any] | ConfigDict, prefix: str = ""
) -> list[tuple[str, Any]]:
    """List the leaves of nested mappings with dotted keys."""
    leaves = []
    for key, value in tree.items():
        if isinstance(value, Mapping | ConfigDict):
            leaves += _leaves(value, f"{prefix}{key}.")
        else:
            leaves.append((prefix + key, value))
    return leaves


def _renamed(
    tree: Resolved, names: Mapping[str, str], prefix: str = ""
) -> dict[str, Any]:
    """Return nested mappings with new names for some dotted keys.

    >>> _renamed({"a": {"b": 1}, "b": 2}, {"a.b": "c"})
    {'a': {'c': 1}, 'b': 2}
    """
    renamed = {}
    for key, value in tree.items():
        place = prefix + key
        if isinstance(value, Mapping):
            value = _renamed(value, names, f"{place}.")
        renamed[names.get(place, key)] = value
    return renamed


# ---------------------------------------------------------------------------
# Building


def make_program(
    config: ConfigDict,
    task: Task,
    available: Sequence[Any] | None = None,
    pretraining: bool = False,
) -> "Program":
    """Return model, optimizer and devices of a config, ready to compile.

    Each section goes whole to one constructor, so a key that nothing reads is an error.

    Args:
      config: of the run.
      task: its facts.
      available: devices to choose from; by default those that JAX has here.
      pretraining: for the steps that restore hidden positions, not for those after.

    Raises:
      ValueError: an unknown mixer, or a value out of its range.
    """
    from lra_fnet.hardware import examples_at_once, fastest_options
    from lra_fnet.optimizer import make_optimizer
    from lra_fnet.step import Program, make_mesh

    make_model, objective = _objective(config, task, pretraining)
    schedule, first_step = _make_schedule(config, pretraining)
    batch_size, micro_batches = config.train.batch_size, config.train.micro_batches
    mesh = make_mesh(batch_size // max(micro_batches, 1), available)
    return Program(
        model=_make_model(config, task, make_model),
        optimizer=make_optimizer(schedule, **config.optimizer),
        schedule=lambda step: schedule(step - first_step),
        mesh=mesh,
        micro_batches=micro_batches or batch_size // examples_at_once(mesh, batch_size),
        compiler_options=fastest_options(mesh),
        objective=objective,
    )


def _objective(
    config: ConfigDict, task: Task, pretraining: bool
) -> tuple[Callable[..., Any], "Objective"]:
    """Return what makes the model, each around the same encoder, and its objective.

    Raises:
      ValueError: the task's labels are not what a language model predicts.
    """
    from lra_fnet.metrics import classify, predict_next, restore
    from lra_fnet.model import Classifier, Predictor, Restorer

    if pretraining:
        return partial(Restorer, mask_rate=config.pretrain.mask_rate), restore
    if task.answer_length and config.train.objective != "causal":
        raise ValueError(
            f"the answers of {task.name} are sequences; train.objective=causal alone "
            "can learn them"
        )
    if config.train.objective == "classify":
        return Classifier, classify
    if not task.labels_are_next_ids:
        raise ValueError(
            f"train.objective is 'causal', but labels of {task.name} are not the ids "
            "that follow its inputs; use task=corpus"
        )
    objective = partial(predict_next, answer_length=task.answer_length)
    make = _translator(config, task) if config.decoder.num_layers else Predictor
    return make, objective


def _translator(config: ConfigDict, task: Task) -> Callable[..., Any]:
    """Return what makes a model with a decoder.

    Raises:
      ValueError: the task's answers are no sequences, or the decoder's mixer has no
        causal form.
    """
    from lra_fnet.mixers import causal_mixers, has_causal_form
    from lra_fnet.model.decoder import Translator

    if not task.answer_length:
        raise ValueError(
            f"decoder.num_layers is {config.decoder.num_layers}, but rows of "
            f"{task.name} do not end in a sequence that answers; set it to 0"
        )
    name = config.decoder.mixer
    if not has_causal_form(mixer_class(name)):
        raise ValueError(
            f"decoder.mixer is {name!r}, which has no causal form; these have one: "
            f"{', '.join(causal_mixers())}"
        )
    return partial(
        Translator,
        answer_length=task.answer_length,
        decoder_mixer=_factory(name, config_mixers(config)[name]),
        decoder_layers=config.decoder.num_layers,
        decoder_heads=config.decoder.num_heads,
    )


def _make_model(config: ConfigDict, task: Task, make: Callable[..., Any]) -> Any:
    """Return the model with the mixers and the encoder of a config."""
    mixers = config_mixers(config)
    return make(
        mixers=tuple(_factory(name, mixers[name]) for name in config_layers(config)),
        num_classes=task.num_classes,
        vocab_size=task.vocab_size,
        pad_id=task.pad_id,
        num_documents=task.num_documents,
        **config.encoder,
    )


def _make_schedule(config: ConfigDict, pretraining: bool) -> tuple[Any, int]:
    """Return the learning rate over the steps of a phase, and the phase's first step.

    `train.num_steps` counts both phases, so that pre-training costs no more steps.
    """
    from lra_fnet.optimizer import make_schedule

    settings, before = config.schedule.to_dict(), config.pretrain.num_steps
    if not pretraining:
        num_steps = config.train.num_steps - before
        return make_schedule(**settings, num_steps=num_steps), before
    settings["learning_rate"] = (
        config.pretrain.learning_rate or settings["learning_rate"]
    )
    return make_schedule(**settings, num_steps=before), 0


def _factory(name: str, values: Mapping[str, Any]) -> Any:
    """Return what makes a mixer with these hyperparameters."""
    return partial(mixer_class(name), **values)


def seeds_of(config: ConfigDict) -> Sequence[int]:
    """Return the seeds of a run, trained together."""
    return range(config.seed, config.seed + config.num_seeds)
