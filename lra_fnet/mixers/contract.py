"""The contract of a mixer, property by property, for any class that claims to be one.

Every function below checks one property of a `Trial`, a mixer with parameters and an
input, and says what it found. `check_mixer` goes through all of them.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from lra_fnet.cost import power_of_length
from lra_fnet.rescore import rescore
from tasks.checks import Finding

BATCH, LENGTH, WIDTH = 3, 37, 24  # a length that is no multiple of any block
OTHER_LENGTHS = (19, 2)  # prime, and shorter than any block
# Of outputs of about 1, in float32: rounding is less, a leak is far more.
TOLERANCE = 1e-5
POISON = 1e3  # what padded positions are filled with
# Longer than any window or set of landmarks; only compiled, never computed.
LONG, LONGER = 1024, 4096
NARROW = 16  # the width at those lengths
SLACK = 0.15  # of an exponent, for what does not grow


@dataclasses.dataclass(frozen=True)
class Trial:
    """Hold a mixer with its parameters, and an input with padding for it."""

    mixer: nn.Module
    params: Mapping[str, Any]
    x: Float[Array, "b l d"]
    mask: Bool[Array, "b l"]

    def apply(
        self,
        x: Float[Array, "b l d"],
        mask: Bool[Array, "b l"],
        train: bool = False,
        seed: int = 0,
    ) -> Float[Array, "b l d"]:
        """Mix x with the parameters of the trial and the dropout key of a seed."""
        key = jax.random.key(seed)
        return _apply(self.mixer, self.params, x, mask, train, key)


@partial(jax.jit, static_argnums=(0, 4))
def _apply(mixer, params, x, mask, train, key):
    """Compile a call once for all the checks that make it."""
    return mixer.apply(params, x, mask, train=train, rngs={"dropout": key})


@partial(jax.jit, static_argnums=0)
def _gradients(mixer, params, x, mask):
    """Differentiate a function of the result, by the parameters and by x."""

    def loss(params, x):
        return jnp.sum(jnp.sin(mixer.apply(params, x, mask, train=False)))

    return jax.grad(loss, argnums=(0, 1))(params, x)


def make_trial(mixer: nn.Module, length: int = LENGTH) -> Trial:
    """Initialize the mixer for a batch of a full, a nearly full and a half row."""
    x = some_x(length)
    mask = jnp.arange(length) < jnp.array([[length], [length - 1], [length // 2]])
    params = jax.jit(partial(mixer.init, train=False))(jax.random.key(0), x, mask)
    return Trial(mixer, params, x, mask)


def some_x(length: int = LENGTH, seed: int = 0) -> Float[Array, "b l d"]:
    """Return normal numbers, the same ones for a seed."""
    values = np.random.default_rng(seed).normal(size=(BATCH, length, WIDTH))
    return jnp.asarray(values, jnp.float32)


def check_mixer(
    mixer_type: type[nn.Module],
    hyperparameters: Mapping[str, Any],
    properties: Sequence[Callable[[Trial], Finding]] | None = None,
) -> Iterator[Finding]:
    """Yield the outcome of every check of a class with these hyperparameters.

    Args:
      mixer_type: the class.
      hyperparameters: the values of its fields.
      properties: what to check of what it computes; without, all `PROPERTIES`.
    """
    yield formula_and_cost_are_given(mixer_type)
    fields = fields_are_the_hyperparameters(mixer_type, hyperparameters)
    yield fields
    if not fields.passed:
        return  # it cannot be made
    try:
        trial = make_trial(mixer_type(**hyperparameters))
    except Exception as error:  # anything may be wrong in a file that is being written
        yield Finding("parameters are initialized", False, _first_line(error))
        return
    for check in properties or PROPERTIES:
        try:
            yield check(trial)
        except Exception as error:
            yield Finding(in_words(check), False, _first_line(error))


def in_words(check: Callable[..., Finding]) -> str:
    """Return the name of a check's finding: that of its function."""
    return check.__name__.replace("_", " ")


# ---------------------------------------------------------------------------
# Properties of the class


def formula_and_cost_are_given(mixer_type: type[nn.Module]) -> Finding:
    """Check the two lines that the table of mixers shows."""
    values = {name: getattr(mixer_type, name, None) for name in ("formula", "cost")}
    bad = [
        name
        for name, value in values.items()
        if not isinstance(value, str) or not value or "\n" in value
    ]
    detail = f"not a ClassVar of one line: {', '.join(bad)}" if bad else ""
    detail = detail or f"{values['formula']}; O({values['cost']})"
    return Finding(in_words(formula_and_cost_are_given), not bad, detail)


