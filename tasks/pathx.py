"""Path-X: Pathfinder in 128 x 128 pixels, 16,384 in a row."""

from typing import Any

from tasks import pathfinder
from tasks.task import Task

TITLE = "Path-X"
ORDER = 6


def make_task(**options: Any) -> Task:
    """Return the task; options, errors and sources are those of `tasks.pathfinder`."""
    return pathfinder.make_task(size=128, **options)
