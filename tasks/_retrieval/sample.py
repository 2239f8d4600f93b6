"""Made-up document pairs, to run Retrieval without its data.

A topic is a set of made-up words; a document is a row of words, some from its topic,
the others from a vocabulary that all topics share. The label is 1 if both documents
have the same topic, which is so half the time.
"""

from collections.abc import Mapping
from pathlib import Path

import numba
import numpy as np

from tasks._random import below, stream, uniform
from tasks._retrieval.documents import new_inputs, write_ids
from tasks.task import Split

# Raise it with every change that makes other examples.
SAMPLE_VERSION = 1
SIZES = {"train": 400, "validation": 100, "test": 100}
_SEED = 0
_NUM_TOPICS = 8
_WORDS_PER_TOPIC = 30
# Of a document's words; so few that frequencies of bytes do not tell all.
_TOPIC_SHARE = 0.3
_NUM_WORDS = (150, 700)  # fewest and most words of a document
_CONSONANTS = "bdfghklmnprstvwz"
_VOWELS = "aeiou"
# The stream of the vocabulary; examples have those before it.
_VOCABULARY_STREAM = 1 << 32


def read_splits(
    limits: Mapping[str, int], length: int, scratch: Path
) -> dict[str, Split]:
    """Return the first limits[split] made-up pairs of every split; limit 0: all."""
    words = _vocabulary()
    splits, start = {}, 0
    for split, size in SIZES.items():
        count = min(size, limits[split] or size)
        inputs = new_inputs(scratch, split, count, length)
        labels = np.zeros(count, np.int32)
        for index in range(count):
            labels[index], numbers = _draw_pair(stream(_SEED, start + index))
            for row, document in zip(inputs[index], numbers, strict=True):
                text = " ".join(words[number] for number in document)
                write_ids(row, text.encode(), "made-up text")
        splits[split] = Split(inputs, labels)
        start += size
    return splits


def _vocabulary() -> list[str]:
    """Return the words of all topics in order, then those common to them."""
    state = stream(_SEED, _VOCABULARY_STREAM)
    return [_word(state) for _ in range((_NUM_TOPICS + 1) * _WORDS_PER_TOPIC)]


def _word(state: np.ndarray) -> str:
    """Return a random word of two or three syllables."""
    return "".join(
        _CONSONANTS[below(state, len(_CONSONANTS))]
        + _VOWELS[below(state, len(_VOWELS))]
        for _ in range(2 + below(state, 2))
    )


@numba.njit(cache=True)
def _draw_pair(state):
    """Return a label, and for each of two documents the numbers of its words."""
    label = below(state, 2)
    first = below(state, _NUM_TOPICS)
    other = (first + 1 + below(state, _NUM_TOPICS - 1)) % _NUM_TOPICS
    second = first if label else other
    return label, (_draw_words(state, first), _draw_words(state, second))


@numba.njit(cache=True)
def _draw_words(state, topic):
    """Return the numbers, int64 (n,), of the words of a document."""
    shortest, longest = _NUM_WORDS
    numbers = np.empty(shortest + below(state, longest - shortest + 1), np.int64)
    for index in range(len(numbers)):
        block = topic if uniform(state) < _TOPIC_SHARE else _NUM_TOPICS
        numbers[index] = block * _WORDS_PER_TOPIC + below(state, _WORDS_PER_TOPIC)
    return numbers
