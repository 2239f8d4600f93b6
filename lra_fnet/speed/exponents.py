"""How cost grows with length: the exponent of the power law closest to measurements."""

import math
from collections.abc import Sequence


def fitted_exponent(
    lengths: Sequence[int | float], seconds: Sequence[float]
) -> float | None:
    """Return e of seconds = c length^e, by least squares of the logarithms.

    Fewer than two lengths have none.

    >>> fitted_exponent([512, 1024, 2048], [1.0, 4.0, 16.0])
    2.0
    """
    if len(set(lengths)) < 2:
        return None
    x, y = ([math.log2(v) for v in values] for values in (lengths, seconds))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    rise = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return rise / sum((a - mean_x) ** 2 for a in x)
