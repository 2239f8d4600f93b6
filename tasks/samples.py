"""Made-up reviews, pairs of papers and pictures, to try the tasks without their data.

Raise the version in the task's file with every change that makes other examples.
"""

from collections.abc import Mapping
from pathlib import Path

import numba
import numpy as np

from tasks.generators.random import below, stream, uniform
from tasks.sources.folder import Review, Reviews
from tasks.sources.papers import new_inputs, write_ids
from tasks.task import Split

_SEED = 0
# Of reviews and of pictures; validation comes out of training.
_SIZES = (("train", 600), ("test", 200))
PAIR_SIZES = {"train": 400, "validation": 100, "test": 100}

# ---------------------------------------------------------------------------
# Reviews of made-up films

_NUM_SENTENCES = (5, 15)  # of a review: at least, and below
# In ten sentences with an opinion, those that share the review's.
_AGREEING = 8
_ADJECTIVES = (
    ("dull", "clumsy", "lifeless", "tedious", "messy", "hollow", "grating"),
    ("lovely", "gripping", "touching", "clever", "radiant", "funny", "delightful"),
)
_OPINIONS = (
    "The acting was {}.",
    "What a {} script!",
    "I found the second half {}.",
    "The songs are {}, every one of them.",
    "My sister called the ending {}, and so do I.",
)
_FACTS = (
    "It runs for two hours.",
    "The story is set in a harbour town.",
    "We saw it on a rainy Tuesday.",
    "A café owner (“Zoë”) loses her dog.",
    "It was filmed in winter.<br /><br />",
    "The director has made three films before.",
    "There are subtitles.",
)


def made_up_reviews() -> Reviews:
    """Return reviews, as many positive as negative, always the same ones."""
    return {
        part: [_review(part, stream(seed, index), index % 2) for index in range(size)]
        for seed, (part, size) in enumerate(_SIZES)
    }


def _review(part: str, state: np.ndarray, label: int) -> Review:
    """Draw a review; every other sentence gives an opinion."""
    sentences = []
    low, high = _NUM_SENTENCES
    for index in range(low + below(state, high - low)):
        sentences.append(_opinion(state, label) if index % 2 else _pick(state, _FACTS))
    return Review(" ".join(sentences).encode(), label, f"sample, {part}")


def _opinion(state: np.ndarray, label: int) -> str:
    """Draw a sentence that mostly, not always, agrees with the label."""
    mood = label if below(state, 10) < _AGREEING else 1 - label
    return _pick(state, _OPINIONS).format(_pick(state, _ADJECTIVES[mood]))


def _pick(state: np.ndarray, choices: tuple[str, ...]) -> str:
    return choices[below(state, len(choices))]


# ---------------------------------------------------------------------------
# Pairs of papers. A topic is a set of made-up words; a document is a row of words, some
# from its topic, the others from words that all topics share. The label is 1 if both
# documents have the same topic, which is so half the time.

_NUM_TOPICS = 8
_WORDS_PER_TOPIC = 30
# Of a document's words; so few that frequencies of bytes do not tell all.
_TOPIC_SHARE = 0.3
_NUM_WORDS = (150, 700)  # fewest and most words of a document
_CONSONANTS = "bdfghklmnprstvwz"
_VOWELS = "aeiou"
# The stream of the vocabulary; examples have those before it.
_VOCABULARY_STREAM = 1 << 32


def made_up_pairs(
    limits: Mapping[str, int], length: int, scratch: Path
) -> dict[str, Split]:
    """Return the first limits[split] pairs of every split; limit 0: all."""
    words = _vocabulary()
    splits, start = {}, 0
    for split, size in PAIR_SIZES.items():
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


# ---------------------------------------------------------------------------
# Pictures of ten patterns

_SIDE = 32
# Brightness: of the background below 80, of the pattern 60 to 119 more, noise below 40.
_BACKGROUND = 80
_CONTRAST = (60, 120)
_NOISE = 40


def made_up_pictures() -> dict[str, Split]:
    """Return pictures, as many of every pattern, always the same ones."""
    return {part: _pictures(seed, size) for seed, (part, size) in enumerate(_SIZES)}


def _pictures(seed: int, size: int) -> Split:
    """Return `size` pictures as rows of pixels; labels run through the patterns."""
    labels = np.arange(size, dtype=np.int32) % 10
    rows = [_picture(stream(seed, index), labels[index]) for index in range(size)]
    return Split(np.stack(rows), labels)


def _picture(state: np.ndarray, label: int) -> np.ndarray:
    """Draw a picture, uint8 (1024,)."""
    background = below(state, _BACKGROUND)
    contrast = _CONTRAST[0] + below(state, _CONTRAST[1] - _CONTRAST[0])
    center = 8 + below(state, 16), 8 + below(state, 16)
    size = 4 + below(state, 4)
    rows, columns = np.indices((_SIDE, _SIDE))
    shape = _pattern(label, rows - center[0], columns - center[1], size).ravel()
    noise = [below(state, _NOISE) for _ in shape]
    return (background + contrast * shape + noise).astype(np.uint8)


def _pattern(label: int, y: np.ndarray, x: np.ndarray, size: int) -> np.ndarray:
    """Return which pixels, bool, belong to a pattern, at y, x from its center."""
    distance = y * y + x * x
    patterns = (
        y < 0,  # the upper part
        x < 0,  # the left part
        distance < size * size,  # a disc
        np.maximum(abs(y), abs(x)) < size,  # a square
        (distance < 4 * size * size) & (distance >= size * size),  # a ring
        np.minimum(abs(y), abs(x)) < 2,  # a cross
        y // size % 2 == 0,  # level stripes
        x // size % 2 == 0,  # upright stripes
        (y // size + x // size) % 2 == 0,  # a chessboard
        (y + x) // size % 2 == 0,  # slanting stripes
    )
    return patterns[label]
