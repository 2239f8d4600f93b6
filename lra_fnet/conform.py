"""Say in words what holds of the contract of a mixer, and what does not.

python -m lra_fnet.conform --model=mymixer
"""

import argparse
import runpy
import sys
from pathlib import Path

from lra_fnet.build import mixer_values
from lra_fnet.contract import BATCH, LENGTH, WIDTH, check_mixer
from lra_fnet.mixers import mixer_class, mixer_names


def main() -> None:
    """Print the outcome of every check; exit with an error if one failed."""
    parser = argparse.ArgumentParser(prog="python -m lra_fnet.conform")
    parser.add_argument("--model", required=True, help="a mixer's name, or its module")
    parser.add_argument("--config", type=Path, default=Path("configs/common.py"))
    arguments = parser.parse_args()
    name = arguments.model
    config = runpy.run_path(str(arguments.config))["common_config"]()
    if name in mixer_names() and name not in config.mixers:
        sys.exit(f"error: {arguments.config} has no line config.mixers.{name}")
    try:
        mixer_type = mixer_class(name)
        own_line = name in mixer_names()
        values = (
            config.mixers[name].to_dict() if own_line else mixer_values(config, name)
        )
    except (AttributeError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"{name}, {BATCH} x {LENGTH} x {WIDTH}, hyperparameters {values}")
    failed = []
    for finding in check_mixer(mixer_type, values):
        print(f"  {finding.line()}", flush=True)
        failed += [] if finding.passed else [finding.name]
    if failed:
        sys.exit(f"error: {name}: {len(failed)} do not hold: {'; '.join(failed)}")


if __name__ == "__main__":
    main()
