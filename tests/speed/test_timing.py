"""Timing in turns, and processes that end in any way."""

import os
import time

import pytest

from lra_fnet.speed.timing import (
    Killed,
    Sample,
    in_own_process,
    interleaved,
    speed_ups,
)


def test_calls_are_timed_in_turns_and_twice_at_least():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    samples = interleaved(calls, rounds=5, seconds=0.0)
    assert order == ["a", "b"] * 3  # one round to warm up
    assert {len(own) for own in samples.values()} == {2}


def test_what_is_timed_follows_calls_of_its_own_kind():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    samples = interleaved(calls, rounds=2, seconds=60.0, settling=2)
    assert order == [*"ab", *"aaabbb" * 2]
    assert {len(own) for own in samples.values()} == {2}


def test_a_call_that_strains_patience_is_not_repeated(monkeypatch):
    seconds = {"quick": 1.0, "slow": 9.0}
    monkeypatch.setattr(
        "lra_fnet.speed.timing.timed", lambda call: Sample(call(), call())
    )
    calls = {name: lambda value=value: value for name, value in seconds.items()}
    samples = interleaved(calls, rounds=3, seconds=60.0, patience=3.0)
    assert len(samples["quick"]) == 3 and samples["slow"] == [Sample(9.0, 9.0)]


def test_speed_ups_are_of_the_same_round():
    slow, fast = [Sample(4.0, 1.0), Sample(9.0, 1.0)], [Sample(2.0, 1.0)] * 2
    assert speed_ups(slow, fast) == [2.0, 4.5]
    assert speed_ups(slow, fast, "processor") == [1.0, 1.0]


def test_a_process_of_its_own_returns_a_value():
    assert in_own_process(os.getpid) != os.getpid()


def test_an_error_in_a_process_is_told_by_its_first_line():
    with pytest.raises(ChildProcessError, match="ValueError: invalid literal for int"):
        in_own_process(int, "one")


def test_a_process_that_the_system_kills_is_told_from_one_that_ends():
    with pytest.raises(Killed, match="the system killed the process"):
        in_own_process(_signal_self, 9)
    with pytest.raises(ChildProcessError, match="it ended with status 3"):
        in_own_process(os._exit, 3)


def test_a_process_beyond_its_limit_is_stopped():
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"it takes more than 0\.1 s"):
        in_own_process(time.sleep, 600, limit=0.1)
    assert time.monotonic() - started < 300


def _signal_self(number):
    os.kill(os.getpid(), number)
