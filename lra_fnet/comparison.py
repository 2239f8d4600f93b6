"""Whether accuracies differ by more than noise: paired tests, and ranks with ties."""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool
from scipy.stats import binomtest

from lra_fnet.stats import (
    Estimate,
    Part,
    half_width,
    p_value,
    variance_of_mean,
    welch,
)

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
