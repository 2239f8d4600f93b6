"""Seeds of what a layer draws once and never learns."""

import zlib


def layer_seed(seed: int, path: tuple[str, ...]) -> int:
    """Return a seed that differs from layer to layer and is the same in every process.

    >>> layer_seed(0, ("block_0", "mixer")) == layer_seed(0, ("block_1", "mixer"))
    False
    """
    # crc32, because Python's own hash of a string differs between processes.
    return zlib.crc32(f"{seed}/{'/'.join(path)}".encode())
