"""What the report says, against numbers worked out by hand."""

import os

import numpy as np
import pytest

from lra_fnet.config import TOO_MANY
from lra_fnet.report import tables
from lra_fnet.report.page import read_report
from lra_fnet.report.published import FIVE, GUESS, SIX
from lra_fnet.report.statistics import estimate
from lra_fnet.schema import binomial_interval
from made_results import made, made_failure, write, write_made


def answers(right, of=100):
    """Answer the first examples rightly and the others wrongly."""
    return [1] * right + [0] * (of - right)


def read(root):
    return read_report([root])


def lead(root):
    """Return the first accuracy table of the results below a folder."""
    return read(root).lead


def entries(table, row):
    """Return a row's entries by the name of their column."""
    found = dict(tables.entries(table))[row]
    return dict(zip(tables.header(table), found, strict=True))


def test_seeds_of_a_configuration_are_pooled_with_an_interval_over_both(tmp_path):
    seeds = [answers(40), answers(44), answers(48)]
    for seed, correct in enumerate(seeds):
        write_made(tmp_path, seed=seed, correct=correct)
    (found,) = lead(tmp_path).configurations.values()
    expected = estimate([40, 44, 48], 100, np.array(seeds, bool))
    assert found.seeds == [0, 1, 2]
    assert found.estimate.mean == pytest.approx(0.44)
    assert (found.estimate.low, found.estimate.high) == (expected.low, expected.high)
    assert found.marks == []


def test_one_seed_is_marked_and_has_its_binomial_interval(tmp_path):
    write_made(tmp_path, correct=answers(36))
    table = lead(tmp_path)
    entry = entries(table, "fnet")["ListOps"]
    low, high = (f"{100 * bound:.1f}" for bound in binomial_interval(36, 100))
    assert (entry.mean, entry.interval) == ("36.0", f"{low}\N{EN DASH}{high}")
    assert [*tables.legend(table)] == [entry.marks] == ["a"]
    assert "one seed" in read(tmp_path).how_sure()
    assert read(tmp_path).findings()[0] == "On ListOps only fnet (36.0 %) has been run."


def test_a_difference_that_may_be_noise_is_a_tie(tmp_path):
    write_made(tmp_path, mixer="fnet", correct=answers(36))
    write_made(tmp_path, mixer="transformer", correct=answers(38))
    verdicts = {row: own[0].verdict for row, own in tables.entries(lead(tmp_path))}
    assert verdicts == {"transformer": "tied", "fnet": "tied"}
    # McNemar by hand: two examples tell them apart, both for one: p = 2 / 2^2.
    assert read(tmp_path).findings()[0] == (
        "transformer (38.0 %) and fnet (36.0 %) are tied on ListOps (p = 0.50)."
    )


def test_two_seeds_are_too_few_to_call_a_difference_a_tie(tmp_path):
    for seed, mixer in ((0, "fnet"), (1, "fnet"), (0, "local"), (1, "local")):
        right = 36 + seed + 2 * (mixer == "local")
        write_made(tmp_path, mixer=mixer, seed=seed, correct=answers(right))
    table = lead(tmp_path)
    verdicts = {row: own[0].verdict for row, own in tables.entries(table)}
    assert verdicts == dict.fromkeys(("local", "fnet"), "too few seeds to tell")
    (margins,) = tables.margins(table)
    assert margins.rows[0][4] == "too few seeds to tell"
    assert (
        read(tmp_path)
        .findings()[0]
        .startswith(
            "Too few seeds to tell local (38.5 %) from fnet (36.5 %) on ListOps (p = "
        )
    )
    write_made(tmp_path, mixer="sparse", correct=answers(36))
    assert read(tmp_path).findings()[0] == (
        "Nothing is settled on ListOps: too few seeds to tell the 3 mixers apart "
        "(local (38.5 %) highest)."
    )


def test_a_tie_counts_more_than_too_few_seeds(tmp_path):
    for seed in range(3):
        for mixer, right in (("fnet", 50), ("local", 51), ("sparse", 20)):
            write_made(tmp_path, mixer=mixer, seed=seed, correct=answers(right + seed))
    write_made(tmp_path, mixer="hyena", correct=answers(50))
    table = lead(tmp_path)
    verdicts = {row: own[0].verdict for row, own in tables.entries(table)}
    few = "too few seeds to tell"
    assert verdicts == {"local": "tied", "fnet": "tied", "hyena": few, "sparse": ""}
    assert (
        read(tmp_path)
        .findings()[0]
        .startswith(
            "local (52.0 %) is highest on ListOps, tied with fnet, with too few seeds "
            "to tell it from hyena (p ≥ "
        )
    )


