"""Random ListOps expressions with their values, from the distribution of the original.

At depth d < max_depth a node is an operator with probability 1/4, one of MIN, MAX, MED
and SM, with 2 to max_args arguments; otherwise it is a digit. Trees whose length is
not strictly between the bounds are thrown away (Nangia and Bowman, ListOps: A
Diagnostic Dataset for Latent Tree Learning, 2018; bounds by Tay et al., Long Range
Arena, 2020).
"""

import numba
import numpy as np
from tqdm import tqdm

from tasks.generators import draw_ahead
from tasks.generators.random import below, stream, uniform
from tasks.listops import (
    CLOSE,
    MAX,
    MED,
    MIN,
    PAD,
    SM,
    ZERO,
    Grammar,
    fresh_rows,
)
from tasks.task import DataError

# Examples drawn from one random stream; the unit of work of a thread.
_BLOCK_SIZE = 500
# Trees drawn for one block before giving up; the default bounds need about 6,000.
_MAX_TRIES = 2_000_000
_OPERATOR_PROBABILITY = 0.25
# Blocks drawn, as a multiple of those needed without duplicates, before giving up.
_MAX_REDRAWS = 10


def generate(
    grammar: Grammar, count: int, num_workers: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first `count` distinct examples of a grammar, inputs and labels.

    The result does not depend on `num_workers`, the number of threads (default: one
    per processor).

    Returns:
      Token ids, uint8 (count, max_length), and labels, int32 (count,).

    Raises:
      DataError: the grammar has too few expressions, or draws them too rarely.
    """
    inputs = np.zeros((count, grammar.max_length), np.uint8)
    labels = np.zeros(count, np.int32)
    num_blocks = _MAX_REDRAWS * -(-count // _BLOCK_SIZE)
    blocks = ((grammar, index) for index in range(num_blocks))
    filled = 0
    # LRA: duplicates are removed by a Python set, and its order, another one in every
    # process, makes the splits; here the first of them stays where it is.
    seen: set[bytes] = set()
    with tqdm(total=count, desc="listops", unit=" examples", disable=None) as bar:
        for block_inputs, block_labels in draw_ahead(draw_block, blocks, num_workers):
            fresh = fresh_rows(block_inputs, seen)[: count - filled]
            inputs[filled : filled + len(fresh)] = block_inputs[fresh]
            labels[filled : filled + len(fresh)] = block_labels[fresh]
            filled += len(fresh)
            bar.update(len(fresh))
            if filled == count:
                return inputs, labels
    raise DataError(
        f"asked for {count} examples, but {num_blocks * _BLOCK_SIZE} expressions drawn "
        f"have only {filled} different ones; ask for fewer, or raise max_depth, "
        f"max_args or max_length: {grammar}"
    )


def draw_block(grammar: Grammar, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the examples of block `index`, duplicates included, inputs and labels.

    Raises:
      DataError: hardly any tree has a length between the grammar's bounds.
    """
    inputs = np.zeros((_BLOCK_SIZE, grammar.max_length), np.uint8)
    labels = np.zeros(_BLOCK_SIZE, np.int32)
    accepted = _fill_block(
        stream(np.uint64(grammar.seed), np.uint64(index)),
        inputs,
        labels,
        grammar.max_depth,
        grammar.max_args,
        grammar.min_length,
    )
    if accepted < _BLOCK_SIZE:
        raise DataError(
            f"only {accepted} of {_MAX_TRIES} random trees have more than min_length "
            f"and fewer than max_length tokens; widen the bounds: {grammar}"
        )
    return inputs, labels


@numba.njit(cache=True, nogil=True)
def _fill_block(state, inputs, labels, max_depth, max_args, min_length):
    """Fill inputs, (n, l), and labels, (n,), with accepted trees; return how many."""
    num_rows, max_length = inputs.shape
    arities = np.empty(max_length, np.int64)
    stack = np.empty(max_length, np.int64)
    accepted = 0
    for _ in range(_MAX_TRIES):
        row = inputs[accepted]
        # One position short: lengths are strictly below max_length.
        length = _grow(state, row[:-1], arities, stack, max_depth, max_args)
        if length > min_length:
            row[length:] = 0
            labels[accepted] = _value(row[:length], arities, stack)
            accepted += 1
            if accepted == num_rows:
                break
    return accepted


@numba.njit(cache=True, nogil=True)
def _grow(state, row, arities, pending, max_depth, max_args):
    """Write a random tree in preorder; return its length, -1 if the row is too short.

    Every operator's number of arguments goes to `arities` at the operator's position;
    pending[d] counts the siblings still to be written at depth d + 1.
    """
    depth = 1
    pending[0] = 1
    for position in range(len(row)):
        if pending[depth - 1] == 0:
            row[position] = CLOSE
            depth -= 1
        else:
            pending[depth - 1] -= 1
            if depth == max_depth or uniform(state) >= _OPERATOR_PROBABILITY:
                row[position] = ZERO + below(state, 10)
            else:
                row[position] = MIN + below(state, 4)
                arities[position] = 2 + below(state, max_args - 1)
                pending[depth] = arities[position]
                depth += 1
        if depth == 1 and pending[0] == 0:
            return position + 1
    return -1


@numba.njit(cache=True, nogil=True)
def _value(row, arities, stack):
    """Return the value of a tree, read from right to left as Polish notation."""
    top = 0
    for position in range(len(row) - 1, -1, -1):
        token = np.int64(row[position])
        if token == CLOSE:
            continue
        if token >= ZERO:
            value = token - ZERO
        else:
            top -= arities[position]
            value = apply(token, stack[top : top + arities[position]])
        stack[top] = value
        top += 1
    return stack[0]


@numba.njit(cache=True, nogil=True)
def apply(operator, arguments):
    """Return the operator's value for arguments, int64 (n,), which it may reorder."""
    if operator == MIN:
        return arguments.min()
    if operator == MAX:
        return arguments.max()
    if operator == MED:
        arguments.sort()
        middle = len(arguments) // 2
        # As int(numpy.median(...)): an even number of arguments can leave a half.
        return (arguments[middle] + arguments[-middle - 1]) // 2
    return arguments.sum() % 10


# ---------------------------------------------------------------------------
# The evaluator reads token ids left to right with a stack, and counts for every open
# bracket how often each digit was met. The generator computes values from right to
# left, by the numbers of arguments and by sorting, so that each checks the other.


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
