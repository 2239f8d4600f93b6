"""The contract every file of tasks/ is held to, on its made-up sample."""

import hashlib
import importlib
import json
import subprocess
import sys

import numpy as np
import pytest

from configs import grid
from lra_fnet.data import load_dataset
from tasks import (
    OTHER_FILES,
    SPLITS,
    DataError,
    Split,
    make_task,
    task_names,
    task_title,
)
from tasks.checks import check_splits
from tiny_runs import ROOT

NAMES = task_names()
# The smallest data of every task that no network is needed for.
SMALL = {
    "listops": {
        "num_train": 300,
        "num_validation": 50,
        "num_test": 60,
        "min_length": 5,
        "max_length": 60,
    },
    "pathfinder": {"source": "sample"},
    "pathx": {
        "source": "sample",
        "num_train": 40,
        "num_validation": 10,
        "num_test": 10,
    },
    "text": {"source": "sample"},
    "image": {"source": "sample"},
    "retrieval": {"source": "sample"},
    # Enough rows for every one of 64 classes to be in each split.
    "recall": {
        "num_train": 1_500,
        "num_validation": 900,
        "num_test": 900,
        "length": 64,
        "num_pairs": 8,
    },
    "even_pairs": {
        "num_train": 300,
        "num_validation": 50,
        "num_test": 60,
        "min_length": 20,
        "max_length": 40,
    },
    "corpus": {"source": "sample"},
    "glue": {"source": "sample"},
    "sort": {"num_train": 300, "num_validation": 50, "num_test": 60, "count": 8},
}


def small_task(name, **options):
    return make_task(name, **SMALL[name] | options)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    return {name: load_dataset(small_task(name), root) for name in NAMES}


def test_every_task_has_small_data_here():
    assert sorted(SMALL) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_ids_labels_and_lengths_are_what_the_task_says(datasets, name):
    task, splits = small_task(name), datasets[name].splits
    for split in SPLITS:
        inputs, labels = splits[split].inputs, splits[split].labels
        assert inputs.dtype == np.uint8 and labels.dtype == np.int32
        assert inputs.shape[-1] == task.max_length
        assert inputs.ndim == (2 if task.num_documents == 1 else 3)
        found, classes = set(np.unique(labels)), set(range(task.num_classes))
        assert found < classes if task.labels_are_next_ids else found == classes
        assert inputs.max() < task.vocab_size


@pytest.mark.parametrize("name", NAMES)
def test_padding_only_follows_data(datasets, name):
    task = small_task(name)
    if task.pad_id is None:
        return
    for split in datasets[name].splits.values():
        padded = np.asarray(split.inputs) == task.pad_id
        assert not (padded[..., :-1] & ~padded[..., 1:]).any()


@pytest.mark.parametrize("name", NAMES)
def test_every_check_passes(datasets, name):
    findings = list(check_splits(small_task(name), datasets[name].splits))
    assert all(finding.passed for finding in findings), findings
    assert any("repeated examples" in finding.name for finding in findings)


@pytest.mark.parametrize("name", NAMES)
def test_trivial_baselines_are_accuracies_that_start_with_the_majority(datasets, name):
    baselines = datasets[name].manifest["trivial_baselines"]
    assert next(iter(baselines)) == "majority class"
    # Of recall's short rows all is near; no one answer sorts two rows.
    assert all(
        (accuracy > 0 or name == "sort") and accuracy <= 1
        for accuracy in baselines.values()
    )


PROGRAM = """
import hashlib, json, sys, tempfile
from pathlib import Path
from tasks import make_task
for name, options in json.loads(sys.argv[1]).items():
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory() as scratch:
        for _, split in sorted(make_task(name, **options).read(Path(scratch)).items()):
            digest.update(split.inputs.tobytes() + split.labels.tobytes())
    print(name, digest.hexdigest())
"""


def digest_of(splits):
    digest = hashlib.sha256()
    for _, split in sorted(splits.items()):
        digest.update(split.inputs.tobytes() + split.labels.tobytes())
    return digest.hexdigest()


