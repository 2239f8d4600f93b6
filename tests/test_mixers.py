"""The contract every file of lra_fnet/mixers is held to, for free."""

from pathlib import Path

import jax
import numpy as np
import pytest

from configs.common import common_config
from lra_fnet import contract
from lra_fnet.mixers import mixer_class, mixer_names

GOLDEN = Path(__file__).parent / "golden"
NAMES = mixer_names()


def trial_of(name):
    return contract.make_trial(mixer_class(name)(**common_config().mixers[name]))


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def trial(name) -> contract.Trial:
    return trial_of(name)


def holds(finding):
    assert finding.passed, finding.line()


def test_formula_and_cost_are_given(name):
    holds(contract.formula_and_cost_are_given(mixer_class(name)))


def test_every_field_has_its_value_in_the_config_and_every_value_its_field(name):
    hyperparameters = common_config().mixers[name].to_dict()
    holds(contract.fields_are_the_hyperparameters(mixer_class(name), hyperparameters))


def test_shape_and_dtype_are_kept(trial):
    holds(contract.shape_and_dtype_are_kept(trial))


def test_padding_reaches_real_tokens_only_where_the_mixer_says_so(trial):
    holds(contract.padding_stays_out(trial))


def test_rows_of_padding_alone_stay_finite(trial):
    holds(contract.rows_of_padding_alone_stay_finite(trial))


def test_permuting_the_batch_permutes_the_output(trial):
    holds(contract.rows_do_not_see_each_other(trial))


def test_evaluation_is_deterministic_and_training_follows_its_key(trial):
    holds(contract.only_training_is_random(trial))


def test_every_parameter_gets_a_finite_gradient_that_is_not_zero(trial):
    holds(contract.every_parameter_learns(trial))


def test_other_lengths_work(trial):
    holds(contract.any_length_works(trial))


def test_a_second_call_does_not_compile(trial):
    holds(contract.a_second_call_does_not_compile(trial))


def test_memory_grows_as_the_cost_says(trial):
    holds(contract.memory_grows_as_the_cost_says(trial))


def test_checkpoints_score_the_same_in_another_process():
    findings = contract.checkpoints_score_the_same([trial_of(n) for n in NAMES])
    failed = [n for n, f in zip(NAMES, findings, strict=True) if not f.passed]
    assert not failed


def parameter_list(trial):
    """One line per parameter: path and shape, at width 24 and length 37."""
    leaves = jax.tree.leaves_with_path(trial.params.get("params", {}))
    return "".join(
        f"{jax.tree_util.keystr(path, simple=True, separator='/')} {leaf.shape}\n"
        for path, leaf in leaves
    )


def test_parameters_are_the_golden_ones(name, trial):
    golden = (GOLDEN / f"{name}.txt").read_text()
    assert parameter_list(trial) == golden, (
        "a change here changes every published count and breaks old checkpoints; if "
        "the mixer was meant to change, run: python -m tests.test_mixers"
    )


def test_every_mixer_has_its_line_in_the_config():
    assert sorted(common_config().mixers) == NAMES


def test_attention_equals_softmax_over_the_real_tokens_in_float64():
    mixer = mixer_class("transformer")(num_heads=1, qkv_dim=19, dropout_rate=0.0)
    trial = contract.make_trial(mixer)
    weights = {
        name: np.asarray(leaf["kernel"], np.float64)
        for name, leaf in trial.params["params"][
            "MultiHeadDotProductAttention_0"
        ].items()
    }
    q, k, v = (
        np.asarray(trial.x, np.float64) @ weights[n][:, 0]
        for n in ("query", "key", "value")
    )
    scores = q @ k.transpose(0, 2, 1) / np.sqrt(19)
    scores[~np.broadcast_to(trial.mask[:, None], scores.shape)] = -np.inf
    attention = np.exp(scores - scores.max(-1, keepdims=True))
    attention /= attention.sum(-1, keepdims=True)
    expected = attention @ v @ weights["out"][0]
    mixed = trial.apply(trial.x, trial.mask)
    np.testing.assert_allclose(mixed, expected, atol=1e-5)


if __name__ == "__main__":  # write the golden lists anew
    for each in NAMES:
        (GOLDEN / f"{each}.txt").write_text(parameter_list(trial_of(each)))
