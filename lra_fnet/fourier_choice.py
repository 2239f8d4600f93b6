"""Which algorithm transforms fastest: a table of measurements, one part a backend.

`fourier_choice.json` is written by `make speed-fourier`, which measures the backend it
runs on and leaves the parts of others as they are. Where a backend was not measured
there is no choice, and callers take the real FFT.
"""

import functools
import json
import math
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("fourier_choice.json")


def measured_choice(backend: str, length: int, width: int, dtype: str) -> str | None:
    """Return the fastest algorithm at the measured shape closest to this one."""
    rows = measurements().get(backend, {}).get("rows", [])
    rows = [row for row in rows if row["dtype"] == dtype]
    if not rows:
        return None
    closest = min(
        rows,
        key=lambda row: (
            abs(math.log(row["length"] / length)) + abs(math.log(row["width"] / width))
        ),
    )
    return closest["algorithm"]


@functools.cache
def measurements() -> dict[str, Any]:
    """Return the table: backend to device, versions and rows."""
    return json.loads(PATH.read_text())