def test_a_clear_winner_is_named_with_its_lead(tmp_path):
    write_made(tmp_path, mixer="fnet", correct=answers(60))
    write_made(tmp_path, mixer="transformer", correct=answers(40))
    write_made(tmp_path, mixer="performer", correct=answers(15))
    report = read(tmp_path)
    assert report.findings()[0] == (
        "fnet (60.0 %) is best on ListOps, 20.0 points ahead of transformer "
        "(p < 0.001)."
    )
    assert entries(report.lead, "fnet")["ListOps"].verdict == "best"
    assert entries(report.lead, "transformer")["ListOps"].verdict == ""
    (margins,) = tables.margins(report.lead)
    behind = [["transformer", "20.0"], ["performer", "45.0"]]
    assert [row[:2] for row in margins.rows] == behind
    assert {row[4] for row in margins.rows} == {"behind"}


def test_many_ties_are_counted_and_a_loser_is_none_of_them(tmp_path):
    for right, mixer in ((50, "fnet"), (51, "transformer"), (52, "performer")):
        write_made(tmp_path, mixer=mixer, correct=answers(right))
    assert read(tmp_path).findings()[0] == (
        "Nothing is settled on ListOps: all 3 are tied (performer (52.0 %) highest)."
    )
    write_made(tmp_path, mixer="local", correct=answers(20))
    line = read(tmp_path).findings()[0]
    assert line.startswith("performer (52.0 %) is highest on ListOps, tied with ")
    assert "local" not in line and "(p ≥ " in line and "for each)" in line


def test_a_trivial_baseline_that_nothing_beats_is_told(tmp_path):
    known = {"majority class": 0.1, "root operator": 0.6}
    write_made(tmp_path, correct=answers(55), trivial_baselines=known)
    assert (
        "On ListOps no mixer is clearly better than the trivial baseline “root "
        "operator” (60.0 %)."
    ) in read(tmp_path).findings()
    rows = tables.baseline_rows(lead(tmp_path))
    assert rows[1] == ["trivial baseline: root operator", "60.0"]
    write_made(tmp_path, correct=answers(90), trivial_baselines=known)
    assert not any("baseline" in line for line in read(tmp_path).findings())


def test_the_published_number_and_the_difference_are_beside_comparable_ones(tmp_path):
    write_made(tmp_path, correct=answers(36))
    write_made(tmp_path, mixer="hyena", correct=answers(36))
    table = lead(tmp_path)
    entry = entries(table, "fnet")["ListOps"]
    assert (entry.published, entry.difference) == ("35.33", "+0.7")
    assert str(entry).endswith("(a); 35.33, +0.7")
    assert entries(table, "hyena")["ListOps"].published == ""
    assert any("table 4 (configuration not" in line for line in tables.notes(table))
    write_made(tmp_path / "other", recipe="quick", correct=answers(36))
    assert entries(lead(tmp_path / "other"), "fnet")["ListOps"].published == ""


def test_averages_want_all_their_tasks_and_a_failed_pathx_counts_as_a_guess(tmp_path):
    for task, right in zip(FIVE, (30, 60, 70, 40, 80), strict=True):
        write_made(tmp_path, task=task, correct=answers(right))
    table = lead(tmp_path)
    assert table.average("fnet", FIVE).mean == pytest.approx(0.56)
    assert table.average("fnet", SIX) is None
    assert entries(table, "fnet")["Five tasks"].published == "55.30"
    made_failure(tmp_path / "pathx", "no data", task="pathx", kind="data", step=0)
    assert lead(tmp_path).average("fnet", SIX) is None  # nobody has tried it
    made_failure(tmp_path / "pathx", "no memory", task="pathx", kind="memory")
    table = lead(tmp_path)
    guessed = (2.8 + GUESS / 100) / 6
    assert table.average("fnet", SIX).mean == pytest.approx(guessed)
    assert entries(table, "fnet")["Path-X"].reason == "failed"
    notes = " ".join(tables.notes(table))
    assert "Path-X counts 50" in notes and "fnet failed on Path-X: no memory" in notes


def test_the_highest_average_is_told(tmp_path):
    for task in FIVE:
        write_made(tmp_path, task=task, correct=answers(60))
        write_made(tmp_path, task=task, mixer="local", correct=answers(20))
    assert read(tmp_path).findings()[0] == (
        "Over five tasks fnet has the highest average, 60.0 %, ahead of local with "
        "20.0 %; their intervals do not overlap."
    )
    assert lead(tmp_path).rows == ["fnet", "local"]


