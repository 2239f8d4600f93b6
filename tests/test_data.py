import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lra_fnet.data import (
    FEATURES,
    MANIFEST,
    SEAL,
    build_cache,
    cache_folder,
    load_dataset,
    open_cached,
)
from tasks import DataError, Split, Task, make_task
from tiny_runs import ROOT

SIZES = {"train": 20, "validation": 5, "test": 6}


def small_splits(**overrides):
    random = np.random.default_rng(0)
    splits = {
        name: Split(
            random.integers(1, 9, (size, 7)).astype(np.uint8),
            random.integers(0, 3, size).astype(np.int32),
        )
        for name, size in SIZES.items()
    }
    return splits | overrides


def small_task(read=None, **provenance):
    return Task(
        name="small",
        vocab_size=9,
        classes=("a", "b", "c"),
        max_length=7,
        source="generated",
        provenance=provenance,
        read=read or (lambda scratch: small_splits()),
        trivial_baselines=lambda splits: {"majority class": 0.5},
    )


def test_a_cache_holds_what_the_task_read(tmp_path):
    dataset = load_dataset(small_task(), tmp_path)
    for name, split in small_splits().items():
        np.testing.assert_array_equal(dataset.splits[name].inputs, split.inputs)
        np.testing.assert_array_equal(dataset.splits[name].labels, split.labels)
    facts = dataset.manifest["splits"]["train"]
    assert facts["examples"] == 20 and sum(facts["labels"]) == 20
    assert dataset.manifest["trivial_baselines"] == {"majority class": 0.5}


def test_it_is_read_once(tmp_path):
    calls = []

    def read(scratch):
        calls.append(scratch)
        return small_splits()

    for _ in range(2):
        load_dataset(small_task(read), tmp_path)
    assert len(calls) == 1


def test_equal_data_has_an_equal_checksum_and_other_data_another(tmp_path):
    first = load_dataset(small_task(), tmp_path / "a")
    second = load_dataset(small_task(), tmp_path / "b")
    assert first.checksum == second.checksum
    other = small_splits(test=Split(np.ones((6, 7), np.uint8), np.zeros(6, np.int32)))
    third = load_dataset(small_task(lambda scratch: other), tmp_path / "c")
    assert third.checksum != first.checksum


def test_other_provenance_is_another_folder(tmp_path):
    folders = {cache_folder(small_task(seed=seed), tmp_path) for seed in (0, 1)}
    assert len(folders) == 2


# --- Damage -------------------------------------------------------------------------


def test_one_changed_byte_is_detected_and_named(tmp_path):
    folder = load_dataset(small_task(), tmp_path).folder
    path = folder / "train_inputs.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"train_inputs\.npy is damaged"):
        load_dataset(small_task(), tmp_path)


def test_a_missing_file_is_named(tmp_path):
    folder = load_dataset(small_task(), tmp_path).folder
    (folder / "test_labels.npy").unlink()
    with pytest.raises(DataError, match=r"lacks test_labels\.npy"):
        load_dataset(small_task(), tmp_path)


def test_every_changed_byte_of_the_manifest_is_refused(tmp_path):
    folder = load_dataset(small_task(), tmp_path).folder
    for name in (MANIFEST, SEAL):
        whole = (folder / name).read_bytes()
        for place in range(len(whole)):
            changed = bytearray(whole)
            changed[place] ^= 1 << place % 8
            (folder / name).write_bytes(changed)
            with pytest.raises(DataError, match=r"manifest\.json"):
                open_cached(small_task(), tmp_path)
        (folder / name).write_bytes(whole)


def test_a_changed_byte_of_the_features_is_refused(tmp_path):
    folder = load_dataset(small_task(), tmp_path).folder
    path = folder / FEATURES
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"test_features\.npz is damaged"):
        load_dataset(small_task(), tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 99}'])
def test_an_unreadable_manifest_is_named(tmp_path, text):
    folder = load_dataset(small_task(), tmp_path).folder
    (folder / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json"):
        load_dataset(small_task(), tmp_path)


def test_a_cache_of_other_data_in_its_place_is_refused(tmp_path):
    folder = load_dataset(small_task(seed=0), tmp_path).folder
    other = load_dataset(small_task(seed=1), tmp_path).folder
    for name in (MANIFEST, SEAL):
        (other / name).rename(folder / name)
    with pytest.raises(DataError, match="other options or code"):
        load_dataset(small_task(seed=0), tmp_path)


# --- Building -----------------------------------------------------------------------


def test_an_interrupted_build_never_looks_complete(tmp_path):
    def interrupted(scratch):
        (scratch / "half").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_dataset(small_task(interrupted), tmp_path)
    assert not cache_folder(small_task(), tmp_path).exists()

    def resumed(scratch):
        assert (scratch / "half").read_text() == "half"
        return small_splits()

    dataset = load_dataset(small_task(resumed), tmp_path)
    assert sorted(p.suffix for p in dataset.folder.iterdir()) == [
        ".json",
        *6 * [".npy"],
        ".npz",
        ".sha256",
    ]


def test_a_build_that_was_made_meanwhile_is_not_made_again(tmp_path):
    folder = load_dataset(small_task(), tmp_path).folder
    build_cache(small_task(lambda scratch: 1 / 0), folder)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (Split(np.full((6, 7), 9, np.uint8), np.zeros(6, int)), "token ids run"),
        (Split(np.ones((6, 7), np.uint8), np.full(6, 3)), "labels run from 3 to 3"),
        (Split(np.ones((6, 8), np.uint8), np.zeros(6, int)), r"inputs \(6, 8\)"),
        (
            Split(np.ones((6, 7), np.uint8), np.zeros(5, int)),
            r"inputs \(6, 7\) and labels \(5,\)",
        ),
        (Split(np.ones((0, 7), np.uint8), np.zeros(0, int)), "no examples"),
    ],
)
def test_a_split_that_breaks_the_facts_of_its_task_is_refused(tmp_path, split, message):
    task = small_task(lambda scratch: small_splits(test=split))
    with pytest.raises(DataError, match=f"small, test split: {message}"):
        load_dataset(task, tmp_path)
    assert not cache_folder(task, tmp_path).exists()


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path):
    def full(scratch):
        raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match="No space left on device; free space"):
        load_dataset(small_task(full), tmp_path)


PROGRAM = """
import sys
from pathlib import Path
from lra_fnet.data import load_dataset
from tasks import make_task
task = make_task("listops", num_train=300, num_validation=50, num_test=50, min_length=5,
                 max_length=40)
print(load_dataset(task, Path(sys.argv[1])).checksum)
"""


def start(root):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "random"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, root],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_two_processes_at_once_share_one_build_and_two_roots_agree(tmp_path):
    processes = [
        start(root) for root in (tmp_path / "a", tmp_path / "a", tmp_path / "b")
    ]
    checksums = {process.communicate(timeout=120)[0] for process in processes}
    assert len(checksums) == 1 and len(checksums.pop().strip()) == 64
    assert len(list((tmp_path / "a" / "listops").glob("generated-*"))) == 1


def test_the_manifest_tells_how_the_data_was_made(tmp_path):
    task = make_task(
        "listops",
        num_train=50,
        num_validation=9,
        num_test=9,
        min_length=5,
        max_length=40,
    )
    manifest = load_dataset(task, tmp_path).manifest
    assert manifest["provenance"] == json.loads(json.dumps(dict(task.provenance)))
    assert manifest["splits"]["test"]["examples"] == 9
    assert set(manifest["trivial_baselines"]) >= {"majority class", "root operator"}
    assert Path(cache_folder(task, tmp_path)).name.startswith("generated-")
