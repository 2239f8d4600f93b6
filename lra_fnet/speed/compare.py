"""Compare FNet with its published formula, attention and a plain trainer.

`make speed-compare`. The two sides of a speed-up run in turns, in the same minutes on
the same machine. Each section runs in a process of its own; one that fails is reported
with its reason, and the rest continue.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import pandas as pd
from jaxtyping import Array, PyTree, Shaped

from lra_fnet.config import load_config, names_in, task_facts
from lra_fnet.hardware import call_memory, first_device, set_up, usable_memory
from lra_fnet.result import git_commit, library_versions
from lra_fnet.speed.bench import RECIPE, Workload, describe_devices, device_name
from lra_fnet.speed.fourier import batch_for
from lra_fnet.speed.timing import Sample, in_own_process, interleaved, speed_ups, spread
from lra_fnet.step import Program
from lra_fnet.workdir import write_json, write_text
from tasks import check_choice, check_task_name

TASKS = ("image", "retrieval", "listops")  # two of width 128, one of 512
FORMULA = {"mixers.fnet.algorithm": "published"}
FUSED = "transformer_rope"  # a kernel on GPUs, jax.nn.dot_product_attention elsewhere
# LRA's Retrieval has these sizes, and Text those of twice the width.
ATTENTION = {
    "encoder.width": 128,
    "encoder.mlp_dim": 512,
    "mixers.transformer.num_heads": 4,
    f"mixers.{FUSED}.num_heads": 4,
}
PAIRS = 3  # of processes

Row = dict[str, Any]


class Plan(NamedTuple):
    """What is compared, and how thoroughly."""

    tasks: Sequence[str] = TASKS  # at whose sizes
    rounds: int = 11  # of a comparison, at most
    seconds: float = 20.0  # after which it gets no further round


def compare_all(arguments: argparse.Namespace) -> int:
    """Write `compare.json` and `compare.md` into the device's folder.

    Raises:
      ValueError: an unknown section or task.
    """
    names = names_in(arguments.sections) or [*SECTIONS]
    for name in names:
        check_choice("section", name, SECTIONS)
    plan = Plan((arguments.task,)) if arguments.task else Plan()
    for task in plan.tasks:
        check_task_name(task)
    device = in_own_process(describe_devices)
    about = {
        "schema": 2,
        "kind": "compare",
        "device": device,
        "versions": library_versions(),
        "commit": git_commit(),
        "command": " ".join(["python -m lra_fnet", *sys.argv[1:]]),
    }
    return run_sections(names, plan, arguments.to / device_name(device), about)


def run_sections(
    names: Iterable[str], plan: Plan, folder: Path, about: Mapping[str, Any]
) -> int:
    """Measure sections; after each, write what there is. Return the exit status."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Row] = {}
    for name in names:
        print(f"{name} ...", flush=True)
        try:
            found[name] = {"rows": measure_section(name, plan), "reason": ""}
        except ChildProcessError as error:
            found[name] = {"rows": [], "reason": f"failed: {error}"}
        print(f"\n{section_text(**found[name])}\n", flush=True)
        write_json(folder / "compare.json", {**about, "sections": found})
        texts = [f"{n}\n\n{section_text(**found[n])}\n" for n in found]
        write_text(folder / "compare.md", "\n".join(texts))
    print(f"wrote {folder / 'compare.json'} and compare.md beside it")
    return int(any(section["reason"] for section in found.values()))


def measure_section(name: str, plan: Plan) -> list[Row]:
    """Return the rows of a section."""
    if name == "trainer":  # both of its sides have processes of their own
        return list(trainer(plan))
    return in_own_process(_after_set_up, SECTIONS[name], plan)


def _after_set_up(function: Callable, *arguments: Any) -> Any:
    set_up()
    found = function(*arguments)
    return list(found) if isinstance(found, Iterator) else found


def section_text(rows: Sequence[Row], reason: str) -> str:
    """Return a section as a Markdown table, or why there is none."""
    table = [
        {
            "sizes": row["sizes"],
            "batch": row["batch_size"],
            "what / than what": f"{row['of']} / {row['to']}",
            "speed-up": f"{row['speed_up']['median']:.2f}",
            "range": "{low:.2f} to {high:.2f}".format(**row["speed_up"]),
            "by processor time": f"{row['by_processor']:.2f}",
            "rounds": row["speed_up"]["repeats"],
        }
        for row in rows
    ]
    return reason or pd.DataFrame(table).to_markdown(index=False, disable_numparse=True)


def compared(
    samples: Mapping[str, Sequence[Sample]], of: str, sizes: str, batch_size: int
) -> Iterator[Row]:
    """Yield the speed-up of one of the calls over each of the others."""
    for to in [name for name in samples if name != of]:
        processor = speed_ups(samples[to], samples[of], "processor")
        yield {
            "sizes": sizes,
            "batch_size": batch_size,
            "of": of,
            "to": to,
            "speed_up": spread(speed_ups(samples[to], samples[of])),
            "by_processor": statistics.median(processor),
            "seconds": statistics.median(sample.wall for sample in samples[of]),
        }


