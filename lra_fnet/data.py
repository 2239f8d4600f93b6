"""From a task to verified arrays: the cache on disk.

A cache is a folder of plain arrays and a manifest:

    <root>/<task>/<source>-<key>/manifest.json, manifest.json.sha256
                                 {train,validation,test}_{inputs,labels}.npy
                                 test_features.npz

The key is a hash of the task's provenance, so other options make another folder. A
build happens in a sibling folder that is renamed when it is complete.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from lra_fnet.workdir import FolderLock
from tasks import SPLITS, DataError, Split, Task

FORMAT_VERSION = 3
MANIFEST = "manifest.json"
SEAL = "manifest.json.sha256"  # as sha256sum writes it
FEATURES = "test_features.npz"  # not in the checksum: no model sees what is in it


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The splits of a task as memory-mapped arrays, and what is known of them."""

    splits: Mapping[str, Split]
    manifest: Mapping[str, Any]
    folder: Path

    @property
    def checksum(self) -> str:
        """Return the sha256 over the checksums of all files: the data's identity."""
        return self.manifest["checksum"]

    def facts(self) -> dict[str, Any]:
        """Return what a result says of its data."""
        return {
            "source": self.manifest["source"],
            "checksum": self.checksum,
            "provenance": self.manifest["provenance"],
            "validation_is_test": self.manifest["validation_is_test"],
        }

    def summary(self) -> str:
        """Return one line that says which data these are."""
        counts = [f"{name} {len(split):,}" for name, split in self.splits.items()]
        return (
            f"data {self.manifest['source']}: {', '.join(counts)}; "
            f"checksum {self.checksum[:12]}, in {self.folder}"
        )


def data_root() -> Path:
    """Return the folder of the data caches: LRA_DATA, or `data` where the run is."""
    return Path(os.environ.get("LRA_DATA") or "data").expanduser()


def load_dataset(task: Task, root: Path) -> Dataset:
    """Return the verified cache of a task, made first where there is none.

    Raises:
      DataError: the cache is damaged, or the data cannot be made.
    """
    folder = cache_folder(task, root)
    if not folder.exists():
        build_cache(task, folder)
    return open_cache(task, folder)


def cached_checksum(task: Task, root: Path) -> str | None:
    """Return the data checksum of a task's cache, None where there is no sound one.

    Only the manifest is read; opening the cache verifies the rest.
    """
    try:
        return _read_manifest(cache_folder(task, root))["checksum"]
    except DataError:
        return None


def cache_folder(task: Task, root: Path) -> Path:
    """Return the folder of a task's cache, named after source and provenance."""
    identity = {"format": FORMAT_VERSION, "provenance": dict(task.provenance)}
    key = hashlib.sha256(_canonical_json(identity).encode()).hexdigest()[:12]
    return Path(root) / task.name / f"{task.source}-{key}"


def open_cached(task: Task, root: Path) -> Dataset:
    """Return the verified cache of a task, which must be there.

    Raises:
      DataError: there is none, or it is damaged.
    """
    folder = cache_folder(task, root)
    if not folder.exists():
        raise DataError(f"no data of {task.name} in {folder}: make them first")
    return open_cache(task, folder)


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
    for name, accuracy in dataset.manifest["trivial_baselines"].items():
        lines.append(f"  trivial baseline, {name}: {100 * accuracy:.2f} %")
    return "\n".join(lines)


# ---------------------------------------------------------------------------
# Building


def build_cache(task: Task, folder: Path) -> None:
    """Make the arrays and the manifest aside, then rename them to `folder`.

    An interrupted build leaves only the folder aside, which the next build takes up.
    A second process that wants the same data waits for the first.
    """
    aside = folder.with_name(f".{folder.name}.building")
    aside.mkdir(parents=True, exist_ok=True)
    with FolderLock(aside, wait=True):
        if folder.exists():  # the process we waited for has made it
            return
        try:
            _write_cache(task, aside)
        except OSError as error:
            raise DataError(
                f"cannot write the data of {task.name} to {aside}: "
                f"{error.strerror or error}; free space or set LRA_DATA to another "
                "folder, and run again"
            ) from error
        aside.rename(folder)


def _write_cache(task: Task, aside: Path) -> None:
    """Write arrays, then the manifest, and delete what a task kept in between."""
    started = time.monotonic()
    scratch = aside / "scratch"
    scratch.mkdir(exist_ok=True)
    splits = task.read(scratch)
    for name in SPLITS:
        check_split(task, name, splits[name])
        for kind in ("inputs", "labels"):
            _save(aside / f"{name}_{kind}.npy", getattr(splits[name], kind))
    features: Mapping[str, Any] = splits["test"].features
    with _synced(aside / FEATURES) as file:
        np.savez(file, **features)
    manifest: dict[str, Any] = {
        "format": FORMAT_VERSION,
        "task": task.name,
        "source": task.source,
        "provenance": dict(task.provenance),
        "validation_is_test": task.validation_is_test,
        "splits": {name: summarize(task, splits[name]) for name in SPLITS},
        "trivial_baselines": dict(task.trivial_baselines(splits)),
        "files": _checksums(aside),
        "features": _file_digest(aside / FEATURES),
        "seconds": round(time.monotonic() - started, 1),
    }
    manifest["checksum"] = _digest_of(manifest["files"])
    shutil.rmtree(scratch)
    text = (json.dumps(manifest, indent=2) + "\n").encode()
    for path, content in ((aside / MANIFEST, text), (aside / SEAL, _seal(text))):
        with _synced(path) as file:
            file.write(content)


