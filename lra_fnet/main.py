"""Train and evaluate one cell: a task, a model and a recipe.

    python -m lra_fnet.main --config=configs/listops.py:quick --config.model=fnet

Every key of the config is a flag: `--config.train.num_steps=100`. Started on several
hosts, by SLURM, on a TPU pod or with JAX's variables, it is one run on all of them.
"""

from pathlib import Path

from absl import flags
from ml_collections import ConfigDict

from lra_fnet import cli, hosts
from lra_fnet.build import config_mixers
from lra_fnet.parity import match_parameters
from lra_fnet.process import set_up
from lra_fnet.protocol import resolved_config
from lra_fnet.result import render
from lra_fnet.train import train_and_evaluate
from lra_fnet.workdir import default_workdir

_WORKDIR = flags.DEFINE_string(
    "workdir", "", "Folder of the run; default: runs/<task>/<model>-<recipe>-<seed>-..."
)
_PARITY = flags.DEFINE_enum(
    "parity",
    "",
    ["", "params"],
    "params: solve the sizes so that parameters match the base Transformer within 1 %.",
)


def main(config: ConfigDict) -> None:
    """Run one cell and print its results."""
    recipe = cli.recipe_config()
    if _PARITY.value == "params":
        match_parameters(config, recipe)
        sizes = config.encoder
        print(f"parity: encoder.width={sizes.width}, encoder.mlp_dim={sizes.mlp_dim}")
    identity = resolved_config(config, config_mixers(config))
    workdir = Path(_WORKDIR.value or default_workdir(identity))
    print(f"workdir {workdir}")
    if hosts.count() > 1:
        print(f"{hosts.count()} hosts share each batch")
    for result in train_and_evaluate(
        config, workdir, recipe=recipe, parity=_PARITY.value
    ):
        print(render(result))
    print(f"  results in {workdir}")


if __name__ == "__main__":
    with hosts.joined():
        set_up()
        cli.run(main)
