"""Build data sets of generated Pathfinder images; go on where one was interrupted."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tasks.generators import draw_ahead
from tasks.generators.pathfinder.geometry import check
from tasks.generators.pathfinder.images import generate
from tasks.generators.pathfinder.style import Style
from tasks.task import DataError, Split, Splits, split_generated

# Images that one thread draws at a time, and that an interruption can cost.
_BLOCK_SIZE = 250
# Images that a verification draws again, spread over the data set.
_NUM_COMPARED = 1_000


def build_images(
    style: Style, seed: int, sizes: Mapping[str, int], scratch: Path
) -> dict[str, Split]:
    """Return the splits as memory maps in `scratch`, every label checked.

    Blocks that an earlier, interrupted call has finished are not drawn again.

    Raises:
      DataError: an image cannot be drawn, or its label contradicts its geometry.
    """
    count = sum(sizes.values())
    images = _open_array(scratch / "images.npy", (count, style.size**2), np.uint8)
    labels = _open_array(scratch / "labels.npy", (count,), np.int32)
    distractors = _open_array(scratch / "distractors.npy", (count,), np.int32)
    finished = scratch / "finished.json"
    done = json.loads(finished.read_text()) if finished.exists() else 0
    starts = range(done, count, _BLOCK_SIZE)
    blocks = ((style, seed, at, min(_BLOCK_SIZE, count - at)) for at in starts)
    drawn = zip(starts, draw_ahead(generate, blocks), strict=True)
    for start, batch in tqdm(drawn, "pathfinder", len(starts), disable=None):
        check(style, batch)
        end = start + len(batch.labels)
        images[start:end] = batch.images.reshape(end - start, -1)
        labels[start:end] = batch.labels
        distractors[start:end] = batch.num_distractors
        for array in (images, labels, distractors):
            array.flush()
        _replace(finished, json.dumps(end))
    length = np.full(count, style.contour_length)
    features = {"distractors": distractors, "contour length": length}
    return split_generated(Split(images, labels, features), sizes)


def compare_with_generator(
    style: Style, seed: int, sizes: Mapping[str, int], splits: Splits
) -> str:
    """Draw images of a data set again and compare; return a sentence on it.

    Raises:
      DataError: an image or label differs, or a label contradicts the geometry.
    """
    total = sum(sizes.values())
    compared = range(0, total, max(1, total // _NUM_COMPARED))
    numbers = split_generated(Split(np.arange(total), np.arange(total)), sizes)
    for name, split in splits.items():
        own = numbers[name].labels
        for index in np.flatnonzero(np.isin(own, compared)):
            batch = generate(style, seed, int(own[index]), 1)
            check(style, batch)
            same = (split.inputs[index] == batch.images.ravel()).all()
            if not same or split.labels[index] != batch.labels[0]:
                raise DataError(
                    f"{name} split: example {index} is not what seed {seed} draws"
                )
    return (
        f"{len(compared):,} of {total:,} images, drawn again, are the same to the bit, "
        "and their labels agree with the geometry"
    )


def _open_array(path: Path, shape: tuple[int, ...], dtype: type) -> np.memmap:
    """Open the array of an interrupted build, or make a new one."""
    mode = "r+" if path.exists() else "w+"
    return np.lib.format.open_memmap(path, mode=mode, dtype=dtype, shape=shape)


def _replace(path: Path, text: str) -> None:
    """Replace a small file in one move."""
    aside = path.with_suffix(".tmp")
    aside.write_text(text)
    os.replace(aside, path)
