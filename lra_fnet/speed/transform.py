"""Measure which algorithm transforms fastest, and remake this backend's choice of them.

python -m lra_fnet.speed.transform [--lengths=1024,2048] [--widths=64,128]

Every algorithm that is exact to its dtype runs forward and backward between element-
wise operations, all in turns, on all devices. The rule of the choice: `real_fft`,
unless another was faster in nine of ten rounds and, in the middle, by 3 %; of several
the fastest. The published formula is measured to compare with, and never chosen.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from lra_fnet import fourier_choice
from lra_fnet.hardware import describe_device, set_up
from lra_fnet.mixers._fourier import ALGORITHMS, DEFAULT, EXACT, supports
from lra_fnet.report.markdown import table
from lra_fnet.result import git_commit, library_versions, write_json
from lra_fnet.speed.alone import batch_for, transform_calls
from lra_fnet.speed.timing import Sample, interleaved, ratios
from lra_fnet.step import make_mesh

LENGTHS = "1024,2000,2048,4000,4096,16384"
WIDTHS = "64,128,256,512"
DTYPES = ("float32", "bfloat16")
BASE = "published"

ROUNDS, SECONDS = 10, 8.0
PATIENCE = 3.0  # times the quickest: what is slower is not measured again
LEAST_GAIN = 1.03
LEAST_WINS = 0.9  # of the rounds
FEWEST_ROUNDS = 5  # to choose by


def clock() -> str:
    """Return which seconds count.

    CPU devices share the batch, so that all cores work; their own seconds are then the
    same measure as the clock's, but other work on the machine hardly changes them.
    """
    return "processor" if jax.default_backend() == "cpu" else "wall"


def measured_row(
    length: int, width: int, dtype: str, seconds: float = SECONDS
) -> dict[str, Any]:
    """Return the row of a shape: the choice, and all speeds as ratios to published."""
    exact = EXACT if dtype == "float32" else ALGORITHMS
    names = [name for name in exact if supports(name, length, width)]
    shape = batch_for(length, width), length, width
    calls = transform_calls(names, shape, dtype, in_network=True)
    samples = interleaved(calls, ROUNDS, seconds, PATIENCE)
    speeds = {
        name: round(statistics.median(ratios(samples[BASE], own, clock())), 2)
        for name, own in samples.items()
    }
    algorithm = choice(samples, clock())
    row = {"length": length, "width": width, "dtype": dtype, "algorithm": algorithm}
    return row | {"speeds": speeds}


def choice(samples: Mapping[str, Sequence[Sample]], by: str) -> str:
    """Return the algorithm to take, by the rule above.

    >>> quick, slow = [Sample(1.0, 1.0)] * 9, [Sample(2.0, 2.0)] * 9
    >>> choice({"real_fft": slow, "matrix": quick}, "wall")
    'matrix'
    """
    gains = {DEFAULT: 1.0}
    for name in samples.keys() - {BASE, DEFAULT}:
        rounds = ratios(samples[DEFAULT], samples[name], by)
        wins = sum(ratio > 1 for ratio in rounds) / len(rounds)
        gain = statistics.median(rounds)
        enough = len(rounds) >= FEWEST_ROUNDS and wins >= LEAST_WINS
        if enough and gain >= LEAST_GAIN:
            gains[name] = gain
    return max(gains, key=lambda name: (gains[name], name))


def remake(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the rows as this backend's part of the table, the others as they are."""
    parts = json.loads(path.read_text()) if path.exists() else {}
    mesh = make_mesh(jax.local_device_count())
    parts[jax.default_backend()] = {
        "device": describe_device(mesh),
        "versions": library_versions(),
        "commit": git_commit(),
        "clock": clock(),
        "rows": list(rows),
    }
    write_json(path, dict(sorted(parts.items())))


def document(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    names = [name for name in ALGORITHMS if name != BASE]
    lines = [
        [
            f"{row['length']:,}",
            str(row["width"]),
            row["dtype"],
            row["algorithm"],
            *(str(row["speeds"].get(name, "")) for name in names),
        ]
        for row in rows
    ]
    return table(["length", "width", "dtype", "choice", *names], lines)


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser(prog="python -m lra_fnet.speed.transform")
    parser.add_argument("--lengths", default=LENGTHS, help=f"default: {LENGTHS}")
    parser.add_argument("--widths", default=WIDTHS, help=f"default: {WIDTHS}")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of a shape")
    parser.add_argument("--to", type=Path, default=fourier_choice.PATH)
    options = parser.parse_args(arguments)
    for key in ("lengths", "widths"):
        values = getattr(options, key).replace(",", " ").split()
        setattr(options, key, [int(value) for value in values])
    return options


def main() -> None:
    """Measure all shapes, write the table, print it."""
    options = parsed()
    set_up()
    shapes = [
        (n, d, t) for n in options.lengths for d in options.widths for t in DTYPES
    ]
    rows, started = [], time.monotonic()
    for done, shape in enumerate(shapes):
        left = (time.monotonic() - started) / max(done, 1) * (len(shapes) - done)
        eta = f"{left / 60:.0f} min left" if done else "measuring"
        print(f"[{done + 1}/{len(shapes)}] {shape} ({eta})", flush=True)
        rows.append(measured_row(*shape, options.seconds))
        print(f"    {rows[-1]['algorithm']}: {rows[-1]['speeds']}", flush=True)
    remake(rows, options.to)
    print(f"\nTimes as fast as the published formula\n\n{document(rows)}")
    print(f"wrote {options.to}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nstopped; the table is as it was")
