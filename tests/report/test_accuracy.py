"""What the report says, against numbers worked out by hand."""

import json
import os

import numpy as np
import pytest

from lra_fnet.report.contents import contents
from lra_fnet.report.learning import race
from lra_fnet.report.parts import pooled
from lra_fnet.report.published import GUESS
from lra_fnet.report.sources import read_sources
from lra_fnet.report.statistics import binomial_interval, seeds_and_examples
from lra_fnet.report.verdicts import FIVE, SIX, average
from made_results import made, speed_cell, write, write_made, write_speed

TASKS = ("listops", "text", "retrieval", "image", "pathfinder", "pathx")


def answers(right, of=100):
    """Answer the first examples rightly and the others wrongly."""
    return [1] * right + [0] * (of - right)


def read(root):
    return contents(read_sources([root]))


def lead(root):
    """Return the first board of the results below a folder."""
    return read(root).views[0]


def places(view, row):
    """Return a row's places by the name of their column."""
    return dict(zip(view.header, dict(view.rows())[row], strict=True))


def test_seeds_of_one_protocol_are_one_cell_with_an_interval_over_both(tmp_path):
    seeds = [answers(40), answers(44), answers(48)]
    for seed, correct in enumerate(seeds):
        write_made(tmp_path, seed=seed, correct=correct)
    (cell,) = lead(tmp_path).board.cells.values()
    expected = seeds_and_examples(np.array(seeds, bool))
    assert cell.seeds == [0, 1, 2]
    assert cell.accuracy == pytest.approx(0.44)
    assert (cell.answers.estimate.low, cell.answers.estimate.high) == (
        expected.low,
        expected.high,
    )
    assert cell.marks == []


def test_one_seed_is_marked_and_has_its_binomial_interval(tmp_path):
    write_made(tmp_path, correct=answers(36))
    view = lead(tmp_path)
    place = places(view, "fnet")["ListOps"]
    low, high = (f"{100 * bound:.1f}" for bound in binomial_interval(36, 100))
    assert (place.mean, place.interval) == ("36.0", f"{low}\N{EN DASH}{high}")
    assert [*view.legend()] == [place.marks] == ["a"]
    assert "one seed" in read(tmp_path).how_sure()


def test_a_difference_that_may_be_noise_is_a_tie(tmp_path):
    write_made(tmp_path, model="fnet", correct=answers(36))
    write_made(tmp_path, model="transformer", correct=answers(38))
    view = lead(tmp_path)
    standing = {row: places[0].standing for row, places in view.rows()}
    assert standing == {"transformer": "tied", "fnet": "tied"}
    # McNemar by hand: two examples tell them apart, both for one: p = 2 / 2^2.
    assert read(tmp_path).findings()[0] == (
        "transformer (38.0 %) and fnet (36.0 %) are tied on ListOps: p = 0.50."
    )


def test_a_clear_winner_is_named_with_its_lead(tmp_path):
    write_made(tmp_path, model="fnet", correct=answers(60))
    write_made(tmp_path, model="transformer", correct=answers(40))
    write_made(tmp_path, model="performer", correct=answers(15))
    content = read(tmp_path)
    assert content.findings()[0] == (
        "fnet (60.0 %) wins ListOps, 20.0 points ahead of transformer: p < 0.001."
    )
    view = content.views[0]
    assert places(view, "fnet")["ListOps"].standing == "best"
    assert places(view, "transformer")["ListOps"].standing == ""
    (grid,) = view.margins()
    assert [row[:2] for row in grid.rows] == [
        ["transformer", "20.0"],
        ["performer", "45.0"],
    ]
    assert {row[4] for row in grid.rows} == {"yes"}


def test_many_ties_are_counted_and_a_loser_is_none_of_them(tmp_path):
    for right, model in ((50, "fnet"), (51, "transformer"), (52, "performer")):
        write_made(tmp_path, model=model, correct=answers(right))
    assert read(tmp_path).findings()[0] == (
        "Nothing is settled on ListOps: all 3 are tied (performer (52.0 %) highest)."
    )
    write_made(tmp_path, model="local", correct=answers(20))
    line = read(tmp_path).findings()[0]
    assert line.startswith("performer (52.0 %) is highest on ListOps, tied with ")
    assert "local" not in line and "p ≥ " in line


def test_a_reader_that_nothing_beats_is_told(tmp_path):
    readers = {"majority class": 0.1, "root operator": 0.6}
    write_made(tmp_path, correct=answers(55), readers=readers)
    assert (
        "On ListOps nothing is surely better than answering by root operator, without "
        "training: 60.0 %."
    ) in read(tmp_path).findings()
    assert dict(lead(tmp_path).readers())["root operator"] == ["60.0"]
    write_made(tmp_path, correct=answers(90), readers=readers)
    assert not any("nothing is surely" in line for line in read(tmp_path).findings())


