"""What lra_fnet.conform finds in mixers that break one promise each."""

import dataclasses
import subprocess
import sys
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
import pytest

from configs.common import common_config
from lra_fnet import contract
from lra_fnet.mixers import mixer_class
from lra_fnet.model import zero_padding
from tiny_runs import ROOT


class Sound(nn.Module):
    """Keep every promise: add the sum of the real tokens, then a dense layer."""

    formula: ClassVar[str] = "y = (x + sum x) W"
    cost: ClassVar[str] = "l d + d^2"

    @nn.compact
    def __call__(self, x, mask, train):
        total = zero_padding(x, mask).sum(axis=1, keepdims=True) + x
        return nn.Dense(x.shape[-1], dtype=x.dtype)(total)


class LeaksPadding(Sound):
    @nn.compact
    def __call__(self, x, mask, train):
        return nn.Dense(x.shape[-1], dtype=x.dtype)(x + x.sum(axis=1, keepdims=True))


class LeavesAParameterUnused(Sound):
    @nn.compact
    def __call__(self, x, mask, train):
        self.param("unused", nn.initializers.ones, (3,))
        return nn.Dense(x.shape[-1], dtype=x.dtype)(x)


class PromotesToFloat32(Sound):
    @nn.compact
    def __call__(self, x, mask, train):
        return nn.Dense(x.shape[-1], dtype=jnp.float32)(x)


class OnlyKnowsItsFirstLength(Sound):
    @nn.compact
    def __call__(self, x, mask, train):
        scale = self.param("scale", nn.initializers.ones, (x.shape[1], 1))
        return x * scale.astype(x.dtype)


class BindsItselfToItsLength(OnlyKnowsItsFirstLength):
    length_bound: ClassVar[str] = "a factor for every position"


class RefusesASingleToken(Sound):
    @nn.compact
    def __call__(self, x, mask, train):
        if x.shape[1] == 1:
            raise ValueError("a token alone has no neighbour")
        return x + 0 * jnp.where(mask, 1, 0)[..., None].astype(x.dtype)


class ClaimsToMixPadding(Sound):
    mixes_padding: ClassVar[str] = "so it says"


class DividesByTheCount(Sound):
    @nn.compact
    def __call__(self, x, mask, train):
        total = zero_padding(x, mask).sum(axis=1, keepdims=True)
        return (x + total / mask.sum(axis=1)[:, None, None]).astype(x.dtype)


class MixesTheBatch(Sound):
    @nn.compact
    def __call__(self, x, mask, train):
        return x + zero_padding(x, mask)[:1, :1]


class AlwaysDrops(Sound):
    @nn.compact
    def __call__(self, x, mask, train):
        return nn.Dropout(0.5, deterministic=False)(x)


class NeverDrops(Sound):
    dropout_rate: float = 0.5


class BranchesOnValues(Sound):
    @nn.compact
    def __call__(self, x, mask, train):
        return x if mask.all() else x * 2


class LooksAtEveryPair(Sound):
    @nn.compact
    def __call__(self, x, mask, train):
        closeness = jnp.tanh(x @ jnp.swapaxes(x, 1, 2))  # (b, l, l)
        return x + closeness @ zero_padding(x, mask)


class WritesItsCostInWords(Sound):
    cost: ClassVar[str] = "cheap, mostly"


class DividesByTheNorm(Sound):
    @nn.compact
    def __call__(self, x, mask, train):
        scale = self.param("scale", nn.initializers.ones, ()).astype(x.dtype)
        real = zero_padding(x, mask) * scale
        norm = jnp.sqrt((real * real).sum(axis=(1, 2), keepdims=True))
        return x + jnp.where(norm > 0, real / norm, 0)


class ShiftsByAHash(Sound):
    @nn.compact
    def __call__(self, x, mask, train):
        return x + hash("a string") % 1000


class HasNoFormula(nn.Module):
    @nn.compact
    def __call__(self, x, mask, train):
        return x


# Each but the one that starts a process.
IN_THIS_PROCESS = contract.PROPERTIES[:-1]


def broken(mixer_type, hyperparameters=None):
    findings = contract.check_mixer(mixer_type, hyperparameters or {}, IN_THIS_PROCESS)
    return {f.name: f.detail for f in findings if not f.passed}


