"""The contract of a mixer, property by property, for any class that claims to be one.

A property is a function that returns what it found, or raises an error, `Broken` with
the reason if it does not hold. `check_mixer` goes through all of them.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree
from tabulate import tabulate

from lra_fnet.mixers import (
    NOT_HYPERPARAMETERS,
    has_causal_form,
    mixer_class,
    mixer_names,
)
from lra_fnet.optimizer import descent_direction
from tasks.checks import Finding

BATCH, LENGTH, WIDTH = 3, 37, 24  # a length that is no multiple of any block
OTHER_LENGTH = 19  # prime as well
# Of outputs of about 1, in float32: rounding is less, a leak is far more.
TOLERANCE = 1e-5
POISON = 1e3  # what padded positions are filled with
# Longer than any window or set of landmarks; only compiled, never computed.
LONG, LONGER = 1024, 4096
NARROW = 16  # the width at those lengths
SLACK = 0.15  # of an exponent, for what does not grow
# By how much a step should lower the loss: more than rounding, and not so much that
# the loss bends. One of them has to do it.
DECREASES = (1e-1, 1e-2, 1e-3)
# Of the largest gradient: one below it is rounding, such as that of a bias of keys
# under a softmax, which changes no result.
ROUNDING = 1e-6


class Broken(Exception):
    """A property that does not hold, with the reason."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """A mixer with its parameters, and an input with padding for it."""

    mixer: nn.Module
    params: PyTree
    x: Float[Array, "b l d"]
    mask: Bool[Array, "b l"]
    collections: Sequence[str] = ()  # of variables that are no parameters

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

    def loss(self, params: PyTree) -> float:
        """Return the sum of the sines of the result, added in float64."""
        key = jax.random.key(0)
        y = _apply(self.mixer, params, self.x, self.mask, False, key)
        return float(np.sin(np.asarray(y, np.float64)).sum())


@partial(jax.jit, static_argnums=(0, 4))
def _apply(mixer, params, x, mask, train, key):
    """Compile a call once for all the checks that make it."""
    return mixer.apply({"params": params}, x, mask, train=train, rngs={"dropout": key})


@partial(jax.jit, static_argnums=0)
def _gradients(mixer, params, x, mask):
    """Differentiate the loss of a trial by the parameters and by x."""

    def loss(params, x):
        return jnp.sum(jnp.sin(mixer.apply({"params": params}, x, mask, train=False)))

    return jax.grad(loss, argnums=(0, 1))(params, x)


def make_trial(mixer: nn.Module, length: int = LENGTH) -> Trial:
    """Initialize the mixer for a batch of a full, a nearly full and a half row."""
    x = some_x(length)
    mask = jnp.arange(length) < jnp.array([[length], [length - 1], [length // 2]])
    variables = jax.jit(partial(mixer.init, train=False))(jax.random.key(0), x, mask)
    others = sorted(variables.keys() - {"params"})
    return Trial(mixer, variables.get("params", {}), x, mask, others)


def some_x(length: int = LENGTH, seed: int = 0) -> Float[Array, "b l d"]:
    """Return normal numbers, the same ones for a seed."""
    values = np.random.default_rng(seed).normal(size=(BATCH, length, WIDTH))
    return jnp.asarray(values, jnp.float32)


# ---------------------------------------------------------------------------
# Properties of the class


def formula_cost_and_exponent_are_given(mixer_type: type[nn.Module]) -> str:
    """Check what the table of mixers shows, and what memory is held to."""
    given = [getattr(mixer_type, name, None) for name in ("formula", "cost")]
    exponent = getattr(mixer_type, "exponent", None)
    if not all(isinstance(text, str) and text and "\n" not in text for text in given):
        raise Broken(f"formula and cost are no ClassVars of one line: {given}")
    if not isinstance(exponent, int | float):
        raise Broken(
            "no ClassVar `exponent`, the power of the length that memory grows by, "
            "logarithms aside"
        )
    return f"{given[0]}; O({given[1]}), memory as l^{exponent:g}"


def every_hyperparameter_has_a_default(mixer_type: type[nn.Module]) -> str:
    """Check that the class alone says what its hyperparameters are."""
    fields = {field.name: field.default for field in dataclasses.fields(mixer_type)}
    fields = {k: fields[k] for k in fields if k not in NOT_HYPERPARAMETERS}
    missing = [key for key in fields if fields[key] is dataclasses.MISSING]
    _hold_all([f"no default for {key}" for key in missing])
    return ", ".join(f"{key}={value!r}" for key, value in fields.items()) or "none"


# ---------------------------------------------------------------------------
# Properties of what it computes


def only_parameters_are_kept(trial: Trial) -> str:
    """Check that the trainer, which keeps parameters and a dropout key, can run it."""
    reason = "the trainer keeps parameters only"
    if trial.collections:
        raise Broken(
            f"it makes variables in {', '.join(map(repr, trial.collections))}, but "
            f"{reason}; batch statistics and caches are not supported"
        )
    try:
        trial.apply(trial.x, trial.mask, train=True)
    except flax.errors.InvalidRngError as error:
        raise Broken(
            f"it draws from a random stream other than 'dropout', but {reason} and "
            f"that stream: {_reason(error)}"
        ) from error
    except (
        flax.errors.ModifyScopeVariableError,
        flax.errors.ScopeCollectionNotFound,
    ) as error:
        message = f"in training it makes other variables, but {reason}"
        raise Broken(f"{message}: {_reason(error)}") from error
    return "no other variables, and no random stream but 'dropout'"


def shape_and_dtype_are_kept(trial: Trial) -> str:
    """Check float32 and bfloat16, and that the result is finite."""
    faults = []
    for dtype in (jnp.float32, jnp.bfloat16):
        x = trial.x.astype(dtype)
        y = trial.apply(x, trial.mask)
        if (y.shape, y.dtype) != (x.shape, x.dtype):
            faults.append(f"{x.dtype}{x.shape} became {y.dtype}{y.shape}")
        elif not _finite(y):
            faults.append(f"not finite in {x.dtype}")
    _hold_all(faults)
    return "float32 and bfloat16"


def padding_stays_out(trial: Trial) -> str:
    """Check that padding reaches real tokens only where the class says so."""
    poisoned = jnp.where(trial.mask[..., None], trial.x, POISON)
    clean, dirty = (trial.apply(x, trial.mask) for x in (trial.x, poisoned))
    reached = float(jnp.abs(clean - dirty)[trial.mask].max())
    reason = getattr(trial.mixer, "mixes_padding", "")
    if reason and reached <= 1:
        raise Broken(
            f"mixes_padding says {reason!r}, but padding reaches no real token"
        )
    if reason:
        return f"it does not, and says so: {reason}"
    detail = f"real tokens change by {reached:.1g} when padding is {POISON:g}"
    _hold_all([] if reached < TOLERANCE else [detail])
    return detail


def rows_of_padding_alone_stay_finite(trial: Trial) -> str:
    """Check a batch without a real token, and its gradients."""
    nothing = jnp.zeros_like(trial.mask)
    y = trial.apply(trial.x, nothing)
    gradients = _gradients(trial.mixer, trial.params, trial.x, nothing)
    faults = [] if _finite(y) else ["the result is NaN or infinite"]
    if not all(map(_finite, jax.tree.leaves(gradients))):
        faults.append("a gradient is NaN or infinite")
    _hold_all(faults)
    return "the result and its gradients are finite"


def rows_do_not_see_each_other(trial: Trial) -> str:
    """Check that a permuted batch gives the same rows, and another row changes none."""
    order = jnp.array([2, 0, 1])
    plain = trial.apply(trial.x, trial.mask)
    permuted = trial.apply(trial.x[order], trial.mask[order])
    replaced = trial.apply(trial.x.at[0].set(2 * trial.x[0] + 1), trial.mask)
    pairs = {
        "a permuted batch": (permuted, plain[order]),
        "with another first row, the batch": (replaced[1:], plain[1:]),
    }
    largest = max(float(jnp.abs(one - other).max()) for one, other in pairs.values())
    _hold_all(
        [
            f"{what} does not give the same rows; they differ by up to "
            f"{float(jnp.abs(one - other).max()):.1g}"
            for what, (one, other) in pairs.items()
            if not jnp.allclose(one, other, rtol=1e-7, atol=1e-4)
        ]
    )
    return f"the same rows in another batch, to within {largest:.1g}"


def only_training_is_random(trial: Trial) -> str:
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
    _hold_all(faults)
    return "dropout by its key" if has_dropout else "no dropout"


def every_parameter_learns(trial: Trial) -> str:
    """Check that each parameter has a gradient, finite and not zero."""
    gradients, _ = _gradients(trial.mixer, trial.params, trial.x, trial.mask)
    named = {_name(p): leaf for p, leaf in jax.tree.leaves_with_path(gradients)}
    zero = [name for name, leaf in named.items() if not (leaf != 0).any()]
    faults = [f"the gradient of {name} is zero" for name in zero]
    faults += [f"that of {k} is not finite" for k in named if not _finite(named[k])]
    _hold_all(faults)
    return f"{len(named)} arrays of parameters"


def a_small_step_lowers_the_loss(trial: Trial) -> str:
    """Check every array of parameters alone: real part and imaginary part.

    A step along the trainer's direction lowers the loss by what the gradient says, to
    within a half. Parameters that change nothing have no direction.
    """
    gradients, _ = _gradients(trial.mixer, trial.params, trial.x, trial.mask)
    leaves, tree = jax.tree.flatten(trial.params)
    directions = jax.tree.leaves_with_path(descent_direction(gradients))
    before, faults = trial.loss(trial.params), []
    largest = max((float(jnp.abs(d).max()) for _, d in directions), default=0.0)
    without_effect = []
    for i, (path, direction) in enumerate(directions):
        if float(jnp.abs(direction).max()) < ROUNDING * largest:
            without_effect.append(_name(path))
            continue
        for part, along in _parts(direction).items():
            ratios = []
            for decrease in DECREASES:
                step = decrease / float(jnp.sum(jnp.abs(along) ** 2)) * along
                moved = [*leaves[:i], leaves[i] - step, *leaves[i + 1 :]]
                after = trial.loss(jax.tree.unflatten(tree, moved))
                ratios.append((before - after) / decrease)
            if not any(0.5 < ratio < 1.5 for ratio in ratios):
                ratio = ", ".join(f"{ratio:.2g}" for ratio in ratios)
                faults.append(f"{_name(path)}{part} lowers it by {ratio} of the slope")
    _hold_all(faults)
    nothing = f"; {', '.join(without_effect)}: no effect" if without_effect else ""
    return f"{len(directions)} arrays, one at a time{nothing}"


def _parts(direction: Array) -> Mapping[str, Array]:
    """Return the directions that are no zero along the real and imaginary axes."""
    parts = {"": direction}
    if jnp.iscomplexobj(direction):
        real = direction.real.astype(direction.dtype)
        parts = {" (real)": real, " (imaginary)": direction - real}
    return {name: part for name, part in parts.items() if (part != 0).any()}


def any_length_works(trial: Trial) -> str:
    """Check other lengths, with the same parameters unless the class says otherwise.

    A ValueError with a message is an answer for a length of 1; then 2 has to work.
    """
    bound = getattr(trial.mixer, "length_bound", "")
    found = [str(LENGTH), _at_length(trial, OTHER_LENGTH, bound)]
    try:
        found.append(_at_length(trial, 1, bound))
    except ValueError as error:
        if not str(error):
            raise
        found += [_at_length(trial, 2, bound), f"1 is refused: {_reason(error)}"]
    with_new = f", each with new parameters: {bound}" if bound else ""
    return ", ".join(found) + with_new


def _at_length(trial: Trial, length: int, bound: str) -> str:
    """Return the length if the result there has its shape and is finite."""
    x, mask = some_x(length), jnp.arange(length) < jnp.array([[length], [1], [0]])
    try:
        y = (make_trial(trial.mixer, length) if bound else trial).apply(x, mask)
    except Exception as error:
        if length == 1 and isinstance(error, ValueError):
            raise
        raise Broken(f"length {length}: {_reason(error)}") from error
    if y.shape != x.shape or not _finite(y):
        raise Broken(f"length {length}: {x.shape} became {y.shape}, or is not finite")
    return str(length)


def a_second_call_does_not_compile(trial: Trial) -> str:
    """Check that other values, of x and of the mask, do not change the program."""
    trial.apply(trial.x, trial.mask)
    programs = _apply._cache_size()  # type: ignore[attr-defined]
    trial.apply(some_x(seed=1), ~trial.mask)
    if _apply._cache_size() != programs:  # type: ignore[attr-defined]
        raise Broken("other values of x and mask are another program")
    return "one program for two calls with other values"


def memory_grows_as_the_exponent_says(trial: Trial) -> str:
    """Check that memory grows with the length no faster than the class says.

    By the compiler's account of its temporary arrays at two lengths.
    """
    exponent = trial.mixer.exponent
    short, long = (_temporary_bytes(trial.mixer, n) for n in (LONG, LONGER))
    grown = math.log(long / short) / math.log(LONGER / LONG) if short else 0.0
    detail = f"as l^{grown:.2f}; its exponent is {exponent:g}"
    _hold_all([] if grown <= exponent + SLACK else [detail])
    return detail


def _temporary_bytes(mixer: nn.Module, length: int) -> int:
    """Return what a forward pass of one row needs besides arguments and result."""
    x = jax.ShapeDtypeStruct((1, length, NARROW), jnp.float32)
    mask = jax.ShapeDtypeStruct((1, length), jnp.bool_)
    key = jax.eval_shape(lambda: jax.random.key(0))
    variables = jax.eval_shape(partial(mixer.init, train=False), key, x, mask)
    apply = jax.jit(partial(mixer.apply, train=False))
    analysis = apply.lower(variables, x, mask).compile().memory_analysis()
    return analysis.temp_size_in_bytes if analysis else 0


def the_causal_form_reads_no_later_position(trial: Trial) -> str:
    """Check the causal form of a mixer that has one, and most of the rest for it."""
    if not has_causal_form(type(trial.mixer)):
        return "it has no causal form, which would be a field `causal`"
    if trial.mixer.causal is not False:
        raise Broken("the default of the field `causal` must be False")
    causal = make_trial(trial.mixer.clone(causal=True))
    # One row begins with padding: its first positions have nothing to read.
    causal = dataclasses.replace(causal, mask=causal.mask.at[-1].set(~causal.mask[-1]))
    found = [finding(check, causal) for check in OF_A_CAUSAL_TRIAL]
    _hold_all([f"in causal form, {f.name}: {f.detail}" for f in found if not f.passed])
    return found[0].detail


def no_output_depends_on_a_later_input(trial: Trial) -> str:
    """Check the derivative of every output by every later input."""
    sizes = _dependence(trial.mixer, trial.params, trial.x, trial.mask)
    later = jnp.triu(sizes, 1)
    share = float(later.max() / sizes.max())
    t, s = divmod(int(later.argmax()), LENGTH)
    if not share <= TOLERANCE:
        raise Broken(
            f"y[{t}] depends on x[{s}], which is later: the derivative is {share:.1g} "
            "of the largest; where `causal` is True, y[t] may read x[s] for s <= t only"
        )
    return f"derivatives by later inputs are {share:.1g} of the largest"


@partial(jax.jit, static_argnums=0)
def _dependence(mixer, params, x, mask):
    """Return the largest derivative of each output (rows) by each input (columns)."""

    def apply(x):
        return mixer.apply({"params": params}, x, mask, train=False)

    _, pull_back = jax.vjp(apply, x)
    cotangent = some_x(seed=1)  # of other sums than those a normalization takes out

    def at(is_output):
        (by_input,) = pull_back(jnp.where(is_output[:, None], cotangent, 0))
        return jnp.abs(by_input).max(axis=(0, 2))

    return jax.lax.map(at, jnp.eye(x.shape[1], dtype=bool))


def no_output_depends_on_the_later_mask(trial: Trial) -> str:
    """Check other values of x and of the mask from the middle on."""
    half = LENGTH // 2
    is_later = jnp.arange(LENGTH) >= half
    x = jnp.where(is_later[:, None], some_x(seed=1), trial.x)
    y, other = trial.apply(trial.x, trial.mask), trial.apply(x, trial.mask ^ is_later)
    share = float(jnp.abs(y - other)[:, :half].max() / jnp.abs(y).max())
    detail = f"what comes later changes outputs by {share:.1g} of the largest"
    _hold_all([] if share <= TOLERANCE else [detail])
    return detail


OF_THE_CLASS = (formula_cost_and_exponent_are_given, every_hyperparameter_has_a_default)
OF_A_TRIAL = (
    shape_and_dtype_are_kept,
    padding_stays_out,
    rows_of_padding_alone_stay_finite,
    rows_do_not_see_each_other,
    only_training_is_random,
    every_parameter_learns,
    a_small_step_lowers_the_loss,
    any_length_works,
    a_second_call_does_not_compile,
    memory_grows_as_the_exponent_says,
    the_causal_form_reads_no_later_position,
)
OF_A_CAUSAL_TRIAL = (
    no_output_depends_on_a_later_input,
    no_output_depends_on_the_later_mask,
    shape_and_dtype_are_kept,
    padding_stays_out,
    rows_of_padding_alone_stay_finite,
    every_parameter_learns,
    memory_grows_as_the_exponent_says,
)


# ---------------------------------------------------------------------------
# All of them


def check_mixer(mixer_type: type[nn.Module]) -> Iterator[Finding]:
    """Yield the outcome of every check of a class at its defaults.

    Checks that would fail for a reason already found are left out.
    """
    of_the_class = [finding(check, mixer_type) for check in OF_THE_CLASS]
    yield from of_the_class
    if not all(found.passed for found in of_the_class):
        return
    try:
        trial = make_trial(mixer_type())
    except Exception as error:  # anything may be wrong in a file that is being written
        yield Finding("parameters are initialized", False, _reason(error))
        return
    kept = finding(only_parameters_are_kept, trial)
    yield kept
    if kept.passed:
        yield from (finding(check, trial) for check in OF_A_TRIAL)


def finding(check: Callable[[Any], str], subject: Any) -> Finding:
    """Return the outcome of a check, named after its function."""
    name = check.__name__.replace("_", " ")
    try:
        return Finding(name, True, check(subject))
    except Exception as error:
        return Finding(name, False, _reason(error))


def check_and_print(name: str) -> list[str]:
    """Check one mixer, a line for each property, or all of them, a line for each.

    Args:
      name: of a mixer; "": all of this folder, with a matrix of them at the end.

    Returns what failed, as `mixer: property`.

    Raises:
      ValueError: no such mixer.
    """
    if not name:
        return _check_all()
    mixer_type = mixer_class(name)
    print(f"{name}, {BATCH} x {LENGTH} x {WIDTH}")
    findings = []
    for found in check_mixer(mixer_type):
        print(f"  {found.line()}", flush=True)
        findings.append(found)
    return _failures(name, findings)


def _check_all() -> list[str]:
    """Check every mixer, print a matrix of them, and return what failed."""
    found, failed = {}, []
    for name in mixer_names():
        found[name] = list(check_mixer(mixer_class(name)))
        failures = _failures(name, found[name])
        print(f"{name}: {'; '.join(failures) or 'ok'}", flush=True)
        failed += failures
    print(f"\n{matrix(found)}")
    return failed


def _failures(name: str, findings: Sequence[Finding]) -> list[str]:
    """Return what does not hold of a mixer."""
    return [f"{name}: {found.name}" for found in findings if not found.passed]


def matrix(found: Mapping[str, Sequence[Finding]]) -> str:
    """Return a table of mixers and properties, and what its columns are.

    >>> print(matrix({"fnet": [Finding("holds", True, ""), Finding("no", False, "")]}))
    | mixer   | 1   | 2      |
    |---------|-----|--------|
    | fnet    | ok  | FAILED |
    1 holds; 2 no
    """
    names = list(dict.fromkeys(f.name for findings in found.values() for f in findings))
    rows = []
    for mixer, findings in found.items():
        outcomes = {f.name: "ok" if f.passed else "FAILED" for f in findings}
        rows.append([mixer, *(outcomes.get(name, "not reached") for name in names)])
    numbers = [str(number) for number in range(1, len(names) + 1)]
    legend = "; ".join(map(" ".join, zip(numbers, names, strict=True)))
    return f"{tabulate(rows, ['mixer', *numbers], tablefmt='github')}\n{legend}"


def _hold_all(faults: Sequence[str]) -> None:
    """Raise Broken if there are faults."""
    if faults:
        raise Broken("; ".join(faults))


def _finite(values: Array) -> bool:
    """Return whether there is no NaN and no infinity."""
    return bool(jnp.isfinite(values).all())


def _name(path: Any) -> str:
    """Return the path of a parameter as text."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _reason(error: Exception) -> str:
    """Return the first line of an error, with its kind unless it is ours."""
    line = next(iter(str(error).strip().splitlines()), "")
    kind = type(error).__name__
    return line if isinstance(error, Broken) else f"{kind}: {line}" if line else kind
