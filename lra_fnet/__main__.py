"""The command line: `python -m lra_fnet VERB ...`, or `lra-fnet VERB ...`.

Each verb imports what it needs when it runs: the report needs no JAX, and `--help` is
quick. What a user can fix ends in one line; LRA_DEBUG=1 shows the traceback.
"""

import argparse
import difflib
import os
import re
import shlex
import signal
import sys
import sysconfig
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

# Exit statuses that callers tell from other failures.
IN_USE = os.EX_TEMPFAIL  # another process runs in the workdir
NO_DATA = os.EX_NOINPUT

# As variables are typed for make.
_MAKE_STYLE = re.compile(r"[a-z][\w.]*=")
# Packages that are run from a checkout where another version may be installed.
_OF_THE_PROJECT = {"__pycache__", "configs", "lra_fnet", "tasks", "tests"}

Arguments = argparse.Namespace


# ---------------------------------------------------------------------------
# Verbs: what runs


def train(arguments: Arguments) -> None:
    """Train and evaluate a mixer on a task; prints the result."""
    from lra_fnet import hosts
    from lra_fnet.config import resolve
    from lra_fnet.result import render
    from lra_fnet.rules import match_parameters
    from lra_fnet.train import train_and_evaluate
    from lra_fnet.workdir import default_workdir

    with hosts.joined(tell):
        config = chosen_config(arguments)
        if arguments.parity:
            match_parameters(config)
            print(f"parity: width {config.encoder.width}, MLP {config.encoder.mlp_dim}")
        workdir = arguments.workdir or default_workdir(resolve(config))
        print(f"workdir {workdir}")
        if hosts.count() > 1:
            print(f"{hosts.count()} hosts share each batch")
        for result in train_and_evaluate(config, workdir, arguments.parity):
            print(render(result))
        print(f"  results in {workdir}")


def evaluate(arguments: Arguments) -> None:
    """Evaluate a finished run again, in a new process."""
    from lra_fnet.hardware import set_up
    from lra_fnet.trained.evaluate import evaluate as evaluate_run

    set_up()
    print(*evaluate_run(arguments.workdir), sep="\n")


def export(arguments: Arguments) -> None:
    """Write the weights of a run as safetensors, with a JSON file beside them."""
    from lra_fnet.hardware import set_up
    from lra_fnet.trained.export import export as export_run

    set_up()
    for path in export_run(arguments.workdir, arguments.to, arguments.seed):
        print(f"wrote {path}")


def import_fnet(arguments: Arguments) -> None:
    """Read the pre-trained FNet of its authors; write it as safetensors."""
    from lra_fnet.hardware import set_up
    from lra_fnet.trained.published_fnet import import_fnet as import_weights

    set_up()
    model = import_weights(arguments.path, arguments.to)
    print(
        f"{model.num_layers} layers of width {model.width}, {model.vocab_size:,} word "
        f"pieces, {model.num_positions} positions\nwrote {arguments.to}"
    )


def predict(arguments: Arguments) -> None:
    """Answer examples in files of yours: a text, expressions, a picture."""
    from lra_fnet.hardware import set_up
    from lra_fnet.trained.predict import predict as answers_of

    set_up()
    files = [folder(name) for name in names(arguments.file, "file")]
    for line in answers_of(arguments.workdir, files, arguments.seed):
        print(line, flush=True)


def sample(arguments: Arguments) -> None:
    """Let a language model write a text."""
    from lra_fnet.hardware import set_up
    from lra_fnet.trained.sample import sample as text_of

    set_up()
    typed = (arguments.start, arguments.seed, arguments.temperature, arguments.draw)
    for piece in text_of(arguments.workdir, *typed):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    print()


def data(arguments: Arguments) -> None:
    """Prepare the data of a task and describe them; or check or export them."""
    from lra_fnet.data import data_root, describe, load_dataset, open_cached
    from tasks import make_task
    from tasks.checks import check_splits
    from tasks.export import export_tfds

    config = chosen_config(arguments)
    task = make_task(config.task, **config.data)
    if arguments.check:
        dataset = open_cached(task, data_root())
        print(f"{task.name}, {dataset.folder}: {len(dataset.manifest['files'])} files")
        report_findings(task.name, check_splits(task, dataset.splits))
        return
    dataset = load_dataset(task, data_root())
    print(describe(task, dataset))
    if arguments.export:
        folder = export_tfds(task, dataset.splits, dataset.checksum, arguments.to)
        print(f"exported: tfds.builder_from_directory({str(folder)!r})")


