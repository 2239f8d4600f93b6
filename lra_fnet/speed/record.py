"""Seconds from start to a target test accuracy: a row for docs/records.md.

Each seed is a run of its own, in a process of its own, one after the other. Its seconds
are those of the whole process: start, compilation, steps, validation, test. Data are
prepared before.
"""

import datetime
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool
from ml_collections import ConfigDict

from lra_fnet.config import config_hash, resolve, seeds_of
from lra_fnet.data import data_root, load_dataset
from lra_fnet.report.accuracy import SAMPLE
from lra_fnet.report.load import device_name
from lra_fnet.report.statistics import ALPHA, ENOUGH_SEEDS, estimate, p_value
from lra_fnet.result import CORRECT_FILE, DIRTY, RESULT_FILE
from lra_fnet.rules import repeat_command
from lra_fnet.schema import Result
from lra_fnet.workdir import write_json
from tasks import make_task

FOLDER = Path("runs", "record")


class Judgment(NamedTuple):
    """What a test says of a claim: the mean accuracy is above the target."""

    mean: float  # percent, over seeds
    low: float  # bounds of its 95 % interval
    high: float
    p: float  # one-sided, that the mean is no higher than the target
    target: float  # percent

    @property
    def holds(self) -> bool:
        """Whether noise alone would rarely give such a mean."""
        return self.p < ALPHA


def measure_record(config: ConfigDict, typed: Sequence[str], target: float) -> int:
    """Run every seed, judge the claim, print a row; return 0 if it holds, else 1.

    Args:
      config: of the claim, with its seeds.
      typed: the flags of `train` that made it, without seeds and workdir.
      target: test accuracy, in percent.

    Raises:
      ValueError: the target is no percentage, there are too few seeds for a test, or a
        run failed.
      DataError: there are no data.
    """
    if not 0 < target < 100:
        raise ValueError(f"target is {target}; it is an accuracy in percent")
    if config.data.get("source") == SAMPLE:
        raise ValueError("the sample is made up; a record needs the task's own data")
    if config.num_seeds < ENOUGH_SEEDS:
        raise ValueError(f"seeds is {config.num_seeds}; it must be >= {ENOUGH_SEEDS}")
    load_dataset(make_task(config.task, **config.data), data_root())
    name = f"{config.task}-{config.mixer}-{config_hash(resolve(config))}"
    folder = new_folder(FOLDER / name)
    seconds, folders = [], []
    for seed in seeds_of(config):
        folders.append(folder / f"seed{seed}")
        seconds.append(run_seed([*typed, f"--seed={seed}"], folders[-1]))
        print(f"seed {seed}: {seconds[-1]:.1f} seconds", flush=True)
    answers = np.stack([np.load(each / CORRECT_FILE) for each in folders])
    found = judge(answers, target)
    first = Result.read(folders[0] / RESULT_FILE)
    row = table_row(config, first, seconds, found)
    write_json(
        folder / "record.json",
        {"seconds": seconds, **found._asdict(), "command": row["command"]},
    )
    print(markdown(row))
    if (first.commit or "").endswith(DIRTY):
        print("no record yet: commit the code that made it, and measure again")
    if not found.holds:
        print(f"no record: p = {found.p:.3f} that the mean is not above {target} %")
    return int(not found.holds)


def new_folder(path: Path) -> Path:
    """Make a folder that there was not, numbered from 1 on."""
    number = 1
    while (folder := path.with_name(f"{path.name}-{number}")).exists():
        number += 1
    folder.mkdir(parents=True)
    return folder


def run_seed(typed: Sequence[str], workdir: Path) -> float:
    """Train a seed in a process of its own; return its seconds from start to end."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "lra_fnet", "train", *typed, f"--workdir={workdir}"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it says nothing"]
        raise ValueError(f"the run in {workdir} failed: {said[-1]}")
    return time.monotonic() - started


def judge(answers: Bool[np.ndarray, "s n"], target: float) -> Judgment:
    """Test whether the mean accuracy of seeds (s) on examples (n) is above a target."""
    found = estimate(list(map(int, answers.sum(1))), answers.shape[1], answers)
    difference = found.mean - target / 100
    two_sided = p_value(difference, found.parts)
    p = two_sided / 2 if difference > 0 else 1 - two_sided / 2
    return Judgment(100 * found.mean, 100 * found.low, 100 * found.high, p, target)


def table_row(
    config: ConfigDict, result: Result, seconds: Sequence[float], found: Judgment
) -> dict[str, Any]:
    """Return the columns of docs/records.md."""
    device = result.as_json()["device"]
    spread = f"{min(seconds):.0f} to {max(seconds):.0f}"
    command = repeat_command(config).replace("make task=", "make record task=", 1)
    return {
        "date": datetime.date.today().isoformat(),
        "seconds": f"{statistics.mean(seconds):.0f} ({spread})",
        "test accuracy, %": f"{found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]",
        "seeds": len(seconds),
        "p": f"{found.p:.2g}",
        "mixer": result.mixer,
        "machine": device_name({f"device.{key}": of for key, of in device.items()}),
        "command": f"{command} target={found.target}",
        "commit": short_commit(result.commit or ""),
    }


def short_commit(commit: str) -> str:
    """Return the beginning of a commit, and whether the code differed from it.

    >>> short_commit("0123456789-dirty")
    '0123456-dirty'
    """
    return commit[:7] + DIRTY * commit.endswith(DIRTY)


def markdown(row: Mapping[str, Any]) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(str(value) for value in row.values())} |"
