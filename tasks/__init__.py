"""Benchmark tasks: each file here is one, and offers `make_task(**options) -> Task`."""

import difflib
import importlib
from pathlib import Path
from typing import Any

from tasks._task import SPLITS, DataError, Split, Task

__all__ = ["SPLITS", "DataError", "Split", "Task", "make_task", "task_names"]


def task_names() -> list[str]:
    """List the tasks: the files of this folder without a leading underscore."""
    files = Path(__file__).parent.glob("[!_]*.py")
    return sorted(file.stem for file in files)


def make_task(name: str, **options: Any) -> Task:
    """Return the task called `name`, made with the options of its `make_task`.

    Raises:
      ValueError: no such task, or an option the task does not have.
    """
    names = task_names()
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ";"
        raise ValueError(f"unknown task {name!r}{hint} have: {', '.join(names)}")
    return importlib.import_module(f"tasks.{name}").make_task(**options)
