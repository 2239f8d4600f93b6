"""Compile a program once for all processes, in a folder that heals itself."""

import os
import time
import zlib
from pathlib import Path

import jax

from lra_fnet.processor import processor_kind

FOLDER = Path(".cache", "jax")
CHECKED = "checked"  # a file; entries older than it are known to be whole
SHORTEST_COMPILATION = 0.1  # seconds; what compiles faster is not kept


def keep_compiled_programs(folder: Path = FOLDER) -> None:
    """Keep compiled programs in a folder; JAX_COMPILATION_CACHE_DIR names another.

    Machines that share the folder share the programs of processors of one kind alone:
    those for a CPU hold its own instructions.
    """
    if jax.config.values["jax_compilation_cache_dir"] is None:
        own = str(folder / processor_kind())
        jax.config.update("jax_compilation_cache_dir", own)
    jax.config.update(
        "jax_persistent_cache_min_compile_time_secs", SHORTEST_COMPILATION
    )
    drop_torn_entries(Path(jax.config.values["jax_compilation_cache_dir"]))


def drop_torn_entries(folder: Path) -> None:
    """Delete what a process that was killed has left half-written.

    JAX writes entries in place; it would fail to read a torn one in every later
    process, warn, and never mend it. Entries are looked at once, by the next process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checked, started = folder / CHECKED, time.time()
    since = checked.stat().st_mtime if checked.exists() else 0.0
    for entry in folder.glob("*-cache"):
        if entry.stat().st_mtime >= since and _is_torn(entry):
            entry.unlink(missing_ok=True)
    checked.touch()
    os.utime(checked, (started, started))


def _is_torn(entry: Path) -> bool:
    """Tell whether a compressed file ends too early.

    JAX compresses by zlib, or by zstandard where that is installed, which is not
    looked into.
    """
    content = entry.read_bytes()
    if content[:1] != b"\x78":
        return not content
    try:
        zlib.decompress(content)
    except zlib.error:
        return True
    return False
