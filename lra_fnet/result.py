"""result.json: all that a run says to the tables, and how it is shown."""

import dataclasses
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from lra_fnet.protocol import config_hash, placeless
from lra_fnet.published import published
from lra_fnet.stats import binomial_interval

SCHEMA_VERSION = 2
FILE_NAME = "result.json"
LIBRARIES = ("jax", "jaxlib", "flax", "optax", "numpy")


@dataclasses.dataclass(frozen=True)
class Score:
    """Hold right answers out of `examples`, scored with the parameters of `step`."""

    correct: int
    examples: int
    step: int

    @property
    def accuracy(self) -> float:
        """Return the share of right answers, in [0, 1]."""
        return self.correct / self.examples

    def as_json(self) -> dict[str, Any]:
        """Return the counts, the accuracy and its binomial 95 % interval."""
        interval = binomial_interval(self.correct, self.examples)
        return {
            **dataclasses.asdict(self),
            "accuracy": self.accuracy,
            "interval_95": list(interval),
        }


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """Hold what the seeds of one run share.

    Attributes:
      task: the name of the task, a column of the tables.
      config: the resolved config.
      data: source, checksum and provenance of the examples.
      readers: test accuracies of the trivial readers, by name.
      accumulate: parts each batch was computed in.
      parameters: number of parameters of one seed's model.
      flops: operations of one example's forward pass, and of a step of all seeds:
        this project's count and XLA's.
      rules: whether the run keeps the rules of the benchmark, and what breaks them.
      command: what repeats the run.
      peak_memory: bytes, and the method that found them.
      device: platform, kind, count.
      records: the events of the run's logbook.
    """

    task: str
    config: Mapping[str, Any]
    data: Mapping[str, Any]
    readers: Mapping[str, float]
    accumulate: int
    parameters: int
    flops: Mapping[str, float | None]
    rules: Mapping[str, Any]
    command: str
    peak_memory: Mapping[str, Any]
    device: Mapping[str, Any]
    records: Sequence[Mapping[str, Any]]


