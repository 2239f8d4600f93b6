"""Intervals and tests: textbook values, and simulated coverage."""

import math

import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss
from scipy.stats import ttest_ind

from lra_fnet.report.statistics import (
    FROM_COUNTS,
    MCNEMAR,
    ONE_SEED,
    PAIRED,
    PAIRED_EXAMPLES,
    SEEDS_AND_EXAMPLES,
    TIED,
    TOO_FEW,
    UNPAIRED,
    Part,
    all_pairs,
    compare,
    estimate,
    half_width,
    holm,
    mcnemar,
    p_value,
    ranks,
    variance_of_mean,
    welch,
)
from lra_fnet.schema import binomial_interval

# Extra hours of sleep of ten patients, second drug less first: Student, The probable
# error of a mean (Biometrika 1908), section IX.
SLEEP = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_binomial_intervals_are_those_of_newcombe(correct, total, low, high):
    # Newcombe, Two-sided confidence intervals for the single proportion (Statistics in
    # Medicine 1998), table I, method 3.
    assert binomial_interval(correct, total) == pytest.approx((low, high), abs=5e-5)


def test_the_t_interval_of_students_sleep_data_is_the_known_one():
    # As printed by R's help page of t.test for the same data.
    mean, reach = np.mean(SLEEP), half_width([variance_of_mean(SLEEP)])
    assert (mean - reach, mean + reach) == pytest.approx(
        (0.7001142, 2.4598858), abs=1e-6
    )


def test_the_p_value_of_students_sleep_data_is_the_known_one():
    p = p_value(float(np.mean(SLEEP)), [variance_of_mean(SLEEP)])
    assert p == pytest.approx(0.002833, abs=1e-6)  # R's help page, as above


def test_parts_of_a_variance_add_up_to_the_normal_interval_where_much_is_known():
    parts = [Part(9.0, 10**7), Part(16.0, 10**7)]
    assert half_width(parts) == pytest.approx(1.959964 * 5, rel=1e-4)


def test_welchs_test_of_unequal_variances_is_that_of_scipy():
    first, second = SLEEP, [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7]  # Student's, too
    expected = ttest_ind(first, second, equal_var=False)
    parts = [variance_of_mean(first), variance_of_mean(second)]
    assert welch(parts).freedom == pytest.approx(expected.df)
    p = p_value(float(np.mean(first) - np.mean(second)), parts)
    assert p == pytest.approx(expected.pvalue)
    assert welch([Part(1.0, 1), Part(1.0, 1)]).freedom == 1  # two seeds each: cautious


def test_mcnemars_test_of_the_tonsillectomy_study_is_exact():
    # 85 sibling pairs, 7 and 15 of them discordant: Rice, Mathematical Statistics and
    # Data Analysis, section 13.4 (Johnson and Johnson, 1972).
    first = np.array([True] * 37 + [True] * 7 + [False] * 15 + [False] * 26)
    second = np.array([True] * 37 + [False] * 7 + [True] * 15 + [False] * 26)
    by_hand = 2 * sum(math.comb(22, k) for k in range(8)) / 2**22
    assert mcnemar(first, second) == pytest.approx(by_hand)
    assert mcnemar(first, first) == 1.0


def test_holms_correction_keeps_order_and_never_passes_one():
    assert holm([]) == []
    assert holm([0.5, 0.9, 0.001]) == pytest.approx([1.0, 1.0, 0.003])


def test_one_seed_is_a_binomial_interval_and_says_so():
    found = estimate([81], 263)
    assert (found.low, found.high) == binomial_interval(81, 263)
    assert (found.covers, found.seeds) == (ONE_SEED, 1)


def test_a_perfect_score_still_has_an_interval():
    found = of(np.ones((3, 50), bool))
    assert (found.low, found.high) == binomial_interval(50, 50)
    assert estimate([50, 50], 50).low < 1.0


def test_counts_alone_give_no_narrower_interval_than_the_of(simulate):
    for _ in range(20):
        correct = simulate(3, 300, seed_spread=0.1)
        exact = of(correct)
        cautious = estimate(correct.sum(axis=1).tolist(), 300)
        assert cautious.mean == pytest.approx(exact.mean)
        assert cautious.high - cautious.low >= exact.high - exact.low
        assert (exact.covers, cautious.covers) == (SEEDS_AND_EXAMPLES, FROM_COUNTS)


