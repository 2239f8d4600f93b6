"""Pathfinder: whether two discs mark the ends of one dashed curve, or of two.

Vocabulary (256 ids): the brightness of a pixel, 0 black to 255 white, row by row; there
is no padding. Label 1: one curve. Path-X is the same in 128 x 128 pixels.

Linsley et al., Learning Long-range Spatial Dependencies with Horizontal Gated Recurrent
Units, 2018; Tay et al., Long Range Arena: A Benchmark for Efficient Transformers, 2020.
"""

import dataclasses
import functools
from typing import Any

from tasks.generators.pathfinder.style import CONTOUR_LENGTHS, Style, lra_style
from tasks.sources.release import Part, open_release, read_images
from tasks.task import Splits, Task, check_choice, check_range, lazily

TITLE = "Pathfinder"
ORDER = 5

# Raise it with every change that makes other images from the same style and seed.
GENERATOR_VERSION = 2
# Raise it with every change that makes other examples from the same files.
_FILES_VERSION = 1
# Raise it with every change that makes another curriculum from the same options.
_CURRICULUM_VERSION = 1
_BUILD = "tasks.generators.pathfinder.build"
_CURRICULUM = "tasks.generators.pathfinder.curriculum"
# Columns of the tables; others are named by their size and difficulty.
_NAMES = {(32, "hard"): "pathfinder", (128, "hard"): "pathx"}
_SAMPLE_SIZES = {"train": 600, "validation": 100, "test": 200}
_SAMPLE_CURRICULUM = 200
# Of the release, by contour length.
_FOLDERS = {
    6: "curv_baseline",
    9: "curv_contour_length_9",
    14: "curv_contour_length_14",
}


def make_task(
    source: str = "generated",
    directory: str = "",
    size: int = 32,
    difficulty: str = "hard",
    seed: int = 0,
    num_train: int = 160_000,
    num_validation: int = 20_000,
    num_test: int = 20_000,
    curriculum: int = 0,
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
      directory: a folder above those of the release; only for "official".
      size: height and width in pixels: 32, 64, 128 or 256.
      difficulty: "easy", "intermediate" or "hard": curves of 6, 9 or 14 paddles.
      seed: of the generator, in [0, 2^64).
      num_train: images; of the release, at most so many.
      num_validation: likewise.
      num_test: likewise.
      curriculum: images with shorter curves that the training split begins with, on
        top of num_train; they are generated, whatever the source of the others.
      num_distractors: curves besides the two; 0: as LRA's documentation has it (at
        size 32 five, which its own code, read literally, makes ten).
      refuse_orientations: keep the original's refusal of most first orientations.
      stretch: keep the original's stretch of each image to 0..255.

    Raises:
      ValueError: an option is out of its range.
      DataError: there is no such release.
    """
    check_choice("source", source, ("generated", "official", "sample"))
    check_choice("difficulty", difficulty, CONTOUR_LENGTHS)
    contour_length = CONTOUR_LENGTHS[difficulty]
    style = dataclasses.replace(
        lra_style(size, contour_length, num_distractors or None),
        refuse_orientations=refuse_orientations,
        stretch=stretch,
    )
    sizes = {"train": num_train, "validation": num_validation, "test": num_test}
    check_range(1, num_train=num_train, num_validation=num_validation)
    check_range(1, num_test=num_test)
    check_range(0, 2**64 - 1, seed=seed)
    check_range(0, num_distractors=num_distractors, curriculum=curriculum)
    task = functools.partial(
        Task,
        name=_NAMES.get((size, difficulty), _other_name(size, difficulty)),
        vocab_size=256,
        classes=("two curves", "one curve"),
        max_length=size**2,
        source=source,
        trivial_baselines=functools.partial(
            lazily("tasks.trivial", "pathfinder_baselines"), style.marker_radius
        ),
        read_file=functools.partial(lazily("tasks.sources.file", "read_picture"), size),
        # LRA: has the same ids, but takes black, id 0, for padding and masks it.
        pad_id=None,
    )
    if source == "official":
        release = open_release(directory, part_of(size, contour_length))
        facts = {"files_version": _FILES_VERSION, **release.describe()}
        plain = task(
            provenance=facts | {"limits": sizes},
            read=functools.partial(read_images, release, size, sizes),
        )
        return _after_curriculum(plain, style, seed, curriculum)
    if source == "sample":
        sizes = {name: min(sizes[name], limit) for name, limit in _SAMPLE_SIZES.items()}
        curriculum = min(curriculum, _SAMPLE_CURRICULUM)
    plain = task(
        provenance={
            "generator_version": GENERATOR_VERSION,
            "seed": seed,
            "sizes": sizes,
            "style": dataclasses.asdict(style),
        },
        read=functools.partial(lazily(_BUILD, "build_images"), style, seed, sizes),
        verify=functools.partial(
            lazily(_BUILD, "compare_with_generator"), style, seed, sizes
        ),
    )
    return _after_curriculum(plain, style, seed, curriculum)


def _after_curriculum(task: Task, style: Style, seed: int, count: int) -> Task:
    """Return the task with `count` simpler images before its training split."""
    if not count:
        return task
    drawn = (style, seed, count)
    facts: dict[str, Any] = {
        "version": _CURRICULUM_VERSION,
        "seed": seed,
        "images": count,
    }
    if "style" not in task.provenance:  # the others are not generated
        facts["generator_version"] = GENERATOR_VERSION
        facts["style"] = dataclasses.asdict(style)

    def others(splits: Splits) -> Splits:
        """Return the splits without the curriculum, which is no part of the task."""
        return {**splits, "train": splits["train"].part(count, None)}

    def verify(splits: Splits) -> str:
        compared = lazily(_CURRICULUM, "compare_curriculum")(*drawn, splits)
        return f"{task.verify(others(splits))}; {compared}" if task.verify else compared

    return dataclasses.replace(
        task,
        num_first=count,
        provenance={**task.provenance, "curriculum": facts},
        read=functools.partial(
            lazily(_CURRICULUM, "read_after_curriculum"), *drawn, task.read
        ),
        trivial_baselines=lambda splits: task.trivial_baselines(others(splits)),
        verify=verify,
    )


def _other_name(size: int, difficulty: str) -> str:
    """Return the name of a task that is no column of the tables."""
    return f"pathfinder{size}" + ("" if difficulty == "hard" else f"-{difficulty}")


def part_of(size: int, contour_length: int) -> Part:
    """Return what the release has of one size and contour length."""
    return Part(
        folder=f"pathfinder{size}/{_FOLDERS[contour_length]}",
        files={"images": "imgs/*/*.png", "metadata": "metadata/*.npy"},
        instead="source=generated draws images of the same kind",
    )
