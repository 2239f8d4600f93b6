"""Benchmark tasks: each file here is one, and offers `make_task(**options) -> Task`."""

import importlib
from pathlib import Path
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
]

# Files of this folder beside the tasks.
OTHER_FILES = {"checks", "export", "samples", "task", "trivial"}


def task_names() -> list[str]:
    """List the tasks: the files of this folder, but for helpers and OTHER_FILES."""
    files = Path(__file__).parent.glob("[!_]*.py")
    return sorted({file.stem for file in files} - OTHER_FILES)


def check_task_name(name: str) -> None:
    """Check that there is a task of this name.

    Raises:
      ValueError: there is none; names the closest and all there are.
    """
    check_choice("task", name, task_names())


def make_task(name: str, **options: Any) -> Task:
    """Return the task called `name`, made with the options of its `make_task`.

    Raises:
      ValueError: no such task, or an option the task does not have.
    """
    check_task_name(name)
    return importlib.import_module(f"tasks.{name}").make_task(**options)
