"""Pathfinder's curriculum: shorter curves before the training split."""

import dataclasses

import numpy as np
import pytest

from lra_fnet.config import load_config
from lra_fnet.data import load_dataset
from lra_fnet.train import train_and_evaluate
from tasks import DataError, make_task
from tasks.generators.pathfinder import curriculum
from tasks.generators.pathfinder.images import generate
from tasks.generators.pathfinder.style import lra_style

MODEL = {
    "num_layers": 1,
    "encoder.width": 8,
    "encoder.mlp_dim": 8,
    "train.batch_size": 8,
    "run.log_every": 1,
    "run.eval_batch_size": 8,
}
SIZES = {"num_train": 60, "num_validation": 20, "num_test": 30}
COUNT = 50


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same data without and with a curriculum, each with its task."""
    root = tmp_path_factory.mktemp("data")
    tasks = [make_task("pathfinder", curriculum=n, **SIZES) for n in (0, COUNT)]
    return [(task, load_dataset(task, root)) for task in tasks]


def test_curves_grow_from_two_paddles_to_one_less_than_the_task_has(monkeypatch):
    drawn = []

    def recorded(style, seed, start, count):
        drawn.append((style.contour_length, style.num_distractors, start, count))
        return generate(style, seed, start, count)

    monkeypatch.setattr(curriculum, "generate", recorded)
    split = curriculum.draw_curriculum(lra_style(32), 0, 120)
    lengths, distractors, starts, counts = zip(*drawn, strict=True)
    assert lengths == tuple(range(2, 14)) and counts == (10,) * 12
    assert distractors == (0,) * 4 + tuple(
        lra_style(32, length).num_distractors for length in range(6, 14)
    )
    assert [start - starts[0] for start in starts] == list(range(0, 120, 10))
    assert split.inputs.shape == (120, 1024) and split.labels.shape == (120,)


def test_an_image_does_not_depend_on_the_block_it_is_drawn_in(monkeypatch):
    whole = curriculum.draw_curriculum(lra_style(32), 3, 90)
    monkeypatch.setattr("tasks.generators._ROWS_AT_ONCE", 7)
    parts = curriculum.draw_curriculum(lra_style(32), 3, 90)
    np.testing.assert_array_equal(whole.inputs, parts.inputs)
    np.testing.assert_array_equal(whole.labels, parts.labels)


def test_a_curriculum_changes_nothing_else(both):
    (plain_task, plain), (task, led) = both
    assert (plain_task.num_first, task.num_first) == (0, COUNT)
    assert "curriculum" not in plain_task.provenance
    assert plain.folder != led.folder
    for name in ("validation", "test"):
        np.testing.assert_array_equal(
            plain.splits[name].inputs, led.splits[name].inputs
        )
    others = led.splits["train"].part(COUNT, None)
    np.testing.assert_array_equal(plain.splits["train"].inputs, others.inputs)
    baselines = [data.manifest["trivial_baselines"] for data in (plain, led)]
    assert baselines[0] == baselines[1]


@pytest.mark.parametrize("example", [COUNT - 1, COUNT])
def test_verification_draws_both_parts_again(both, example):
    task, dataset = both[1]
    assert f"{COUNT} images of the curriculum" in task.verify(dataset.splits)
    train = dataset.splits["train"]
    damaged = dataclasses.replace(train, inputs=np.array(train.inputs))
    damaged.inputs[example, 0] ^= 1
    with pytest.raises(DataError, match="train split"):
        task.verify({**dataset.splits, "train": damaged})


def train(workdir, count, num_steps, first=16, pretraining=0):
    sizes = {**SIZES, "num_train": count, "curriculum": first}
    changed = {f"data.{key}": value for key, value in sizes.items()}
    config = load_config("pathfinder", "quick", MODEL | changed)
    config.train.num_steps = num_steps
    if pretraining:
        config.pretrain.objective = "masked"
        config.pretrain.num_steps = pretraining
    (result,) = train_and_evaluate(config, workdir)
    return result


def losses(result):
    return [point.loss for point in result.curves.train]


def test_a_run_reads_the_curriculum_before_anything_else(tmp_path, monkeypatch):
    """As long as it lasts, no other training image matters."""
    monkeypatch.setenv("LRA_DATA", str(tmp_path / "data"))
    for steps, matters in ((2, False), (3, True)):
        of_60, of_40 = (
            losses(train(tmp_path / f"{count}-{steps}", count, steps))
            for count in (60, 40)
        )
        assert of_60[:2] == of_40[:2]
        assert (of_60[2:] != of_40[2:]) == matters


def test_pre_training_leaves_the_curriculum_to_the_task(tmp_path, monkeypatch):
    """It restores the task's own images; what comes after it begins with the others."""
    monkeypatch.setenv("LRA_DATA", str(tmp_path / "data"))
    own, plain = (
        train(tmp_path / str(first), 60, 4, first, pretraining=2) for first in (16, 0)
    )
    restored, restored_plain = (
        [point.loss for point in result.pretraining.curves.train]
        for result in (own, plain)
    )
    assert len(restored) == 2 and restored == restored_plain
    assert losses(own)[0] != losses(plain)[0]
