"""Measure mixers against length: `make speed`.

Each measurement runs in a process of its own, within a limit, and leaves one file,
<to>/<device>/<task>-batch<batch>/<mixer>-<length>.json, a SpeedResult. A batch that
does not fit is halved; a measurement that fails is reported with its reason, and the
rest continue. Repeat the command to continue: it measures what has no file yet, what
failed, and what was too slow for a lower limit than today's.
"""

import argparse
import functools
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import PyTree
from ml_collections import ConfigDict
from tqdm import tqdm

from lra_fnet.batches import call_indices
from lra_fnet.config import load_config, make_program, names_in, task_facts
from lra_fnet.hardware import (
    call_memory,
    default_steps_per_call,
    describe_device,
    examples_at_once,
    is_out_of_memory,
    peak_memory,
    set_up,
    usable_memory,
)
from lra_fnet.mixers import mixer_class, mixer_names
from lra_fnet.result import git_commit, library_versions
from lra_fnet.schema import BadFile, SpeedResult, Spread
from lra_fnet.speed.fourier import sizes
from lra_fnet.speed.timing import (
    Killed,
    in_own_process,
    interleaved,
    speed_ups,
    spread,
)
from lra_fnet.step import Program, make_mesh
from lra_fnet.workdir import write_text
from tasks import Task, check_task_name

LENGTHS = (512, 1024, 2048, 4096, 8192, 16384)
RECIPE = "lra2020"  # whose sizes the models have
BASE = "transformer"  # to which others are compared
HOME = "fnet"  # whose steps are timed in turns with those of every other

ROUNDS = 7
# What each of training, inference and steps in turns may take past two rounds, as a
# share of the limit and in seconds.
SHARE, MOST_SECONDS = 0.2, 6.0
MOST_STEPS_PER_CALL = 10  # more would make a call of a slow mixer last for minutes

OK, FAILED, SLOW, OUT_OF_MEMORY = "ok", "failed", "slow", "out of memory"


class Job(NamedTuple):
    """A mixer to be measured."""

    mixer: str
    task: str
    length: int  # positions of an example
    batch_size: int  # examples of a step
    limit_seconds: float  # of a process

    def file(self, folder: Path) -> Path:
        """Return the file of the result."""
        return folder / f"{self.mixer}-{self.length}.json"


def measure_all(arguments: argparse.Namespace) -> int:
    """Measure what is missing; write and print the tables. Return the exit status.

    Raises:
      ValueError: an unknown mixer or task, or a number below 1.
      BadFile: another file in the folder of the results is damaged.
    """
    jobs = make_jobs(arguments)
    device = in_own_process(describe_devices)
    task, batch = arguments.task, arguments.batch
    folder = arguments.to / device_name(device) / f"{task}-batch{batch}"
    results = run_jobs(jobs, folder, device)
    text = document([SpeedResult.read(path) for path in sorted(folder.glob("*.json"))])
    write_text(folder / "speed.md", text)
    print(f"\n{text}\nwrote {folder / 'speed.md'}")
    return int(any(result.status == FAILED for result in results))


def make_jobs(arguments: argparse.Namespace) -> list[Job]:
    """Return all measurements that the arguments ask for, short lengths first."""
    check_task_name(arguments.task)
    mixers = names_in(arguments.mixers) or mixer_names()
    for mixer in mixers:
        mixer_class(mixer)
    for name in ("batch", "limit"):
        if getattr(arguments, name) < 1:
            raise ValueError(f"{name} is {getattr(arguments, name)}; it must be >= 1")
    return [
        Job(mixer, arguments.task, length, arguments.batch, float(arguments.limit))
        for length in sizes(arguments.lengths) or LENGTHS
        for mixer in mixers
    ]


def run_jobs(
    jobs: Sequence[Job], folder: Path, device: Mapping[str, Any]
) -> list[SpeedResult]:
    """Measure the jobs that are not finished, and return the results of all."""
    folder.mkdir(parents=True, exist_ok=True)
    todo = [job for job in jobs if not is_finished(job, folder)]
    with tqdm(todo, unit="measurement") as progress:
        for job in progress:
            result = measure(job, device)
            result.write(job.file(folder))
            progress.write(f"{job.mixer} at {job.length:,}: {outcome(result)}")
    return [SpeedResult.read(job.file(folder)) for job in jobs]


def is_finished(job: Job, folder: Path) -> bool:
    """Tell whether a job has its result: no failure, not slow by a lower limit."""
    try:
        result = SpeedResult.read(job.file(folder))
    except BadFile:  # also where there is none
        return False
    gave_up = result.status == SLOW and (result.limit_seconds or 0) < job.limit_seconds
    return result.status != FAILED and not gave_up


