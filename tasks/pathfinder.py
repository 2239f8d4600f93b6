"""Pathfinder: whether two discs mark the ends of one dashed curve, or of two.

Vocabulary (256 ids): the brightness of a pixel, 0 black to 255 white, row by row; there
is no padding. Label 1: one curve. Path-X is the same in 128 x 128 pixels.

Linsley et al., Learning Long-range Spatial Dependencies with Horizontal Gated Recurrent
Units, 2018; Tay et al., Long Range Arena: A Benchmark for Efficient Transformers, 2020.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from tasks._pathfinder import official
from tasks._pathfinder.build import (
    GENERATOR_VERSION,
    build_images,
    compare_with_generator,
)
from tasks._pathfinder.style import CONTOUR_LENGTHS, Style, lra_style
from tasks._pixel_readers import readers
from tasks.task import Task, check_choice

__all__ = ["make_task"]

_SOURCES = ("generated", "official", "sample")
# Columns of the tables; others are named by their size and difficulty.
_NAMES = {(32, "hard"): "pathfinder", (128, "hard"): "pathx"}
_SAMPLE_SIZES = {"train": 600, "validation": 100, "test": 200}


def make_task(
    source: str = "generated",
    directory: str = "",
    size: int = 32,
    difficulty: str = "hard",
    seed: int = 0,
    num_train: int = 160_000,
    num_validation: int = 20_000,
    num_test: int = 20_000,
    num_distractors: int = 0,
    refuse_orientations: bool = True,
    stretch: bool = True,
) -> Task:
    """Return the Pathfinder task of one size, or Path-X, which is size 128.

    Of the generated images the first num_test are the test split, the next
    num_validation the validation split, the rest the training split: with fewer
    training images test and validation stay the same, and training is a prefix.

    Args:
      source: "generated", "official" for the images of the original release, or
        "sample" for a few hundred generated ones.
      directory: of the release, or its archive; only for "official".
      size: height and width in pixels: 32, 64, 128 or 256.
      difficulty: "easy", "intermediate" or "hard": curves of 6, 9 or 14 paddles.
      seed: of the generator, in [0, 2^64).
      num_train: images; of the release, at most so many.
      num_validation: images; of the release, likewise.
      num_test: images; of the release, likewise.
      num_distractors: curves besides the two; 0: as LRA's documentation has it (at
        size 32 five, which its own code, read literally, makes ten).
      refuse_orientations: keep the original's refusal of most first orientations.
      stretch: keep the original's stretch of each image to 0..255.

    Raises:
      ValueError: an option is out of its range.
      DataError: there is no such release.
    """
    check_choice("source", source, _SOURCES)
    check_choice("difficulty", difficulty, CONTOUR_LENGTHS)
    contour_length = CONTOUR_LENGTHS[difficulty]
    style = dataclasses.replace(
        lra_style(size, contour_length, num_distractors or None),
        refuse_orientations=refuse_orientations,
        stretch=stretch,
    )
    sizes = {"train": num_train, "validation": num_validation, "test": num_test}
    _check_numbers(sizes, seed, num_distractors)
    name = _NAMES.get((size, difficulty), _other_name(size, difficulty))
    task = functools.partial(
        Task,
        name=name,
        vocab_size=256,
        num_classes=2,
        max_length=size**2,
        source=source,
        trivial_baselines=readers,
        # LRA: has the same ids, but takes black, id 0, for padding and masks it.
        pad_id=None,
    )
    if source == "official":
        release = official.open_images(directory, size, contour_length)
        return task(
            provenance={**official.describe(release), "limits": sizes},
            read=functools.partial(official.read_images, release, size, sizes),
        )
    if source == "sample":
        sizes = {name: min(sizes[name], limit) for name, limit in _SAMPLE_SIZES.items()}
    return task(
        provenance=_provenance(style, seed, sizes),
        read=functools.partial(build_images, style, seed, sizes),
        verify=functools.partial(compare_with_generator, style, seed, sizes),
    )


def _check_numbers(sizes: Mapping[str, int], seed: int, num_distractors: int) -> None:
    """Raise ValueError for the first number that is out of its range."""
    for split, count in sizes.items():
        if count < 1:
            raise ValueError(f"num_{split} is {count}, but must be at least 1")
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed is {seed}, but must lie in [0, 2^64)")
    if num_distractors < 0:
        raise ValueError(f"num_distractors is {num_distractors}, but must not be < 0")


def _other_name(size: int, difficulty: str) -> str:
    """Return the name of a task that is no column of the tables."""
    return f"pathfinder{size}" + ("" if difficulty == "hard" else f"-{difficulty}")


def _provenance(style: Style, seed: int, sizes: Mapping[str, int]) -> dict[str, Any]:
    """Return what determines the bytes of the generated splits."""
    return {
        "generator_version": GENERATOR_VERSION,
        "seed": seed,
        "sizes": dict(sizes),
        "style": dataclasses.asdict(style),
    }
