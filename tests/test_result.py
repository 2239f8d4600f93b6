"""The result of a run: what it prints, its intervals, and why there is none."""

import pytest

from lra_fnet.result import make_failure, render
from lra_fnet.schema import Failure, Result, Score, binomial_interval
from tiny_runs import ROOT

KEPT = sorted((ROOT / "results").glob("*/*/result.json"))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.parent.name)
def test_a_kept_result_is_read_and_prints_its_accuracy(path):
    result = Result.read(path)
    assert f"{100 * result.test.correct / result.test.examples:.2f} %" in render(result)


@pytest.mark.parametrize(
    ("recipe", "correct", "said"),
    [("quick", 520, True), ("quick", 560, False), ("lra2020", 520, False)],
)
def test_chance_at_the_quick_budget_is_called_chance(recipe, correct, said):
    content = Result.read(KEPT[0]).as_json() | {
        "recipe": recipe,
        "trivial_baselines": {"majority class": 0.51},
        "test": {
            "correct": correct,
            "examples": 1_000,
            "step": 9,
            "interval_95": list(binomial_interval(correct, 1_000)),
        },
    }
    result = Result.parse(content, KEPT[0])
    assert ("shows that it runs, not that" in render(result)) == said


def test_a_failure_names_its_run(tmp_path):
    config = Result.read(KEPT[0]).config
    failure = make_failure(config, "memory", "too large", step=7)
    failure.write(tmp_path / "failure.json")
    again = Failure.read(tmp_path / "failure.json")
    assert again == failure and again.kind == "memory" and again.step == 7
    assert again.config_hash == Result.read(KEPT[0]).config_hash


def test_a_score_carries_its_wilson_interval():
    score = Score.of(700, 2000, step=3)
    assert tuple(score.interval_95) == binomial_interval(700, 2000)
    assert score.interval_95 == pytest.approx([0.3294, 0.3712], abs=1e-4)