def table(arguments: Arguments) -> int:
    """Run what is missing of a table of tasks, mixers and seeds."""
    from lra_fnet.table.run import fill_table

    return fill_table(arguments)


def report(arguments: Arguments) -> int:
    """Write a page, tables and a data frame of all results."""
    from lra_fnet.report.page import write_report

    documents = names(arguments.documents, "documents") if arguments.documents else []
    return write_report(
        names(arguments.runs, "runs"), arguments.to, map(Path, documents)
    )


def speed(arguments: Arguments) -> int:
    """Measure speed and memory of mixers against length."""
    from lra_fnet.speed.bench import measure_all

    return measure_all(arguments)


def speed_compare(arguments: Arguments) -> int:
    """Measure FNet against its published formula, attention and a plain trainer."""
    from lra_fnet.speed.compare import compare_all

    return compare_all(arguments)


def speed_fourier(arguments: Arguments) -> None:
    """Measure which Fourier algorithm is fastest on this machine."""
    from lra_fnet.hardware import set_up
    from lra_fnet.speed.fourier import measure_transforms

    set_up()
    measure_transforms(arguments)


def record(arguments: Arguments) -> int:
    """Measure the seconds from start to a target test accuracy, over seeds."""
    from lra_fnet.hardware import set_up
    from lra_fnet.speed.record import measure_record

    set_up()
    config = chosen_config(arguments)
    chosen = ("task", "source", "data", "mixer")
    flags = {name: getattr(arguments, name) for name in chosen}
    flags["recipe"] = config.recipe
    typed = [f"--{name}={value}" for name, value in flags.items() if value]
    return measure_record(config, [*typed, *arguments.flags], arguments.target)


def mixers(arguments: Arguments) -> None:
    """List all mixers: formula, cost, parameters, references."""
    from lra_fnet.mixers.listing import document

    if arguments.write and not arguments.write.parent.is_dir():
        raise ValueError(f"there is no folder {arguments.write.parent} to write to")
    text = document()
    if arguments.write:
        from lra_fnet.workdir import write_text

        write_text(arguments.write, text)
        print(f"wrote {arguments.write}")
    else:
        print(text, end="")


def check_mixer(arguments: Arguments) -> None:
    """Check a mixer, or all of them, against the contract."""
    # It mostly compiles, and what it computes need not be fast.
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
    from lra_fnet.hardware import set_up
    from lra_fnet.mixers.contract import check_and_print

    set_up()
    end_if_failed(check_and_print(arguments.mixer))


def compile_absent(arguments: Arguments) -> int:
    """Compile training and evaluation for an accelerator that is not here."""
    if arguments.fourier:
        from lra_fnet.compile.fourier import compile_transforms

        return compile_transforms(arguments)
    from lra_fnet.compile.sweep import compile_all

    return compile_all(arguments)


def new_mixer(arguments: Arguments) -> None:
    """Begin a mixer of your own: a copy of the template."""
    from lra_fnet.mixers.listing import create_mixer, next_steps

    print(next_steps(create_mixer(arguments.name)))


# ---------------------------------------------------------------------------
# Verbs: what they take


def run_flags(parser: argparse.ArgumentParser) -> None:
    """Add what chooses a run: task, recipe, mixer, source, config keys."""
    parser.add_argument("--task", required=True, help="a file of tasks/")
    parser.add_argument(
        "--recipe",
        default="",
        help="quick (default on CPUs), small, lra2020 (default elsewhere), strong",
    )
    parser.add_argument("--source", default="", help="where examples come from")
    parser.add_argument("--data", default="", help="the source's folder or archive")
    parser.add_argument(
        "--config.KEY",
        dest="_",
        metavar="VALUE",
        help="any key of configs/common.py, such as --config.train.num_steps=100",
    )


def train_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `train`."""
    mixer_flags(parser)
    parser.add_argument(
        "--seeds", default="", help="how many to train together, from seed on"
    )
    parser.add_argument("--workdir", type=folder, help="default: below runs/")
    parser.add_argument(
        "--init_from", default="", help="workdir of a run whose encoder to begin with"
    )
    parity_flag(parser)


def mixer_flags(parser: argparse.ArgumentParser) -> None:
    """Add what chooses a run, its mixer, and its seed."""
    run_flags(parser)
    parser.add_argument("--mixer", default="", help="fnet, or another: see `mixers`")
    parser.add_argument("--seed", default="", help="default 0")


def parity_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flag of equal parameters."""
    parser.add_argument(
        "--parity",
        choices=["", "params"],
        default="",
        help="params: sizes with the base Transformer's number of parameters",
    )