def test_a_pathx_no_better_than_a_guess_counts_as_one_and_a_better_one_as_itself(
    tmp_path,
):
    for task in FIVE:
        write_made(tmp_path, task=task, correct=answers(60))
    write_made(tmp_path, task="pathx", correct=answers(53))
    assert lead(tmp_path).average("fnet", SIX).mean == pytest.approx(3.5 / 6)
    write_made(tmp_path, task="pathx", correct=answers(90))
    assert lead(tmp_path).average("fnet", SIX).mean == pytest.approx(3.9 / 6)


def test_the_interval_of_an_average_is_narrower_than_that_of_a_task(tmp_path):
    for task in FIVE:
        write_made(tmp_path, task=task, correct=answers(50))
    table = lead(tmp_path)
    found, one = table.average("fnet", FIVE), table.configurations["fnet", "text"]
    # Five equal and independent parts: the standard error is sqrt(5) times smaller.
    ratio = (one.estimate.high - one.estimate.low) / (found.high - found.low)
    assert ratio == pytest.approx(5**0.5, rel=0.05)


def test_what_is_not_comparable_is_listed_with_its_reason(tmp_path):
    write_made(tmp_path, correct=answers(40))
    write_made(tmp_path, correct=answers(40), mixer="transformer")
    write_made(tmp_path, correct=answers(50), recipe="quick")
    write_made(tmp_path, correct=answers(50), recipe="strong")
    sample = {"source": "sample", "checksum": "5a", "validation_is_test": False}
    write(tmp_path / "sample", *made(correct=answers(70), data=sample))
    rules = {"free_for_all": True, "reasons": ["train.num_steps is 9"], "parity": ""}
    write(tmp_path / "free", *made(rules=rules, config_hash="f"))
    other_data = {"source": "generated", "checksum": "0dd"}
    write(tmp_path / "data", *made(seed=1, data=other_data, config_hash="g"))
    result, _ = made()
    values = result["config"] | {"encoder": {"inputs": "values"}}
    write(tmp_path / "values", result | {"config": values, "config_hash": "v"})
    papers = {"source": "papers", "checksum": "9a", "validation_is_test": False}
    write(tmp_path / "papers", *made(task="retrieval", data=papers))
    report = read(tmp_path)
    assert [table.name for table in report.tables] == [
        "lra2020",
        "strong",
        "quick",
        "lra2020, sample data",
    ]
    assert report.lead.why_not_official == []
    assert all(table.why_not_official for table in report.tables[1:])
    reasons = {"; ".join(found.reasons) for found in report.excluded}
    assert reasons == {
        "free-for-all under the rules of the benchmark; train.num_steps is 9",
        "other data than most of its column: 0dd",
        "pixels enter as real numbers, not as token ids",
        "citation pairs of other papers than the release's",
    }


def test_a_table_says_which_of_its_tasks_read_other_inputs_than_published(tmp_path):
    papers = {"source": "papers", "checksum": "9a", "validation_is_test": False}
    made_up = made(task="retrieval", data=papers, recipe="small", config_hash="p")
    write(tmp_path / "papers", *made_up)
    write_made(tmp_path, task="text", recipe="small")
    _, *why = lead(tmp_path).why_not_official
    assert why == ["retrieval: citation pairs of other papers than the release's"]


@pytest.mark.parametrize("recipe", ["lra2020", "small"])
def test_a_model_of_forbidden_size_is_marked_where_the_budget_is_not_the_released_one(
    tmp_path, recipe
):
    reason = f"220 parameters, 2.20 times the base Transformer's 100; {TOO_MANY}"
    rules = {
        "free_for_all": True,
        "reasons": [reason],
        "parity": "",
        "base_parameters": 100,
    }
    made_up = {"recipe": recipe, "correct": answers(50), "parameters": 220}
    write_made(tmp_path, recipe=recipe, correct=answers(40))
    write(tmp_path / "large", *made(mixer="fnet_gate", rules=rules, **made_up))
    report = read(tmp_path)
    found = report.lead.column("listops")
    if recipe == "small":
        assert "parameters" in found["fnet_gate"].marks and not report.excluded
        assert "parameters" not in found["fnet"].marks
    else:
        (excluded,) = report.excluded
        assert "fnet_gate" not in found and excluded.reasons[1] == reason


def test_all_that_is_unlike_published_inputs_is_said(tmp_path):
    result, _ = made(task="pathfinder", recipe="small", config_hash="p")
    config = {"encoder": {"inputs": "values"}, "data": {"curriculum": 64}}
    write(tmp_path / "led", result | {"config": result["config"] | config})
    write_made(tmp_path, task="text", recipe="small")
    _, *why = lead(tmp_path).why_not_official
    assert why == [
        "pathfinder: pixels enter as real numbers, not as token ids; training begins "
        "with simpler images that the original has not"
    ]


