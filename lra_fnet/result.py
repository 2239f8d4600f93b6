"""The result of a run: made from its logbook, written, found again and printed."""

import glob
import importlib.metadata
import math
import platform
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from lra_fnet.config import config_hash, placeless
from lra_fnet.schema import (
    Curves,
    Failure,
    Point,
    Pretraining,
    Result,
    Score,
    Seconds,
    Speed,
)
from lra_fnet.workdir import named

RESULT_FILE = "result.json"
FAILURE_FILE = "failure.json"
PREDICTIONS_FILE = "test_predictions.npy"
CORRECT_FILE = "test_correct.npy"
LIBRARIES = ("jax", "jaxlib", "flax", "optax", "numpy")
BEFORE = "pretrain_"  # what names of events begin with in pre-training


def seed_result(
    shared: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
    row: int,
    seed: int,
    **own: Any,
) -> Result:
    """Return the result of the seed in that row of the seed axis.

    Args:
      shared: fields that all seeds of the run have in common, config included.
      records: the events of the run's logbook.
      row: of the seed axis.
      seed: its seed.
      own: other fields of this seed alone.
    """
    config = placeless(shared["config"])
    return Result(
        **{**shared, "config": config},
        schema_=3,
        mixer=config["mixer"],
        recipe=config["recipe"],
        seed=seed,
        config_hash=config_hash(config),
        steps=config["train"]["num_steps"],
        seconds=_seconds(records),
        speed=_speed(records, config),
        versions=library_versions(),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        curves=_curves(records, row),
        **_pretraining(records, config, row),
        **own,
    )


def _seconds(records: Sequence[Mapping[str, Any]]) -> Seconds:
    """Add up the time of all processes that worked on the run."""

    def total(key: str, *events: str) -> float:
        counted = (r for r in records if r["event"].removeprefix(BEFORE) in events)
        return sum(record.get(key, 0.0) for record in counted)

    return Seconds(
        compile=total("compile_seconds", "compile", "validation", "test"),
        train=total("seconds", "train"),
        evaluate=total("seconds", "validation", "test"),
    )


def _pretraining(
    records: Sequence[Mapping[str, Any]], config: Mapping[str, Any], row: int
) -> dict[str, Any]:
    """Return the field about pre-training, if there was any."""
    if "pretrain" not in config:
        return {}
    curves = _curves(records, row, BEFORE)
    settings = config["pretrain"]
    found = Pretraining(
        objective=settings["objective"],
        steps=settings["num_steps"],
        validation=max(curves.validation, key=lambda point: point.accuracy),
        curves=curves,
    )
    return {"pretraining": found}


def _curves(records: Sequence[Mapping[str, Any]], row: int, prefix: str = "") -> Curves:
    """Return the learning curves of one seed."""
    return Curves(
        train=_curve(records, f"{prefix}train", row),
        validation=_curve(records, f"{prefix}validation", row),
    )


