"""Made-up reviews of made-up films, to try the text task without the real ones."""

import numpy as np

from tasks._random import below, stream
from tasks._text.reviews import Review, Reviews

# Raise it with every change that makes other reviews.
SAMPLE_VERSION = 1
_SIZES = (("train", 600), ("test", 200))
# Most of the training reviews that are carved out for validation.
MAX_VALIDATION = 120
# Sentences of a review: at least 5, fewer than 15.
_LENGTHS = (5, 15)
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


def make_sample() -> Reviews:
    """Return the reviews, as many positive as negative, always the same ones."""
    return {
        part: [_review(part, stream(seed, index), index % 2) for index in range(size)]
        for seed, (part, size) in enumerate(_SIZES)
    }


def _review(part: str, state: np.ndarray, label: int) -> Review:
    """Draw a review; every other sentence gives an opinion."""
    sentences = []
    for index in range(_LENGTHS[0] + below(state, _LENGTHS[1] - _LENGTHS[0])):
        sentences.append(_opinion(state, label) if index % 2 else _pick(state, _FACTS))
    return Review(" ".join(sentences).encode(), label, f"sample, {part}")


def _opinion(state: np.ndarray, label: int) -> str:
    """Draw a sentence that mostly, not always, agrees with the label."""
    mood = label if below(state, 10) < _AGREEING else 1 - label
    return _pick(state, _OPINIONS).format(_pick(state, _ADJECTIVES[mood]))


def _pick(state: np.ndarray, choices: tuple[str, ...]) -> str:
    """Draw one of the choices."""
    return choices[below(state, len(choices))]
