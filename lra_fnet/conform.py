"""Say in words what holds of the contract of a mixer, and what does not.

python -m lra_fnet.conform --model=mymixer     one, with what was found
python -m lra_fnet.conform                     all, a line each and a table at the end
"""

import argparse
import runpy
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from lra_fnet.build import mixer_values
from lra_fnet.contract import BATCH, LENGTH, WIDTH, check_mixer
from lra_fnet.finding import Finding
from lra_fnet.markdown import table
from lra_fnet.mixers import mixer_class, mixer_names


def main() -> None:
    """Check one mixer or all of them; exit with an error if something does not hold."""
    parser = argparse.ArgumentParser(prog="python -m lra_fnet.conform")
    parser.add_argument("--model", default="", help="a name or module; default: all")
    parser.add_argument("--config", type=Path, default=Path("configs/common.py"))
    arguments = parser.parse_args()
    config = runpy.run_path(str(arguments.config))["common_config"]()
    try:
        if arguments.model:
            failed = failures(arguments.model, check_one(arguments.model, config))
        else:
            failed = check_all(config)
    except (AttributeError, ValueError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nstopped")
    if failed:
        sys.exit(f"error: {len(failed)} do not hold: {'; '.join(failed)}")


def check_one(name: str, config: ConfigDict) -> list[Finding]:
    """Print the outcome of every check of a mixer, and return them.

    Raises:
      ValueError: no such mixer, or it has no line in the config.
    """
    values = hyperparameters(name, config)
    print(f"{name}, {BATCH} x {LENGTH} x {WIDTH}, hyperparameters {values}")
    return list(_printed(check_mixer(mixer_class(name), values)))


def check_all(config: ConfigDict) -> list[str]:
    """Check every mixer, print a table of them, and return what does not hold."""
    found: dict[str, list[Finding]] = {}
    for name in mixer_names():
        values = hyperparameters(name, config)
        found[name] = list(check_mixer(mixer_class(name), values))
        failed = failures(name, found[name])
        print(f"{name}: {'; '.join(failed) or 'all holds'}", flush=True)
    print(f"\n{matrix(found)}")
    return [failure for name in found for failure in failures(name, found[name])]


def hyperparameters(name: str, config: ConfigDict) -> dict[str, Any]:
    """Return the values of a mixer's fields: its line of the config.

    Raises:
      ValueError: no such mixer, or one of this suite without a line.
    """
    mixer_class(name)
    if name not in mixer_names():
        return mixer_values(config, name)
    if name not in config.mixers:
        raise ValueError(f"configs/common.py has no line config.mixers.{name}")
    return config.mixers[name].to_dict()


def failures(name: str, findings: Sequence[Finding]) -> list[str]:
    """Return what does not hold of a mixer, as `mixer: property`."""
    return [f"{name}: {finding.name}" for finding in findings if not finding.passed]


def matrix(found: Mapping[str, Sequence[Finding]]) -> str:
    """Return a table of mixers and properties, and what the columns are.

    >>> print(matrix({"fnet": [Finding("holds", True, ""), Finding("no", False, "")]}))
    | mixer | 1  | 2      |
    |-------|----|--------|
    | fnet  | ok | FAILED |
    <BLANKLINE>
    1 holds; 2 no
    """
    names = list(dict.fromkeys(f.name for findings in found.values() for f in findings))
    rows = []
    for mixer, findings in found.items():
        outcomes = {f.name: "ok" if f.passed else "FAILED" for f in findings}
        rows.append([mixer, *(outcomes.get(name, "not reached") for name in names)])
    numbers = [str(number) for number in range(1, len(names) + 1)]
    legend = "; ".join(map(" ".join, zip(numbers, names, strict=True)))
    return f"{table(['mixer', *numbers], rows)}\n{legend}"


def _printed(findings: Iterator[Finding]) -> Iterator[Finding]:
    """Print findings as they come."""
    for finding in findings:
        print(f"  {finding.line()}", flush=True)
        yield finding


if __name__ == "__main__":
    main()
