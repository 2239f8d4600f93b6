"""The grid of `make table`: for each task and model what a command line would say.

make table dry=1                          what there is to run, and for how long
make table tasks=listops models="fnet transformer" recipe=quick seeds=3
"""

from typing import NamedTuple

TASKS = ("listops", "text", "retrieval", "image", "pathfinder", "pathx")

# FNet, and the eleven models of LRA's own table in its order.
MODELS = (
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

# LRA: blocks of 50 tokens in text, of 64 pixels in images (its models' defaults).
IN_IMAGES = ("image", "pathfinder", "pathx")
OVERRIDES = {
    (task, model): (f"--config.mixers.{model}.block_size=64",)
    for task in IN_IMAGES
    for model in ("local", "sinkhorn")
}


class Row(NamedTuple):
    """Name one protocol of the table, and on how many seeds it is run."""

    task: str
    model: str
    recipe: str = "lra2020"
    seeds: int = 5  # seeds 0 to 4
    overrides: tuple[str, ...] = ()  # as typed on the command line


def make_row(task: str, model: str) -> Row:
    """Return the row of a task and a model, whether or not the grid has it."""
    return Row(task, model, overrides=OVERRIDES.get((task, model), ()))


def get_rows() -> list[Row]:
    """Return the whole grid."""
    return [make_row(task, model) for task in TASKS for model in MODELS]
