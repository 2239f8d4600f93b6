"""Speed tables and figures of learning, against numbers worked out by hand."""

import pytest

from lra_fnet.report import learning
from lra_fnet.report.accuracy import as_frame
from lra_fnet.report.page import read_report
from made_results import made_speed, write_made, write_speed

DASH, TIMES = "\N{EN DASH}", "\N{MULTIPLICATION SIGN}"


def answers(right, of=100):
    return [1] * right + [0] * (of - right)


def lead(root):
    return read_report([root]).lead


def test_speed_tables_have_speed_ups_per_example_and_the_growth_with_length(tmp_path):
    for length, rate in ((512, 8.0), (1024, 2.0)):
        write_speed(tmp_path, made_speed("transformer", length, rate))
    write_speed(tmp_path, made_speed("fnet", 512, 8.0))
    write_speed(tmp_path, made_speed("fnet", 1024, 12.0, batch_size=2))
    none = dict.fromkeys(("train_steps_per_second", "inference_seconds", "peak_memory"))
    failed = made_speed("local", 512, 1.0, status="out of memory", **none)
    write_speed(tmp_path, failed)
    (found,) = read_report([tmp_path]).speeds
    training, inference, memory = found.tables()
    assert training.header == ["mixer", "512", "1,024", "growth"]
    # 12 steps of 2 examples against 2 steps of 4: three times as fast.
    assert training.rows == [
        ["fnet", f"8 (1{TIMES})", f"12 /2 (3{TIMES})", "0.42"],
        ["transformer", "8", "2", "2.00"],
        ["local", "out of memory", DASH, DASH],
    ]
    assert inference.rows[1][1:] == ["62.5", "250"]
    assert memory.rows[0][1:] == ["0.5", "0.5"]
    assert found.finding() == (
        "fnet trains fastest at length 1,024 (Abacus, 2 cores; model of Text, batch "
        "4): a speed-up of 3 over the transformer."
    )
    speed, _ = found.plots()
    assert [(line.name, line.x) for line in speed.series] == [
        ("fnet", [512, 1024]),
        ("transformer", [512, 1024]),
    ]


@pytest.mark.parametrize(
    ("method", "is_of", "column", "other"),
    [
        (
            *("allocator peak", "the process, at its peak"),
            *("process_peak_bytes", "call_bytes"),
        ),
        (
            *("compiled memory analysis", "a training call"),
            *("call_bytes", "process_peak_bytes"),
        ),
    ],
)
def test_memory_is_in_the_column_of_what_needs_it(
    tmp_path, method, is_of, column, other
):
    memory = {"bytes": 2**30, "method": method}
    write_speed(tmp_path, made_speed("fnet", 512, 8.0, peak_memory=memory))
    for mixer in ("fnet", "transformer"):
        write_made(tmp_path, mixer=mixer, peak_memory=memory)
    (found,) = read_report([tmp_path]).speeds
    assert found.tables()[-1].title == f"Memory of a device, GiB: {is_of}"
    (plot,) = learning.bubbles(lead(tmp_path))
    assert f"Area: memory of {is_of}, 1 to 1 GiB" in plot.note
    frame = as_frame([lead(tmp_path)], [])
    frame = frame[frame["status"] == "comparable"]
    assert (frame[column] == 2**30).all() and frame[other].isna().all()


def test_fnet_is_faster_or_slower_only_where_every_round_says_so(tmp_path):
    def in_turns(low, median, high):
        return {"low": low, "median": median, "high": high, "repeats": 3}

    write_speed(tmp_path, made_speed("fnet", 512, 8.0))
    for mixer, length, spread in (
        ("local", 512, in_turns(1.5, 2.0, 2.5)),
        ("local", 1024, in_turns(2.5, 3.0, 3.25)),
        ("cnn", 512, in_turns(0.5, 0.75, 0.875)),
        ("cnn", 1024, in_turns(0.9, 1.0, 1.25)),
        ("cnn", 2048, in_turns(1.25, 1.5, 1.75)),
        ("s5", 512, in_turns(0.9, 1.5, 1.75)),
        *(("lru", length, in_turns(1.1, 1.2, 1.3)) for length in (512, 1024, 2048)),
    ):
        write_speed(tmp_path, made_speed(mixer, length, 1.0, fnet_speed_up=spread))
    (found,) = read_report([tmp_path]).speeds
    (verdicts,) = found.verdicts()
    rows = {row[0]: row[1:] for row in verdicts.rows}
    assert "fnet" not in rows
    assert rows["local"] == [
        f"2{TIMES} [1.5 to 2.5]",
        f"3{TIMES} [2.5 to 3.25]",
        DASH,
        "faster at 512, 1,024",  # and not measured at 2,048
    ]
    assert rows["cnn"][-1] == "faster at 2,048, slower at 512"
    assert rows["s5"][-1] == "neither" and rows["lru"][-1] == "faster"