def _speed(records: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> Speed:
    """Return the speed of the steady state: no compilation, evaluation or warm-up."""
    intervals = [r for r in records if r["event"] == "train"]
    steady = [r for r in intervals if r["steady"]] or intervals
    steps = sum(r["num_steps"] for r in steady)
    steps_per_second = steps / sum(r["seconds"] for r in steady)
    examples = config["train"]["batch_size"] * config["num_seeds"]
    return Speed(
        steps_per_second=steps_per_second,
        examples_per_second=steps_per_second * examples,
        steps_measured=steps,
        seeds_in_program=config["num_seeds"],
    )


def _curve(records: Sequence[Mapping[str, Any]], event: str, row: int) -> list[Point]:
    """Return step, loss and accuracy of one seed over a run."""
    return [
        Point(step=r["step"], loss=r["loss"][row], accuracy=r["accuracy"][row])
        for r in records
        if r["event"] == event
    ]


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of what computes."""
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"python": platform.python_version(), **versions}


DIRTY = "-dirty"  # after the commit of code that was changed since


def git_commit() -> str | None:
    """Return the commit of the code, with "-dirty" if it was changed since."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    folder = Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() or None


def make_failure(
    config: Mapping[str, Any], kind: str, reason: str, step: int
) -> Failure:
    """Return why the run of a resolved config has no result, at this moment."""
    return Failure(
        schema_=2,
        **{key: config[key] for key in ("task", "mixer", "recipe", "seed")},
        config_hash=config_hash(config),
        config=placeless(config),
        kind=kind,
        reason=reason,
        step=step,
        time=time.time(),
    )


def write_result(
    folder: Path, result: Result, predictions: np.ndarray, correct: np.ndarray
) -> None:
    """Write the test predictions, then `result.json`, whose presence means finished."""
    folder.mkdir(parents=True, exist_ok=True)
    # Bytes, where classes are no more than these can number.
    dtype = np.min_scalar_type(int(predictions.max()))
    for name, array in (
        (PREDICTIONS_FILE, predictions.astype(dtype)),
        (CORRECT_FILE, correct),
    ):
        with named(folder / name):
            np.save(folder / name, array)
    result.write(folder / RESULT_FILE)


def result_folders(workdir: Path, seeds: Sequence[int]) -> list[Path]:
    """Return where each seed's result goes: the workdir, or a folder per seed."""
    if len(seeds) == 1:
        return [workdir]
    return [workdir / f"seed{seed}" for seed in seeds]


def files_below(folders: Iterable[Path], pattern: str) -> list[Path]:
    """List the files of a pattern below some folders, links to folders included.

    Of `Path.glob` the pattern `**` follows no links.
    """
    return sorted(
        {
            folder / name
            for folder in folders
            for name in glob.iglob(pattern, root_dir=folder, recursive=True)
        }
    )


def finished_results(folders: Sequence[Path]) -> list[Result] | None:
    """Return the results in these folders if all are there, else None.

    Raises:
      BadFile: one is damaged.
    """
    paths = [folder / RESULT_FILE for folder in folders]
    if not all(path.exists() for path in paths):
        return None
    return [Result.read(path) for path in paths]


def render(result: Result) -> str:
    """Return the table that ends a run: its accuracy among what to compare it to."""
    from lra_fnet.report.published import published

    rows = [
        (name, 100 * accuracy, "trivial baseline")
        for name, accuracy in result.trivial_baselines.items()
    ]
    rows.append((f"{result.mixer} (this run)", *_percent(result.test)))
    reference = published(result.mixer, result.task)
    if reference:
        name = f"{result.mixer} (published)"
        rows.append((name, reference.accuracy, reference.source))
    title = (
        f"{result.task}, recipe {result.recipe}, seed {result.seed}: test accuracy on "
        f"{result.test.examples:,} examples, parameters of step {result.test.step:,} "
        "(best on validation)"
    )
    width = max(len(name) for name, *_ in rows)
    lines = [f"  {name:<{width}}  {value:6.2f} %  {note}" for name, value, note in rows]
    return "\n".join(["", title, "", *lines, "", *_remarks(result), ""])


def _percent(score: Score) -> tuple[float, str]:
    """Return accuracy and interval of a score in percent."""
    low, high = (100 * bound for bound in score.interval_95 or (0, 1))
    note = f"95 % interval {low:.2f} to {high:.2f} ({score.correct:,} correct)"
    return 100 * score.correct / score.examples, note


def _remarks(result: Result) -> Iterator[str]:
    """Yield the lines under the table."""
    if result.speed and result.device and result.seconds:
        yield (
            f"  {result.parameters:,} parameters; {result.speed.steps_per_second:.2f} "
            f"steps/s in the steady state on {result.device.count} x "
            f"{result.device.kind}"
        )
        yield (
            f"  compiled in {result.seconds.compile:.0f} s, trained in "
            f"{result.seconds.train:.0f} s, evaluated in "
            f"{result.seconds.evaluate:.0f} s"
        )
    if result.pretraining:
        yield (
            f"  pre-trained for {result.pretraining.steps:,} of the "
            f"{result.steps:,} steps, to a loss of "
            f"{result.pretraining.validation.loss:.4f}"
        )
    if result.config.get("train", {}).get("objective") == "causal":
        yield (
            f"  {bits_per_id(result):.3f} bits per id (of a text: per byte) on the "
            "test split, over all positions that are predicted"
        )
    yield f"  data: {result.data.source}, checksum {result.data.checksum[:12]}"
    if result.data.source == "sample":
        yield "  The data are a small made-up sample: this number says nothing else."
    if result.data.source == "papers":
        yield "  The pairs are not the release's: the published number is of others."
    if result.data.validation_is_test:
        yield (
            "  Selected on the test split, where the original validates: the best of "
            "many looks. --config.data.validation=carved holds out training data."
        )
    if result.rules and result.rules.free_for_all:
        yield "  Free-for-all under the rules of the benchmark:"
        yield from (f"    {reason}" for reason in result.rules.reasons)
    if result.recipe == "quick" and not is_above_chance(result):
        yield (
            "  That is chance: this budget shows that it runs, not that it learns; "
            "recipe=small takes all data and more steps."
        )
    if result.recipe != "lra2020":
        yield (
            f"  The recipe {result.recipe!r} is not the published budget: compare this "
            "number with runs of the same recipe."
        )


def bits_per_id(result: Result) -> float:
    """Return the test loss of a language model in bits, per byte of a text."""
    loss = math.nan if result.test.loss is None else result.test.loss
    return loss / math.log(2)


def is_above_chance(result: Result) -> bool:
    """Return whether the test accuracy is clearly above the first trivial baseline.

    That is the majority class, which looks at nothing.
    """
    baseline = next(iter(result.trivial_baselines.values()), 0.0)
    low, _ = result.test.interval_95 or (0.0, 1.0)
    return low > baseline