def test_of_two_configs_of_one_recipe_the_one_with_fewer_seeds_is_listed(tmp_path):
    for seed in range(2):
        write_made(tmp_path, seed=seed, correct=answers(40))
    result, correct = made(correct=answers(60), config_hash="other")
    result["config"]["mixers"] = {"fnet": {"algorithm": "dft"}}
    write(tmp_path / "other", result, correct)
    report = read(tmp_path)
    assert report.lead.configurations["fnet", "listops"].estimate.mean == 0.4
    assert "mixers.fnet.algorithm: None -> dft" in report.excluded[0].reasons


def test_a_pretrained_mixer_is_another_row_than_the_same_from_scratch(tmp_path):
    write_made(tmp_path, recipe="small", correct=answers(40))
    result, correct = made(recipe="small", correct=answers(60), config_hash="masked")
    result["config"]["pretrain"] = {"objective": "masked", "num_steps": 100}
    write(tmp_path / "masked", result, correct)
    report = read(tmp_path)
    found = {
        row: own.estimate.mean for (row, _), own in report.lead.configurations.items()
    }
    assert found == {"fnet": 0.4, "fnet, pre-trained": 0.6} and not report.excluded


def test_a_mixer_with_experts_is_another_row_than_the_same_without(tmp_path):
    write_made(tmp_path, recipe="small", correct=answers(40))
    result, correct = made(recipe="small", correct=answers(60), config_hash="experts")
    result["config"]["encoder"] |= {"moe_layers": 2, "num_experts": 8}
    write(tmp_path / "experts", result, correct)
    found = {
        row: own.estimate.mean
        for (row, _), own in read(tmp_path).lead.configurations.items()
    }
    assert found == {"fnet": 0.4, "fnet, 8 experts in 2 layers": 0.6}


def test_hybrids_and_solved_sizes_are_rows_of_their_own_without_published_numbers(
    tmp_path,
):
    hybrid = {"mixer": "transformer", "num_layers": 2, "layout": "top"}
    result, correct = made(config_hash="hybrid")
    result["config"]["hybrid"] = hybrid
    write(tmp_path / "hybrid", result, correct)
    rules = {"free_for_all": False, "reasons": [], "parity": "params"}
    write(tmp_path / "sized", *made(rules=rules, config_hash="sized"))
    found = dict(tables.entries(lead(tmp_path)))
    assert found.keys() == {"fnet + 2 transformer (top)", "fnet, equal params"}
    assert all(own[0].published == "" for own in found.values())


def test_of_two_results_of_a_seed_the_newest_counts_and_it_is_said(tmp_path):
    old, new = (tmp_path / name for name in ("new", "old"))  # names decide nothing
    finished = "2026-01-31T12:00:00+00:00"
    old_file = write(old, *made(correct=answers(30), finished=finished))
    write(new, *made(correct=answers(40), finished=finished))
    os.utime(old_file, (1, 1))
    report = read(tmp_path)
    (found,) = report.lead.configurations.values()
    assert found.estimate.mean == 0.4
    (remark,) = report.remarks
    assert f"{new}/result.json, counts; not {old_file}" in remark


def test_a_copy_of_a_result_is_no_second_seed_and_not_worth_a_word(tmp_path):
    result, correct = made()
    for name in ("runs", "results"):
        write(tmp_path / name, result, correct)
    report = read(tmp_path)
    assert report.remarks == [] and len(report.lead.configurations) == 1


def test_marks_tell_other_programs_counts_alone_and_selection_on_test(tmp_path):
    result, correct = made(task="text")
    result["data"]["validation_is_test"] = True
    write(tmp_path / "a", result, correct)
    essential = ("schema", "task", "mixer", "recipe", "seed", "data", "test")
    result = {name: made(mixer="theirs")[0][name] for name in essential}
    write(tmp_path / "b", result)
    found = lead(tmp_path).configurations
    assert found["fnet", "text"].marks == ["one seed", "selected on test"]
    assert found["theirs", "listops"].marks == ["one seed", "counts", "other program"]


def test_a_failed_seed_beside_good_ones_is_named(tmp_path):
    write_made(tmp_path)
    made_failure(tmp_path, "killed", seed=4)
    report = read(tmp_path)
    assert report.remarks == ["fnet on listops, recipe lra2020: seed 4 failed: killed"]
    assert not report.lead.failures