@pytest.mark.slow
def test_another_process_makes_the_same_bytes(datasets):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(SMALL)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = dict(line.split() for line in done.stdout.splitlines())
    assert found == {name: digest_of(datasets[name].splits) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_provenance_is_plain_json(name):
    provenance = dict(small_task(name).provenance)
    assert json.loads(json.dumps(provenance)) is not None


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_source_names_the_choices(name):
    with pytest.raises(ValueError, match="did you mean 'sample'|unknown source"):
        make_task(name, source="sampel")


def test_tasks_come_in_the_order_of_the_tables_with_their_titles():
    assert [*grid.TASKS, "recall", "even_pairs", "corpus", "glue", "sort"] == NAMES
    titles = ["ListOps", "Text", "Retrieval", "Image", "Pathfinder", "Path-X"]
    assert [task_title(name) for name in grid.TASKS] == titles
    assert task_title("text-1000") == "text-1000"


def test_names_titles_and_facts_of_tasks_import_nothing_slow():
    program = (
        "import sys, tasks\n"
        "for name in tasks.task_names():\n"
        "    tasks.task_title(name)\n"
        "    name in ('retrieval', 'corpus', 'glue') or tasks.make_task(name)\n"
        "print(*sys.modules)"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    slow = {"numba", "sklearn", "tensorflow", "jax", "PIL", "lra_fnet"}
    assert not slow & set(done.stdout.split())


def test_a_task_is_a_file_here_and_its_config():
    assert {path.stem for path in (ROOT / "configs").glob("*.py")} > set(NAMES)
    files = {path.stem for path in (ROOT / "tasks").glob("[!_]*.py")}
    assert files == set(NAMES) | OTHER_FILES


def test_an_unknown_task_names_the_closest():
    with pytest.raises(ValueError, match="did you mean 'listops'"):
        make_task("listop")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("recipe", ["quick", "small", "lra2020", "strong"])
def test_every_option_of_a_config_is_one_of_its_task(name, recipe):
    config = importlib.import_module(f"configs.{name}").get_config(recipe)
    data = dict(config.data)
    if name in ("text", "image", "retrieval", "corpus", "glue"):
        data["source"] = "sample"
    task = make_task(config.task, **data)
    assert task.name.split("-")[0] == name


# --- What the checks catch ----------------------------------------------------------


def findings_of(task, dataset, **changes):
    """The names of the failed checks after the splits were changed."""
    splits = {
        name: Split(np.array(split.inputs), np.array(split.labels))
        for name, split in dataset.splits.items()
    }
    for change in changes.values():
        change(splits)
    return [f.name for f in check_splits(task, splits) if not f.passed]


def test_a_wrong_label_is_found(datasets):
    def wrong(splits):
        splits["train"].labels[7] = (splits["train"].labels[7] + 1) % 10

    task = small_task("listops")
    assert findings_of(task, datasets["listops"], change=wrong) == ["labels"]


def test_a_changed_image_is_found(datasets):
    def darken(splits):
        splits["validation"].inputs[:] //= 2

    task = small_task("pathfinder")
    assert findings_of(task, datasets["pathfinder"], change=darken) == ["labels"]


@pytest.mark.parametrize("name", ["text", "image", "retrieval", "pathfinder"])
def test_test_examples_among_training_are_found(datasets, name):
    def leak(splits):
        splits["train"].inputs[:20] = splits["test"].inputs[:20]

    failed = findings_of(small_task(name), datasets[name], change=leak)
    assert {"repeated examples, train", "repeated examples, test"} <= set(failed)


@pytest.mark.parametrize("name", ["text", "image", "retrieval"])
def test_a_missing_class_and_an_empty_example_are_found(datasets, name):
    def spoil(splits):
        splits["validation"].labels[:] = 1
        splits["test"].inputs[3] = 0

    failed = findings_of(small_task(name), datasets[name], change=spoil)
    assert {"label balance, validation", "empty or constant, test"} <= set(failed)


def test_validating_on_the_test_split_is_declared(tmp_path):
    task = small_task("text", validation="test")
    assert task.validation_is_test and not small_task("text").validation_is_test
    dataset = load_dataset(task, tmp_path)
    assert all(finding.passed for finding in check_splits(task, dataset.splits))

    def differ(splits):
        splits["validation"].inputs[0] = splits["train"].inputs[0]

    failed = findings_of(task, dataset, change=differ)
    assert "repeated examples, validation" in failed


# --- Pathfinder builds --------------------------------------------------------------


def test_an_interrupted_pathfinder_build_goes_on_where_it_stopped(
    tmp_path, monkeypatch
):
    from tasks.generators.pathfinder import build

    options = {"num_train": 600, "num_validation": 100, "num_test": 100}
    task = make_task("pathfinder", **options)
    whole = load_dataset(task, tmp_path / "whole")
    calls = []

    def counted(style, batch):
        calls.append(len(batch.labels))
        if len(calls) == 3:
            raise KeyboardInterrupt

    check = build.check
    monkeypatch.setattr(build, "check", counted)
    with pytest.raises(KeyboardInterrupt):
        load_dataset(task, tmp_path / "stopped")
    monkeypatch.setattr(build, "check", lambda *a: (calls.append(a), check(*a)))
    stopped = load_dataset(task, tmp_path / "stopped")
    assert len(calls) == 3 + 2  # four blocks, of which two were kept
    assert stopped.checksum == whole.checksum


def test_fewer_training_images_change_no_other_split(tmp_path):
    options = {"num_validation": 20, "num_test": 30}
    many, few = (
        load_dataset(make_task("pathfinder", num_train=n, **options), tmp_path).splits
        for n in (60, 40)
    )
    for name in ("test", "validation"):
        np.testing.assert_array_equal(many[name].inputs, few[name].inputs)
    np.testing.assert_array_equal(many["train"].inputs[:40], few["train"].inputs)


@pytest.mark.parametrize(
    ("options", "name", "length"),
    [
        ({}, "pathfinder", 1024),
        ({"size": 64}, "pathfinder64", 4096),
        ({"size": 128}, "pathx", 16384),
        ({"size": 256}, "pathfinder256", 65536),
        ({"difficulty": "easy"}, "pathfinder32-easy", 1024),
    ],
)
def test_size_and_difficulty_are_part_of_the_name(options, name, length):
    task = make_task("pathfinder", **options)
    assert (task.name, task.max_length) == (name, length)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 48}, "no Pathfinder images of size 48"),
        ({"difficulty": "hrad"}, "did you mean 'hard'"),
        ({"num_train": 0}, "num_train is 0"),
        ({"curriculum": -1}, "curriculum is -1"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_a_wrong_option_of_pathfinder_is_a_clear_error(options, message):
    with pytest.raises(ValueError, match=message):
        make_task("pathfinder", **options)


def test_official_pathfinder_without_the_release_says_how_to_get_it():
    with pytest.raises(DataError, match="source=generated"):
        make_task("pathfinder", source="official")
