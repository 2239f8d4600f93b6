"""Write trained weights for other programs: safetensors, and what they mean as JSON."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flax.traverse_util
import numpy as np
from jaxtyping import PyTree
from safetensors.numpy import save

from lra_fnet.config import resolve
from lra_fnet.result import (
    finished_results,
    git_commit,
    library_versions,
    result_folders,
)
from lra_fnet.trained.restore import Trained, restore
from lra_fnet.workdir import write_bytes, write_json

SUFFIX = ".safetensors"


def export(workdir: Path, to: Path | None, seed: str) -> list[Path]:
    """Write the selected parameters of a run, and a JSON file beside them.

    Args:
      workdir: of the run.
      to: a file that ends in .safetensors; None: `model.safetensors` in the workdir.
      seed: which, as typed; "" where the run has one.

    Returns:
      The two files.

    Raises:
      ValueError: another ending, or a seed that the run has not.
      WorkdirError, CheckpointError: see `restore`.
    """
    to = to or workdir / f"model{SUFFIX}"
    if to.suffix != SUFFIX:
        raise ValueError(
            f"to={to} does not end in {SUFFIX}, the format that is written"
        )
    run = restore(workdir)
    number, step, params = run.chosen(seed)
    beside = to.with_suffix(".json")
    if beside.exists() and not _is_description(beside):
        raise ValueError(
            f"to={to} would replace {beside}, which no export has written; take "
            "another name"
        )
    to.parent.mkdir(parents=True, exist_ok=True)
    write_json(beside, describe(run, number, step))
    write_bytes(to, save(dict(named_arrays(params)), {"format": "np"}))
    return [to, beside]


def _is_description(path: Path) -> bool:
    """Return whether a file is what an export writes beside the weights."""
    try:
        return {"max_length", "config", "data_checksum"} <= json.loads(
            path.read_text()
        ).keys()
    except (ValueError, AttributeError):
        return False


def named_arrays(params: PyTree) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays by their paths in the parameter tree, such as head/out/bias.

    The format has no complex numbers: such an array becomes NAME.real and NAME.imag.
    """
    for name, leaf in flax.traverse_util.flatten_dict(params, sep="/").items():
        array = np.asarray(leaf)
        if np.iscomplexobj(array):
            yield f"{name}.real", np.ascontiguousarray(array.real)
            yield f"{name}.imag", np.ascontiguousarray(array.imag)
        else:
            yield name, np.ascontiguousarray(array)


def describe(run: Trained, seed: int, step: int) -> dict[str, Any]:
    """Return what a program needs to use the weights, and where they are from."""
    results = finished_results(result_folders(run.workdir, run.seeds))
    test = results[run.seeds.index(seed)].test if results else None
    return {
        "task": run.task.name,
        "classes": run.task.classes,
        "vocab_size": run.task.vocab_size,
        "max_length": run.task.max_length,
        "pad_id": run.task.pad_id,
        "config": resolve(run.config),
        "data_checksum": run.data_checksum,
        "seed": seed,
        "step": step,
        "test": test and test.model_dump(mode="json"),
        "versions": library_versions(),
        "commit": git_commit(),
    }