def step(plan: Plan) -> Iterator[Row]:
    """Compare training steps of FNet with those of FNet by the published formula."""
    for task in plan.tasks:
        batch_size = batch_size_of(task)
        workloads = {
            "fnet": task_workload(task, batch_size),
            "published": task_workload(task, batch_size, FORMULA),
        }
        samples = in_turns(workloads, plan)
        yield from compared(samples, "fnet", f"sizes of {task}", batch_size)


def attention(plan: Plan) -> Iterator[Row]:
    """Compare training steps of FNet with those of a Transformer, plain and fused.

    A Transformer that does not fit is left out.
    """
    on_cpu, devices = first_device().platform == "cpu", jax.local_device_count()
    tokens = 2**13 if on_cpu else 2**15
    for length in (2048, 4096) if on_cpu else (2048, 4096, 16384):
        sizes = {"train.batch_size": devices * max(1, tokens // (length * devices))}
        workloads = {}
        for mixer in ("fnet", "transformer", FUSED):
            changes = {"mixer": mixer, **dtype(), **ATTENTION, **sizes}
            if on_cpu:
                changes[f"mixers.{FUSED}.implementation"] = "xla"
            config = load_config("text", RECIPE, changes)
            workloads[mixer] = Workload(config, length)
        workloads = {name: w for name, w in workloads.items() if fits(w)}
        words = f"length {length:,}, width {config.encoder.width}"
        samples = in_turns(workloads, plan)
        yield from compared(samples, "fnet", words, config.train.batch_size)


def in_turns(workloads: Mapping[str, Workload], plan: Plan) -> dict[str, list[Sample]]:
    """Time training calls of several workloads, all compiled before."""
    for workload in workloads.values():
        _ = workload.training
    calls = {name: workload.train for name, workload in workloads.items()}
    return interleaved(calls, plan.rounds, plan.seconds, settling=1)


def fits(workload: Workload) -> bool:
    """Tell whether a training call has enough memory."""
    return call_memory(workload.training) <= usable_memory(workload.program.mesh)


def task_workload(
    task: str,
    batch_size: int,
    changes: Mapping[str, Any] | None = None,
    changed: Callable[[Program], Program] = lambda program: program,
) -> Workload:
    """Return FNet in training at the sizes of a task's recipe; see Workload."""
    sizes = {"train.batch_size": batch_size, **dtype(), **(changes or {})}
    config = load_config(task, RECIPE, sizes)
    return Workload(config, task_facts(config).max_length, changed)


def batch_size_of(task: str) -> int:
    """Return the batch of a task's recipe, or on CPUs a smaller one."""
    config = load_config(task, RECIPE)
    if first_device().platform != "cpu":
        return config.train.batch_size
    facts = task_facts(config)
    return batch_for(facts.max_length * facts.num_documents, config.encoder.width)


def dtype() -> dict[str, str]:
    """Return the change of a config that sets what activations have here."""
    on_cpu = first_device().platform == "cpu"
    return {"encoder.dtype": "float32" if on_cpu else "bfloat16"}


class PlainProgram(Program):
    """A program that draws dropout masks by JAX's own generator."""

    def _outputs(
        self, params: PyTree, inputs: Shaped[Array, "b ..."], key: Any = None
    ) -> tuple[Any, PyTree]:
        """Apply the model, with dropout if there is a key for it."""
        rngs = None if key is None else {"dropout": key}
        train, added = key is not None, [] if key is None else ["losses"]
        return self.model.apply(
            {"params": params}, inputs, train=train, rngs=rngs, mutable=added
        )


def plain(p: Program) -> PlainProgram:
    """Return the program in whole batches, with what JAX and XLA do by themselves."""
    return PlainProgram(p.model, p.optimizer, p.schedule, p.mesh)


def trainer(plan: Plan) -> Iterator[Row]:
    """Compare the trainer with a plain one: both in processes, in turns.

    The plain one has one CPU device, whole batches, the published formula, JAX's own
    dropout bits, and the allocator and XLA's options as they are.
    """
    for task in plan.tasks:
        batch_size = in_own_process(_after_set_up, batch_size_of, task)
        samples: dict[str, list[Sample]] = {"trainer": [], "plain trainer": []}
        with tempfile.TemporaryDirectory() as cache:
            for _ in range(PAIRS):
                for name, found in samples.items():
                    is_plain = name != "trainer"
                    arguments = (task, batch_size, is_plain, cache)
                    found.append(in_own_process(step_of_trainer, *arguments))
        yield from compared(samples, "trainer", f"sizes of {task}", batch_size)


def step_of_trainer(task: str, batch_size: int, is_plain: bool, cache: str) -> Sample:
    """Return the median sample of training calls; `cache` keeps compiled programs."""
    jax.config.update("jax_compilation_cache_dir", cache)
    if is_plain:
        jax.config.update("jax_num_cpu_devices", 1)
        workload = task_workload(task, batch_size, FORMULA, plain)
    else:
        set_up()
        workload = task_workload(task, batch_size)
    samples = in_turns({task: workload}, Plan())[task]
    return sorted(samples, key=lambda sample: sample.wall)[len(samples) // 2]


SECTIONS = {section.__name__: section for section in (step, attention, trainer)}