def check_split(task: Task, name: str, split: Split) -> None:
    """Check a split against the facts its task states.

    Raises:
      DataError: shape, ids or labels are not what the task says.
    """
    shape = task.row_shape
    where = f"{task.name}, {name} split"
    if split.inputs.shape[1:] != shape or len(split.inputs) != len(split.labels):
        raise DataError(
            f"{where}: inputs {split.inputs.shape} and labels {split.labels.shape} "
            f"do not fit examples of shape {shape}"
        )
    if not len(split):
        raise DataError(f"{where}: no examples")
    for feature, values in split.features.items():
        if values.shape != split.labels.shape or values.dtype.kind not in "iuU":
            raise DataError(
                f"{where}: {feature} is {values.dtype} {values.shape}, needs one whole "
                "number or word for each example"
            )
    for what, values, bound in (
        ("token id", split.inputs, task.vocab_size),
        ("label", split.labels, task.num_classes),
    ):
        if values.min() < 0 or values.max() >= bound:
            raise DataError(
                f"{where}: {what}s run from {values.min()} to {values.max()}, "
                f"outside 0 to {bound - 1}"
            )


def summarize(task: Task, split: Split) -> dict[str, Any]:
    """Return count, label histogram and quantiles of the length in tokens."""
    histogram = np.bincount(split.labels, minlength=task.num_classes)
    lengths = np.full(len(split), task.max_length)
    if task.pad_id is not None:
        lengths = (split.inputs != task.pad_id).sum(axis=-1).ravel()
    quantiles = np.quantile(lengths, [0, 0.25, 0.5, 0.75, 1])
    return {
        "examples": len(split),
        "labels": histogram.tolist(),
        "length_quantiles": [round(float(q), 1) for q in quantiles],
    }


def _save(path: Path, array: np.ndarray) -> None:
    """Write an array and wait until it is on the disk."""
    with _synced(path) as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


@contextlib.contextmanager
def _synced(path: Path) -> Iterator[Any]:
    """Open a file for writing and flush it through to the disk at the end."""
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


# ---------------------------------------------------------------------------
# Opening


def open_cache(task: Task, folder: Path) -> Dataset:
    """Verify every byte of a cache and map its arrays into memory.

    Raises:
      DataError: names the file that is missing, damaged or not of this task.
    """
    manifest = _read_manifest(folder)
    remedy = "delete this folder and repeat the command to remake it"
    if manifest["provenance"] != json.loads(_canonical_json(dict(task.provenance))):
        raise DataError(f"{folder} was made with other options or code: {remedy}")
    for name, digest in _checksums(folder).items():
        if manifest["files"].get(name) != digest:
            raise DataError(f"{folder / name} is damaged (sha256 differs): {remedy}")
    if _file_digest(folder / FEATURES) != manifest["features"]:
        raise DataError(f"{folder / FEATURES} is damaged (sha256 differs): {remedy}")
    missing = set(manifest["files"]) - set(_checksums_names(folder))
    if missing:
        raise DataError(f"{folder} lacks {', '.join(sorted(missing))}: {remedy}")
    splits = {name: _map_split(folder, name) for name in SPLITS}
    for name, split in splits.items():
        check_split(task, name, split)
    return Dataset(splits, manifest, folder)


def _read_manifest(folder: Path) -> dict[str, Any]:
    """Read a manifest; a half-written or missing one is a damaged cache."""
    path = folder / MANIFEST
    try:
        text, seal = path.read_bytes(), (folder / SEAL).read_bytes()
        manifest = json.loads(text) if seal == _seal(text) else {}
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read ({error}): delete {folder} and run again"
        ) from error
    if manifest.get("format") != FORMAT_VERSION:
        raise DataError(
            f"{path} is of another format or altered: delete {folder} and run again"
        )
    return manifest


def _seal(manifest: bytes) -> bytes:
    """Return the content of the file that vouches for the manifest."""
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n".encode()


def _map_split(folder: Path, name: str) -> Split:
    """Map the two arrays of a split."""
    inputs, labels = (
        np.load(folder / f"{name}_{kind}.npy", mmap_mode="r")
        for kind in ("inputs", "labels")
    )
    return Split(inputs, labels, _read_features(folder) if name == "test" else {})


def _read_features(folder: Path) -> dict[str, np.ndarray]:
    """Read what is known of each test example."""
    with np.load(folder / FEATURES) as arrays:
        return dict(arrays)


def _checksums_names(folder: Path) -> list[str]:
    """List the array files of a cache."""
    return sorted(path.name for path in folder.glob("*.npy"))


def _checksums(folder: Path) -> dict[str, str]:
    """Return the sha256 of every array file; the files are hashed in parallel."""
    names = _checksums_names(folder)
    with ThreadPoolExecutor() as pool:
        digests = pool.map(lambda name: _file_digest(folder / name), names)
        return dict(zip(names, digests, strict=True))


def _file_digest(path: Path) -> str:
    """Return the sha256 of a file; "" where there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of(files: Mapping[str, str]) -> str:
    """Return one sha256 for all files: the data checksum of a result."""
    return hashlib.sha256(_canonical_json(dict(files)).encode()).hexdigest()


def _canonical_json(value: Any) -> str:
    """Return the one JSON text of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
