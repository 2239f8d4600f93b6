"""Examples in a file of the user's, for predictions: text, expressions, a picture.

Each reader yields a name for error messages and tables, and the ids of one example.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tasks.sources.folder import gray
from tasks.sources.papers import write_ids
from tasks.task import DataError

Example = tuple[str, np.ndarray]


def read_text(length: int, path: Path) -> Iterator[Example]:
    """Yield the text of a whole file as ids, uint8 (length,).

    Raises:
      DataError: it is empty, or is no UTF-8.
    """
    ids = np.zeros(length, np.uint8)
    write_ids(ids, path.read_bytes().strip(), str(path))
    yield str(path), ids


def read_pairs(length: int, path: Path) -> Iterator[Example]:
    """Yield two texts with a tab between them for each line, uint8 (2, length).

    Raises:
      DataError: a line has no tab, or a text is empty or no UTF-8.
    """
    for place, line in _lines(path):
        first, tab, second = line.partition(b"\t")
        if not tab:
            raise DataError(f"{place}: no tab between two texts")
        ids = np.zeros((2, length), np.uint8)
        write_ids(ids[0], first.strip(), f"{place}, first text")
        write_ids(ids[1], second.strip(), f"{place}, second text")
        yield place, ids


def read_expressions(length: int, path: Path) -> Iterator[Example]:
    """Yield the expression of each line, uint8 (length,).

    Raises:
      DataError: a line is no expression, or a longer one.
    """
    from tasks.generators.listops import recompute_labels
    from tasks.listops import encode

    for place, line in _lines(path):
        try:
            tokens = encode(line.decode())
        except ValueError as error:
            raise DataError(f"{place}: {error}") from None
        if len(tokens) > length:
            raise DataError(f"{place}: {len(tokens)} tokens, more than {length}")
        ids = np.zeros(length, np.uint8)
        ids[: len(tokens)] = tokens
        if recompute_labels(ids[None])[0] < 0:
            raise DataError(f"{place}: no expression such as [MAX 2 [MIN 3 4 ] ]")
        yield place, ids


def read_picture(side: int, path: Path) -> Iterator[Example]:
    """Yield the brightness of a picture in any usual format, uint8 (side * side,).

    Raises:
      DataError: it is no picture, or has another size.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            mode, is_gray = image.mode, image.mode in ("1", "L")
            pixels = np.asarray(image.convert("L" if is_gray else "RGB"))
    except (SyntaxError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # no such file, and the like
        raise DataError(f"{path}: no intact picture ({error})") from None
    if mode.startswith(("I", "F")):
        raise DataError(f"{path}: more than 8 bits a pixel (mode {mode}); convert it")
    if pixels.shape[:2] != (side, side):
        height, width = pixels.shape[:2]
        raise DataError(
            f"{path}: {width} x {height} pixels instead of {side} x {side}; resize it"
        )
    yield str(path), (pixels if is_gray else gray(pixels)).ravel()


def _lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the lines that are not empty, each with its place.

    Raises:
      DataError: there is none.
    """
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    lines = list(enumerate(content.splitlines(), 1))
    if not any(line.strip() for _, line in lines):
        raise DataError(f"{path} is empty")
    yield from ((f"{path}:{number}", line) for number, line in lines if line.strip())
