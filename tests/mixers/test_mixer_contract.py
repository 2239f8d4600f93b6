"""What the contract finds in mixers that break one property each."""

import dataclasses
import re
import subprocess
import sys
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from lra_fnet.__main__ import main
from lra_fnet.mixers import contract
from lra_fnet.model import zero_padding
from tiny_runs import ROOT


class Sound(nn.Module):
    """A mixer that keeps the contract: a dense layer of x and the sum over it."""

    formula: ClassVar[str] = "y = (x + sum x) W"
    cost: ClassVar[str] = "l d + d^2"
    exponent: ClassVar[float] = 1.0

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
            raise ValueError("a token alone has no neighbor")
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


class AveragesTheBatch(Sound):
    """Which permuting the batch does not show."""

    @nn.compact
    def __call__(self, x, mask, train):
        mean = zero_padding(x, mask).sum(axis=(0, 1)) / jnp.maximum(mask.sum(), 1)
        return nn.Dense(x.shape[-1], dtype=x.dtype)(x + mean)


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


class NamesNoExponent(Sound):
    exponent: ClassVar[str] = "little"


class AsksForAValue(Sound):
    width: int = dataclasses.MISSING


class TurnsByAComplexNumber(Sound):
    """Multiply pairs of channels by a complex parameter."""

    @nn.compact
    def __call__(self, x, mask, train):
        shape = x.shape[-1:]
        w = self.param("w", lambda _: jnp.full(shape, 0.1 + 0.2j, jnp.complex64))
        return jnp.real((x + 1j * jnp.roll(x, 1, axis=-1)) * w).astype(x.dtype)


class HasAnotherDerivative(Sound):
    """Scale by a parameter, and say that the derivative is the opposite."""

    @nn.compact
    def __call__(self, x, mask, train):
        scale = self.param("scale", nn.initializers.ones, ()).astype(x.dtype)
        return x * (2 * jax.lax.stop_gradient(scale) - scale)


class NormalizesTheBatch(Sound):
    @nn.compact
    def __call__(self, x, mask, train):
        return nn.BatchNorm(use_running_average=not train, dtype=x.dtype)(x)


class KeepsABuffer(Sound):
    @nn.compact
    def __call__(self, x, mask, train):
        return x * self.variable("buffers", "scale", lambda: jnp.ones(())).value


class KeepsABufferInTraining(Sound):
    @nn.compact
    def __call__(self, x, mask, train):
        if train:
            self.variable("buffers", "scale", lambda: jnp.ones(()))
        return x


class DrawsFromItsOwnStream(Sound):
    @nn.compact
    def __call__(self, x, mask, train):
        if not train:
            return x
        return x + jax.random.normal(self.make_rng("noise"), x.shape, x.dtype)


class DividesByTheNorm(Sound):
    @nn.compact
    def __call__(self, x, mask, train):
        scale = self.param("scale", nn.initializers.ones, ()).astype(x.dtype)
        real = zero_padding(x, mask) * scale
        norm = jnp.sqrt((real * real).sum(axis=(1, 2), keepdims=True))
        return x + jnp.where(norm > 0, real / norm, 0)


class SoundlyCausal(Sound):
    """Add the sum over the positions so far."""

    causal: bool = False

    @nn.compact
    def __call__(self, x, mask, train):
        real = zero_padding(x, mask)
        total = real.sum(axis=1, keepdims=True)
        total = self.summed(real, mask) if self.causal else total
        return nn.Dense(x.shape[-1], dtype=x.dtype)(x + total.astype(x.dtype))

    def summed(self, real, mask):
        return real.cumsum(axis=1)


class ForgetsToBeCausal(Sound):
    causal: bool = False


class ReadsOneAhead(SoundlyCausal):
    def summed(self, real, mask):
        return jnp.roll(real.cumsum(axis=1), -1, axis=1)


class CountsTheFuture(SoundlyCausal):
    def summed(self, real, mask):
        return real.cumsum(axis=1) / jnp.maximum(mask.sum(axis=1), 1)[:, None, None]


