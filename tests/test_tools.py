"""The check of a new machine runs from end to end, before there is such a machine."""

import json
import os
import runpy
import subprocess
import sys

import pytest

from tiny_runs import ROOT, TINY

WITH_DIFFERENCES = '''"""Module.

LRA: is older.
"""
# LRA: sums
# padding.

# Another comment.
config.x = 1  # LRA: 2
def f():
    """Return.

    LRA: has none,
    nowhere.
    """
    # It is so; LRA: not
    # always.
    # LRA: twice.
'''
FLAGS = " ".join(f"--config.{key}={value}" for key, value in TINY.items())


def test_the_page_of_differences_is_what_the_comments_say():
    tool = runpy.run_path(str(ROOT / "tools" / "differences.py"))
    shown = (ROOT / "docs" / "differences.md").read_text()
    assert shown == tool["page"](), "run make docs"
    assert tool["differences"](WITH_DIFFERENCES) == [
        "is older.",
        "sums padding.",
        "2 (`x = 1`)",
        "has none, nowhere. (`f`)",
        "not always.",
        "twice.",
    ]


@pytest.mark.slow
def test_the_accelerator_check_is_rehearsed_with_tiny_sizes(tmp_path):
    tiny = {
        "PYTHON": sys.executable,
        "RECIPE": "quick",
        "MIXERS": "fnet",
        "TASKS": "image",
        "BATCH": "2",
        "LENGTHS": "64",
        "WIDTHS": "64",
        "TASK": "image",
        "SECTIONS": "step",
        "TESTS": "tests/test_metrics.py",
        "RUNS": "listops:fnet:2",
        "FLAGS": f"{FLAGS} --config.train.num_steps=20 --config.train.eval_every=10",
        "LRA_DATA": str(tmp_path / "data"),
    }
    done = subprocess.run(
        ["tools/gpu_check.sh", str(tmp_path), "900"],
        cwd=ROOT,
        env=os.environ | tiny,
        capture_output=True,
        text=True,
    )
    logs = "".join(log.read_text()[-2000:] for log in tmp_path.glob("*.log"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    for name in ("device", "listops-fnet-quick-seed0", "listops-fnet-quick-seed1"):
        assert json.loads((tmp_path / f"{name}.json").read_text())
    assert [*tmp_path.glob("speed/*/*/speed.md")]
    assert json.loads((tmp_path / "fourier_choice.json").read_text())["cpu"]["rows"]


@pytest.mark.slow
def test_the_accelerator_check_says_what_it_did_not_finish(tmp_path):
    done = subprocess.run(
        ["tools/gpu_check.sh", str(tmp_path), "1"],
        cwd=ROOT,
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "not finished: cells tests speed-fourier" in done.stdout
