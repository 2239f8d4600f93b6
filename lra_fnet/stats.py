"""Intervals of accuracies, on SciPy: over test examples, over seeds, over both.

Accuracies here are shares in [0, 1]; every interval is a 95 % one.
"""

import dataclasses
import math
from collections.abc import Sequence
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
