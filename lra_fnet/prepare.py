"""Prepare, check or export the data of a task, without training.

python -m lra_fnet.prepare --config=configs/text.py:lra2020 --action=check
"""

import sys
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict

from lra_fnet import cli
from lra_fnet.check import check_dataset
from lra_fnet.data import Dataset, cache_folder, load_dataset, open_cache
from lra_fnet.export import export_tfds
from lra_fnet.train import data_root
from tasks import DataError, Task, make_task

_ACTION = flags.DEFINE_enum(
    "action", "make", ["make", "check", "export"], "What to do with the data."
)
_TO = flags.DEFINE_string("to", "export", "Folder to export to.")


def main(config: ConfigDict) -> None:
    """Do what the action says, and print what came of it."""
    task = make_task(config.task, **config.data)
    if _ACTION.value == "check":
        check(task)
        return
    dataset = load_dataset(task, data_root())
    print(describe(task, dataset))
    if _ACTION.value == "export":
        target = export_tfds(task, dataset, Path(_TO.value))
        print(f"exported: tfds.builder_from_directory({str(target)!r})")


def check(task: Task) -> None:
    """Print the outcome of every check; exit with an error if one failed.

    Raises:
      DataError: there is no cache, or it is damaged.
    """
    folder = cache_folder(task, data_root())
    if not folder.exists():
        raise DataError(f"no data of {task.name} in {folder}: make them first")
    findings = []
    print(f"{task.name}, {folder}")
    for finding in check_dataset(task, open_cache(task, folder)):
        findings.append(finding)
        print(f"  {finding.line()}", flush=True)
    failed = [finding.name for finding in findings if not finding.passed]
    if failed:
        sys.exit(
            f"error: {task.name}: {len(failed)} checks failed: {'; '.join(failed)}"
        )


def describe(task: Task, dataset: Dataset) -> str:
    """Return a table: counts, label balance and length quantiles of every split."""
    size = sum(path.stat().st_size for path in dataset.folder.iterdir())
    lines = [
        f"{task.name}, source {task.source}, in {dataset.folder}",
        f"  {'split':<12}{'examples':>9}  {'labels, % of each class':<28}"
        "tokens: 0, 25, 50, 75, 100 % quantile",
    ]
    for name, facts in dataset.manifest["splits"].items():
        shares = [100 * count / facts["examples"] for count in facts["labels"]]
        balance = f"{min(shares):.1f} to {max(shares):.1f}"
        quantiles = ", ".join(f"{q:,.0f}" for q in facts["length_quantiles"])
        lines.append(f"  {name:<12}{facts['examples']:>9,}  {balance:<28}{quantiles}")
    lines.append(f"  checksum {dataset.checksum}")
    lines.append(
        f"  {size / 2**20:,.1f} MiB, made in {dataset.manifest['seconds']:,.1f} s"
    )
    for reader, accuracy in dataset.manifest["readers"].items():
        lines.append(f"  answer by {reader}: {100 * accuracy:.2f} % of the test split")
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main)
