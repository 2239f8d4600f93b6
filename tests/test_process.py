"""Compiled programs: with which options, found by later processes, torn by a kill."""

import os
import zlib

import jax

from lra_fnet import xla_options
from lra_fnet.hardware import CHECKED, drop_torn_entries, processor_kind, processor_name


def test_a_torn_entry_is_dropped_and_whole_ones_stay(tmp_path):
    whole = zlib.compress(b"program" * 1_000)
    (tmp_path / "whole-cache").write_bytes(whole)
    (tmp_path / "torn-cache").write_bytes(whole[:-5])
    (tmp_path / "empty-cache").write_bytes(b"")
    (tmp_path / "other-cache").write_bytes(b"\x28\xb5\x2f\xfd, by zstandard")
    drop_torn_entries(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"whole-cache", "other-cache", CHECKED}


def test_entries_that_were_found_whole_are_not_read_again(tmp_path):
    drop_torn_entries(tmp_path)
    torn = tmp_path / "torn-cache"
    torn.write_bytes(b"\x78")
    before = (tmp_path / CHECKED).stat().st_mtime - 60
    os.utime(torn, (before, before))
    drop_torn_entries(tmp_path)
    assert torn.exists()


def test_a_processor_has_one_name():
    assert processor_kind() == processor_kind()
    assert len(processor_kind()) == 12
    assert processor_name()


def test_only_options_that_this_xla_knows_are_given_to_it():
    assert not xla_options.is_known("xla_cpu_no_such_option", "1")
    doubled = jax.jit(lambda x: 2 * x).lower(1.0)
    options = dict(xla_options.fastest_options())
    assert doubled.compile(compiler_options=options)(3.0) == 6.0
