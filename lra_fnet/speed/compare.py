"""Compare FNet with the published formula, with attention and with PyTorch, in turns.

python -m lra_fnet.speed.compare [--sections=mixing,step] [--task=text]

Everything a ratio is made of runs in the same minutes on the same machine. A section
is written when it is done, so that a later one that fails takes none with it.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from lra_fnet.hardware import describe_device, set_up
from lra_fnet.result import git_commit, library_versions, write_json, write_text
from lra_fnet.speed import (
    SCHEMA_VERSION,
    comparison,
    frameworks,
    regime,
    sections,
    shares,
)
from lra_fnet.speed.comparison import Comparison
from lra_fnet.speed.grid import device_name
from lra_fnet.speed.plan import Plan, plan_here
from lra_fnet.speed.shares import Share
from lra_fnet.step import make_mesh
from tasks import check_task_name
from tasks.task import check_choice

TITLES = {
    "mixing": "The transform alone, forward and backward",
    "step": "A training step",
    "shares": "Shares of a training step",
    "attention": "A training step against the Transformer's",
    "pytorch": "The encoder against PyTorch's, forward and backward",
    "trainer": "The trainer against a plain one, in processes of their own",
}
MEASURED: Mapping[str, Callable[[Plan], Any]] = {
    "mixing": sections.mixing,
    "step": sections.step,
    "shares": shares.shares,
    "attention": sections.attention,
    "pytorch": frameworks.pytorch,
    "trainer": regime.trainer,
}
ROUNDS, SECONDS = 11, 20.0


def measure(names: Sequence[str], plan: Plan, path: Path, about: Mapping) -> str:
    """Measure the sections in their order; return and write what was found."""
    found: dict[str, list[Any]] = {}
    for name in names:
        print(f"{TITLES[name]} ...", flush=True)
        skipped = frameworks.missing() if name == "pytorch" else ""
        if skipped:
            print(f"    skipped: {skipped} is not installed", flush=True)
            continue
        found[name] = list(MEASURED[name](plan))
        print(section_text(name, found[name]), flush=True)
        values = {n: [dataclasses.asdict(v) for v in vs] for n, vs in found.items()}
        write_json(path, {**about, "sections": values})
    return "\n".join(section_text(name, values) for name, values in found.items())


def section_text(name: str, values: Sequence[Comparison] | Sequence[Share]) -> str:
    """Return a section as Markdown."""
    show: Any = shares.document if name == "shares" else comparison.document
    return f"{TITLES[name]}\n\n{show(values)}"


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of a command line, checked.

    Raises:
      ValueError: an unknown section or task; names the closest.
    """
    parser = argparse.ArgumentParser(prog="python -m lra_fnet.speed.compare")
    parser.add_argument("--sections", default=",".join(MEASURED))
    parser.add_argument("--task", default="", help="whose sizes steps have")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="at most")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="a comparison")
    parser.add_argument("--to", type=Path, default=Path("runs", "speed"))
    options = parser.parse_args(arguments)
    options.sections = options.sections.replace(",", " ").split()
    if options.task:
        check_task_name(options.task)
    for name in options.sections:
        check_choice("section", name, MEASURED)
    return options


def main() -> None:
    """Measure and write `compare.json` and `compare.md` into the device's folder."""
    try:
        options = parsed()
    except ValueError as error:
        sys.exit(f"error: {error}")
    trainers = regime.in_turns() if "trainer" in options.sections else []
    set_up()
    device = describe_device(make_mesh(jax.local_device_count()))
    plan = plan_here(options.task, options.rounds, options.seconds)
    plan = dataclasses.replace(plan, trainers=trainers)
    about = {
        "schema": SCHEMA_VERSION,
        "kind": "compare",
        "device": device,
        "versions": library_versions(),
        "commit": git_commit(),
        "command": " ".join(["python", "-m", "lra_fnet.speed.compare", *sys.argv[1:]]),
    }
    folder = options.to / device_name(device)
    folder.mkdir(parents=True, exist_ok=True)
    text = measure(options.sections, plan, folder / "compare.json", about)
    write_text(folder / "compare.md", text)
    print(f"wrote {folder / 'compare.json'} and compare.md beside it")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nstopped; finished sections are written")