def test_the_published_number_and_the_difference_stand_beside_comparable_cells(
    tmp_path,
):
    write_made(tmp_path, correct=answers(36))
    write_made(tmp_path, model="hyena", correct=answers(36))
    place = places(lead(tmp_path), "fnet")["ListOps"]
    assert (place.published, place.difference) == ("35.33", "+0.7")
    assert places(lead(tmp_path), "hyena")["ListOps"].published == ""
    write_made(tmp_path / "other", recipe="quick", correct=answers(36))
    assert places(lead(tmp_path / "other"), "fnet")["ListOps"].published == ""


def test_averages_want_all_their_tasks_and_a_failed_pathx_counts_as_a_guess(tmp_path):
    for task, right in zip(FIVE, (30, 60, 70, 40, 80), strict=True):
        write_made(tmp_path, task=task, correct=answers(right))
    board = lead(tmp_path).board
    assert average(board, "fnet", FIVE).mean == pytest.approx(0.56)
    assert average(board, "fnet", SIX) is None
    failure = tmp_path / "pathx" / "failure.json"
    failure.parent.mkdir()
    named = {"task": "pathx", "model": "fnet", "recipe": "lra2020", "seed": 0}
    failure.write_text(json.dumps({"schema": 1, "reason": "no memory", **named}))
    view = lead(tmp_path)
    found = average(view.board, "fnet", SIX)
    assert found.guessed and found.mean == pytest.approx((2.8 + GUESS / 100) / 6)
    assert places(view, "fnet")["Path-X"].reason == "failed"
    notes = " ".join(view.notes())
    assert "Path-X counts 50" in notes and "fnet failed on Path-X: no memory" in notes


def test_a_pathx_no_better_than_a_guess_counts_as_one_and_a_better_one_as_itself(
    tmp_path,
):
    for task in FIVE:
        write_made(tmp_path, task=task, correct=answers(60))
    write_made(tmp_path, task="pathx", correct=answers(53))
    assert average(lead(tmp_path).board, "fnet", SIX).mean == pytest.approx(3.5 / 6)
    write_made(tmp_path, task="pathx", correct=answers(90))
    assert average(lead(tmp_path).board, "fnet", SIX).mean == pytest.approx(3.9 / 6)


def test_the_interval_of_an_average_is_narrower_than_that_of_a_task(tmp_path):
    for task in FIVE:
        write_made(tmp_path, task=task, correct=answers(50))
    board = lead(tmp_path).board
    found = average(board, "fnet", FIVE)
    one = board.cells["fnet", "text"].answers.estimate
    # Five equal and independent parts: the standard error is sqrt(5) times smaller.
    ratio = (one.high - one.low) / (found.high - found.low)
    assert ratio == pytest.approx(5**0.5, rel=0.05)


def test_what_is_not_comparable_stands_apart_with_its_reason(tmp_path):
    write_made(tmp_path, correct=answers(40))
    write_made(tmp_path, correct=answers(40), model="transformer")
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
    found = read(tmp_path)
    assert [view.board.name for view in found.views] == [
        "lra2020",
        "strong",
        "quick",
        "lra2020, sample data",
    ]
    assert found.views[0].board.why_apart == []
    assert all(view.board.why_apart for view in found.views[1:])
    reasons = {"; ".join(apart.reasons) for apart in found.apart}
    assert reasons == {
        "free-for-all under the rules of the benchmark; train.num_steps is 9",
        "other data than its column: 0dd",
        "pixels enter as real numbers, not as token ids",
    }


def test_of_two_configs_of_one_recipe_the_one_with_fewer_seeds_stands_apart(tmp_path):
    for seed in range(2):
        write_made(tmp_path, seed=seed, correct=answers(40))
    result, correct = made(correct=answers(60), config_hash="other")
    result["config"]["mixers"] = {"fnet": {"algorithm": "dft"}}
    write(tmp_path / "other", result, correct)
    found = read(tmp_path)
    assert found.views[0].board.cells["fnet", "listops"].accuracy == 0.4
    assert "mixers.fnet.algorithm: None -> dft" in found.apart[0].reasons


def test_hybrids_and_solved_sizes_are_rows_of_their_own_without_published_numbers(
    tmp_path,
):
    hybrid = {"mixer": "transformer", "num_layers": 2, "layout": "top"}
    result, correct = made(config_hash="hybrid")
    result["config"]["hybrid"] = hybrid
    write(tmp_path / "hybrid", result, correct)
    rules = {"free_for_all": False, "reasons": [], "parity": "params"}
    write(tmp_path / "sized", *made(rules=rules, config_hash="sized"))
    view = lead(tmp_path)
    assert {row for row, _ in view.rows()} == {
        "fnet + 2 transformer (top)",
        "fnet, equal params",
    }
    assert all(places[0].published == "" for _, places in view.rows())


