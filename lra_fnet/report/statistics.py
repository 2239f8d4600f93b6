"""Intervals of accuracies, paired tests, corrections for many of them; on SciPy."""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import stdtr, stdtrit
from scipy.stats import binomtest

LEVEL = 0.95

ONE_SEED = "test examples (one seed)"
SEEDS_AND_EXAMPLES = "seeds and test examples"
FROM_COUNTS = "seeds and test examples (cautious: from counts)"


def binomial_interval(correct: int, total: int) -> tuple[float, float]:
    """Return the Wilson 95 % interval of a share `correct` / `total`.

    Wilson, Probable inference (JASA 1927). It covers the noise of a finite test set
    for one trained model, not the spread over seeds.

    >>> low, high = binomial_interval(700, 2000)
    >>> round(low, 4), round(high, 4)
    (0.3294, 0.3712)
    """
    interval = binomtest(correct, total).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return Student's 95 % interval of the mean of at least two values.

    Of accuracies, one per seed, it covers the spread over seeds on this one test set.

    >>> low, high = t_interval([0.35, 0.36, 0.37])
    >>> round(low, 4), round(high, 4)
    (0.3352, 0.3848)
    """
    mean, reach = float(np.mean(values)), half_width([variance_of_mean(values)])
    return mean - reach, mean + reach


class Part(NamedTuple):
    """Hold one source's part in the variance of a mean, and its degrees of freedom."""

    variance: float
    freedom: float


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Hold an accuracy and how well it is known.

    Attributes:
      mean: over seeds, each with the same weight.
      low, high: bounds of the 95 % interval.
      parts: of the variance of the mean.
      covers: what the interval is over.
    """

    mean: float
    low: float
    high: float
    parts: tuple[Part, ...]
    covers: str


def one_seed(correct: int, examples: int) -> Estimate:
    """Return the estimate from one seed: a binomial interval, blind to other seeds."""
    low, high = binomial_interval(correct, examples)
    part = Part(_binomial_variance(correct / examples, examples), examples - 1)
    return Estimate(correct / examples, low, high, (part,), ONE_SEED)


def seeds_and_examples(correct: Bool[np.ndarray, "s n"]) -> Estimate:
    """Return the estimate of the accuracy over other seeds and other test examples.

    Every seed answers every example, so both are crossed random effects. The variance
    of the mean is taken as that of the seeds' accuracies over s plus that of the
    examples' accuracies over n. What seed and example do together is in both, so the
    interval covers at least its 95 % (simulated in tests/test_stats.py) and not much
    more: it is one example's noise, counted twice.

    Args:
      correct: whether each of s >= 2 seeds answers each of n >= 2 examples rightly.
    """
    parts = variance_of_mean(correct.mean(axis=1)), variance_of_mean(correct.mean(0))
    return _estimate(float(correct.mean()), parts, SEEDS_AND_EXAMPLES, correct.shape[1])


def seeds_with_counts(counts: Sequence[int], examples: int) -> Estimate:
    """Return a cautious estimate over seeds and examples where only counts are known.

    How alike the mistakes of the seeds are is not known, so the examples' part is taken
    at its bound: as if all seeds answered alike.

    Args:
      counts: right answers of each of at least two seeds.
      examples: of the test split, the same for all seeds.
    """
    accuracies = np.array(counts) / examples
    mean = float(accuracies.mean())
    bound = Part(_binomial_variance(mean, examples), examples - 1)
    parts = variance_of_mean(accuracies), bound
    return _estimate(mean, parts, FROM_COUNTS, examples)


def variance_of_mean(values: Float[np.ndarray, " n"] | Sequence[float]) -> Part:
    """Return the estimated variance of the mean of at least two values."""
    return Part(float(np.var(values, ddof=1)) / len(values), len(values) - 1)


def half_width(parts: Sequence[Part], level: float = LEVEL) -> float:
    """Return how far the interval of a mean with such parts of its variance reaches.

    The parts' own Student intervals are added in squares, exact where one part rules:
    Howe, Approximate confidence limits on the mean of X + Y (JASA 1974).
    """
    quantiles = [stdtrit(freedom, (1 + level) / 2) for _, freedom in parts]
    squares = zip(quantiles, parts, strict=True)
    return math.sqrt(sum(quantile**2 * part.variance for quantile, part in squares))


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
    """Return the two-sided p value of a difference with such parts of its variance.

    >>> round(p_value(2.776, [Part(1.0, 4)]), 3)  # Student's t with 4 degrees
    0.05
    """
    variance, freedom = welch(parts)
    if not variance:
        return float(not difference)
    return 2 * float(stdtr(freedom, -abs(difference) / math.sqrt(variance)))


def _estimate(
    mean: float, parts: tuple[Part, ...], covers: str, examples: int
) -> Estimate:
    """Return the estimate with its interval, cut to [0, 1]."""
    reach = half_width(parts)
    low, high = max(0.0, mean - reach), min(1.0, mean + reach)
    if not reach:  # every answer right, or every one wrong
        low, high = binomial_interval(round(mean * examples), examples)
    return Estimate(mean, low, high, parts, covers)


def _binomial_variance(share: float, examples: int) -> float:
    """Return the variance of a share of independent examples."""
    return share * (1 - share) / examples


ALPHA = 0.05  # chance that any tie of a column is broken by noise

MCNEMAR = "test examples only, one seed each (exact McNemar test)"
PAIRED_EXAMPLES = "test examples, and seeds of only one of the two (paired t test)"
PAIRED = "seeds and test examples (paired t test)"
UNPAIRED = "unpaired, from counts: cautious"


@dataclasses.dataclass(frozen=True)
class Answers:
    """Hold what is known of a model's answers to a test split.

    Attributes:
      estimate: its accuracy.
      correct: whether each seed, (s, n), answers each example rightly; None where only
        counts are known.
    """

    estimate: Estimate
    correct: Bool[np.ndarray, "s n"] | None = None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Hold the p value of a difference of two accuracies, and the test it is from."""

    difference: float
    p: float
    test: str


