"""What a user types, right and wrong."""

import os
import subprocess
import sys

import jax
import pytest

from lra_fnet.__main__ import VERBS, default_recipe, parse
from tiny_runs import ROOT, command, environment, run


def typed(*arguments, data="data"):
    """Run the command line in a process of its own."""
    program = [sys.executable, "-m", "lra_fnet", *arguments]
    return subprocess.run(
        program, cwd=ROOT, env=environment(data), capture_output=True, text=True
    )


def make(*arguments):
    """Run make."""
    # Without the flags of the make that runs these tests.
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=clean, capture_output=True, text=True
    )


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        parse([verb, "--help"])
    assert stop.value.code == 0
    assert "usage: lra-fnet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["trian"], "unknown verb 'trian'; did you mean 'train'?"),
        (["train", "--task=listops", "--mixr=fnet"], "did you mean --mixer?"),
        (["eval", "--config.seed=3", "--workdir=x"], "unknown argument"),
        (["train"], "required: --task"),
        (["speed", "--batch=x"], "invalid int value: 'x'"),
        (["data", "--task=text", "--check", "--export=tfds"], "not allowed with"),
    ],
)
def test_a_wrong_argument_is_one_line_that_says_where_to_look(arguments, expected):
    with pytest.raises(SystemExit) as stop:
        parse(arguments)
    message = str(stop.value.code)
    assert expected in message and "--help" in message and "\n" not in message


def test_without_a_recipe_the_devices_decide_and_it_is_said(capsys):
    expected = "quick" if jax.devices()[0].platform == "cpu" else "lra2020"
    assert default_recipe() == expected
    assert f"recipe {expected}, because JAX sees" in capsys.readouterr().out


def test_wrong_values_end_in_one_line(tmp_path):
    done = run(command(tmp_path / "run", encoder__pool="middle"), tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: encoder.pool is 'middle'; choose from")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "--task=listop"], "error: unknown task 'listop'; did you mean"),
        (["train", "--task=listops", "--recipe=quik"], "did you mean 'quick'?"),
        (["eval", "--workdir=."], "error: no run in ."),
        (["data", "--task=listops", "--check", "--recipe=quick"], "make them first"),
        (["check-mixer", "--mixer=fnett"], "did you mean 'fnet'?"),
        (["new-mixer", "--name=fnet"], "fnet"),
    ],
)
def test_what_a_user_can_fix_ends_in_one_line(arguments, expected, tmp_path):
    done = typed(*arguments, data=tmp_path)
    assert done.returncode != 0 and expected in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


# --- Make ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["task=listop"], 'unknown task "listop"; have: '),
        (["task=listops", "accel=gpu"], 'unknown accel "gpu"; choose cpu'),
        (["compile"], "; choose h100"),
        (["compile", "accel=h200"], 'unknown accel "h200"; choose h100'),
        (["eval"], "required: --workdir"),
        (["new-mixer"], "required: --name"),
    ],
)
def test_make_teaches(arguments, expected):
    done = make(*arguments)
    assert done.returncode != 0 and expected in done.stderr


@pytest.mark.parametrize("arguments", [[], ["help"]])
def test_make_alone_says_what_there_is(arguments):
    done = make(*arguments)
    assert done.returncode == 0 and "make task=TASK" in done.stdout


def test_make_hands_on_what_it_is_given_spaces_and_all():
    done = make("-n", "task=text", "model=linformer", "data=/a b/c", "seeds=3")
    words = ("train", "'--task=text'", "'--mixer=linformer'", "'--data=/a b/c'")
    assert done.returncode == 0
    assert all(word in done.stdout for word in (*words, "'--seeds=3'"))
