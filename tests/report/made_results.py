"""Result files made up for tests of the report, small enough to work out by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from lra_fnet.result import seed_result
from lra_fnet.schema import Score

DEVICE = {"platform": "cpu", "kind": "Abacus", "count": 1, "cpu_cores": 2}
CHECKSUM = "c0ffee" * 10


def config(task, mixer, recipe, seed=0) -> dict[str, Any]:
    """Return the keys of a config that results and reports read."""
    return {
        "task": task,
        "mixer": mixer,
        "recipe": recipe,
        "seed": seed,
        "num_seeds": 1,
        "hybrid": {"mixer": "transformer", "num_layers": 0, "layout": "top"},
        "data": {"source": "generated", "directory": "/somewhere"},
        "encoder": {"inputs": "tokens"},
        "mixers": {mixer: {}},
        "train": {"num_steps": 200, "batch_size": 8},
    }


def records(accuracy) -> list[dict[str, Any]]:
    """Return the logbook of a run of 200 steps at 10 steps a second."""
    train = {"loss": [1.0], "accuracy": [0.1], "num_steps": 100, "seconds": 10.0}
    return [
        {"event": "train", "step": 100, "steady": True, **train},
        {"event": "validation", "step": 100, "loss": [1.0], "accuracy": [0.1]},
        {"event": "train", "step": 200, "steady": True, **train},
        {"event": "validation", "step": 200, "loss": [0.9], "accuracy": [accuracy]},
    ]


def made(
    task="listops", mixer="fnet", seed=0, recipe="lra2020", correct=(1, 0), **changes
) -> tuple[dict[str, Any], np.ndarray]:
    """Return a result as a run writes it, with some fields changed, and its answers."""
    answers = np.array(correct, bool)
    right, examples = int(answers.sum()), len(answers)
    shared = {
        "task": task,
        "config": config(task, mixer, recipe, seed),
        "data": {"source": "generated", "checksum": CHECKSUM},
        "trivial_baselines": {"majority class": 0.125},
        "micro_batches": 1,
        "parameters": 1_234,
        "rules": {"free_for_all": False, "reasons": [], "parity": ""},
        "command": f"make task={task} mixer={mixer} recipe={recipe} seed={seed}",
        "peak_memory": {"bytes": 2**30, "method": "compiled memory analysis"},
        "device": DEVICE,
    }
    part = {"low": 1, "high": 9, "correct": right, "examples": examples}
    other = {"low": 10, "high": 19, "correct": 0, "examples": 1}
    result = seed_result(
        shared,
        records(right / examples),
        row=0,
        seed=seed,
        test=Score.of(right, examples, 200),
        breakdown={"length": [part, other]},
    )
    return result.as_json() | changes, answers


def write(folder: Path, result: dict[str, Any], answers: Any = None) -> Path:
    """Write a result, and the answers where there are any; return the file's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "result.json"
    path.write_text(json.dumps(result))
    if answers is not None:
        np.save(folder / "test_correct.npy", answers)
    return path


def write_made(root: Path, **arguments: Any) -> Path:
    """Write a made-up result and its answers to a folder of its own."""
    result, answers = made(**arguments)
    name = f"{result['mixer']}-{result['recipe']}-{result['seed']}"
    return write(root / result["task"] / name, result, answers)


def made_failure(folder: Path, reason="no memory", **changes) -> Path:
    """Write why a run has no result."""
    named = {"task": "listops", "mixer": "fnet", "recipe": "lra2020", "seed": 0}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "failure.json"
    path.write_text(json.dumps({"schema": 2, "reason": reason} | named | changes))
    return path


def made_speed(mixer, length, rate, **changes) -> dict[str, Any]:
    """Return a speed measurement of that many training steps a second, batch 4."""

    def spread(value):
        return {"median": value, "low": value, "high": value, "repeats": 3}

    return {
        "schema": 2,
        "kind": "speed",
        "mixer": mixer,
        "task": "text",
        "length": length,
        "width": 16,
        "batch_size": 4,
        "asked_batch_size": 4,
        "train_steps_per_second": spread(rate),
        "inference_seconds": spread(0.5 / rate if rate else 0.0),
        "peak_memory": {"bytes": 2**29, "method": "allocator peak"},
        "compile_seconds": 1.0,
        "status": "ok",
        "reason": "",
        "device": DEVICE,
    } | changes


def write_speed(root: Path, measured: dict[str, Any], sizes="text-batch4") -> Path:
    """Write a speed measurement where `make speed` does."""
    folder = root / "speed" / "abacus-x1" / sizes
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{measured['mixer']}-{measured['length']}.json"
    path.write_text(json.dumps(measured))
    return path