class IsDenseIfCausal(SoundlyCausal):
    def summed(self, real, mask):
        return jnp.tril(jnp.tanh(real @ real.swapaxes(1, 2))) @ real


class LosesItsTypeIfCausal(SoundlyCausal):
    @nn.compact
    def __call__(self, x, mask, train):
        dtype = jnp.float32 if self.causal else x.dtype
        return nn.Dense(x.shape[-1], dtype=dtype)(x)


class IsAlwaysCausal(SoundlyCausal):
    causal: bool = True


class HasNoFormula(nn.Module):
    @nn.compact
    def __call__(self, x, mask, train):
        return x


def broken(mixer_type):
    findings = contract.check_mixer(mixer_type)
    return {f.name: f.detail for f in findings if not f.passed}


def test_a_sound_mixer_passes_every_check():
    findings = [*contract.check_mixer(Sound)]
    assert all(finding.passed for finding in findings)
    assert len(findings) == len(contract.OF_THE_CLASS) + 1 + len(contract.OF_A_TRIAL)


@pytest.mark.parametrize(
    ("mixer_type", "check", "words"),
    [
        (LeaksPadding, contract.padding_stays_out, "real tokens change by"),
        (ClaimsToMixPadding, contract.padding_stays_out, "reaches no real token"),
        (PromotesToFloat32, contract.shape_and_dtype_are_kept, "became float32"),
        (OnlyKnowsItsFirstLength, contract.any_length_works, "length 19"),
        (
            DividesByTheCount,
            contract.rows_of_padding_alone_stay_finite,
            "result is NaN",
        ),
        (
            DividesByTheNorm,
            contract.rows_of_padding_alone_stay_finite,
            "gradient is NaN",
        ),
        (MixesTheBatch, contract.rows_do_not_see_each_other, "a permuted batch does"),
        (AveragesTheBatch, contract.rows_do_not_see_each_other, "another first row"),
        (AlwaysDrops, contract.only_training_is_random, "evaluation depends"),
        (NeverDrops, contract.only_training_is_random, "ignores the dropout key"),
        (LeavesAParameterUnused, contract.every_parameter_learns, "of unused is zero"),
        (HasAnotherDerivative, contract.a_small_step_lowers_the_loss, "lowers it by -"),
        (LooksAtEveryPair, contract.memory_grows_as_the_exponent_says, "exponent is 1"),
        *(
            (mixer_type, contract.the_causal_form_reads_no_later_position, words)
            for mixer_type, words in (
                (ForgetsToBeCausal, r"y\[\d+\] depends on x\[.*x\[s\] for s <= t only"),
                (ReadsOneAhead, r"y\[(\d+)\] depends on x\[.*which is later"),
                (CountsTheFuture, "what comes later changes outputs by"),
                (IsDenseIfCausal, "in causal form, memory grows .* exponent is 1"),
                (LosesItsTypeIfCausal, "in causal form, shape .* became float32"),
                (IsAlwaysCausal, "the default of the field `causal` must be False"),
            )
        ),
    ],
)
def test_a_broken_property_is_found(mixer_type, check, words):
    trial = contract.make_trial(mixer_type())
    with pytest.raises(contract.Broken, match=words):
        check(trial)


def test_a_sound_causal_form_passes_and_none_is_needed():
    check = contract.the_causal_form_reads_no_later_position
    assert "of the largest" in check(contract.make_trial(SoundlyCausal()))
    assert "no causal form" in check(contract.make_trial(Sound()))
    assert contract.every_hyperparameter_has_a_default(SoundlyCausal) == "none"


@pytest.mark.parametrize(
    ("mixer_type", "name", "words"),
    [
        (
            HasNoFormula,
            "formula cost and exponent are given",
            "no ClassVars of one line",
        ),
        (NamesNoExponent, "formula cost and exponent are given", "power of the length"),
        (AsksForAValue, "every hyperparameter has a default", "no default for width"),
        (BranchesOnValues, "parameters are initialized", "TracerBoolConversionError"),
    ],
)
def test_a_class_that_cannot_be_tried_is_one_finding(mixer_type, name, words):
    (only,) = broken(mixer_type).items()
    assert only[0] == name and words in only[1]


