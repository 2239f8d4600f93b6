"""Build data sets of generated Pathfinder images; go on where one was interrupted."""

import json
import os
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tasks._pathfinder.geometry import check
from tasks._pathfinder.images import Batch, generate
from tasks._pathfinder.style import Style
from tasks.task import DataError, Split

# Raise it with every change that makes other images from the same style and seed.
GENERATOR_VERSION = 1
# Images that one thread draws at a time, and that an interruption can cost.
_BLOCK_SIZE = 250
# Images that a verification draws again, spread over the data set.
_NUM_COMPARED = 1_000

# The order in which a seed's images fill the splits.
_ORDER = ("test", "validation", "train")


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
    finished_file = scratch / "finished.json"
    finished = json.loads(finished_file.read_text()) if finished_file.exists() else 0
    with tqdm(
        total=count, initial=finished, desc="pathfinder", unit=" images", disable=None
    ) as bar:
        for start, batch in _batches(style, seed, finished, count):
            check(style, batch)
            end = start + len(batch.labels)
            images[start:end] = batch.images.reshape(end - start, -1)
            labels[start:end] = batch.labels
            distractors[start:end] = batch.num_distractors
            for array in (images, labels, distractors):
                array.flush()
            _replace(finished_file, json.dumps(end))
            bar.update(end - start)
    features = {
        "distractors": distractors,
        "contour length": np.full(count, style.contour_length),
    }
    return _split(images, labels, features, sizes)


def compare_with_generator(
    style: Style, seed: int, sizes: Mapping[str, int], splits: Mapping[str, Split]
) -> str:
    """Draw images of a data set again and compare; return a sentence on it.

    Raises:
      DataError: an image or label differs, or a label contradicts the geometry.
    """
    first = 0
    total = sum(sizes.values())
    step = max(1, total // _NUM_COMPARED)
    compared = 0
    for name in _ORDER:
        for index in range(-first % step, sizes[name], step):
            batch = generate(style, seed, first + index, 1)
            check(style, batch)
            split = splits[name]
            same = (split.inputs[index] == batch.images.ravel()).all()
            if not same or split.labels[index] != batch.labels[0]:
                raise DataError(
                    f"{name} split: example {index} is not what seed {seed} draws"
                )
            compared += 1
        first += sizes[name]
    return (
        f"{compared:,} of {total:,} images, drawn again, are the same to the bit, "
        "and their labels agree with the geometry"
    )


def _batches(
    style: Style, seed: int, start: int, stop: int
) -> Iterator[tuple[int, Batch]]:
    """Yield blocks of images in order, drawn by threads a little ahead of the use."""
    num_workers = os.cpu_count() or 1
    with ThreadPoolExecutor(num_workers) as pool:
        ahead: deque[tuple[int, Future[Batch]]] = deque()
        try:
            for first in range(start, stop, _BLOCK_SIZE):
                count = min(_BLOCK_SIZE, stop - first)
                ahead.append((first, pool.submit(generate, style, seed, first, count)))
                if len(ahead) > 2 * num_workers:
                    number, block = ahead.popleft()
                    yield number, block.result()
            while ahead:
                number, block = ahead.popleft()
                yield number, block.result()
        finally:
            # An interruption should not wait for blocks nobody will use.
            pool.shutdown(cancel_futures=True)


def _open_array(path: Path, shape: tuple[int, ...], dtype: type) -> np.memmap:
    """Open the array of an interrupted build, or make a new one."""
    mode = "r+" if path.exists() else "w+"
    array = np.lib.format.open_memmap(path, mode=mode, dtype=dtype, shape=shape)
    return array


def _replace(path: Path, text: str) -> None:
    """Replace a small file in one move."""
    aside = path.with_suffix(".tmp")
    aside.write_text(text)
    os.replace(aside, path)


def _split(
    images: np.ndarray,
    labels: np.ndarray,
    features: Mapping[str, np.ndarray],
    sizes: Mapping[str, int],
) -> dict[str, Split]:
    """Part the images: test first, so that fewer for training move nothing else."""
    splits, start = {}, 0
    for name in _ORDER:
        end = start + sizes[name]
        own = {feature: values[start:end] for feature, values in features.items()}
        splits[name] = Split(images[start:end], labels[start:end], own)
        start = end
    return splits