def data_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `data`."""
    run_flags(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="verify prepared data")
    what.add_argument("--export", choices=["tfds"], help="write for other frameworks")
    parser.add_argument("--to", type=folder, default=Path("export"), help="of --export")


def table_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `table`."""
    parser.add_argument("--tasks", default="", help="default: all of configs/grid.py")
    parser.add_argument("--mixers", default="", help="default: all of configs/grid.py")
    parser.add_argument("--recipe", default="lra2020", help="default: lra2020")
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 0 on")
    parser.add_argument(
        "--sources", default="", help="TASK=SOURCE[:FOLDER] ..., where data come from"
    )
    parity_flag(parser)
    parser.add_argument("--shard", default="", help="3/16: a fixed sixteenth")
    parser.add_argument("--dry", action="store_true", help="list runs, start none")
    parser.add_argument("--no-retry", dest="retry", action="store_false")


def report_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `report`."""
    parser.add_argument("--runs", default="results runs", help="folders with results")
    parser.add_argument("--to", type=folder, default=Path("report"))
    parser.add_argument(
        "--documents", default="", help="files of Markdown, to fill in marked tables"
    )


def record_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `record`."""
    mixer_flags(parser)
    parser.add_argument("--seeds", default="3", help="how many, one after another")
    parser.add_argument("--target", type=float, required=True, help="percent")


def speed_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `speed`."""
    parser.add_argument("--mixers", default="", help="default: all")
    parser.add_argument("--lengths", default="", help="such as 1024,2048")
    parser.add_argument("--task", default="text", help="whose sizes the models have")
    parser.add_argument("--batch", type=int, default=32, help="examples of a step")
    parser.add_argument("--limit", type=float, default=300, help="seconds for each")
    parser.add_argument("--to", type=folder, default=Path("runs/speed"))


def speed_compare_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `speed-compare`."""
    parser.add_argument("--sections", default="", help="default: all")
    parser.add_argument("--task", default="", help="whose sizes; default: three")
    parser.add_argument("--to", type=folder, default=Path("runs/speed"))


def speed_fourier_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `speed-fourier`."""
    parser.add_argument("--lengths", default="", help="such as 1024,2048")
    parser.add_argument("--widths", default="", help="such as 64,128")
    parser.add_argument("--to", type=folder, help="a file; default: the one in use")


def workdir_flags(parser: argparse.ArgumentParser) -> None:
    """Add the workdir of a run that there is."""
    parser.add_argument("--workdir", type=folder, required=True, help="of a run")


def export_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `export`."""
    workdir_flags(parser)
    parser.add_argument("--seed", default="", help="if the run has several")
    parser.add_argument("--to", type=folder, help="default: WORKDIR/model.safetensors")


