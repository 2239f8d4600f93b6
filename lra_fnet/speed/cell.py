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

from lra_fnet.device import call_memory, describe_device, peak_memory, usable_memory
from lra_fnet.process import set_up
from lra_fnet.result import git_commit, library_versions, write_json
from lra_fnet.speed import SCHEMA_VERSION
from lra_fnet.speed.setting import Setting, base_config, make_setting
from lra_fnet.speed.timing import interleaved, spread
from lra_fnet.step import make_mesh

REPEATS = 7
SECONDS = 60.0  # after which a slow cell is not repeated any more


def empty_cell(
    config: ConfigDict, length: int, device: dict[str, Any], command: str
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
        "device": device,
        "versions": library_versions(),
        "commit": git_commit(),
        "command": command,
    }


def measured_cell(config: ConfigDict, length: int, command: str) -> dict[str, Any]:
    """Return the cell of a config at a length, in the largest batch that fits.

    Out of memory is a result: where the compiler, the device or the sum of what a call
    needs says so, the batch is halved, down to one example.
    """
    asked, excess = config.train.batch_size, ""
    while True:
        try:
            setting = make_setting(config, length)
            found, measured = _measured(setting)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            found, measured = str(error).splitlines()[0], {}
        excess = excess or found
        if measured or config.train.batch_size == 1:
            break
        config.train.batch_size //= 2
    device = describe_device(make_mesh(config.train.batch_size))
    status = "ok" if measured else "out of memory"
    reason = f"a batch of {asked} {excess}" if excess else ""
    cell = empty_cell(config, length, device, command)
    return {**cell, **measured, "status": status, "reason": reason}


def _measured(setting: Setting) -> tuple[str, dict[str, Any]]:
    """Return why a call does not fit into memory, or else what was measured."""
    started = time.monotonic()
    training = setting.training
    compile_seconds = time.monotonic() - started
    usable = usable_memory(setting.program.mesh)
    needed = max(call_memory(call) for call in (training, setting.inference))
    if needed > usable:
        return f"needs {needed / 2**30:.1f} of {usable / 2**30:.1f} usable GiB", {}
    train = interleaved({"train": setting.steps()}, REPEATS, SECONDS)["train"]
    peak = peak_memory(training)  # before inference adds to it
    answer = interleaved({"answer": setting.answers}, REPEATS, SECONDS)["answer"]
    rates = [setting.steps_per_call / sample.wall for sample in train]
    return "", {
        "train_steps_per_second": spread(rates),
        "inference_seconds": spread([sample.wall for sample in answer]),
        "peak_memory": peak,
        "compile_seconds": compile_seconds,
    }


def main() -> None:
    """Measure a cell and write it, or print what this process would compute on."""
    parser = argparse.ArgumentParser(prog="python -m lra_fnet.speed.cell")
    parser.add_argument("--model", default="fnet")
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--task", default="text")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--to", type=Path, help="the JSON file; without: the device")
    options = parser.parse_args()
    set_up()
    jax.config.update("jax_enable_compilation_cache", False)  # compiling is timed
    overrides = {"model": options.model, "train.batch_size": options.batch}
    config = base_config(options.task, overrides)
    if options.to is None:
        print(json.dumps(describe_device(make_mesh(options.batch))))
        return
    command = " ".join(["python", "-m", "lra_fnet.speed.cell", *sys.argv[1:]])
    write_json(options.to, measured_cell(config, options.length, command))


if __name__ == "__main__":
    main()