def test_a_sound_mixer_passes_every_check():
    findings = [*contract.check_mixer(Sound, {})]
    assert all(finding.passed for finding in findings)
    assert len(findings) == 2 + len(contract.PROPERTIES)


@pytest.mark.parametrize(
    ("mixer_type", "name", "words"),
    [
        (LeaksPadding, "padding stays out", "real tokens change by"),
        (ClaimsToMixPadding, "padding stays out", "reaches no real token"),
        (LeavesAParameterUnused, "every parameter learns", "params/unused is zero"),
        (PromotesToFloat32, "shape and dtype are kept", "became float32"),
        (OnlyKnowsItsFirstLength, "any length works", "length 19"),
        (DividesByTheCount, "rows of padding alone stay finite", "NaN"),
        (MixesTheBatch, "rows do not see each other", "permuted"),
        (AlwaysDrops, "only training is random", "evaluation depends"),
        (DividesByTheNorm, "rows of padding alone stay finite", "a gradient is NaN"),
        (LooksAtEveryPair, "memory grows as the cost says", "d^2) as l^1"),
        (WritesItsCostInWords, "memory grows as the cost says", "write it like"),
        (HasNoFormula, "formula and cost are given", "formula, cost"),
    ],
)
def test_a_broken_promise_is_found_by_its_name(mixer_type, name, words):
    assert words in broken(mixer_type)[name]


@pytest.mark.parametrize(
    "mixer_type",
    [LeaksPadding, LeavesAParameterUnused, PromotesToFloat32, OnlyKnowsItsFirstLength],
)
def test_one_broken_promise_is_one_finding(mixer_type):
    assert len(broken(mixer_type)) == 1


def test_dropout_that_is_not_applied_is_found():
    found = broken(NeverDrops, {"dropout_rate": 0.5})
    assert "ignores the dropout key" in found["only training is random"]


def test_control_flow_on_values_is_a_finding_and_no_crash():
    found = broken(BranchesOnValues)
    assert "TracerBoolConversionError" in found["parameters are initialised"]


def test_a_class_may_say_that_it_is_bound_to_a_length():
    trial = contract.make_trial(BindsItselfToItsLength())
    finding = contract.any_length_works(trial)
    assert finding.passed and "a factor for every position" in finding.detail


def test_a_class_may_refuse_a_length_of_one_in_words():
    finding = contract.any_length_works(contract.make_trial(RefusesASingleToken()))
    assert finding.passed and "a token alone has no neighbour" in finding.detail


def test_a_second_trace_is_found():
    trial = contract.make_trial(Sound())
    assert contract.a_second_call_does_not_compile(trial).passed
    other = dataclasses.replace(trial, x=trial.x.astype(jnp.bfloat16))
    assert not contract.a_second_call_does_not_compile(other).passed


def test_a_field_without_a_value_and_a_value_without_a_field_are_found():
    found = broken(mixer_class("transformer"), {"num_heads": 8, "num_haeds": 8})
    assert found == {
        "fields are the hyperparameters": "no value for dropout_rate, qkv_dim; "
        "no field for num_haeds"
    }


def test_what_depends_on_the_process_is_found():
    trials = [contract.make_trial(mixer()) for mixer in (Sound, ShiftsByAHash)]
    sound, shifted = contract.checkpoints_score_the_same(trials)
    assert sound.passed and not shifted.passed
    assert "differs by" in shifted.detail


def test_findings_carry_the_names_of_their_functions():
    trial = contract.make_trial(mixer_class("fnet")(**common_config().mixers.fnet))
    for check in contract.PROPERTIES:
        assert check(trial).name == contract.in_words(check)


@pytest.mark.parametrize(
    ("model", "code", "words"),
    [("ff_only", 0, "ok      padding stays out"), ("fnot", 1, "did you mean 'fnet'")],
)
def test_the_command_prints_a_line_per_property(model, code, words):
    done = subprocess.run(
        [sys.executable, "-m", "lra_fnet.conform", f"--model={model}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code and words in done.stdout + done.stderr


def test_the_library_imports_neither_configs_nor_tasks():
    program = "import sys, lra_fnet.mixers.contract; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not {"configs", "tasks", "ml_collections"} & set(done.stdout.split())
