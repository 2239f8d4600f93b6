"""Which processor this is."""

import hashlib
import os
from pathlib import Path

_INFORMATION = Path("/proc/cpuinfo")  # of Linux


def processor_name() -> str:
    """Return the processor's model name where the system tells it."""
    names = [line.split(":")[1].strip() for line in _lines("model name")]
    return names[0] if names else "cpu"


def processor_kind() -> str:
    """Return a short name for all processors with the same model and instructions."""
    lines = _lines("model name", "flags")
    text = "\n".join(sorted(set(lines))) or " ".join(os.uname())
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _lines(*names: str) -> list[str]:
    """Return what the system says under these names, a line for every core."""
    if not _INFORMATION.exists():
        return []
    lines = _INFORMATION.read_text().splitlines()
    return [line for line in lines if line.startswith(names)]
