"""Fourier algorithms: that all compute the same, and the choice among them."""

import json
from argparse import Namespace

import jax
import numpy as np
import pytest

from lra_fnet.mixers._fourier import ALGORITHMS, fourier_mix
from lra_fnet.speed import fourier
from lra_fnet.speed.fourier import (
    batch_for,
    choice,
    in_network,
    measure_transforms,
    measured_row,
    sizes,
    transform_calls,
    write_choices,
)
from lra_fnet.speed.timing import Sample


def samples(*seconds):
    return [Sample(value, value) for value in seconds]


@pytest.fixture
def few_elements(monkeypatch):
    monkeypatch.setattr(fourier, "ELEMENTS", {jax.default_backend(): 2**10})


@pytest.fixture(scope="module")
def call():
    operators = {"real_fft": ALGORITHMS["real_fft"]}
    return transform_calls(operators, (4, 8, 6), "float32")["real_fft"]


def test_forward_and_backward_are_two_transforms_on_every_device(call):
    x = call.args[0]
    gradient, _ = call()
    expected = fourier_mix(fourier_mix(x, "published"), "published")
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-2)
    # Were both directions to transform the same numbers, one would be left of them.
    assert call.func.as_text().count(" fft(") == 2
    assert len(x.sharding.device_set) == 2


def test_a_device_transforms_one_example_at_a_time_as_in_training(call):
    transforms = [line for line in call.func.as_text().splitlines() if " fft(" in line]
    assert all("c64[1,8,4]" in line for line in transforms)


def test_in_a_network_every_algorithm_has_the_same_gradient():
    operators = {name: in_network(f) for name, f in ALGORITHMS.items()}
    calls = transform_calls(operators, (2, 8, 6), "float32")
    expected, _ = calls.pop("published")()
    for call in calls.values():
        np.testing.assert_allclose(call()[0], expected, rtol=1e-4, atol=1e-4)


def test_a_batch_is_a_multiple_of_the_devices(few_elements):
    assert batch_for(16, 8) == 8
    assert batch_for(4096, 64) == jax.local_device_count()


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([0.9] * 10, "folded_fft"),
        ([0.9] * 9 + [1.1], "folded_fft"),
        ([0.9] * 8 + [1.1] * 2, "real_fft"),  # too often slower
        ([0.98] * 10, "real_fft"),  # too little gained
        ([0.5] * 2, "real_fft"),  # too few rounds
    ],
)
def test_only_a_difference_beyond_the_noise_replaces_the_real_transform(
    seconds, expected
):
    times = {"real_fft": samples(*[1.0] * 10), "folded_fft": samples(*seconds)}
    assert choice(times, "wall") == expected


def test_the_fastest_of_several_is_taken_and_never_the_published_formula():
    seconds = {"published": 0.1, "real_fft": 1.0, "matrix": 0.8, "two_stage": 0.7}
    times = {name: samples(*[value] * 10) for name, value in seconds.items()}
    assert choice(times, "wall") == "two_stage"


@pytest.mark.parametrize("dtype", fourier.DTYPES)
def test_every_algorithm_is_measured(few_elements, dtype):
    row = measured_row(16, 8, dtype, seconds=0.0)
    assert row["algorithm"] == "real_fft"  # two rounds are too few to choose
    assert row["speeds"].keys() == ALGORITHMS.keys()
    assert row["speeds"]["published"] == 1.0


def test_other_backends_keep_their_part_of_the_table(tmp_path):
    path = tmp_path / "choice.json"
    path.write_text(json.dumps({"abacus": {"rows": []}}))
    rows = [{"length": 16, "width": 8, "dtype": "float32", "algorithm": "matrix"}]
    write_choices(rows, path, "0a1b2c")
    parts = json.loads(path.read_text())
    assert parts["abacus"] == {"rows": []}
    assert parts[jax.default_backend()]["rows"] == rows
    assert parts[jax.default_backend()]["device"]["kind"]


def test_the_command_writes_the_table_and_prints_a_column_for_each_algorithm(
    tmp_path, monkeypatch, capsys
):
    def row(length, width, dtype):
        made = {"length": length, "width": width, "dtype": dtype}
        return made | {"algorithm": "real_fft", "speeds": {"real_fft": 2.5}}

    monkeypatch.setattr(fourier, "measured_row", row)
    path = tmp_path / "choice.json"
    measure_transforms(Namespace(lengths="16,12", widths="8", to=path))
    rows = json.loads(path.read_text())[jax.default_backend()]["rows"]
    assert [(r["length"], r["dtype"]) for r in rows] == [
        (length, dtype) for length in (12, 16) for dtype in fourier.DTYPES
    ]
    printed = capsys.readouterr().out
    assert "2.5" in printed and "two_stage" in printed


@pytest.mark.parametrize("text", ["0,64", "sixteen"])
def test_a_size_that_is_none_is_an_error(text):
    with pytest.raises(ValueError, match="'0' is no size|'sixteen'"):
        sizes(text)