def test_of_two_results_of_a_seed_the_newest_counts_and_it_is_said(tmp_path):
    old, new = (tmp_path / name for name in ("new", "old"))  # names decide nothing
    old_file = write(old, *made(correct=answers(30)))
    write(new, *made(correct=answers(40)))
    os.utime(old_file, (1, 1))
    found = read(tmp_path)
    (cell,) = found.views[0].board.cells.values()
    assert cell.accuracy == 0.4
    (remark,) = found.remarks
    assert f"{new}/result.json, counts, and not {old_file}" in remark


def test_a_copy_of_a_result_is_no_second_seed_and_not_worth_a_word(tmp_path):
    for name in ("runs", "results"):
        write_made(tmp_path / name)
    found = read(tmp_path)
    assert found.remarks == [] and len(found.views[0].board.cells) == 1


def test_marks_tell_other_programs_counts_alone_and_choice_on_the_test_split(tmp_path):
    result, correct = made(task="text")
    result["data"]["validation_is_test"] = True
    write(tmp_path / "a", result, correct)
    essential = ("schema", "task", "model", "recipe", "seed", "data", "test")
    result = {name: made(model="theirs")[0][name] for name in essential}
    write(tmp_path / "b", result)
    cells = lead(tmp_path).board.cells
    assert cells["fnet", "text"].marks == ["one seed", "chosen on test"]
    assert cells["theirs", "listops"].marks == ["one seed", "counts", "other program"]


def test_a_failed_seed_beside_good_ones_is_named(tmp_path):
    write_made(tmp_path)
    named = {"task": "listops", "model": "fnet", "recipe": "lra2020", "seed": 4}
    (tmp_path / "failure.json").write_text(
        json.dumps({"schema": 1, "reason": "killed", **named})
    )
    found = read(tmp_path)
    assert found.remarks == ["fnet on listops, recipe lra2020: seed 4 failed: killed"]
    assert not found.views[0].board.failures


def test_speed_tables_hold_ratios_per_example_and_the_growth_with_length(tmp_path):
    for length, rate in ((512, 8.0), (1024, 2.0)):
        write_speed(tmp_path, speed_cell("transformer", length, rate))
    write_speed(tmp_path, speed_cell("fnet", 512, 8.0))
    write_speed(tmp_path, speed_cell("fnet", 1024, 12.0, batch_size=2))
    none = dict.fromkeys(("train_steps_per_second", "inference_seconds", "peak_memory"))
    write_speed(tmp_path, speed_cell("local", 512, 1.0, status="out of memory", **none))
    (measured,) = read(tmp_path).speeds
    training, inference, memory = measured.grids()
    # 12 steps of 2 examples against 2 steps of 4: three times as fast.
    assert training.rows[0] == [
        "fnet",
        "8 (1\N{MULTIPLICATION SIGN})",
        "12 /2 (3\N{MULTIPLICATION SIGN})",
        "0.42",
    ]
    assert training.rows[1] == ["transformer", "8", "2", "2.00"]
    assert training.rows[2] == ["local", "out of memory", "\N{EN DASH}", "\N{EN DASH}"]
    assert inference.rows[1][1:] == ["62.5", "250"]
    assert memory.rows[0][1:] == ["0.5", "0.5"]
    assert measured.finding() == (
        "fnet trains fastest at length 1,024 (Abacus, 2 cores; model of Text, batch "
        "4): 3 times the speed of the transformer."
    )


def test_accuracy_against_speed_shows_cells_of_one_machine_alone(tmp_path):
    for model in ("fnet", "transformer"):
        write_made(tmp_path, model=model)
    elsewhere = {"platform": "gpu", "kind": "Other", "count": 1}
    write_made(tmp_path, model="local", device=elsewhere)
    (plot,) = lead(tmp_path).bubbles()
    assert {s.name for s in plot.series} == {"fnet", "transformer"}
    assert plot.series[0].x == [80.0]  # 10 steps/s in batches of 8
    assert "Abacus" in plot.note and "Not measured there: local" in plot.note


def test_time_to_an_accuracy_is_steps_over_speed(tmp_path):
    write_made(tmp_path, model="fnet", correct=answers(80))
    write_made(tmp_path, model="local", correct=answers(30))
    found = race(lead(tmp_path).board, "listops")
    assert found.goal == 73.0  # 90 % of the way from 10 to 80
    assert found.minutes == {"fnet": pytest.approx(200 / 10 / 60), "local": None}


def test_parts_are_means_over_seeds(tmp_path):
    for seed, right in enumerate((40, 50)):
        write_made(tmp_path, seed=seed, correct=answers(right))
    view = lead(tmp_path)
    first, _ = pooled(view.board.cells["fnet", "listops"], "length")
    assert (first["correct"], first["examples"]) == (45.0, 100)
    (grid,) = view.parts()[1]
    assert grid.header == ["length", "1\N{EN DASH}9", "10\N{EN DASH}19"]
    assert grid.rows == [["examples", "100", "1"], ["fnet", "45.0", "0.0"]]