def compare(first: Answers, second: Answers) -> Comparison:
    """Test whether two accuracies on the same test split differ.

    Two models with several seeds each are compared over seeds and examples; where one
    of them has a single seed, nothing is known of its spread over seeds.
    """
    difference = first.estimate.mean - second.estimate.mean
    pair = _paired(first, second)
    if pair is None:
        parts = (*first.estimate.parts, *second.estimate.parts)
        return Comparison(difference, p_value(difference, parts), UNPAIRED)
    fewest, most = sorted(map(len, pair))
    if most == 1:
        return Comparison(difference, mcnemar(pair[0][0], pair[1][0]), MCNEMAR)
    test = PAIRED if fewest > 1 else PAIRED_EXAMPLES
    return Comparison(difference, p_value(difference, difference_parts(*pair)), test)


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

    The examples' part is that of the paired differences; a model with one seed adds no
    part of seeds, since nothing is known of it.
    """
    pairs = first.mean(axis=0) - second.mean(axis=0)
    seeds = [c.mean(axis=1) for c in (first, second) if len(c) > 1]
    return (variance_of_mean(pairs), *map(variance_of_mean, seeds))


def difference_interval(first: Answers, second: Answers) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two accuracies."""
    difference = first.estimate.mean - second.estimate.mean
    pair = _paired(first, second)
    unpaired = (*first.estimate.parts, *second.estimate.parts)
    parts = difference_parts(*pair) if pair else unpaired
    reach = half_width([welch(parts)])
    return difference - reach, difference + reach


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


@dataclasses.dataclass(frozen=True)
class Pair:
    """Hold two models' names, how they compare, and p adjusted for all pairs."""

    first: str
    second: str
    comparison: Comparison
    adjusted: float

    @property
    def better(self) -> str:
        """Return the more accurate one; "" where noise could have done it."""
        if self.adjusted >= ALPHA:
            return ""
        return self.first if self.comparison.difference > 0 else self.second


def all_pairs(models: Mapping[str, Answers]) -> list[Pair]:
    """Compare all pairs of models of a column at once, with Holm's correction."""
    names = list(itertools.combinations(models, 2))
    comparisons = [compare(models[first], models[second]) for first, second in names]
    adjusted = holm([comparison.p for comparison in comparisons])
    together = zip(names, comparisons, adjusted, strict=True)
    return [Pair(*pair, comparison, p) for pair, comparison, p in together]


def ranks(models: Mapping[str, Answers]) -> dict[str, int]:
    """Return each model's rank: one more than the models that are better than it.

    Better means by more than noise, all pairs of the column being tested at once. So
    models that share a rank are ties; rank 1 is the best and all that cannot be told
    from it.
    """
    return ranks_of(models, all_pairs(models))


def ranks_of(models: Iterable[str], pairs: Iterable[Pair]) -> dict[str, int]:
    """Return the ranks that the comparisons of all pairs give; see `ranks`."""
    rank = dict.fromkeys(models, 1)
    for pair in pairs:
        if pair.better:
            rank[pair.second if pair.better == pair.first else pair.first] += 1
    return rank


def _paired(first: Answers, second: Answers) -> tuple[np.ndarray, np.ndarray] | None:
    """Return both models' answers if they are to the same examples, one by one."""
    if first.correct is None or second.correct is None:
        return None
    if first.correct.shape[1] != second.correct.shape[1]:
        return None
    return first.correct, second.correct
