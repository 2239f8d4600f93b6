"""Benchmark tasks: each file here is one, beside its config in configs/.

It offers `make_task(**options) -> Task`, TITLE, the task's name in tables, and ORDER,
its place there. Importing it is fast: slow imports wait until data are made.
"""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from tasks.task import SPLITS, DataError, Split, Task, check_choice

__all__ = [
    "SPLITS",
    "DataError",
    "Split",
    "Task",
    "check_choice",
    "check_task_name",
    "make_task",
    "task_names",
    "task_title",
]

# Files of this folder beside the tasks.
OTHER_FILES = frozenset({"checks", "export", "samples", "task", "trivial"})


def task_names() -> list[str]:
    """List the tasks in the order of the tables.

    >>> task_names()[:2]
    ['listops', 'text']
    """
    return sorted(_files(), key=lambda name: (_module(name).ORDER, name))


def task_title(name: str) -> str:
    """Return the title of a task; of an unknown one, such as "text-1000", its name.

    >>> task_title("pathx"), task_title("text-1000")
    ('Path-X', 'text-1000')
    """
    return _module(name).TITLE if name in _files() else name


def check_task_name(name: str) -> None:
    """Check that there is a task of this name.

    Raises:
      ValueError: there is none; names the closest and all there are.
    """
    if name not in _files():
        check_choice("task", name, task_names())


def make_task(name: str, **options: Any) -> Task:
    """Return the task called `name`, made with the options of its `make_task`.

    Raises:
      ValueError: no such task, or an option out of its range.
    """
    check_task_name(name)
    return _module(name).make_task(**options)


def _files() -> set[str]:
    files = Path(__file__).parent.glob("[!_]*.py")
    return {file.stem for file in files} - OTHER_FILES


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"tasks.{name}")
