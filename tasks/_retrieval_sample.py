"""Made-up document pairs, to run Retrieval without its data.

A topic is a set of made-up words; a document is a row of words, most from its topic,
the others from a vocabulary that all topics share. The label is 1 if both documents
have the same topic.
"""

from collections.abc import Mapping
from pathlib import Path

import numba
import numpy as np

from tasks._random import below, stream, uniform
from tasks._retrieval_documents import new_inputs, write_ids
from tasks._task import Split

# Raise it with every change that makes other examples.
SAMPLE_VERSION = 1
SIZES = {"train": 400, "validation": 100, "test": 100}
_SEED = 0
_NUM_TOPICS = 4
_WORDS_PER_TOPIC = 30
_TOPIC_SHARE = 0.8  # of a document's words, the others are common to all topics
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
    splits, first = {}, 0
    for split, size in SIZES.items():
        count = min(size, limits[split] or size)
        inputs = new_inputs(scratch, split, count, length)
        labels = np.zeros(count, np.int32)
        for index in range(count):
            state = stream(_SEED, first + index)
            labels[index] = below(state, 2)
            first_topic = below(state, _NUM_TOPICS)
            other_topic = (
                first_topic + 1 + below(state, _NUM_TOPICS - 1)
            ) % _NUM_TOPICS
            topics = (first_topic, first_topic if labels[index] else other_topic)
            for document, topic in enumerate(topics):
                numbers = _draw_words(state, topic)
                text = " ".join(words[number] for number in numbers)
                write_ids(inputs[index, document], text.encode(), "made-up text")
        splits[split] = Split(inputs, labels)
        first += size
    return splits


def _vocabulary() -> list[str]:
    """Return the words of all topics in order, then those common to them.

    The words of a topic prefer its own consonants.
    """
    state = stream(_SEED, _VOCABULARY_STREAM)
    words = []
    for topic in range(_NUM_TOPICS + 1):
        own = _CONSONANTS[4 * topic : 4 * topic + 4] or _CONSONANTS
        for _ in range(_WORDS_PER_TOPIC):
            syllables = [
                own[below(state, len(own))] + _VOWELS[below(state, len(_VOWELS))]
                for _ in range(2 + below(state, 2))
            ]
            words.append("".join(syllables))
    return words


@numba.njit(cache=True)
def _draw_words(state, topic):
    """Return the numbers, int64 (n,), of the words of a document."""
    shortest, longest = _NUM_WORDS
    numbers = np.empty(shortest + below(state, longest - shortest + 1), np.int64)
    for index in range(len(numbers)):
        block = topic if uniform(state) < _TOPIC_SHARE else _NUM_TOPICS
        numbers[index] = block * _WORDS_PER_TOPIC + below(state, _WORDS_PER_TOPIC)
    return numbers