@pytest.mark.parametrize(
    "mixer_type",
    [LeavesAParameterUnused, OnlyKnowsItsFirstLength],
)
def test_one_broken_promise_is_one_finding(mixer_type):
    assert len(broken(mixer_type)) == 1


@pytest.mark.parametrize(
    ("mixer_type", "words"),
    [
        (NormalizesTheBatch, "it makes variables in 'batch_stats', but the trainer"),
        (KeepsABuffer, "it makes variables in 'buffers', but the trainer"),
        (KeepsABufferInTraining, "in training it makes other variables, but the tr"),
        (DrawsFromItsOwnStream, "a random stream other than 'dropout', but the tr"),
    ],
)
def test_state_that_the_trainer_does_not_keep_is_found(mixer_type, words):
    found = broken(mixer_type)
    assert [*found] == ["only parameters are kept"]
    assert words in found["only parameters are kept"]
    assert "keeps parameters only" in found["only parameters are kept"]


def test_a_complex_parameter_is_moved_as_the_trainer_moves_it(monkeypatch):
    trial = contract.make_trial(TurnsByAComplexNumber())
    contract.a_small_step_lowers_the_loss(trial)
    monkeypatch.setattr(contract, "descent_direction", lambda gradients: gradients)
    with pytest.raises(contract.Broken, match=r"w \(imaginary\) lowers it by -"):
        contract.a_small_step_lowers_the_loss(trial)


class HasABiasOfKeys(Sound):
    """Softmax over positions forgets what is added to all of them."""

    @nn.compact
    def __call__(self, x, mask, train):
        keys = nn.Dense(x.shape[-1], dtype=x.dtype, name="keys")(x)
        keys = jnp.where(mask[..., None], keys, -1e9)
        return x + (nn.softmax(keys, axis=1) * x).sum(axis=1, keepdims=True)


def test_parameters_without_an_effect_have_no_direction_to_check():
    trial = contract.make_trial(HasABiasOfKeys())
    found = contract.a_small_step_lowers_the_loss(trial)
    assert found == "2 arrays, one at a time; keys/bias: no effect"


def test_a_class_may_say_that_it_is_bound_to_a_length():
    trial = contract.make_trial(BindsItselfToItsLength())
    assert "a factor for every position" in contract.any_length_works(trial)


def test_a_class_may_refuse_a_length_of_one_in_words():
    trial = contract.make_trial(RefusesASingleToken())
    assert "a token alone has no neighbor" in contract.any_length_works(trial)


def test_another_program_is_found():
    trial = contract.make_trial(Sound(name="another"))
    other = dataclasses.replace(trial, x=trial.x.astype(jnp.bfloat16))
    with pytest.raises(contract.Broken, match="another program"):
        contract.a_second_call_does_not_compile(other)


def test_the_command_prints_a_line_per_property(capsys):
    assert main(["check-mixer", "--mixer=ff_only"]) == 0
    assert "ok      padding stays out" in capsys.readouterr().out
    assert main(["check-mixer", "--mixer=fnot"]) == 1
    assert "did you mean 'fnet'" in capsys.readouterr().err


def test_all_mixers_are_a_line_each_and_a_matrix(monkeypatch, capsys):
    types = {"sound": Sound, "broken": AsksForAValue}
    monkeypatch.setattr(contract, "mixer_names", lambda: [*types])
    monkeypatch.setattr(contract, "mixer_class", types.get)
    failed = contract.check_and_print("")
    assert failed == ["broken: every hyperparameter has a default"]
    printed = capsys.readouterr().out
    assert "sound: ok\nbroken: broken: every hyperparameter has a default" in printed
    assert re.search(r"\| broken +\| ok +\| FAILED +\| not reached", printed)


def test_the_contract_imports_neither_configs_nor_data():
    program = "import sys, lra_fnet.mixers.contract; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert not {"configs", "ml_collections", "lra_fnet.data"} & loaded


def test_the_registry_imports_no_jax():
    program = "import sys, lra_fnet.mixers as m; m.mixer_names(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not {"jax", "flax"} & set(done.stdout.split())