def seed_result(
    facts: RunFacts,
    row: int,
    seed: int,
    scores: Mapping[str, Score],
    breakdown: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what `result.json` holds for the seed in that row of the seed axis."""
    config = placeless(facts.config)
    return {
        "schema": SCHEMA_VERSION,
        "task": facts.task,
        **{key: config[key] for key in ("model", "recipe")},
        "seed": seed,
        "config": config,
        "config_hash": config_hash(config),
        "data": facts.data,
        "readers": facts.readers,
        **{name: score.as_json() for name, score in scores.items()},
        "breakdown": breakdown,
        "steps": config["train"]["num_steps"],
        "accumulate": facts.accumulate,
        "parameters": facts.parameters,
        "flops": _flops_of_a_seed(facts),
        "rules": facts.rules,
        "command": facts.command,
        "seconds": _seconds(facts.records),
        "speed": _speed(facts.records, config),
        "peak_memory": facts.peak_memory,
        "device": facts.device,
        "versions": library_versions(),
        "commit": git_commit(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "curves": {
            event: _curve(facts.records, event, row)
            for event in ("train", "validation")
        },
    }


def _flops_of_a_seed(facts: RunFacts) -> dict[str, float | None]:
    """Return the operations of a forward pass and of one seed's share of a step."""
    seeds = facts.config["num_seeds"]
    return {
        name: count and (count if name == "forward" else count / seeds)
        for name, count in facts.flops.items()
    }


def _seconds(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Add up the time of all processes that worked on the run."""

    def total(key: str, *events: str) -> float:
        return sum(r.get(key, 0.0) for r in records if r["event"] in events)

    return {
        "compile": total("compile_seconds", "compile", "validation", "test"),
        "train": total("seconds", "train"),
        "evaluate": total("seconds", "validation", "test"),
    }


def _speed(
    records: Sequence[Mapping[str, Any]], config: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the speed of the steady state: no compilation, evaluation or warm-up."""
    intervals = [r for r in records if r["event"] == "train"]
    steady = [r for r in intervals if r["steady"]] or intervals
    steps = sum(r["num_steps"] for r in steady)
    steps_per_second = steps / sum(r["seconds"] for r in steady)
    examples = config["train"]["batch_size"] * config["num_seeds"]
    return {
        "steps_per_second": steps_per_second,
        "examples_per_second": steps_per_second * examples,
        "steps_measured": steps,
        "seeds_in_program": config["num_seeds"],
    }


def _curve(
    records: Sequence[Mapping[str, Any]], event: str, row: int
) -> list[dict[str, Any]]:
    """Return step, loss and accuracy of one seed over a run."""
    return [
        {"step": r["step"], "loss": r["loss"][row], "accuracy": r["accuracy"][row]}
        for r in records
        if r["event"] == event
    ]


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of what computes."""
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"python": platform.python_version(), **versions}


def git_commit() -> str | None:
    """Return the commit of the code, with "-dirty" if it was changed since."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    folder = Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() or None


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file in one move, so that it is whole or absent."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file in one move, so that it is whole or absent."""
    aside = path.with_name(f".{path.name}.tmp")
    with aside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


def write_result(
    folder: Path,
    result: Mapping[str, Any],
    predictions: np.ndarray,
    correct: np.ndarray,
) -> None:
    """Write the test predictions, then `result.json`, whose presence means finished."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "test_predictions.npy", predictions.astype(np.uint8))
    np.save(folder / "test_correct.npy", correct)
    write_json(folder / FILE_NAME, result)


def render(result: Mapping[str, Any]) -> str:
    """Return the table that ends a run: its accuracy among what to compare it to."""
    test = result["test"]
    rows = [_reader_row(*reader) for reader in result["readers"].items()]
    rows.append(_score_row(f"{result['model']} (this run)", test))
    reference = published(result["model"], result["task"])
    if reference:
        row = (f"{result['model']} (published)", reference.accuracy, reference.source)
        rows.append(row)
    title = (
        f"{result['task']}, recipe {result['recipe']}, seed {result['seed']}: "
        f"test accuracy on {test['examples']:,} examples, step {test['step']:,} "
        "(best validation)"
    )
    width = max(len(name) for name, *_ in rows)
    lines = [f"  {name:<{width}}  {value:6.2f} %  {note}" for name, value, note in rows]
    return "\n".join(["", title, "", *lines, *_remarks(result), ""])


def _reader_row(name: str, accuracy: float) -> tuple[str, float, str]:
    """Return the row of a reader that sees almost nothing."""
    return f"answer by {name}", 100 * accuracy, "no training"


def _score_row(name: str, score: Mapping[str, Any]) -> tuple[str, float, str]:
    """Return the row of a measured score."""
    low, high = (100 * bound for bound in score["interval_95"])
    note = f"95 % interval {low:.2f} to {high:.2f} ({score['correct']:,} right)"
    return name, 100 * score["accuracy"], note


def _remarks(result: Mapping[str, Any]) -> list[str]:
    """Return the lines under the table."""
    seconds, speed = result["seconds"], result["speed"]
    device = result["device"]
    lines = [
        "",
        f"  {result['parameters']:,} parameters; {speed['steps_per_second']:.2f} "
        f"steps/s in the steady state on {device['count']} x {device['kind']}",
        f"  seconds: compile {seconds['compile']:.0f}, train {seconds['train']:.0f}, "
        f"evaluate {seconds['evaluate']:.0f}; data {result['data']['source']}, "
        f"checksum {result['data']['checksum'][:12]}",
    ]
    if result["data"]["source"] == "sample":
        lines.append(
            "  The data are a small made-up sample: this number is about nothing else."
        )
    if result["data"]["validation_is_test"]:
        lines.append(
            "  Selected on the test split, as in the original: the number is its best "
            "epoch. --config.data.validation=carved selects on held-out training data."
        )
    if result["rules"]["free_for_all"]:
        lines.append("  Free-for-all under the rules of the benchmark:")
        lines += [f"    {reason}" for reason in result["rules"]["reasons"]]
    if result["recipe"] != "lra2020":
        lines.append(
            f"  A {result['recipe']!r} run is not the published budget: compare it "
            "with runs of the same recipe."
        )
    return lines
