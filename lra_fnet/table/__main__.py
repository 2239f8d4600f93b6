"""Run every missing cell of the grid in configs/table.py, or say what there is to run.

python -m lra_fnet.table --tasks=listops --models="fnet transformer" --recipe=quick
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from lra_fnet.hosts import ALONE, LaunchError, StopSignals, launch_arguments
from lra_fnet.table import display, plan, standing
from lra_fnet.table.cells import Cell, make_cells
from lra_fnet.table.display import Display
from lra_fnet.table.estimate import Costs, cheapest_first, estimate_all
from lra_fnet.table.here import device_here
from lra_fnet.table.progress import Progress, State
from lra_fnet.table.runner import Runner
from lra_fnet.table.selection import select_rows
from lra_fnet.table.shards import Shard, array_shard, deal, parse_shard
from lra_fnet.table.speeds import Speeds
from lra_fnet.table.standing import RESULTS, RUNS, Result


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m lra_fnet.table")
    parser.add_argument("--tasks", default="", help="names; default: the grid's")
    parser.add_argument("--models", default="", help="names; default: the grid's")
    parser.add_argument("--recipe", default="", help="default: the grid's, lra2020")
    parser.add_argument("--seeds", type=int, help="how many, from 0; default: 5")
    parser.add_argument("--sources", default="", help="TASK=SOURCE[:FOLDER] ...")
    parser.add_argument("--flags", default="", dest="overrides", help="config keys")
    parser.add_argument("--shard", default="", help="such as 3/16: a fixed sixteenth")
    parser.add_argument("--dry", action="store_true", help="say what there is to run")
    parser.add_argument("--no-retry", action="store_false", dest="retry")
    return parser


def fill(arguments: argparse.Namespace) -> int:
    """Fill the table, or show the plan; return the exit status.

    Raises:
      ValueError: the arguments name something that there is not, or cannot be run.
    """
    check_alone(os.environ)
    shard = parse_shard(arguments.shard) if arguments.shard else array_shard()
    cells = make_cells(select_rows(arguments))
    print(f"estimating what {len(cells)} cells cost", flush=True)
    costs = estimate_all(cells)
    cells = cheapest_first(in_shard(cells, costs, shard), costs)
    results = [r for folder in (RUNS, RESULTS) for r in standing.read_results(folder)]
    progress = Progress(cells, costs, measured(results))
    with Display(progress) as shown, StopSignals() as stop:
        runner = Runner(progress, shown, stop)
        runner.look_up(standing.by_key(results), arguments.retry)
        if arguments.dry:
            shown.say(plan.document(progress))
            return 0
        shown.say(display.beginning(progress))
        runner.run()
        shown.say(*display.summary(progress, runner.reasons, runner.missing))
    if stop.received:
        print("stopped; the same command goes on from there", flush=True)
        return 128 + stop.received
    return int(progress.count(State.DONE) < len(cells))


def check_alone(environment: Mapping[str, str]) -> None:
    """Check that the runs of this table would not take each other for one run.

    Raises:
      ValueError: the environment names several processes of one run; says what to set.
    """
    if launch_arguments(environment):
        raise ValueError(
            "the environment says that this is one of several processes that share a "
            f"run, but each process of a table runs cells of its own; set {ALONE}=1, "
            "and they share the cells"
        )


def in_shard(cells: list[Cell], costs: Costs, shard: Shard | None) -> list[Cell]:
    """Return the cells of a shard; all where there is none."""
    if shard is None:
        return cells
    operations = [costs[cell.protocol].operations for cell in cells]
    dealt = zip(cells, deal(operations, shard.count), strict=True)
    chosen = [cell for cell, index in dealt if index == shard.index - 1]
    print(f"shard {shard.index} of {shard.count}: {len(chosen)} of {len(cells)} cells")
    return chosen


def measured(results: Sequence[Result]) -> Speeds:
    """Return the speeds of this device that results tell."""
    speeds = Speeds(device_here() if results else None)
    for result in results:
        speeds.add(result)
    return speeds


def main(arguments: Sequence[str] | None = None) -> Any:
    """Fill the table; what a user can mend ends in one line."""
    # This process traces models and waits. The devices are for the runs that it starts,
    # which see the environment as it is: this setting is not in it.
    jax.config.update("jax_platforms", "cpu")
    try:
        return fill(parser().parse_args(arguments))
    except (LaunchError, ValueError, OSError) as error:
        return f"error: {error}"
    except KeyboardInterrupt:
        return "\nstopped; the same command goes on from there"


if __name__ == "__main__":
    sys.exit(main())
