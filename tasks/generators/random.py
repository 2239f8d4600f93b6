"""SplitMix64 random streams: the same bytes on every NumPy, Numba and worker count.

Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators (OOPSLA 2014),
with Stafford's 13th mixing function. NumPy promises equal streams of its generators
only within a version.
"""

import numba
import numpy as np

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


@numba.njit(cache=True, nogil=True)
def _mix(z):
    """Scramble 64 bits (Stafford's variant 13)."""
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def stream(seed, index):
    """Return the state, uint64 (1,), of the stream number `index` of `seed`."""
    state = np.empty(1, np.uint64)
    start = _mix(np.uint64(seed) * _MIX_1 + _GAMMA)
    state[0] = _mix(start ^ _mix(np.uint64(index) * _MIX_2 + _GAMMA))
    return state


@numba.njit(cache=True, nogil=True)
def next_uint64(state):
    """Advance the stream and return 64 random bits."""
    state[0] += _GAMMA
    return _mix(state[0])


@numba.njit(cache=True, nogil=True)
def uniform(state):
    """Return a float64 in [0, 1) with 53 random bits."""
    return np.float64(next_uint64(state) >> np.uint64(11)) * 2.0**-53


@numba.njit(cache=True, nogil=True)
def below(state, n):
    """Return an int64 in [0, n); redraw what would favour small values."""
    n = np.uint64(n)
    # 2^64 mod n, computed without 2^64: so many values have no full set of n.
    surplus = (np.uint64(0) - n) % n
    bits = next_uint64(state)
    while bits < surplus:
        bits = next_uint64(state)
    return np.int64(bits % n)


@numba.njit(cache=True, nogil=True)
def words(seed, start, count, size):
    """Return the first words, uint64 (count, size), of streams from `start` on."""
    drawn = np.empty((count, size), np.uint64)
    for row in range(count):
        state = stream(seed, start + row)
        for column in range(size):
            drawn[row, column] = next_uint64(state)
    return drawn
