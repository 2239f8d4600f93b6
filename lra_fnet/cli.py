"""What the command lines share: the config flag, the choice of recipe, the errors."""

import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import jax
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from lra_fnet.checkpoint import CheckpointError
from lra_fnet.lock import FolderLocked
from lra_fnet.progress import NotFinite
from lra_fnet.train import Interrupted
from lra_fnet.workdir import WorkdirError
from tasks import DataError

# Exit statuses that `make table` tells from other failures.
IN_USE = os.EX_TEMPFAIL  # another process runs in the workdir
NO_DATA = os.EX_NOINPUT

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Task and recipe, such as configs/listops.py:quick."
)


def run(main: Callable[[ConfigDict], None]) -> None:
    """Start `main` with the config; what a user can mend ends in one line."""
    logging.set_verbosity(logging.WARNING)
    flags.mark_flag_as_required("config")

    def with_config(argv: list[str]) -> None:
        if len(argv) > 1:
            sys.exit(f"error: unknown argument {argv[1]!r}; flags start with --")
        main(_CONFIG.value)

    try:
        app.run(with_config, argv=with_recipe(sys.argv), flags_parser=parse_flags)
    except Interrupted as stop:
        print(f"\n{stop}: the same command goes on from there", file=sys.stderr)
        sys.exit(128 + stop.signal_number)
    except FolderLocked as lock:
        fail(IN_USE, f"the workdir is in use by process {lock}")
    except DataError as error:
        fail(NO_DATA, error)
    except KeyboardInterrupt:
        sys.exit("\nstopped; the same command goes on or starts again")
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        sys.exit(f"error: {error}; raise train.accumulate or lower run.eval_batch_size")
    except (CheckpointError, NotFinite, WorkdirError, ValueError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:  # such as a disk without room for the logbook
        sys.exit(f"error: {error}; mend this and run the same command to go on")


def recipe_config() -> ConfigDict:
    """Return the config of the recipe as its file has it, without changes by flags."""
    path, _, recipe = config_flags.get_config_filename(flags.FLAGS["config"]).partition(
        ":"
    )
    return runpy.run_path(path)["get_config"](recipe)


def parse_flags(arguments: list[str]) -> list[str]:
    """Parse the command line; a key or value the config does not have ends it."""
    try:
        return flags.FLAGS(arguments)
    except (flags.Error, KeyError, TypeError, ValueError) as error:
        sys.exit(f"error: {error_line(error)}")


def error_line(error: Exception) -> str:
    """Return the last line of a message.

    A config file's own error comes with its traceback; the last line says it.
    """
    lines = str(error.args[0]).strip().splitlines()
    return lines[-1].removeprefix("ValueError: ")


def fail(status: int, message: object) -> NoReturn:
    """End the process with an exit status that tells a caller what was the matter."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(status)


def with_recipe(arguments: list[str]) -> list[str]:
    """Add a recipe to `--config=configs/<task>.py` where none is given, and say why.

    Raises:
      ValueError: no such config file; names those that there are.
    """
    return [_with_recipe(a) if a.startswith("--config=") else a for a in arguments]


def _with_recipe(argument: str) -> str:
    """Choose by the devices JAX sees."""
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
    return f"{argument.rstrip(':')}:{recipe}"
