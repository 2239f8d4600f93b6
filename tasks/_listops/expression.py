"""The language of ListOps: its vocabulary, and an evaluator of token ids.

The evaluator reads left to right with a stack and keeps, for every open bracket, how
often each digit was met. `tasks/_listops/generator.py` computes values from right to
left, by the numbers of arguments and by sorting, so that each checks the other.
"""

import hashlib
from collections.abc import Iterable

import numba
import numpy as np

# LRA: ids were the order of a Python set of byte strings, another one in every process;
# here they are these positions. LRA counts a 17th id, for unknown tokens: none occurs.
TOKENS = ("[PAD]", "[MIN", "[MAX", "[MED", "[SM", "]", *"0123456789")
PAD, MIN, MAX, MED, SM, CLOSE, ZERO = range(7)


def encode(expression: str) -> np.ndarray:
    """Return the token ids, uint8 (l,), of an expression, without its parentheses.

    >>> encode("( ( ( [MAX 4 ) 3 ) ] )").tolist()
    [2, 10, 9, 5]

    Raises:
      ValueError: the expression has a token that is not in the vocabulary.
    """
    # LRA: drops the parentheses too; they only show a left-nested binary parse.
    tokens = expression.replace("(", "").replace(")", "").split()
    ids = {token: index for index, token in enumerate(TOKENS) if index != PAD}
    try:
        return np.frombuffer(bytearray(map(ids.__getitem__, tokens)), np.uint8)
    except KeyError as error:
        have = " ".join(ids)
        raise ValueError(f"unknown token {error.args[0]!r}; have: {have}") from None


def decode(ids: Iterable[int]) -> str:
    """Return the expression that the token ids, with or without padding, stand for.

    >>> decode([2, 10, 9, 5, 0, 0])
    '[MAX 4 3 ]'
    """
    return " ".join(TOKENS[token] for token in ids if token != PAD)


@numba.njit(cache=True, nogil=True)
def recompute_labels(inputs):
    """Return the values, int32 (n,), of the expressions in `inputs`, ids (n, l).

    A row's value is -1 when it is not one whole expression followed by padding only:
    an unknown id, padding before the end, an unbalanced bracket, an operator without
    arguments, or tokens after the end.
    """
    num_rows, length = inputs.shape
    operators = np.empty(length + 1, np.int64)
    counts = np.empty((length + 1, 10), np.int64)
    labels = np.empty(num_rows, np.int32)
    for index in range(num_rows):
        labels[index] = _evaluate(inputs[index], operators, counts)
    return labels


@numba.njit(cache=True, nogil=True)
def _evaluate(row, operators, counts):
    """Return the value of a row, or -1; entry d of a stack is the d-th open bracket."""
    depth = 0
    counts[0] = 0
    for position in range(_unpadded_length(row)):
        token = np.int64(row[position])
        if MIN <= token <= SM:
            depth += 1
            operators[depth] = token
            counts[depth] = 0
            continue
        if token == CLOSE and depth > 0 and counts[depth].any():
            value = _reduce(operators[depth], counts[depth])
            depth -= 1
        elif ZERO <= token < ZERO + 10:
            value = token - ZERO
        else:
            return -1
        counts[depth, value] += 1
    whole = depth == 0 and counts[0].sum() == 1
    return _ranked(counts[0], 0) if whole else -1


@numba.njit(cache=True, nogil=True)
def _unpadded_length(row):
    """Return the number of positions before the padding at the end."""
    length = len(row)
    while length > 0 and row[length - 1] == PAD:
        length -= 1
    return length


@numba.njit(cache=True, nogil=True)
def _reduce(operator, counts):
    """Return the operator's value for arguments that hold digit d counts[d] times."""
    total = counts.sum()
    if operator == MIN:
        return _ranked(counts, 0)
    if operator == MAX:
        return _ranked(counts, total - 1)
    if operator == MED:
        return (_ranked(counts, (total - 1) // 2) + _ranked(counts, total // 2)) // 2
    return (counts * np.arange(10)).sum() % 10


@numba.njit(cache=True, nogil=True)
def _ranked(counts, rank):
    """Return the digit with `rank` digits before it in ascending order."""
    digit = 0
    while rank >= counts[digit]:
        rank -= counts[digit]
        digit += 1
    return digit


def fresh_rows(inputs: np.ndarray, seen: set[bytes]) -> list[int]:
    """Return the indices of the rows of inputs, (n, l), not in `seen`; add the rows."""
    fresh = []
    for index, row in enumerate(inputs):
        digest = hashlib.blake2b(row.tobytes(), digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            fresh.append(index)
    return fresh
