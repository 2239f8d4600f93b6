"""The configs of LRA's sizes, and the facts of their tasks, without any data."""

import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from tasks import Task, check_task_name, make_task

CONFIGS = Path("configs")


def lra_config(
    task: str, overrides: Mapping[str, Any] | None = None, folder: Path = CONFIGS
) -> ConfigDict:
    """Return the config of the recipe `lra2020` with other values for some keys.

    Raises:
      ValueError: no such task.
    """
    check_task_name(task)
    path = folder / f"{task}.py"
    config = runpy.run_path(str(path))["get_config"]("lra2020")
    config.update_from_flattened_dict(dict(overrides or {}))
    return config


def task_facts(config: ConfigDict) -> Task:
    """Return the facts of a config's task; the sample has those of public data."""
    values = dict(config.data)
    if values.get("source", "generated") != "generated":
        values["source"] = "sample"
    return make_task(config.task, **values)
