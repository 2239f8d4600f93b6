"""Statistics of accuracies, on SciPy."""

from scipy.stats import binomtest


def binomial_interval(correct: int, total: int) -> tuple[float, float]:
    """Return the Wilson 95 % interval of a share `correct` / `total`.

    Wilson, Probable inference (JASA 1927). It covers the noise of a finite test set
    for one trained model, not the spread over seeds.

    >>> low, high = binomial_interval(700, 2000)
    >>> round(low, 4), round(high, 4)
    (0.3294, 0.3712)
    """
    interval = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)
