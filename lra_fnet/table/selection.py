"""What a `make table` command line selects: rows of the grid, sources of the data."""

import argparse
import shlex
from collections.abc import Collection, Mapping, Sequence

from configs import table as grid
from lra_fnet.mixers import mixer_class
from tasks import task_names
from tasks.task import check_choice


def select_rows(arguments: argparse.Namespace) -> list[grid.Row]:
    """Return the rows of the grid that the arguments ask for, changed as they say.

    A task or model that the grid does not have gets a row of its own.

    Raises:
      ValueError: an unknown task, model or source; names the closest.
    """
    if arguments.seeds is not None and arguments.seeds < 1:
        raise ValueError(f"seeds is {arguments.seeds}; it must be >= 1")
    tasks = arguments.tasks.split() or grid.TASKS
    models = arguments.models.split() or grid.MODELS
    sources = parse_sources(arguments.sources, tasks)
    for task in tasks:
        check_choice("task", task, task_names())
    for model in models:
        mixer_class(model)
    rows = [grid.make_row(task, model) for task in tasks for model in models]
    return list(dict.fromkeys(_changed(row, arguments, sources) for row in rows))


def parse_sources(text: str, tasks: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the flags of `TASK=SOURCE[:FOLDER] ...` by task.

    Raises:
      ValueError: not of that form, or a task that is not in the table.

    >>> parse_sources("image=folder:/data/cifar", ["image", "text"])
    {'image': ('--config.data.source=folder', '--config.data.directory=/data/cifar')}
    """
    flags = {}
    for item in text.split():
        task, equals, source = item.partition("=")
        if not equals or not source:
            raise ValueError(
                f"cannot read the source {item!r}; write sources="
                '"TASK=SOURCE:FOLDER ...", such as sources="image=folder:/data/cifar"'
            )
        check_choice("task", task, tasks)
        flags[task] = _source_flags(*source.partition(":")[::2])
    return flags


def _source_flags(source: str, folder: str) -> tuple[str, ...]:
    """Return the flags of a source, and of its folder if there is one."""
    flags = (f"--config.data.source={source}",)
    return (*flags, f"--config.data.directory={folder}") if folder else flags


def _changed(
    row: grid.Row,
    arguments: argparse.Namespace,
    sources: Mapping[str, Sequence[str]],
) -> grid.Row:
    """Return a row with the recipe, seeds and flags of the command line."""
    return row._replace(
        recipe=arguments.recipe or row.recipe,
        seeds=arguments.seeds or row.seeds,
        overrides=(
            *row.overrides,
            *sources.get(row.task, ()),
            *shlex.split(arguments.overrides),
        ),
    )