@pytest.mark.parametrize("seed_spread", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("num_seeds", [2, 3, 5])
def test_the_interval_over_seeds_and_examples_covers_what_it_says(
    simulate, num_seeds, seed_spread
):
    truth = expected_accuracy(seed_spread)
    covered = [
        estimate.low <= truth <= estimate.high
        for estimate in (of(simulate(num_seeds, 400, seed_spread)) for _ in range(400))
    ]
    assert np.mean(covered) >= 0.92  # 0.95 less three standard errors


def test_the_interval_over_seeds_and_examples_is_not_much_too_wide(simulate):
    truth = expected_accuracy(0.5)
    estimates = [of(simulate(5, 2_000, 0.5)) for _ in range(300)]
    covered = np.mean([e.low <= truth <= e.high for e in estimates])
    assert 0.91 <= covered <= 0.985


def test_a_binomial_interval_over_one_seed_misses_the_spread_over_seeds(simulate):
    truth = expected_accuracy(0.5)
    estimates = [of(simulate(1, 2_000, 0.5)) for _ in range(99)]
    assert np.mean([e.low <= truth <= e.high for e in estimates]) < 0.5


def test_the_test_that_is_used_is_the_one_that_fits_the_seeds(simulate):
    one, three = (of(simulate(seeds, 200, 0.1)) for seeds in (1, 3))
    counts = estimate([90, 95], 200)
    assert compare(one, one).test == MCNEMAR
    assert compare(one, three).test == PAIRED_EXAMPLES
    assert compare(three, three).test == PAIRED
    assert compare(three, counts).test == UNPAIRED


@pytest.mark.parametrize(
    ("seeds", "verdict"),
    [((1, 1), TIED), ((3, 3), TIED), ((2, 5), TOO_FEW), ((3, 1), TOO_FEW)],
)
def test_no_difference_is_a_tie_only_where_seeds_could_have_shown_one(
    simulate, seeds, verdict
):
    shared = simulate.examples(400)
    first, second = (of(simulate(n, 400, 0.1, examples=shared)) for n in seeds)
    (pair,) = all_pairs({"a": first, "b": second})
    assert (pair.better, pair.verdict) == ("", verdict)


def test_a_difference_that_two_seeds_show_is_a_difference(simulate):
    first, second = (of(simulate(2, 2_000, 0.0, mean=mean)) for mean in (3.0, -3.0))
    (pair,) = all_pairs({"a": first, "b": second})
    assert (pair.better, pair.verdict) == ("a", "")


def test_the_interval_of_a_difference_excludes_zero_where_p_is_small(simulate):
    first = of(simulate(3, 400, 0.05))
    for shift in (0.0, 0.2, 0.5, 1.0):
        second = of(simulate(3, 400, 0.05, mean=0.5 + shift))
        found = compare(first, second)
        assert (found.p < 0.05) == (not found.low <= 0 <= found.high)


@pytest.mark.parametrize("num_seeds", [1, 3])
def test_equal_models_are_ties(simulate, num_seeds):
    spread = 0.1 if num_seeds > 1 else 0.0  # one seed says nothing about others
    separated = 0
    for _ in range(60):
        shared = simulate.examples(400)
        models = {
            name: of(simulate(num_seeds, 400, spread, examples=shared))
            for name in "abcd"
        }
        separated += set(ranked(models).values()) != {1}
    assert separated / 60 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 60)


@pytest.mark.parametrize(("num_seeds", "seed_spread"), [(2, 0.3), (3, 0.1), (5, 0.3)])
def test_among_many_equal_models_few_columns_have_a_false_winner(
    simulate, num_seeds, seed_spread
):
    separated = 0
    for _ in range(60):
        shared = simulate.examples(300)
        models = {
            f"{i}": of(simulate(num_seeds, 300, seed_spread, examples=shared))
            for i in range(12)
        }
        separated += set(ranked(models).values()) != {1}
    assert separated / 60 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 60)


def test_a_lead_of_several_points_with_three_seeds_is_seen_among_many_models(simulate):
    shared = simulate.examples(2_000)
    models = {f"{i}": of(simulate(3, 2_000, 0.03, examples=shared)) for i in range(11)}
    models["better"] = of(simulate(3, 2_000, 0.03, mean=1.2, examples=shared))
    assert ranked(models) == {**dict.fromkeys(models, 2), "better": 1}


def test_clearly_better_models_rank_before_worse_ones(simulate):
    shared = simulate.examples(1_000)
    means = {"best": 2.0, "also best": 2.0, "middle": 0.5, "worst": -1.5}
    models = {
        name: of(simulate(3, 1_000, 0.02, mean=mean, examples=shared))
        for name, mean in means.items()
    }
    assert ranked(models) == {"best": 1, "also best": 1, "middle": 3, "worst": 4}
    assert ranked({"alone": models["best"]}) == {"alone": 1}


# ---------------------------------------------------------------------------
# Made-up answers: an example is harder or easier, a seed luckier or not, in logits.

EXAMPLE_SPREAD = 1.5


class Simulation:
    def __init__(self):
        self.generator = np.random.default_rng(0)

    def examples(self, count):
        return self.generator.normal(0, EXAMPLE_SPREAD, (1, count))

    def __call__(self, seeds, count, seed_spread, mean=0.5, examples=None):
        examples = self.examples(count) if examples is None else examples
        luck = self.generator.normal(0, seed_spread, (seeds, 1))
        share = 1 / (1 + np.exp(-(mean + luck + examples)))
        return self.generator.random(share.shape) < share


@pytest.fixture
def simulate():
    return Simulation()


def expected_accuracy(seed_spread):
    points, weights = hermegauss(80)
    logits = 0.5 + math.hypot(seed_spread, EXAMPLE_SPREAD) * points
    return float(weights @ (1 / (1 + np.exp(-logits))) / weights.sum())


def of(correct):
    return estimate(correct.sum(axis=1).tolist(), correct.shape[1], correct)


def ranked(models):
    return ranks(models, all_pairs(models))
