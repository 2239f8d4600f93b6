"""Apply mixers to saved parameters in another process, as a reloaded model would be.

python -m lra_fnet.rescore FOLDER
"""

import dataclasses
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import flax.serialization
import jax
import numpy as np
from jaxtyping import Array

# A mixer, its parameters, x and mask.
Case = tuple[nn.Module, Mapping[str, Any], Array, Array]


def rescore(cases: Sequence[Case]) -> Iterator[np.ndarray]:
    """Yield what each mixer computes in one new process.

    The process gives strings other hashes, and so sets another order.

    Raises:
      RuntimeError: it failed; says how.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, case in enumerate(cases):
            _save(folder / str(number), *case)
        environment = os.environ | {
            "PYTHONHASHSEED": "4321",
            "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path),
        }
        command = [sys.executable, "-m", "lra_fnet.rescore", name]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the other process failed: {_last_line(done.stderr)}")
        for number in range(len(cases)):
            yield np.load(folder / str(number) / "y.npy")


def _save(folder: Path, mixer: nn.Module, params: Any, x: Array, mask: Array) -> None:
    """Write where the class is, its fields, the parameters and the input."""
    folder.mkdir()
    fields = {
        field.name: getattr(mixer, field.name)
        for field in dataclasses.fields(mixer)
        if field.name not in ("parent", "name")  # Linen's own
    }
    names = {"module": type(mixer).__module__, "name": type(mixer).__qualname__}
    (folder / "mixer.json").write_text(json.dumps(names | {"fields": fields}))
    (folder / "params").write_bytes(flax.serialization.msgpack_serialize(dict(params)))
    np.save(folder / "x.npy", x)
    np.save(folder / "mask.npy", mask)


def _score(folder: Path) -> None:
    """Apply what is saved in a folder and write the result beside it."""
    saved = json.loads((folder / "mixer.json").read_text())
    mixer_type = getattr(importlib.import_module(saved["module"]), saved["name"])
    mixer = mixer_type(**saved["fields"])
    params = flax.serialization.msgpack_restore((folder / "params").read_bytes())
    apply = jax.jit(mixer.apply, static_argnames="train")
    x, mask = np.load(folder / "x.npy"), np.load(folder / "mask.npy")
    np.save(folder / "y.npy", apply(params, x, mask, train=False))


def _last_line(text: str) -> str:
    """Return the last line that says something."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


if __name__ == "__main__":
    for each in Path(sys.argv[1]).iterdir():
        _score(each)