def fields_are_the_hyperparameters(
    mixer_type: type[nn.Module], hyperparameters: Mapping[str, Any]
) -> Finding:
    """Check that each field has its value in the config, and each value its field."""
    fields = {field.name for field in dataclasses.fields(mixer_type)}
    fields -= {"parent", "name"}  # Linen's own
    missing = sorted(fields - set(hyperparameters))
    unread = sorted(set(hyperparameters) - fields)
    faults = [f"no value for {', '.join(missing)}"] if missing else []
    faults += [f"no field for {', '.join(unread)}"] if unread else []
    detail = "; ".join(faults) or ", ".join(sorted(fields)) or "none"
    return Finding(in_words(fields_are_the_hyperparameters), not faults, detail)


# ---------------------------------------------------------------------------
# Properties of what it computes


def shape_and_dtype_are_kept(trial: Trial) -> Finding:
    """Check float32 and bfloat16, and that the result is finite."""
    faults = []
    for dtype in (jnp.float32, jnp.bfloat16):
        x = trial.x.astype(dtype)
        y = trial.apply(x, trial.mask)
        if (y.shape, y.dtype) != (x.shape, x.dtype):
            faults.append(f"{x.dtype}{x.shape} became {y.dtype}{y.shape}")
        elif not _finite(y):
            faults.append(f"not finite in {x.dtype}")
    detail = "; ".join(faults) or "float32 and bfloat16"
    return Finding(in_words(shape_and_dtype_are_kept), not faults, detail)


def padding_stays_out(trial: Trial) -> Finding:
    """Check that padding reaches real tokens only where the class says so."""
    poisoned = jnp.where(trial.mask[..., None], trial.x, POISON)
    clean, dirty = (trial.apply(x, trial.mask) for x in (trial.x, poisoned))
    reached = float(jnp.abs(clean - dirty)[trial.mask].max())
    reason = getattr(trial.mixer, "mixes_padding", "")
    if reason and reached > 1:
        detail = f"it does not, and says so: {reason}"
    elif reason:
        detail = f"mixes_padding says {reason!r}, but padding reaches no real token"
    else:
        detail = f"real tokens change by {reached:.1g} when padding is {POISON:g}"
    passed = reached > 1 if reason else reached < TOLERANCE
    return Finding(in_words(padding_stays_out), passed, detail)


def rows_of_padding_alone_stay_finite(trial: Trial) -> Finding:
    """Check a batch without a real token, and its gradients."""
    nothing = jnp.zeros_like(trial.mask)
    y = trial.apply(trial.x, nothing)
    gradients = _gradients(trial.mixer, trial.params, trial.x, nothing)
    bad = [] if _finite(y) else ["the result"]
    bad += [] if all(map(_finite, jax.tree.leaves(gradients))) else ["a gradient"]
    detail = f"{' and '.join(bad)} is NaN or infinite where no token is real"
    detail = detail if bad else "the result and its gradients are finite"
    return Finding(in_words(rows_of_padding_alone_stay_finite), not bad, detail)


def rows_do_not_see_each_other(trial: Trial) -> Finding:
    """Check that permuting the batch permutes the output."""
    order = jnp.array([2, 0, 1])
    first = trial.apply(trial.x[order], trial.mask[order])
    second = trial.apply(trial.x, trial.mask)[order]
    passed = bool(jnp.allclose(first, second, rtol=1e-7, atol=1e-4))
    difference = float(jnp.abs(first - second).max())
    detail = f"a permuted batch gives the same rows to within {difference:.1g}"
    return Finding(in_words(rows_do_not_see_each_other), passed, detail)


def only_training_is_random(trial: Trial) -> Finding:
    """Check that evaluation ignores the dropout key, and training follows it."""
    runs = [(False, 0), (False, 1), (True, 0), (True, 0), (True, 1)]
    y = [trial.apply(trial.x, trial.mask, train, seed) for train, seed in runs]
    has_dropout = bool(getattr(trial.mixer, "dropout_rate", 0))
    faults = []
    if not jnp.array_equal(y[0], y[1]):
        faults.append("evaluation depends on the dropout key")
    if not jnp.array_equal(y[2], y[3]):
        faults.append("training differs under the same dropout key")
    if has_dropout and float(jnp.abs(y[2] - y[4]).max()) < 1e-4:
        faults.append("dropout_rate is not 0, but training ignores the dropout key")
    detail = "; ".join(faults) or (
        "dropout by its key" if has_dropout else "no dropout"
    )
    return Finding(in_words(only_training_is_random), not faults, detail)


def every_parameter_learns(trial: Trial) -> Finding:
    """Check that each parameter has a gradient, finite and not zero."""
    gradient, _ = _gradients(trial.mixer, trial.params, trial.x, trial.mask)
    gradients = jax.tree.leaves_with_path(gradient)
    faults = []
    for path, gradient in gradients:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if not _finite(gradient):
            faults.append(f"the gradient of {name} is not finite")
        elif not gradient.any():
            faults.append(f"the gradient of {name} is zero")
    detail = "; ".join(faults) or f"{len(gradients)} arrays of parameters"
    return Finding(in_words(every_parameter_learns), not faults, detail)


