"""Count the code: what `make size` prints, so that growth is seen.

Lines are all lines of Python files, docstrings and comments included. "Files of a
training step" are those that run when one is traced, files of the report those that run
for its tables of accuracy; "modules of train" those that `import lra_fnet.train` loads,
tasks included.
"""

import ast
import statistics
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parent.parent
TRACE = """
import sys
import jax.numpy as jnp, numpy as np
from lra_fnet.config import load_config, make_program, task_facts
from lra_fnet.step import Program
config = load_config("listops", "quick", {"encoder.dropout_rate": 0.1})
program, files = make_program(config, task_facts(config)), set()
inputs, labels = jnp.ones((32, 2000), jnp.uint8), jnp.ones(32, jnp.int32)
state = program.init(jnp.array([0]), inputs)
sys.setprofile(lambda frame, *_: files.add(frame.f_code.co_filename))
Program.train.trace(program, state, inputs, labels, np.zeros((1, 1, 16), np.int32), 1)
sys.setprofile(None)
print(*(f for f in files if "/lra_fnet/" in f), sep="\\n")
"""
REPORT = """
import sys
from pathlib import Path
from lra_fnet.report.page import read_report, table_csv
files = set()
sys.setprofile(lambda frame, *_: files.add(frame.f_code.co_filename))
table_csv(read_report([Path("results")]))
sys.setprofile(None)
print(*(f for f in files if "/lra_fnet/" in f), sep="\\n")
"""


def main() -> None:
    """Print the table."""
    for name, bound, value in figures():
        print(f"{name:<52}{value:>8}   {bound}")


def figures() -> Iterable[tuple[str, str, str | int]]:
    """Yield name, bound and value of every figure."""
    package, source = python("lra_fnet"), python("lra_fnet", "tasks", "configs")
    mixers = python("lra_fnet/mixers")
    lengths = sorted(function_lengths(source))
    yield "Python files in lra_fnet/", "<= 20", len([*(ROOT / "lra_fnet").glob("*.py")])
    yield "lines of source", "<= 14,000", lines(source)
    yield "  of lra_fnet without mixers", "<= 6,500", lines(package) - lines(mixers)
    yield "  of mixers", "", lines(mixers)
    yield "  of tasks", "<= 3,200", lines(python("tasks"))
    yield "lines of tests", ">= half", lines(python("tests"))
    yield (
        "lines of the Makefile",
        "<= 110",
        len((ROOT / "Makefile").read_text().split("\n")),
    )
    yield "entry points", "1", sum("__main__" in p.read_text() for p in source)
    yield "modules of train", "<= 20", len(own_modules("lra_fnet.train"))
    yield "files of a training step", "<= 9", len(printed(TRACE))
    yield "files that run for a number of the report", "<= 7", len(printed(REPORT))
    yield "lines of a function, median", "<= 10", statistics.median(lengths)
    yield (
        "lines of a function, 90th percentile",
        "<= 20",
        lengths[9 * len(lengths) // 10],
    )


def python(*folders: str) -> list[Path]:
    """List the Python files below some folders."""
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py")]


def lines(paths: Iterable[Path]) -> int:
    """Count the lines of files."""
    return sum(len(path.read_text().splitlines()) for path in paths)


def function_lengths(paths: Iterable[Path]) -> Iterable[int]:
    """Yield the lines of every function, without its docstring and decorators."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                first = node.body[0]
                has_docstring = ast.get_docstring(node) is not None
                said = (
                    (first.end_lineno or 0) - first.lineno + 1 if has_docstring else 0
                )
                yield (node.end_lineno or 0) - node.lineno + 1 - said


def own_modules(module: str) -> list[str]:
    """List the modules of this project that importing one loads."""
    loaded = printed(f"import sys, {module}; print(*sys.modules, sep='\\n')")
    packages = ("lra_fnet", "tasks", "configs")
    return [name for name in loaded if name.split(".")[0] in packages]


def printed(program: str) -> list[str]:
    """Return the lines that a Python program prints, run at the root."""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split()


if __name__ == "__main__":
    main()
