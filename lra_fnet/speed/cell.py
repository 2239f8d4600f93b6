"""Measure one cell, a mixer at a length, in a process of its own.

python -m lra_fnet.speed.cell --model=fnet --length=1024 --to=FILE
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from lra_fnet.config import lra_config
from lra_fnet.hardware import (
    call_memory,
    describe_device,
    peak_memory,
    set_up,
    usable_memory,
)
from lra_fnet.result import git_commit, library_versions, write_json
from lra_fnet.speed import LIMIT, SCHEMA_VERSION
from lra_fnet.speed.setting import Setting, make_setting
from lra_fnet.speed.timing import interleaved, spread
from lra_fnet.step import make_mesh

ROUNDS = 7
# Of the limit: what training, and what inference, may take beyond two rounds.
SHARE = 0.2


def empty_cell(
    config: ConfigDict, length: int, limit: float, device: dict[str, Any]
) -> dict[str, Any]:
    """Return a cell that has failed, with all its keys."""
    return {
        "schema": SCHEMA_VERSION,
        "kind": "speed",
        "model": config.model,
        "task": config.task,
        "length": length,
        "width": config.encoder.width,
        "batch_size": config.train.batch_size,
        "train_steps_per_second": None,
        "inference_seconds": None,
        "peak_memory": None,
        "compile_seconds": None,
        "status": "failed",
        "reason": "",
        "limit_seconds": limit,
        "device": device,
        "versions": library_versions(),
        "commit": git_commit(),
        "command": " ".join(["python", "-m", "lra_fnet.speed.cell", *sys.argv[1:]]),
    }


def measure(config: ConfigDict, length: int, limit: float, path: Path) -> None:
    """Measure a cell in the largest batch that fits by the compiler's account.

    The file says how far it came wherever the process may end. A batch that then does
    not fit, after all, is a result: the memory of this process tells nothing any more
    about a smaller one, which takes another process.
    """
    asked, excess = config.train.batch_size, ""
    while True:
        setting, seconds, found = _compiled(config, length)
        excess = excess or found
        if not found or config.train.batch_size == 1:
            break
        config.train.batch_size //= 2
    cell = empty_cell(config, length, limit, describe_device(setting.program.mesh))
    cell["reason"] = f"a batch of {asked} {excess}" if excess else ""
    cell["compile_seconds"] = seconds
    if found:
        write_json(path, cell | {"status": "out of memory", "compile_seconds": None})
        return
    write_json(path, cell)
    write_json(path, cell | _outcome(setting, limit, cell["reason"]))


def _compiled(config: ConfigDict, length: int) -> tuple[Setting, float, str]:
    """Return a setting, the seconds to compile its training, and what it lacks."""
    setting = make_setting(config, length)
    started = time.monotonic()
    try:
        training = setting.training
        seconds = time.monotonic() - started
        needed = max(call_memory(call) for call in (training, setting.inference))
    except jax.errors.JaxRuntimeError as error:
        return setting, 0.0, _lack(error)
    usable = usable_memory(setting.program.mesh)
    excess = f"needs {needed / 2**30:.1f} of {usable / 2**30:.1f} usable GiB"
    return setting, seconds, excess if needed > usable else ""


def _outcome(setting: Setting, limit: float, reason: str) -> dict[str, Any]:
    """Return the measured values, or that the device had not enough memory."""
    try:
        return {"status": "ok", **_measured(setting, SHARE * limit)}
    except jax.errors.JaxRuntimeError as error:
        told = f"a batch of {setting.batch_size}: {_lack(error)}"
    return {
        "status": "out of memory",
        "compile_seconds": None,
        "reason": "; ".join(filter(None, [reason, told])),
    }


def _lack(error: Exception) -> str:
    """Return what an error says about memory; raise it if it is about something else.

    Raises:
      JaxRuntimeError: the error itself.
    """
    if "RESOURCE_EXHAUSTED" not in str(error):
        raise error
    return str(error).splitlines()[0]


def _measured(setting: Setting, seconds: float) -> dict[str, Any]:
    """Return what was measured, in little more than twice so many seconds."""
    train = interleaved({"train": setting.step}, ROUNDS, seconds)["train"]
    peak = peak_memory(setting.training)  # before inference adds to it
    answer = interleaved({"answer": setting.answer}, ROUNDS, seconds)["answer"]
    rates = [setting.steps_per_call / sample.wall for sample in train]
    return {
        "train_steps_per_second": spread(rates),
        "inference_seconds": spread([sample.wall for sample in answer]),
        "peak_memory": peak,
    }


def main() -> None:
    """Measure a cell and write it, or print what this process would compute on."""
    parser = argparse.ArgumentParser(prog="python -m lra_fnet.speed.cell")
    parser.add_argument("--model", default="fnet")
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--task", default="text")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--limit", type=float, default=LIMIT)
    parser.add_argument("--to", type=Path, help="the JSON file; without: the device")
    options = parser.parse_args()
    set_up()
    jax.config.update("jax_enable_compilation_cache", False)  # compiling is timed
    if options.to is None:
        print(json.dumps(describe_device(make_mesh(len(jax.local_devices())))))
        return
    overrides = {"model": options.model, "train.batch_size": options.batch}
    config = lra_config(options.task, overrides)
    measure(config, options.length, options.limit, options.to)


if __name__ == "__main__":
    main()