def import_fnet_flags(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `import-fnet`."""
    parser.add_argument(
        "path",
        type=folder,
        help="a Hugging Face folder, or a file of the authors' Flax release",
    )
    parser.add_argument("--to", type=folder, default=Path("runs/fnet"))


def predict_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `predict`."""
    workdir_flags(parser)
    parser.add_argument("--seed", default="", help="if the run has several")
    parser.add_argument(
        "--file", required=True, help="one or more, as README.md describes"
    )


def sample_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `sample`."""
    workdir_flags(parser)
    parser.add_argument("--seed", default="", help="if the run has several")
    parser.add_argument("--start", default="The ", help="what the text begins with")
    parser.add_argument(
        "--temperature", type=float, default=0.8, help="0: the most probable byte"
    )
    parser.add_argument("--draw", type=int, default=0, help="another number, another")


def mixers_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `mixers`."""
    parser.add_argument("--write", type=folder, help="a file, such as docs/mixers.md")


def check_mixer_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `check-mixer`."""
    parser.add_argument("--mixer", default="", help="a name or module; default: all")


def compile_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `compile`."""
    parser.add_argument("--accel", required=True, help="h100, v4, v5e, v5p or v6e")
    parser.add_argument("--tasks", default="", help="default: all")
    parser.add_argument("--mixers", default="", help="default: all")
    parser.add_argument("--recipe", default="lra2020", help="default: lra2020")
    parser.add_argument("--devices", type=int, default=1, help="that share a batch")
    parser.add_argument("--to", type=folder, default=Path("results/compile"))
    parser.add_argument("--document", type=folder, help="whose tables to renew")
    parser.add_argument(
        "--fourier", action="store_true", help="the transform alone, no runs"
    )
    parser.add_argument(
        "--choose",
        action="store_true",
        help="of --fourier: auto goes by the estimates where nothing was measured",
    )


def new_mixer_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `new-mixer`."""
    parser.add_argument("--name", required=True, help="of the file and the mixer")


Verb = tuple[Callable[[Arguments], int | None], Callable[..., None]]
VERBS: Mapping[str, Verb] = {
    "train": (train, train_flags),
    "eval": (evaluate, workdir_flags),
    "export": (export, export_flags),
    "predict": (predict, predict_flags),
    "sample": (sample, sample_flags),
    "import-fnet": (import_fnet, import_fnet_flags),
    "data": (data, data_flags),
    "table": (table, table_flags),
    "report": (report, report_flags),
    "speed": (speed, speed_flags),
    "speed-compare": (speed_compare, speed_compare_flags),
    "speed-fourier": (speed_fourier, speed_fourier_flags),
    "record": (record, record_flags),
    "mixers": (mixers, mixers_flags),
    "check-mixer": (check_mixer, check_mixer_flags),
    "new-mixer": (new_mixer, new_mixer_flags),
    "compile": (compile_absent, compile_flags),
}


# ---------------------------------------------------------------------------
# From what was typed to a config


def chosen_config(arguments: Arguments) -> Any:
    """Return the config that the flags of a run ask for.

    Raises:
      ValueError: a flag or value that there is not.
    """
    from lra_fnet.config import load_config, mixers_used, read_flags, section_key

    typed = {
        "mixer": getattr(arguments, "mixer", ""),
        "seed": getattr(arguments, "seed", ""),
        "num_seeds": getattr(arguments, "seeds", ""),
        "data.source": arguments.source,
        "data.directory": arguments.data,
        "init.from_run": getattr(arguments, "init_from", ""),
    }
    changes = {key: value for key, value in typed.items() if value}
    recipe = arguments.recipe or default_recipe()
    flags = read_flags(arguments.flags)
    config = load_config(arguments.task, recipe, changes | flags)
    used = mixers_used(config)
    for key in (key for key in flags if key.startswith("mixers.")):
        if section_key(key, used).split(".")[1].replace("/", ".") not in used:
            mixers = " and ".join(dict.fromkeys(used))
            raise ValueError(f"{key} has no effect: the layers are {mixers}")
    return config


def default_recipe() -> str:
    """Choose a recipe by the devices JAX sees, and say why."""
    from lra_fnet.hardware import first_device

    device = first_device()
    if device.platform == "cpu":
        recipe, why = "quick", "JAX sees only CPUs (recipe=lra2020: the LRA budget)"
    else:
        recipe, why = (
            "lra2020",
            f"JAX sees {device.device_kind} (recipe=quick: minutes)",
        )
    print(f"recipe {recipe}, because {why}")
    return recipe


def folder(text: str) -> Path:
    """Return a path with ~ expanded."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty; name a file or folder")
    return Path(text).expanduser()


