"""Train and evaluate one cell: a task, a model and a recipe.

    python -m lra_fnet.main --config=configs/listops.py:quick --config.model=fnet

Every key of the config is a flag: `--config.train.num_steps=100`.
"""

import sys
from pathlib import Path

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from lra_fnet.allocator import keep_freed_memory
from lra_fnet.build import config_layers
from lra_fnet.checkpoint import CheckpointError
from lra_fnet.lock import FolderLocked
from lra_fnet.progress import NotFinite
from lra_fnet.protocol import resolved_config
from lra_fnet.result import render
from lra_fnet.train import Interrupted, train_and_evaluate
from lra_fnet.workdir import WorkdirError, default_workdir
from tasks import DataError

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Task and recipe, such as configs/listops.py:quick."
)
_WORKDIR = flags.DEFINE_string(
    "workdir", "", "Folder of the run; default: runs/<task>/<model>-<recipe>-<seed>-..."
)


def main(argv: list[str]) -> None:
    """Run one cell and print its results."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown argument {argv[1]!r}; flags start with --")
    if jax.default_backend() == "cpu":
        keep_freed_memory()
    config = _CONFIG.value
    identity = resolved_config(config, config_layers(config))
    workdir = Path(_WORKDIR.value or default_workdir(identity))
    print(f"workdir {workdir}")
    for result in train_and_evaluate(config, workdir):
        print(render(result))
    print(f"  results in {workdir}")


def with_recipe(arguments: list[str]) -> list[str]:
    """Add a recipe to `--config=configs/<task>.py` where none is given, and say why."""
    return [_with_recipe(a) if a.startswith("--config=") else a for a in arguments]


def _with_recipe(argument: str) -> str:
    """Choose by the devices JAX sees.

    Raises:
      ValueError: no such config file; names those that there are.
    """
    path, _, recipe = argument.removeprefix("--config=").partition(":")
    if not Path(path).is_file():
        have = ", ".join(sorted(str(p) for p in Path("configs").glob("*.py")))
        raise ValueError(f"no config file {path!r}; have: {have or 'none here'}")
    if recipe:
        return argument
    devices = jax.devices()
    if devices[0].platform == "cpu":
        recipe, why = "quick", "JAX sees only CPUs (recipe=lra2020: the LRA budget)"
    else:
        recipe = "lra2020"
        why = f"JAX sees {devices[0].device_kind} (recipe=quick: a few minutes)"
    print(f"recipe {recipe}, because {why}")
    return f"{argument}:{recipe}"


def parse_flags(arguments: list[str]) -> list[str]:
    """Parse the command line; a key or value the config does not have ends it."""
    try:
        return flags.FLAGS(arguments)
    except (flags.Error, KeyError, TypeError, ValueError) as error:
        # A config file's own error comes with its traceback; the last line says it.
        lines = str(error.args[0]).strip().splitlines()
        sys.exit(f"error: {lines[-1].removeprefix('ValueError: ')}")


def run() -> None:
    """Start the program; turn what a user can mend into one line and an exit code."""
    logging.set_verbosity(logging.WARNING)
    flags.mark_flag_as_required("config")
    try:
        app.run(main, argv=with_recipe(sys.argv), flags_parser=parse_flags)
    except Interrupted as stop:
        print(f"\n{stop}: the same command goes on from there", file=sys.stderr)
        sys.exit(128 + stop.signal_number)
    except FolderLocked as lock:
        sys.exit(f"error: the workdir is in use by process {lock}")
    except KeyboardInterrupt:
        sys.exit("\nstopped; the same command goes on or starts again")
    except (CheckpointError, DataError, NotFinite, WorkdirError, ValueError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:  # such as a disk without room for the logbook
        sys.exit(f"error: {error}; mend this and run the same command to go on")


if __name__ == "__main__":
    run()