@pytest.mark.parametrize(
    ("rate", "low", "high", "said"),
    [
        (12.0, 0.5, 0.9, "cnn trains fastest at length 512"),
        (12.0, 0.9, 1.1, "fnet and cnn, tied, train fastest at length 512"),
        (9.0, 0.9, 1.1, "fnet and cnn, tied, train fastest at length 512"),
        (12.0, 1.1, 1.5, "fnet trains fastest at length 512"),
        (9.0, 1.1, 1.5, "fnet trains fastest at length 512"),
    ],
)
def test_steps_in_turns_say_who_is_fastest_before_rates_do(
    tmp_path, rate, low, high, said
):
    spread = {"low": low, "median": (low + high) / 2, "high": high, "repeats": 3}
    write_speed(tmp_path, made_speed("transformer", 512, 2.0))
    write_speed(tmp_path, made_speed("fnet", 512, 10.0))
    write_speed(tmp_path, made_speed("cnn", 512, rate, fnet_speed_up=spread))
    (found,) = read_report([tmp_path]).speeds
    assert found.finding().startswith(said)
    speed_up = 6 if said.startswith("cnn") else 5
    assert found.finding().endswith(f"a speed-up of {speed_up} over the transformer.")


def test_a_measurement_of_nothing_is_a_dash_and_no_division(tmp_path):
    write_speed(tmp_path, made_speed("transformer", 512, 0.0))
    write_speed(tmp_path, made_speed("fnet", 512, 2.0))
    (found,) = read_report([tmp_path]).speeds
    assert found.tables()[0].rows == [["fnet", "2", DASH], ["transformer", DASH, DASH]]
    assert found.finding() == ""


def test_other_sizes_and_devices_are_tables_of_their_own(tmp_path):
    write_speed(tmp_path, made_speed("fnet", 512, 2.0))
    other = {"platform": "gpu", "kind": "Other", "count": 2}
    write_speed(tmp_path, made_speed("fnet", 512, 2.0, device=other), "a-batch4")
    write_speed(tmp_path, made_speed("fnet", 512, 2.0, width=32), "b-batch4")
    names = [found.name for found in read_report([tmp_path]).speeds]
    assert names == [
        f"2 {TIMES} Other; model of Text, batch 4",
        *["Abacus, 2 cores; model of Text, batch 4"] * 2,
    ]


def test_accuracy_against_speed_shows_one_machine_alone(tmp_path):
    for mixer in ("fnet", "transformer"):
        write_made(tmp_path, mixer=mixer)
    elsewhere = {"platform": "gpu", "kind": "Other", "count": 1}
    write_made(tmp_path, mixer="local", device=elsewhere)
    (plot,) = learning.bubbles(lead(tmp_path))
    assert {bubble.name for bubble in plot.series} == {"fnet", "transformer"}
    assert plot.series[0].x == [80.0]  # 10 steps/s in batches of 8
    assert plot.series[0].size == 1.0  # GiB
    assert "Abacus" in plot.note and "Not measured there: local" in plot.note


def test_curves_are_means_over_seeds_at_steps_that_all_have(tmp_path):
    for seed, right in enumerate((80, 60)):
        write_made(tmp_path, seed=seed, correct=answers(right))
    over_steps, over_time = learning.curves(lead(tmp_path))
    (line,) = over_steps.series
    assert (line.x, line.y) == ([100, 200], [10.0, 70.0])
    assert (line.low, line.high) == ([10.0, 60.0], [10.0, 80.0])
    assert over_steps.note == "Mean over seeds. The band is the range of the seeds."
    assert over_time.series[0].x == pytest.approx([100 / 600, 200 / 600])


def test_time_to_an_accuracy_is_steps_over_speed(tmp_path):
    write_made(tmp_path, mixer="fnet", correct=answers(80))
    write_made(tmp_path, mixer="local", correct=answers(30))
    (found,) = learning.times_to_learn(lead(tmp_path))
    assert found.header == ["mixer", "ListOps to 73.0 %"]  # 90 % of the way, 10 to 80
    assert found.rows == [["fnet", "0.333"], ["local", "not reached"]]


def test_a_task_that_nothing_learned_has_no_time(tmp_path):
    write_made(tmp_path, correct=answers(11))
    assert learning.times_to_learn(lead(tmp_path)) == []


def test_a_breakdown_is_the_mean_over_seeds(tmp_path):
    for seed, right in enumerate((40, 50)):
        write_made(tmp_path, seed=seed, correct=answers(right))
    table = lead(tmp_path)
    parts = learning.breakdown(table.configurations["fnet", "listops"], "length")
    assert (parts["correct"].iloc[0], parts["examples"].iloc[0]) == (45.0, 100)
    (found,) = learning.breakdown_tables(table)
    assert found.header == ["length", f"1{DASH}9", f"10{DASH}19"]
    assert found.rows == [["examples", "100", "1"], ["fnet", "45.0", "0.0"]]
    (plot,) = learning.breakdown_plots(table)
    assert (plot.series[0].x, plot.series[0].y) == ([5.0, 14.5], [45.0, 0.0])


def test_words_are_parts_of_a_table_and_not_of_a_figure(tmp_path):
    own = [{"value": word, "correct": 1, "examples": 2} for word in ("MIN", "MAX")]
    write_made(tmp_path, breakdown={"root": own, "one part": own[:1]})
    (found,) = learning.breakdown_tables(lead(tmp_path))
    assert found.header == ["root", "MIN", "MAX"]
    assert found.rows[1] == ["fnet", "50.0", "50.0"]
    assert [*learning.breakdown_plots(lead(tmp_path))] == []
