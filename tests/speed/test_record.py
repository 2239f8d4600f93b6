"""Claims of a record: judged over seeds and examples, measured in fresh processes."""

import json

import numpy as np
import pytest

from lra_fnet.__main__ import main
from lra_fnet.report.statistics import ALPHA
from lra_fnet.speed.record import judge, new_folder, run_seed
from tiny_runs import ROOT, TINY


def claim(accuracies, target, examples=2_000, seed=0):
    """Judge made-up answers, right at random with these chances."""
    random = np.random.default_rng(seed).random((len(accuracies), examples))
    return judge(random < np.array(accuracies)[:, None], target)


def test_a_mean_far_above_the_target_is_a_record():
    found = claim([0.45, 0.45, 0.45], target=40.0)
    assert found.holds and found.p < 0.01
    assert found.low < found.mean < found.high


def test_a_mean_below_the_target_is_none():
    found = claim([0.38, 0.39, 0.38], target=40.0)
    assert not found.holds and found.p > 0.5


def test_a_mean_above_it_by_less_than_seeds_differ_is_none():
    found = claim([0.30, 0.40, 0.53], target=40.0)
    assert found.mean > 40 and not found.holds


def test_a_claim_without_merit_holds_in_one_of_twenty():
    """Seeds of equal skill, whose true accuracy is the target."""
    claims = [claim([0.5] * 3, 50.0, 400, seed) for seed in range(300)]
    assert sum(found.holds for found in claims) / len(claims) <= ALPHA + 0.03


def test_folders_are_never_used_again(tmp_path):
    first, second = new_folder(tmp_path / "a"), new_folder(tmp_path / "a")
    assert (first.name, second.name) == ("a-1", "a-2")


def test_a_failed_run_ends_the_claim_with_its_last_line(tmp_path):
    with pytest.raises(ValueError, match="failed: error: unknown task 'nosuch'"):
        run_seed(["--task=nosuch"], tmp_path / "run")


@pytest.mark.slow
def test_a_claim_is_measured_from_start_to_end(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LRA_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    changed = TINY | {"train.num_steps": 10, "train.eval_every": 10}
    keys = [f"--config.{key}={value}" for key, value in changed.items()]
    typed = ["record", "task=listops", "recipe=quick", "target=99.9", *keys]
    assert main(typed) == 1
    said = capsys.readouterr().out
    assert "make record task=listops" in said and "no record: p = 1.000" in said
    (folder,) = (tmp_path / "runs" / "record").iterdir()
    kept = json.loads((folder / "record.json").read_text())
    assert len(kept["seconds"]) == 3 and min(kept["seconds"]) > 1


def test_the_documentation_shows_the_records_that_are_kept():
    lines = (ROOT / "docs" / "records.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| 20")]
    kept = [json.loads(p.read_text()) for p in (ROOT / "results/records").glob("*")]
    assert len(kept) == len(rows) > 0
    for found in kept:
        seconds = found["seconds"]
        spread = f"{min(seconds):.0f} to {max(seconds):.0f}"
        score = f"{found['mean']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"
        said = f"{sum(seconds) / len(seconds):.0f} ({spread}) | {score} |"
        (row,) = [row for row in rows if found["command"] in row]
        assert said in row and f"| {found['p']:.4f} |" in row
        assert found["p"] < ALPHA and found["mean"] > found["target"]
