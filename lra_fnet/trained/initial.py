"""The encoder of one run as the start of another: pre-train once, fine-tune often."""

from pathlib import Path
from typing import Any

import flax.traverse_util
import jax
from jaxtyping import PyTree
from ml_collections import ConfigDict

from lra_fnet.checkpoint import newest_digest
from lra_fnet.config import config_mixers, differences, seeds_of
from lra_fnet.step import of_encoder
from lra_fnet.trained.restore import restore
from lra_fnet.workdir import PRETRAINING_FOLDER, WorkdirError

# What two encoders with equal arrays may still differ in.
SAME = ("inputs", "positions", "norm_placement")


def weights_of(workdir: Path) -> str:
    """Return 12 hexadecimal digits that name the weights a run would hand over.

    Raises:
      WorkdirError: there is no run, or it has no checkpoint.
    """
    folder = workdir / PRETRAINING_FOLDER if _is_pretrained(workdir) else workdir
    digest = newest_digest(folder)
    if not digest:
        raise WorkdirError(
            f"init.from_run is {workdir}, where there is no checkpoint of a run"
        )
    return digest[:12]


def encoder_of(config: ConfigDict, like: PyTree) -> PyTree:
    """Return the encoder of the run to begin from, with an axis over seeds in front.

    Of a run that was pre-trained it is the one before the task, of others the last. A
    run with one seed serves all seeds, another has to have them.

    Args:
      config: of the run that begins, with `init.from_run`.
      like: its parameters, whose encoder has to fit.

    Raises:
      ValueError: the other run has other seeds, or an encoder of other sizes, mixers
        or settings.
      WorkdirError, CheckpointError: see `restore`, or its weights have changed.
    """
    workdir, weights = Path(config.init.from_run).expanduser(), config.init.weights
    if (found := weights_of(workdir)) != weights:
        raise WorkdirError(
            f"{workdir} has weights {found}, and this run began from {weights}"
        )
    run, seeds = restore(workdir, _is_pretrained(workdir)), seeds_of(config)
    _check_same_function(workdir, run.config, config)
    missing = [seed for seed in seeds if seed not in run.seeds]
    if missing and len(run.seeds) > 1:
        raise ValueError(
            f"init.from_run is {workdir}, which has seeds "
            f"{', '.join(map(str, run.seeds))}, not {missing[0]}"
        )
    rows = [0 if missing else run.seeds.index(seed) for seed in seeds]
    learned = of_encoder(run.best.params)
    _check_same_shapes(workdir, learned, of_encoder(like))
    return jax.tree.map(lambda leaf: leaf[jax.numpy.array(rows)], learned)


def _is_pretrained(workdir: Path) -> bool:
    return (workdir / PRETRAINING_FOLDER).is_dir()


def _check_same_function(workdir: Path, other: ConfigDict, own: ConfigDict) -> None:
    """Check that the same parameters would compute the same in both encoders.

    Raises:
      ValueError: names what differs.
    """
    there, here = (
        {"encoder": {key: each.encoder[key] for key in SAME}}
        | {"mixers": config_mixers(each)}
        for each in (other, own)
    )
    changed = differences(there, here)
    changed = [each for each in changed if "dropout_rate: " not in each]
    if changed:
        raise ValueError(
            f"the encoder in {workdir} computes something else: {', '.join(changed)}"
        )


def _check_same_shapes(workdir: Path, learned: PyTree, own: PyTree) -> None:
    """Check that two encoders have the same arrays, seeds aside.

    Raises:
      ValueError: names the first that differs.
    """
    there, here = (_shapes(params) for params in (learned, own))
    # What hid positions is not handed over.
    there.pop("Embedder_0/mask", None), here.pop("Embedder_0/mask", None)
    for name in sorted({*there, *here}):
        if there.get(name) != here.get(name):
            raise ValueError(
                f"the encoder in {workdir} does not fit: {name} has shape "
                f"{there.get(name, 'none')} there and {here.get(name, 'none')} here; "
                "take the same mixer, sizes, encoder.* and length"
            )


def _shapes(params: PyTree) -> dict[str, Any]:
    flat = flax.traverse_util.flatten_dict(params, sep="/")
    return {name: leaf.shape[1:] for name, leaf in flat.items()}