def measure(job: Job, device: Mapping[str, Any]) -> SpeedResult:
    """Measure a job in the largest batch that fits, each attempt in a new process."""
    batch_size, reasons = job.batch_size, []
    commit = git_commit()  # now: what is measured, whatever is changed meanwhile
    while True:
        found = attempt(job, batch_size)
        if found["reason"]:
            reasons.append(f"a batch of {batch_size}: {found['reason']}")
        if found["status"] != OUT_OF_MEMORY or batch_size == 1:
            break
        batch_size //= 2
    about = {
        "schema": 2,
        "kind": "speed",
        **job._asdict(),
        "width": load_config(job.task, RECIPE).encoder.width,
        "batch_size": batch_size,
        "asked_batch_size": job.batch_size,
        **dict.fromkeys(("train_steps_per_second", "inference_seconds", "peak_memory")),
        "device": device,
        "versions": library_versions(),
        "commit": commit,
        "command": f"python -m lra_fnet speed --mixers={job.mixer} "
        f"--lengths={job.length} --task={job.task} --batch={job.batch_size} "
        f"--limit={job.limit_seconds:g}",
    }
    return SpeedResult(**about | found | {"reason": "; ".join(reasons)})


def attempt(job: Job, batch_size: int) -> dict[str, Any]:
    """Measure a job at a batch size in a new process, however that may end."""
    smaller = job._replace(batch_size=batch_size)
    try:
        return in_own_process(figures, smaller, limit=job.limit_seconds)
    except TimeoutError as error:
        return {"status": SLOW, "reason": str(error)}
    except Killed as error:
        return {"status": OUT_OF_MEMORY, "reason": str(error)}
    except ChildProcessError as error:
        return {"status": FAILED, "reason": str(error)}


def outcome(result: SpeedResult) -> str:
    """Return a result in a line."""
    rate = result.train_steps_per_second
    if rate is None:
        return f"{result.status}: {result.reason}"
    return f"{rate.median:.3g} steps/s in batches of {result.batch_size}"


def describe_devices() -> dict[str, Any]:
    """Return what this process computes on, once it is set up."""
    set_up()
    return describe_device(make_mesh(jax.local_device_count()))


def device_name(device: Mapping[str, Any]) -> str:
    """Return the name of a device's folder.

    >>> device_name({"kind": "NVIDIA H200", "count": 2})
    'nvidia-h200-x2'
    """
    kind = re.sub(r"[^a-z0-9]+", "-", device["kind"].lower()).strip("-")
    return f"{kind}-x{device['count']}"


# ---------------------------------------------------------------------------
# A measurement


def figures(job: Job) -> dict[str, Any]:
    """Return the measured fields of a SpeedResult, or that memory does not suffice."""
    set_up()
    jax.config.update("jax_enable_compilation_cache", False)  # compiling is timed
    changes = {"mixer": job.mixer, "train.batch_size": job.batch_size}
    try:
        workload = Workload(load_config(job.task, RECIPE, changes), job.length)
        home = load_config(job.task, RECIPE, changes | {"mixer": HOME})
        return measured_figures(
            workload, home, min(SHARE * job.limit_seconds, MOST_SECONDS)
        )
    except jax.errors.JaxRuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return {"status": OUT_OF_MEMORY, "reason": str(error).splitlines()[0]}


def measured_figures(
    workload: "Workload", home: ConfigDict, seconds: float
) -> dict[str, Any]:
    """Return what `figures` does, in little more than three times so many seconds.

    Args:
      workload: of the mixer.
      home: the config of FNet, of which a workload is made once memory was measured.
      seconds: that each of three comparisons may take past two rounds.
    """
    started = time.monotonic()
    needed = call_memory(workload.training)
    compile_seconds = time.monotonic() - started
    needed = max(needed, call_memory(workload.inference))
    usable = usable_memory(workload.program.mesh)
    if needed > usable:
        reason = f"it needs {needed / 2**30:.1f} of {usable / 2**30:.1f} usable GiB"
        return {"status": OUT_OF_MEMORY, "reason": reason}
    train = interleaved({"train": workload.train}, ROUNDS, seconds)["train"]
    peak = peak_memory(workload.training)  # before anything else adds to it
    answer = interleaved({"answer": workload.answer}, ROUNDS, seconds)["answer"]
    return {
        "status": OK,
        "reason": "",
        "train_steps_per_second": spread(
            [workload.steps_per_call / sample.wall for sample in train]
        ),
        "inference_seconds": spread([sample.wall for sample in answer]),
        "fnet_speed_up": home_speed_up(workload, home, seconds),
        "peak_memory": peak,
        "compile_seconds": compile_seconds,
        "device": describe_device(workload.program.mesh),
    }


def home_speed_up(
    workload: "Workload", home: ConfigDict, seconds: float
) -> dict[str, Any] | None:
    """Return how many times as long as FNet's its training steps take, in turns.

    None for FNet itself. The machine may be busier now than it was a minute ago; in
    turns both meet the same.
    """
    if workload.mixer == HOME:
        return None
    calls = {"slow": workload.train, "fast": Workload(home, workload.length).train}
    samples = interleaved(calls, ROUNDS, seconds, settling=1)
    return spread(speed_ups(samples["slow"], samples["fast"]))