def names(text: str, option: str) -> list[str]:
    """Return the names in a text, which are quoted if they have spaces.

    Raises:
      ValueError: there is none, or a quote does not end.
    """
    try:
        found = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{option} is {text!r}: {error}") from None
    if not found:
        raise ValueError(f"{option} is empty; name at least one")
    return found


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line that names the closest there is."""

    def error(self, message: str) -> NoReturn:
        """End with the message."""
        sys.exit(f"error: {message}; see {self.prog} --help")

    def closest(self, flag: str) -> str:
        """Return the error about a flag that there is not."""
        known = list(self._option_string_actions)
        close = difflib.get_close_matches(flag.partition("=")[0], known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"unknown argument {flag!r}{hint}"


def parse(typed: Sequence[str]) -> Arguments:
    """Return the arguments of a command line; `flags` are those of config keys."""
    parser = Parser(prog="lra-fnet", description="The Long Range Arena.")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser)
    parsers = {}
    for name, (function, add_flags) in VERBS.items():
        summary = (function.__doc__ or "").splitlines()[0]
        parsers[name] = verbs.add_parser(
            name, help=summary, description=summary, allow_abbrev=False
        )
        add_flags(parsers[name])
    if not typed:
        parser.print_help()
        sys.exit(2)
    if not typed[0].startswith("-") and typed[0] not in VERBS:
        close = difflib.get_close_matches(typed[0], VERBS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ";"
        parser.error(f"unknown verb {typed[0]!r}{hint} have: {', '.join(VERBS)}")
    arguments, rest = parser.parse_known_args(typed)
    takes_flags = arguments.verb in ("train", "record", "data", "table", "compile")
    for flag in rest:
        if not (takes_flags and flag.startswith("--config.")):
            own = parsers[arguments.verb]
            own.error(own.closest(flag))
    arguments.flags = rest
    return arguments


# ---------------------------------------------------------------------------
# How it ends


def report_findings(name: str, findings: Any) -> None:
    """Print the outcome of every check as it comes; end with an error if one failed."""
    failed = []
    for finding in findings:
        print(f"  {finding.line()}", flush=True)
        failed += [] if finding.passed else [f"{name}: {finding.name}"]
    end_if_failed(failed)


def end_if_failed(failed: Sequence[str]) -> None:
    """End with an error that lists what failed, if anything did."""
    if failed:
        sys.exit(f"error: {len(failed)} checks failed: {'; '.join(failed)}")


def main(typed: Sequence[str] | None = None) -> int:
    """Run a command line; return the exit status."""
    arguments = parse(with_dashes(sys.argv[1:] if typed is None else typed))
    function, _ = VERBS[arguments.verb]
    end_if_hidden(os.environ.get("PYTHONPATH", ""))
    prepare_caches()
    try:
        return function(arguments) or 0
    except BrokenPipeError:  # who reads the output has seen enough, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (KeyboardInterrupt, Exception) as error:
        return tell(error)


def with_dashes(typed: Sequence[str]) -> list[str]:
    """Return the arguments with KEY=VALUE, as it is typed for make, as --KEY=VALUE."""
    return [f"--{each}" if _MAKE_STYLE.match(each) else each for each in typed]


def end_if_hidden(search_path: str) -> None:
    """End if PYTHONPATH has packages that would be loaded instead of those installed.

    Another NumPy, for one, makes JAX fail with an error that names neither.
    """
    installed = Path(sysconfig.get_path("purelib"))
    own = {path.stem for path in installed.glob("*")} - _OF_THE_PROJECT
    for entry in filter(None, search_path.split(os.pathsep)):
        if Path(entry).resolve() == installed.resolve():
            continue
        hidden = sorted(
            own & {path.parent.name for path in Path(entry).glob("*/__init__.py")}
        )
        if hidden:
            sys.exit(
                f"error: PYTHONPATH has {entry}, whose {hidden[0]} would be loaded "
                "instead of the installed one; unset PYTHONPATH, or take that out"
            )


def prepare_caches() -> None:
    """Let Numba work in a checkout that cannot be written; others need no JAX here."""
    if not os.access(Path(__file__).parent, os.W_OK):
        from lra_fnet.hardware import keep_numba_programs

        keep_numba_programs()


def tell(error: BaseException) -> int:
    """Print what ended the program; return the exit status.

    A fault of the program itself is printed with its traceback.
    """
    status, line = ending(error)
    if line is None or os.environ.get("LRA_DEBUG"):
        traceback.print_exception(error)
    else:
        print(line, file=sys.stderr)
    return status


def ending(error: BaseException) -> tuple[int, str | None]:
    """Return exit status and last line for what a user can fix, None for a fault."""
    try:
        from lra_fnet.train import Interrupted
        from lra_fnet.workdir import FolderLocked
        from tasks import DataError
    except Exception:  # an environment variable that JAX cannot read; it says which
        return 1, f"error: JAX cannot be loaded: {message_of(error)}"

    match error:
        case KeyboardInterrupt():
            return 130, "\nstopped; repeat the command to resume"
        case Interrupted():
            return 128 + error.signal_number, f"\n{error}; repeat the command to resume"
        case FolderLocked():
            return IN_USE, f"error: the workdir is in use by process {error}"
        case DataError():
            return NO_DATA, f"error: {message_of(error)}"
    return 1, f"error: {message_of(error)}" if is_fixable(error) else None


def message_of(error: BaseException) -> str:
    """Return what an error says, in one line; the system's errors after their file."""
    if isinstance(error, OSError) and error.filename is not None:
        clash = isinstance(error, FileExistsError)
        said = "exists and is no folder" if clash else error.strerror
        return f"{error.filename}: {said}"
    return " ".join(str(error).split()) or type(error).__name__


def is_fixable(error: BaseException) -> bool:
    """Tell an error that names what the user can change from a fault in the code."""
    from lra_fnet.checkpoint import CheckpointError
    from lra_fnet.hardware import OutOfMemory, is_out_of_memory
    from lra_fnet.hosts import HostError, LaunchError
    from lra_fnet.logbook import NotFinite
    from lra_fnet.schema import BadFile
    from lra_fnet.workdir import WorkdirError

    run = (CheckpointError, HostError, LaunchError, NotFinite, OutOfMemory)
    fixable = (*run, BadFile, MemoryError, OSError, ValueError, WorkdirError)
    return isinstance(error, fixable) or is_out_of_memory(error)


if __name__ == "__main__":
    sys.exit(main())
