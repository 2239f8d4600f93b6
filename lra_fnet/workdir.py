"""The folder of a run: whose it is, and where the results of its seeds lie."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lra_fnet.protocol import config_hash, differences, placeless
from lra_fnet.result import FILE_NAME, write_json

CONFIG_FILE = "config.json"


class WorkdirError(Exception):
    """The workdir belongs to another run or to none; the message says what differs."""


def default_workdir(identity: Mapping[str, Any]) -> Path:
    """Return runs/<task>/<model>-<recipe>-<seeds>-<hash>: no two configs share one."""
    first, count = identity["seed"], identity["num_seeds"]
    seeds = f"seed{first}" if count == 1 else f"seeds{first}-{first + count - 1}"
    parts = (identity["model"], identity["recipe"], seeds, config_hash(identity))
    return Path("runs", identity["task"], "-".join(parts))


def beside_other_data(workdir: Path, checksum: str | None) -> Path:
    """Return the workdir, or a folder beside it where it holds a run on other data.

    Args:
      workdir: as the run is called.
      checksum: of the data of the run; None if that is not known yet.
    """
    path = workdir / CONFIG_FILE
    if checksum is None or not path.exists():
        return workdir
    if read_claim(workdir)["data_checksum"] == checksum:
        return workdir
    return workdir.with_name(f"{workdir.name}-{checksum[:8]}")


def claim(workdir: Path, identity: Mapping[str, Any], checksum: str) -> None:
    """Write config and data checksum into a new workdir, or check they are this run's.

    Raises:
      WorkdirError: another config or other data; names every difference.
    """
    path = workdir / CONFIG_FILE
    if not path.exists():
        workdir.mkdir(parents=True, exist_ok=True)
        write_json(path, {"config": identity, "data_checksum": checksum})
        return
    owner = read_claim(workdir)
    changed = differences(_without_run(owner["config"]), _without_run(identity))
    if owner["data_checksum"] != checksum:
        changed.append(f"data checksum: {owner['data_checksum']} -> {checksum}")
    if changed:
        listed = "\n  ".join(changed)
        raise WorkdirError(
            f"{workdir} holds a run with another config:\n  {listed}\n"
            "choose another workdir, or delete that one"
        )


def read_claim(workdir: Path) -> dict[str, Any]:
    """Return the config and data checksum of the run in a workdir.

    Raises:
      WorkdirError: there is no run there.
    """
    try:
        return json.loads((workdir / CONFIG_FILE).read_text())
    except (OSError, ValueError) as error:
        raise WorkdirError(
            f"no run in {workdir}: {CONFIG_FILE} cannot be read ({error})"
        ) from error


def result_folders(workdir: Path, seeds: Sequence[int]) -> list[Path]:
    """Return where each seed's result goes: the workdir, or a folder per seed."""
    if len(seeds) == 1:
        return [workdir]
    return [workdir / f"seed{seed}" for seed in seeds]


def finished_results(folders: Sequence[Path]) -> list[dict[str, Any]] | None:
    """Return the results in these folders if all are there, else None."""
    paths = [folder / FILE_NAME for folder in folders]
    if not all(path.exists() for path in paths):
        return None
    return [json.loads(path.read_text()) for path in paths]


def _without_run(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config without what cannot change a result."""
    return {key: value for key, value in placeless(identity).items() if key != "run"}
