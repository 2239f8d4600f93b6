"""Measure every mixer at every length, each cell in a process of its own.

python -m lra_fnet.speed --models="fnet transformer" --lengths=512,1024

Finished cells are not measured again, so the same command goes on where it stopped;
failed ones are tried again, and slow ones where the limit is higher now.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lra_fnet.mixers import mixer_class, mixer_names
from lra_fnet.result import write_text
from lra_fnet.speed import LIMIT
from lra_fnet.speed.grid import Grid, describe, device_name, measure
from lra_fnet.speed.tables import document
from tasks import check_task_name

LENGTHS = "512,1024,2048,4096,8192,16384"


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of a command line, checked.

    Raises:
      ValueError: an unknown mixer or task, or a number below 1; names the closest.
    """
    parser = argparse.ArgumentParser(prog="python -m lra_fnet.speed")
    parser.add_argument("--models", default="", help="mixers; default: all")
    parser.add_argument("--lengths", default=LENGTHS, help=f"default: {LENGTHS}")
    parser.add_argument("--task", default="text", help="whose sizes; default: text")
    parser.add_argument("--batch", type=int, default=32, help="examples, if they fit")
    parser.add_argument(
        "--limit", type=float, default=LIMIT, help="seconds of a cell; longer is slow"
    )
    parser.add_argument("--to", type=Path, default=Path("runs", "speed"))
    options = parser.parse_args(arguments)
    options.models = options.models.replace(",", " ").split() or mixer_names()
    options.lengths = sorted(map(int, options.lengths.replace(",", " ").split()))
    _check(options)
    return options


def _check(options: argparse.Namespace) -> None:
    """Check names and numbers before anything is measured.

    Raises:
      ValueError: names the option, its value and what it must be.
    """
    check_task_name(options.task)
    for model in options.models:
        mixer_class(model)
    numbers = {"lengths": options.lengths, "batch": [options.batch]}
    numbers["limit"] = [options.limit]
    for name, values in numbers.items():
        if not values or min(values) < 1:
            raise ValueError(f"{name} is {values}; it must be 1 or more")


def main() -> None:
    """Measure, then print the tables and write them beside the cells."""
    try:
        options = parsed()
        device = describe()
        grid = Grid(
            options.models,
            options.lengths,
            options.task,
            options.batch,
            options.limit,
            options.to / device_name(device),
            device,
        )
        cells = measure(grid)
    except ValueError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nstopped; the same command goes on from there")
    claimed = {name: getattr(mixer_class(name), "cost", "") for name in options.models}
    text, path = document(cells, claimed), grid.cells / "speed.md"
    write_text(path, text)
    print(f"\n{text}\nwrote {path}")


if __name__ == "__main__":
    main()
