"""Train every mixer on every task for two steps at its LRA size, from start to result.

python -m lra_fnet.smoke [--tasks="listops image"] [--models="fnet local"]

Examples are few and made up; each cell is a command of its own, in a folder that is
deleted afterwards. A cell that does not fit into this machine's memory is said so and
is no failure.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from lra_fnet.finding import Finding
from lra_fnet.mixers import mixer_class, mixer_names
from tasks import check_task_name, task_names

HYBRID = "hybrid"  # as a model: fnet with attention in its last layer
DOES_NOT_FIT = ("a training call needs", "RESOURCE_EXHAUSTED")
SMALL: dict[str, int | str] = {
    "train.num_steps": 2,
    "train.batch_size": 2,
    "train.eval_every": 2,
    "run.eval_batch_size": 2,
    "data.num_train": 8,
    "data.num_validation": 2,
    "data.num_test": 2,
}


def cells(tasks: Sequence[str], models: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield every pair of a task and a model, after checking the names.

    Raises:
      ValueError: an unknown name; names the closest.
    """
    for task in tasks:
        check_task_name(task)
    for model in models:
        if model != HYBRID:
            mixer_class(model)
    return ((task, model) for task in tasks for model in models)


def command(task: str, model: str, workdir: Path) -> list[str]:
    """Return the command line of a cell: lra2020 with few examples and steps."""
    values = dict(SMALL)
    if task != "listops":  # it has no sample: its examples are made in any number
        values["data.source"] = "sample"
    values["model"] = "fnet" if model == HYBRID else model
    values["hybrid.num_layers"] = int(model == HYBRID)
    flags = [f"--config.{key}={value}" for key, value in values.items()]
    config = f"--config=configs/{task}.py:lra2020"
    return [
        sys.executable,
        "-m",
        "lra_fnet.main",
        config,
        f"--workdir={workdir}",
        *flags,
    ]


def run_cell(task: str, model: str, folder: Path) -> Finding:
    """Train and evaluate one cell."""
    started = time.monotonic()
    done = subprocess.run(
        command(task, model, folder / f"{task}-{model}"),
        env=os.environ | {"LRA_DATA": str(folder / "data")},
        capture_output=True,
        text=True,
    )
    detail = f"{time.monotonic() - started:.0f} s"
    lines = (done.stderr or done.stdout).strip().splitlines()
    fits = not any(sign in line for sign in DOES_NOT_FIT for line in lines)
    if done.returncode and lines:
        detail += f"; {'' if fits else 'does not fit: '}{lines[-1]}"
    return Finding(f"{task} {model}", done.returncode == 0 or not fits, detail)


def main() -> None:
    """Print a line for every cell; exit with an error if one failed."""
    parser = argparse.ArgumentParser(prog="python -m lra_fnet.smoke")
    parser.add_argument("--tasks", default="", help="names; default: all")
    parser.add_argument("--models", default="", help="names; default: all and hybrid")
    arguments = parser.parse_args()
    tasks = arguments.tasks.split() or task_names()
    models = arguments.models.split() or [*mixer_names(), HYBRID]
    failed = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            for task, model in cells(tasks, models):
                finding = run_cell(task, model, Path(folder))
                print(finding.line(), flush=True)
                failed += [] if finding.passed else [finding.name]
    except ValueError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nstopped")
    if failed:
        sys.exit(f"error: {len(failed)} failed: {'; '.join(failed)}")


if __name__ == "__main__":
    main()
