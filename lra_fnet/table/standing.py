"""Where the cells of a table stand, read from what their runs have left in `runs`."""

import dataclasses
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lra_fnet.config import placeless
from lra_fnet.logbook import last_step
from lra_fnet.result import FILE_NAME, write_json
from lra_fnet.table.cells import Cell

RUNS = Path("runs")
RESULTS = Path("results")  # measured cells that come with the project
FAILURE_FILE = "failure.json"
FAILURE_SCHEMA = 1

Result = Mapping[str, Any]
# The config hash and the seed of a result.
Key = tuple[str, int]


def read_results(root: Path) -> list[Result]:
    """Return all results below a folder; what cannot be read is none."""
    found = (_read_json(path) for path in sorted(root.rglob(FILE_NAME)))
    return [result for result in found if result and _says_of_what(result)]


def by_key(results: Iterable[Result]) -> dict[Key, list[Result]]:
    """Return results by what they are results of."""
    index: dict[Key, list[Result]] = {}
    for result in results:
        index.setdefault((result["config_hash"], result["seed"]), []).append(result)
    return index


def finished_result(cell: Cell, index: Mapping[Key, list[Result]]) -> Result | None:
    """Return the result of a cell, whatever command made it; None if it has none.

    It must be of the data that are prepared here. Where none are, any data will do:
    nothing here says otherwise, and the result says which they were.
    """
    checksum = cell.protocol.data.checksum
    for result in index.get((cell.protocol.config_hash, cell.seed), []):
        if checksum in (None, result["data"]["checksum"]):
            return result
    return None


def new_result(cell: Cell) -> Result | None:
    """Return the result that the cell's own folder holds by now."""
    return finished_result(cell, by_key(read_results(cell.workdir)))


def steps_taken(cell: Cell) -> int:
    """Return the last step that a run of the cell has logged; 0 before any."""
    return last_step(cell.workdir)


@dataclasses.dataclass(frozen=True)
class Failure:
    """Hold why a cell has no result.

    Attributes:
      reason: what the run said last.
      exit_status: of its process; negative for the number of a signal.
      time: when it ended, seconds since 1970.
    """

    reason: str
    exit_status: int
    time: float


def read_failure(cell: Cell) -> Failure | None:
    """Return the failure of a cell; None if its last run did not fail."""
    content = _read_json(cell.workdir / FAILURE_FILE)
    fields = [field.name for field in dataclasses.fields(Failure)]
    if content is None or not content.keys() >= set(fields):
        return None
    return Failure(**{name: content[name] for name in fields})


def write_failure(cell: Cell, reason: str, exit_status: int) -> None:
    """Write the failure of a cell, with what a table needs to show it."""
    row = cell.protocol.row
    failure = Failure(reason, exit_status, time.time())
    cell.workdir.mkdir(parents=True, exist_ok=True)
    content = {
        "schema": FAILURE_SCHEMA,
        "task": row.task,
        "model": row.model,
        "recipe": row.recipe,
        "seed": cell.seed,
        "config_hash": cell.protocol.config_hash,
        "config": placeless(cell.identity),
        **dataclasses.asdict(failure),
        "step": steps_taken(cell),
        "command": cell.command,
    }
    write_json(cell.workdir / FAILURE_FILE, content)


def clear_failure(cell: Cell) -> None:
    """Forget the failure of a cell that is tried again."""
    (cell.workdir / FAILURE_FILE).unlink(missing_ok=True)


def _says_of_what(result: Result) -> bool:
    """Tell whether a file has what names a cell; others may have any content."""
    data = result.get("data")
    has_data = isinstance(data, Mapping) and "checksum" in data
    return has_data and {"config_hash", "seed"} <= result.keys()


def _read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON file, None where there is none or another program is writing it."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
