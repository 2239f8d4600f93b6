"""What is known of a ListOps expression besides its value: its depth and its root."""

import numpy as np

from tasks._listops.expression import CLOSE, MIN, SM, TOKENS


def features(inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Return depth, int (n,), and root operator, words (n,), of expressions (n, l).

    >>> features(np.array([[2, 10, 1, 9, 5, 5, 0]], np.uint8))["depth"].tolist()
    [2]
    """
    ids = np.asarray(inputs)
    opened = ((ids >= MIN) & (ids <= SM)).astype(np.int16)
    depth = np.cumsum(opened - (ids == CLOSE), axis=1, dtype=np.int16).max(axis=1)
    names = np.array([token.lstrip("[") for token in TOKENS])
    return {"depth": depth, "root operator": names[ids[:, 0]]}
