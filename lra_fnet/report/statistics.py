"""Intervals of accuracies, paired tests, corrections for many of them; on SciPy."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import stdtr, stdtrit
from scipy.stats import binomtest

from lra_fnet.schema import binomial_interval

LEVEL = 0.95
ALPHA = 0.05  # chance that noise alone makes any difference of a column significant
ENOUGH_SEEDS = 3  # two have one degree of freedom: a test of them has no power

ONE_SEED = "test examples (one seed)"
SEEDS_AND_EXAMPLES = "seeds and test examples"
FROM_COUNTS = "seeds and test examples (cautious: from counts)"

MCNEMAR = "test examples only, one seed each (exact McNemar test)"
PAIRED_EXAMPLES = "test examples, and seeds of only one of the two (paired t test)"
PAIRED = "seeds and test examples (paired t test)"
UNPAIRED = "unpaired, from counts: cautious"

TIED, TOO_FEW = "tied", "too few seeds to tell"

Answers = Bool[np.ndarray, "_ _"]  # seeds, examples


# ---------------------------------------------------------------------------
# Intervals


class Part(NamedTuple):
    """A part of the variance of a mean, and its degrees of freedom."""

    variance: float
    freedom: float


@dataclass(frozen=True, eq=False)
class Estimate:
    """An accuracy and how well it is known.

    Attributes:
      mean: over seeds, each with the same weight.
      low, high: bounds of the 95 % interval.
      parts: of the variance of the mean.
      covers: what the interval is over.
      seeds: their number.
      answers: whether each seed (s) is right on each example (n); None if not known.
    """

    mean: float
    low: float
    high: float
    parts: tuple[Part, ...]
    covers: str
    seeds: int
    answers: Answers | None = None


def estimate(
    counts: Sequence[int], examples: int, answers: Answers | None = None
) -> Estimate:
    """Return the accuracy over other seeds and other test examples.

    Every seed answers every example, so both are crossed random effects. The variance
    of the mean is taken as that of the seeds' accuracies over s plus that of the
    examples' accuracies over n. The interaction of seed and example is in both, so the
    interval covers at least its 95 % (simulated in tests/report/test_statistics.py)
    and little more: one example's noise is counted twice.

    Where only counts are known, so is not whether the seeds make the same mistakes; the
    part of the examples is then taken at its bound, as if all seeds answered alike. One
    seed has a binomial interval, which is blind to other seeds.

    Args:
      counts: right answers of each seed (s).
      examples: of the test split (n), the same for all seeds.
      answers: whether each seed is right on each example; None if not known.
    """
    seeds, accuracies = len(counts), np.array(counts) / examples
    mean = sum(counts) / (seeds * examples)
    parts: tuple[Part, ...] = (Part(mean * (1 - mean) / examples, examples - 1),)
    covers = ONE_SEED if seeds == 1 else FROM_COUNTS
    if seeds > 1 and answers is not None:
        parts, covers = (variance_of_mean(answers.mean(0)),), SEEDS_AND_EXAMPLES
    if seeds > 1:
        parts = variance_of_mean(accuracies), *parts
    reach = half_width(parts)
    low, high = max(0.0, mean - reach), min(1.0, mean + reach)
    if (
        seeds == 1 or not reach
    ):  # without reach every answer is right, or every one wrong
        low, high = binomial_interval(round(mean * examples), examples)
    return Estimate(mean, low, high, parts, covers, seeds, answers)


def variance_of_mean(values: Float[np.ndarray, " n"] | Sequence[float]) -> Part:
    """Return the estimated variance of the mean of at least two values."""
    return Part(float(np.var(values, ddof=1)) / len(values), len(values) - 1)


def half_width(parts: Sequence[Part], level: float = LEVEL) -> float:
    """Return half the width of the interval of a mean whose variance has these parts.

    The parts' own Student intervals are added in squares, exact where one part
    dominates: Howe, Approximate confidence limits on the mean of X + Y (JASA 1974).
    """
    quantiles = [stdtrit(freedom, (1 + level) / 2) for _, freedom in parts]
    squares = zip(quantiles, parts, strict=True)
    return math.sqrt(sum(quantile**2 * part.variance for quantile, part in squares))


# ---------------------------------------------------------------------------
# Tests of differences


class Comparison(NamedTuple):
    """A difference of two accuracies, and whether noise could explain it.

    Attributes:
      difference: of the first and the second.
      low, high: bounds of its 95 % interval, of this pair alone.
      p: two-sided, of no difference.
      test: that p comes from.
      enough_seeds: whether the test could have found a difference between seeds.
    """

    difference: float
    low: float
    high: float
    p: float
    test: str
    enough_seeds: bool


def compare(first: Estimate, second: Estimate) -> Comparison:
    """Test whether two accuracies on the same test split differ.

    Two mixers with several seeds each are compared over seeds and examples; where one
    of them has a single seed, nothing is known of its spread over seeds.
    """
    difference = first.mean - second.mean
    pair = _paired(first, second)
    parts = difference_parts(*pair) if pair else (*first.parts, *second.parts)
    reach = half_width([welch(parts)])
    fewest, most = sorted((first.seeds, second.seeds))
    if pair and most == 1:
        p, test = mcnemar(pair[0][0], pair[1][0]), MCNEMAR
    else:
        p, test = p_value(difference, parts), UNPAIRED
        if pair:
            test = PAIRED if fewest > 1 else PAIRED_EXAMPLES
    enough = most == 1 or fewest >= ENOUGH_SEEDS
    return Comparison(
        difference, difference - reach, difference + reach, p, test, enough
    )


def mcnemar(first: Bool[np.ndarray, " n"], second: Bool[np.ndarray, " n"]) -> float:
    """Return the exact two-sided p value of McNemar's test of two sets of answers.

    McNemar, Note on the sampling error of the difference between correlated
    proportions (Psychometrika 1947), with the binomial in place of its normal limit.

    >>> first = np.array([True] * 8 + [False] * 2)
    >>> round(mcnemar(first, ~first), 4)
    0.1094
    """
    wins, losses = int((first & ~second).sum()), int((second & ~first).sum())
    return float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def difference_parts(
    first: Bool[np.ndarray, "s n"], second: Bool[np.ndarray, "t n"]
) -> tuple[Part, ...]:
    """Return the parts of the variance of a difference of mean accuracies.

    The part of the examples is that of the paired differences; a mixer with one seed
    adds no part of seeds, since nothing is known of it.
    """
    pairs = first.mean(axis=0) - second.mean(axis=0)
    seeds = [answers.mean(axis=1) for answers in (first, second) if len(answers) > 1]
    return (variance_of_mean(pairs), *map(variance_of_mean, seeds))


def welch(parts: Sequence[Part]) -> Part:
    """Return a variance that is a sum of parts, and its degrees of freedom.

    Those of a chi-squared with the same mean and variance: Welch, The generalization of
    Student's problem (Biometrika 1947). For differences this is sharper than
    `half_width`. From two seeds it would promise too much where many differences are
    tested (simulated), so with them the sum has the one degree that they have.
    """
    total = sum(part.variance for part in parts)
    fewest = min(part.freedom for part in parts)
    if not total or fewest < 2:
        return Part(total, fewest)
    squares = sum(part.variance**2 / part.freedom for part in parts)
    return Part(total, total**2 / squares)


def p_value(difference: float, parts: Sequence[Part]) -> float:
    """Return the two-sided p value of a difference whose variance has these parts.

    >>> round(p_value(2.776, [Part(1.0, 4)]), 3)  # Student's t with 4 degrees
    0.05
    """
    variance, freedom = welch(parts)
    if not variance:
        return float(not difference)
    return 2 * float(stdtr(freedom, -abs(difference) / math.sqrt(variance)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number.

    Holm, A simple sequentially rejective multiple test procedure (Scandinavian Journal
    of Statistics 1979).

    >>> [round(p, 2) for p in holm([0.01, 0.04, 0.03, 0.005])]
    [0.03, 0.06, 0.06, 0.02]
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.maximum.accumulate(np.array(p_values)[order] * factors)
    result = np.empty(len(p_values))
    result[order] = np.minimum(adjusted, 1.0)
    return result.tolist()


class Pair(NamedTuple):
    """Two names, their comparison, and p adjusted for all pairs of the column."""

    first: str
    second: str
    comparison: Comparison
    adjusted: float

    @property
    def better(self) -> str:
        """Return the more accurate one; "" where noise could explain the difference."""
        if self.adjusted >= ALPHA:
            return ""
        return self.first if self.comparison.difference > 0 else self.second

    @property
    def verdict(self) -> str:
        """Return "", TIED, or TOO_FEW if seeds are too few to call it a tie."""
        if self.better:
            return ""
        return TIED if self.comparison.enough_seeds else TOO_FEW


def all_pairs(column: Mapping[str, Estimate]) -> list[Pair]:
    """Compare all pairs of a column at once, with Holm's correction."""
    names = list(itertools.combinations(column, 2))
    comparisons = [compare(column[first], column[second]) for first, second in names]
    adjusted = holm([comparison.p for comparison in comparisons])
    together = zip(names, comparisons, adjusted, strict=True)
    return [Pair(*pair, comparison, p) for pair, comparison, p in together]


def ranks(names: Iterable[str], pairs: Iterable[Pair]) -> dict[str, int]:
    """Return each name's rank: one more than the number that are better than it.

    Better means by more than noise, all pairs of the column being tested at once. Rank
    1 is the best and all that cannot be told from it.
    """
    rank = dict.fromkeys(names, 1)
    for pair in pairs:
        if pair.better:
            rank[pair.second if pair.better == pair.first else pair.first] += 1
    return rank


def _paired(first: Estimate, second: Estimate) -> tuple[Answers, Answers] | None:
    """Return both sets of answers if they are to the same examples, one by one."""
    if first.answers is None or second.answers is None:
        return None
    if first.answers.shape[1] != second.answers.shape[1]:
        return None
    return first.answers, second.answers