class Workload:
    """A program in training on one batch of made-up examples without padding.

    Attributes:
      mixer: its name.
      program: model, optimizer and devices; `changed` replaces that of the config.
      steps_per_call: of a training call, as the trainer takes on these devices.
      length: positions of an example; the config's own does not count.
    """

    def __init__(
        self,
        config: ConfigDict,
        length: int,
        changed: Callable[[Program], Program] = lambda program: program,
    ):
        task, batch_size = task_facts(config), config.train.batch_size
        self.mixer, self.length = config.mixer, length
        self.program = changed(make_program(config, task))
        at_once = examples_at_once(self.program.mesh, batch_size)
        steps = min(default_steps_per_call(self.program.mesh), MOST_STEPS_PER_CALL)
        split = self.program.put(*made_up_examples(task, batch_size, length))
        batches = call_indices((0,), 0, steps, steps, batch_size, batch_size)
        answered = np.arange(batch_size, dtype=np.int32).reshape(-1, at_once)
        self.steps_per_call = steps
        self._state = self.program.init(jnp.array([config.seed]), split.inputs)
        self._batches = (*split, batches, np.int32(steps))
        self._evaluation = (*split, answered, np.ones(answered.shape, np.float32))

    @functools.cached_property
    def training(self) -> jax.stages.Compiled:
        """Compile a training call."""
        lowered = Program.train.lower(self.program, self._state, *self._batches)
        return self.program.compile(lowered)

    @functools.cached_property
    def inference(self) -> jax.stages.Compiled:
        """Compile the answers to the batch."""
        arguments = (self._state.params, *self._evaluation)
        return self.program.compile(Program.evaluate.lower(self.program, *arguments))

    def train(self) -> PyTree:
        """Take `steps_per_call` steps; the state before is given away."""
        self._state, sums, _ = self.training(self._state, *self._batches)
        return self._state, sums

    def answer(self) -> PyTree:
        """Answer the batch."""
        return self.inference(self._state.params, *self._evaluation)


def made_up_examples(
    task: Task, batch_size: int, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return random ids, (b, l) or (b, documents, l), and labels, (b,)."""
    random, shape = np.random.default_rng(0), (batch_size, *task.row_shape[:-1], length)
    # The last id is that of byte 255, which texts lack: others are stored as bytes.
    inputs = random.integers(1, task.vocab_size - 1, shape)
    labels = random.integers(0, task.num_classes, batch_size).astype(np.int32)
    return inputs.astype(np.min_scalar_type(task.vocab_size - 2)), labels


TITLES = (
    "Training steps per second",
    "Milliseconds to answer a batch",
    "Memory of a device, GiB",
    "Seconds to compile a training step",
    "How many times as long as FNet's a training step takes, in turns with it",
)


def document(results: Sequence[SpeedResult]) -> str:
    """Return Markdown tables of results of one task and device."""
    first, device = results[0], results[0].device
    bases = {r.length: r for r in results if r.mixer == BASE}
    memory = sorted({r.peak_memory.is_of for r in results if r.peak_memory})
    frame = pd.DataFrame([texts(r, bases.get(r.length)) for r in results])
    parts = [
        f"Task {first.task}, width {first.width}, on {device.kind}, {device.count} "
        f"device(s) of {device.platform}. In brackets: the speed-up over the {BASE}, "
        "per example; `/8`: in batches of 8, for want of memory. "
        f"Memory is that of {' or '.join(memory) or 'nothing'}."
    ]
    for title in TITLES:
        table = frame.pivot(index="mixer", columns="length", values=title).fillna("")
        table.columns = [f"{length:,}" for length in table.columns]
        parts.append(f"{title}\n\n{table.to_markdown(disable_numparse=True)}")
    return "\n\n".join(parts) + "\n"


def texts(result: SpeedResult, base: SpeedResult | None) -> dict[str, Any]:
    """Return the row of a result: its figures by title, or why there are none."""
    row = {"mixer": result.mixer, "length": result.length}
    rate, answer = result.train_steps_per_second, result.inference_seconds
    if not (rate and answer and result.peak_memory):
        return row | dict.fromkeys(TITLES, result.status)
    others = speeds(base) if base else []
    times = [f" ({a / b:.3g}x)" for a, b in zip(speeds(result), others, strict=False)]
    training, answering = times or ["", ""]
    asked = result.asked_batch_size or result.batch_size + bool(result.reason)
    smaller = f" /{result.batch_size}" if result.batch_size < asked else ""
    figures = (
        f"{rate.median:.3g}{smaller}{training}",
        f"{1e3 * answer.median:.3g}{answering}",
        f"{result.peak_memory.bytes / 2**30:.3g}",
        f"{result.compile_seconds or 0:.3g}",
        range_text(result.fnet_speed_up),
    )
    return row | dict(zip(TITLES, figures, strict=True))


def range_text(spread: Spread | None) -> str:
    """Return a median with its range, nothing where there is none."""
    if spread is None:
        return ""
    return f"{spread.median:.3g} [{spread.low:.3g} to {spread.high:.3g}]"


def speeds(result: SpeedResult) -> list[float]:
    """Return the examples trained on, and answered, in a second, if measured."""
    rate, answer = result.train_steps_per_second, result.inference_seconds
    if rate is None or answer is None:
        return []
    return [rate.median * result.batch_size, result.batch_size / answer.median]