def any_length_works(trial: Trial) -> Finding:
    """Check other lengths, with the same parameters unless the class says otherwise.

    A ValueError with a message is an answer for a length of 1.
    """
    bound = getattr(trial.mixer, "length_bound", "")
    faults = [fault for n in OTHER_LENGTHS if (fault := _fault_at(trial, n, bound))]
    said = ""
    try:
        faults += [fault] if (fault := _fault_at(trial, 1, bound)) else []
    except ValueError as error:
        if not str(error):
            raise
        said = f"; 1 is refused: {_first_line(error)}"
    with_new = f", each with new parameters: {bound}" if bound else ""
    lengths = ", ".join(
        str(n) for n in (LENGTH, *OTHER_LENGTHS, *([] if said else [1]))
    )
    detail = "; ".join(faults) or f"{lengths}{said}{with_new}"
    return Finding(in_words(any_length_works), not faults, detail)


def a_second_call_does_not_compile(trial: Trial) -> Finding:
    """Check that other values, of x and of the mask, do not change the program."""
    traces = []

    @jax.jit
    def traced(params, x, mask):
        traces.append(x.shape)
        return trial.mixer.apply(params, x, mask, train=False)

    traced(trial.params, trial.x, trial.mask)
    traced(trial.params, some_x(seed=1), ~trial.mask)
    detail = f"traced {len(traces)}x in two calls with other values"
    return Finding(in_words(a_second_call_does_not_compile), len(traces) == 1, detail)


def memory_grows_as_the_cost_says(trial: Trial) -> Finding:
    """Check that memory grows with the length no faster than the cost line says.

    By the compiler's account of its temporary arrays at two lengths.
    """
    claimed = power_of_length(trial.mixer.cost)
    short, long = (_temporary_bytes(trial.mixer, n) for n in (LONG, LONGER))
    grown = math.log(long / short) / math.log(LONGER / LONG) if short else 0.0
    detail = f"as l^{grown:.2f}, the cost O({trial.mixer.cost}) as l^{claimed:g}"
    passed = grown <= claimed + SLACK
    return Finding(in_words(memory_grows_as_the_cost_says), passed, detail)


def _temporary_bytes(mixer: nn.Module, length: int) -> int:
    """Return what a forward pass of one row needs besides arguments and result."""
    x = jax.ShapeDtypeStruct((1, length, NARROW), jnp.float32)
    mask = jax.ShapeDtypeStruct((1, length), jnp.bool_)
    key = jax.eval_shape(lambda: jax.random.key(0))
    params = jax.eval_shape(partial(mixer.init, train=False), key, x, mask)
    apply = jax.jit(partial(mixer.apply, train=False))
    analysis = apply.lower(params, x, mask).compile().memory_analysis()
    return analysis.temp_size_in_bytes if analysis else 0


def a_checkpoint_scores_the_same_in_another_process(trial: Trial) -> Finding:
    """Check saved parameters where strings have other hashes."""
    return checkpoints_score_the_same([trial])[0]


def checkpoints_score_the_same(trials: Sequence[Trial]) -> list[Finding]:
    """Check many mixers in one other process."""
    name = in_words(a_checkpoint_scores_the_same_in_another_process)
    findings = []
    cases = [(trial.mixer, trial.params, trial.x, trial.mask) for trial in trials]
    for trial, again in zip(trials, rescore(cases), strict=True):
        difference = jnp.abs(trial.apply(trial.x, trial.mask) - again).max()
        same = float(difference) == 0
        detail = "to the bit" if same else f"it differs by {difference:.2g}"
        findings.append(Finding(name, same, detail))
    return findings


PROPERTIES = (
    shape_and_dtype_are_kept,
    padding_stays_out,
    rows_of_padding_alone_stay_finite,
    rows_do_not_see_each_other,
    only_training_is_random,
    every_parameter_learns,
    any_length_works,
    a_second_call_does_not_compile,
    memory_grows_as_the_cost_says,
    a_checkpoint_scores_the_same_in_another_process,
)


def _fault_at(trial: Trial, length: int, bound: str) -> str:
    """Return what is wrong at a length; nothing if it works."""
    x, mask = some_x(length), jnp.arange(length) < jnp.array([[length], [1], [0]])
    try:
        other = make_trial(trial.mixer, length) if bound else trial
        y = other.apply(x, mask)
    except Exception as error:
        if length == 1 and isinstance(error, ValueError):
            raise
        return f"length {length}: {_first_line(error)}"
    if y.shape != x.shape:
        return f"length {length}: {x.shape} became {y.shape}"
    return "" if _finite(y) else f"length {length}: the result is not finite"


def _finite(values: Array) -> bool:
    """Return whether there is no NaN and no infinity."""
    return bool(jnp.isfinite(values).all())


def _first_line(error: Exception) -> str:
    """Return the kind of an error and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
