"""Result files made up for tests of the report, small enough to work out by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from lra_fnet.result import RunFacts, Score, seed_result

DEVICE = {"platform": "cpu", "kind": "Abacus", "count": 1, "cpu_cores": 2}
CHECKSUM = "c0ffee" * 10


def config(task, model, recipe, seed=0) -> dict[str, Any]:
    """Return the keys of a config that results and reports read."""
    return {
        "task": task,
        "model": model,
        "recipe": recipe,
        "seed": seed,
        "num_seeds": 1,
        "hybrid": {"mixer": "transformer", "num_layers": 0, "layout": "top"},
        "data": {"source": "generated", "directory": "/somewhere"},
        "encoder": {"inputs": "tokens"},
        "mixers": {model: {}},
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
    task="listops", model="fnet", seed=0, recipe="lra2020", correct=(1, 0), **changes
) -> tuple[dict[str, Any], np.ndarray]:
    """Return a result as a run writes it, with some fields changed, and its answers."""
    answers = np.array(correct, bool)
    right, examples = int(answers.sum()), len(answers)
    facts = RunFacts(
        task=task,
        config=config(task, model, recipe, seed),
        data={
            "source": "generated",
            "checksum": CHECKSUM,
            "provenance": {},
            "validation_is_test": False,
        },
        readers={"majority class": 0.125},
        accumulate=1,
        parameters=1_234,
        flops={"forward": 1.0, "train_step": 3.0, "xla_train_step": None},
        rules={"free_for_all": False, "reasons": [], "parity": ""},
        command=f"make task={task} model={model} recipe={recipe} seed={seed}",
        peak_memory={"bytes": 2**30, "method": "compiled memory analysis"},
        device=DEVICE,
        records=records(right / examples),
    )
    part = {"low": 1, "high": 9, "correct": right, "examples": examples}
    other = {"low": 10, "high": 19, "correct": 0, "examples": 1}
    scores = {"test": Score(right, examples, 200)}
    result = seed_result(facts, 0, seed, scores, {"length": [part, other]})
    return result | changes, answers


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
    name = f"{result['model']}-{result['recipe']}-{result['seed']}"
    return write(root / result["task"] / name, result, answers)


def speed_cell(model, length, rate, **changes) -> dict[str, Any]:
    """Return a speed cell with that many training steps a second, batch 4."""

    def spread(value):
        return {"median": value, "low": value, "high": value, "repeats": 3}

    return {
        "schema": 1,
        "kind": "speed",
        "model": model,
        "task": "text",
        "length": length,
        "width": 16,
        "batch_size": 4,
        "train_steps_per_second": spread(rate),
        "inference_seconds": spread(0.5 / rate),
        "peak_memory": {"bytes": 2**29, "method": "allocator peak"},
        "compile_seconds": 1.0,
        "status": "ok",
        "reason": "",
        "device": DEVICE,
        "versions": {},
        "commit": None,
        "command": f"python -m lra_fnet.speed.cell --model={model} --batch=4",
    } | changes


def write_speed(root: Path, cell: dict[str, Any]) -> Path:
    """Write a speed cell where `make speed` does."""
    folder = root / "speed" / "abacus-x1" / "text-batch4"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{cell['model']}-{cell['length']}.json"
    path.write_text(json.dumps(cell))
    return path
