"""The rows of the tables: what `make table` runs and the report shows.

make table dry=1                          list what there is to run
make table tasks=listops mixers="fnet transformer" recipe=quick seeds=3
"""

from collections.abc import Mapping
from typing import Any

# The arena's own. Other files of tasks/ are probes: give their names to run them.
TASKS = ("listops", "text", "retrieval", "image", "pathfinder", "pathx")

# FNet, and the eleven models of LRA's own table in its order.
MIXERS = (
    "fnet",
    "transformer",
    "local",
    "sparse",
    "longformer",
    "linformer",
    "reformer",
    "sinkhorn",
    "synthesizer",
    "bigbird",
    "linear_transformer",
    "performer",
)

# LRA: blocks of 50 tokens in text (the mixers' defaults), of 64 pixels in images.
OVERRIDES: Mapping[tuple[str, str], Mapping[str, Any]] = {
    (task, mixer): {f"mixers.{mixer}.block_size": 64}
    for task in ("image", "pathfinder", "pathx")
    for mixer in ("local", "sinkhorn")
}
