"""Every command with a wrong value, a missing file, a file for a folder, a full disk.

Whatever is typed, in the environment or in a file ends in one line on stderr that says
what is wrong, and in no traceback; LRA_DEBUG=1 shows that.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lra_fnet.__main__ import VERBS, main
from tiny_runs import ROOT, TINY, command, run

QUICK = "--task=listops --recipe=quick"
# A wrong command line of each kind, what its error says, by verb. FILE is a file; below
# it there is no folder.
WRONG = {
    "train": [
        ("--task=listop", "did you mean 'listops'?"),
        ("--task=listops --recipe=quik", "did you mean 'quick'?"),
        (f"{QUICK} --mixer=fnett", "did you mean 'fnet'?"),
        (f"{QUICK} --seed=-1", "seed is -1; it must be from 0 to 4294967295"),
        (f"{QUICK} --seed=x", "must be a whole number"),
        (f"{QUICK} --seeds=0", "num_seeds is 0"),
        (f"{QUICK} --source=internet", "unknown source 'internet'"),
        (f"{QUICK} --source=official --data=/nosuch", "in /nosuch; data= is a folder"),
        (f"{QUICK} --source=official --data=FILE", "FILE is a file: unpack it"),
        ("--task=text --recipe=quick --source=folder", "source=folder needs data=DIR"),
        ("--task=text --recipe=quick --source=folder --data=FILE", "source=sample"),
        ("--task=image --recipe=quick --source=folder --data=FILE/x", "source=sample"),
        ("--task=retrieval --recipe=quick --source=papers --data=FILE", "in FILE"),
        ("--task=pathfinder --recipe=quick --config.data.size=33", "33; have"),
        (f"{QUICK} --workdir=", "it is empty"),
        (f"{QUICK} --workdir=/", "/ cannot be the folder of one run"),
        (f"{QUICK} --workdir=FILE", "FILE is a file; name a folder"),
        (f"{QUICK} --workdir=FILE/x", "FILE: exists and is no folder"),
        (f"{QUICK} --init_from=/nosuch", "there is no checkpoint of a run"),
        ("--task=corpus --recipe=quick", "source=folder needs data=DIR"),
        ("--task=corpus --recipe=quick --data=/nosuch", "no file *.txt in /nosuch"),
        ("--task=glue --recipe=quick --data=FILE", "no FILE/train.tsv"),
        ("--task=corpus --recipe=quick --source=sample --mixer=linformer", "no causal"),
        (f"{QUICK} --parity=all", "invalid choice: 'all'"),
        (f"{QUICK} --config.encoder.widht=3", "did you mean encoder.width?"),
        (f"{QUICK} --config.encoder.width=0", "encoder.width is 0"),
        (f"{QUICK} --config.encoder.width", "write --config.KEY=VALUE"),
        (f"{QUICK} --config.mixers.fnet.x=1", "no key mixers.fnet.x"),
        (
            f"{QUICK} --config.mixers.cnn.kernel_size=3",
            "no effect: the layers are fnet",
        ),
        (
            f"{QUICK} --mixer=cnn --config.mixers.cnn.kernel_size=0",
            "cannot be built with mixers.cnn.kernel_size=0",
        ),
        (f"{QUICK} --mixer=transformer --config.encoder.width=65", "divide the width"),
        (f"{QUICK} --config.num_layers=-1", "num_layers is -1"),
        (f"{QUICK} --config.optimizer.b1=nan", "optimizer.b1 is nan"),
        (f"{QUICK} --config.data.num_test=1", "data.num_test is 1; a score needs >= 2"),
        (f"{QUICK} --config.data.max_length=99999999999", "Unable to allocate"),
    ],
    "eval": [
        ("--workdir=/nosuch", "no run in /nosuch"),
        ("--workdir=FILE/x", "no run in FILE/x"),
        ("", "required: --workdir"),
    ],
    "export": [
        ("--workdir=/nosuch", "no run in /nosuch"),
        ("--workdir=. --to=w.npz", "does not end in .safetensors"),
    ],
    "predict": [
        ("--workdir=/nosuch --file=x", "no run in /nosuch"),
        ("--workdir=. --file='x", "No closing quotation"),
        ("--workdir=.", "required: --file"),
    ],
    "sample": [
        ("--workdir=/nosuch", "no run in /nosuch"),
        ("--workdir=. --temperature=warm", "invalid float value: 'warm'"),
        ("--workdir=. --temperature=inf", "temperature is inf; it must be >= 0 and"),
        ("--workdir=. --draw=x", "invalid int value: 'x'"),
        (f"--workdir=. --draw={2**70}", "it must be from 0 to 2^32 - 1"),
        ("", "required: --workdir"),
    ],
    "import-fnet": [
        ("", "required: path"),
        ("/nosuch", "/nosuch"),
        (".", "no model.safetensors in"),
        ("FILE", "is no Flax checkpoint"),
        ("FILE/x", "FILE/x"),
    ],
    "data": [
        ("--task=listop", "did you mean 'listops'?"),
        (f"{QUICK} --check", "make them first"),
        (f"{QUICK} --export=csv", "invalid choice: 'csv'"),
        ("--task=image --recipe=quick --source=folder --data=/nosuch", "/nosuch"),
    ],
    "table": [
        ("--tasks=listop", "did you mean 'listops'?"),
        ("--dry --mixers=fnett", "did you mean 'fnet'?"),
        ("--dry --recipe=quik", "did you mean 'quick'?"),
        ("--seeds=0", "seeds is 0"),
        ("--shard=17/16", "write shard=INDEX/COUNT"),
        ("--sources=folder", "write sources="),
        ("--sources='x", "No closing quotation"),
        ("--dry --config.encoder.widht=3", "did you mean encoder.width?"),
    ],
    "report": [
        ("--runs=/nosuch", "no folder /nosuch"),
        ("--runs=", "runs is empty"),
        ("--runs='x", "No closing quotation"),
        ("--runs=. --to=FILE/x", "FILE/x: Not a directory"),
        ("--runs=. --to=FILE", "FILE: exists and is no folder"),
        ("--runs=. --documents=/nosuch", "/nosuch: No such file"),
    ],
    "speed": [
        ("--mixers=fnett", "did you mean 'fnet'?"),
        ("--lengths=1k", "'1k' is no size"),
        ("--batch=0", "batch is 0"),
        ("--limit=0", "limit is 0"),
        ("--task=nosuch", "unknown task 'nosuch'"),
    ],
    "speed-compare": [
        ("--sections=stepp", "did you mean 'step'?"),
        ("--task=nosuch", "unknown task 'nosuch'"),
    ],
    "speed-fourier": [
        ("--lengths=0", "'0' is no size"),
        ("--widths=x", "'x' is no size"),
    ],
    "record": [
        (f"{QUICK} --target=0", "target is 0.0; it is an accuracy in percent"),
        (f"{QUICK} --target=high", "invalid float value: 'high'"),
        (f"{QUICK} --target=30 --seeds=2", "seeds is 2; it must be >= 3"),
        (QUICK, "required: --target"),
        ("--task=text --recipe=quick --source=sample --target=60", "is made up"),
    ],
    "mixers": [
        ("--write=FILE/x", "no folder FILE to write to"),
        ("--write=/nosuch/x", "no folder /nosuch to write to"),
    ],
    "check-mixer": [
        ("--mixer=fnett", "did you mean 'fnet'?"),
        ("--mixer=no.such", "unknown mixer 'no.such'"),
        ("--mixer=os.path", "has no class Mixer"),
    ],
    "compile": [
        ("--accel=v5", "did you mean 'v5p'?"),
        ("--accel=h100 --tasks=listop", "did you mean 'listops'?"),
        ("--accel=h100 --mixers=fnett", "did you mean 'fnet'?"),
        ("--accel=h100 --recipe=quik", "did you mean 'quick'?"),
        ("--accel=h100 --devices=0", "devices is 0; for h100 it must be from 1 to 8"),
        ("--accel=v5e --devices=5", "devices is 5; for v5e it must be from 1 to 4"),
        ("--accel=h100 --devices=x", "invalid int value: 'x'"),
        ("--accel=h100 --config.encoder.width", "write --config.KEY=VALUE"),
        ("--accel=h100 --document=/nosuch", "/nosuch: No such file"),
        ("", "required: --accel"),
    ],
    "new-mixer": [
        ("--name=fnet", "fnet"),
        ("--name=a/b", "a/b"),
        ("--name=class", "class"),
        ("", "required: --name"),
    ],
}


def test_every_command_is_walked():
    assert WRONG.keys() == VERBS.keys()


@pytest.mark.parametrize(
    ("verb", "typed", "expected"),
    [(verb, *each) for verb, cases in WRONG.items() for each in cases],
)
def test_a_wrong_command_is_one_line(
    verb, typed, expected, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LRA_DATA", str(tmp_path / "data"))
    Path("file").touch()
    arguments = typed.replace("FILE", "file")
    # Only in --runs and --file are quotes part of what a shell hands over.
    split = arguments.split() if "'" in arguments else shlex.split(arguments)
    try:
        status, said = main([verb, *split]), ""
    except SystemExit as stop:  # as Python prints it
        status, said = 1, f"{stop.code}\n"
    said += capsys.readouterr().err
    assert status
    assert said.startswith("error: ") and said.count("\n") == 1
    assert expected.replace("FILE", "file") in said
    assert not Path("results").exists()


def test_a_reader_that_leaves_early_is_no_error(tmp_path):
    shown = f"{sys.executable} -m lra_fnet report --runs={tmp_path} --to={tmp_path}/to"
    done = subprocess.run(
        f"{shown} | true", shell=True, cwd=ROOT, capture_output=True, text=True
    )
    assert done.stderr == "" and (tmp_path / "to" / "table.md").exists()


def test_debug_mode_shows_the_traceback(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LRA_DEBUG", "1")
    assert main(["eval", f"--workdir={tmp_path}"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("JAX_NUM_CPU_DEVICES=0", "JAX_NUM_CPU_DEVICES is 0; it must be >= 1"),
        ("JAX_NUM_CPU_DEVICES=x", "JAX cannot be loaded: "),
        ("JAX_ENABLE_X64=maybe", "'maybe' for environment 'JAX_ENABLE_X64'"),
        ("JAX_ENABLE_X64=1", "JAX_ENABLE_X64=1 would change results; unset it"),
        ("JAX_DISABLE_JIT=1", "JAX_DISABLE_JIT=1 would change results; unset it"),
        ("JAX_PLATFORMS=abacus", "JAX has no platform 'abacus' here"),
        ("XLA_FLAGS=--xla_cpu_enable_fast_math=true", "fast_math=true in XLA_FLAGS"),
        ("LRA_DATA=/dev/null", "/dev/null/listops"),
    ],
)
def test_a_wrong_environment_is_one_line(tmp_path, variable, expected):
    program = ["env", variable, *command(tmp_path / "run", train__num_steps=2)]
    done = run(program, tmp_path)
    assert done.returncode and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ") and expected in done.stderr


@pytest.mark.parametrize("typed", ["train --task=listops", "report --runs=."])
def test_a_package_that_hides_an_installed_one_is_named(tmp_path, typed):
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").write_text("raise ImportError('not this')")
    done = subprocess.run(
        [sys.executable, "-m", "lra_fnet", *typed.split()],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert f"PYTHONPATH has {tmp_path}, whose numpy" in done.stderr


@pytest.mark.slow
def test_a_broken_result_in_a_workdir_is_named(tmp_path):
    workdir = tmp_path / "run"
    short = {"train__num_steps": 2, "train__eval_every": 2}
    assert run(command(workdir, **short), tmp_path).returncode == 0
    (workdir / "result.json").write_text('{"task": "list\nops"}')
    for verb in ("train", "eval"):
        done = run(command(workdir, verb, **short), tmp_path)
        assert done.returncode == 1 and done.stderr.count("\n") == 1
        assert f"{workdir}/result.json" in done.stderr


@pytest.mark.slow
def test_the_folder_one_is_in_can_be_a_workdir(tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()
    short = {"train__num_steps": 2, "train__eval_every": 2}
    done = run(command(".", **short), tmp_path, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "result.json").exists()


TINY_FLAGS = " ".join(f"--config.{key}={value}" for key, value in TINY.items())
# What writes, the most bytes of a file, and the file that the error names.
FULL = [
    ("train", f"{QUICK} {TINY_FLAGS} --workdir=run", 0, "run.lock"),
    ("train", f"{QUICK} {TINY_FLAGS} --workdir=run", 1_000, "space or set LRA_DATA"),
    ("data", f"{QUICK} {TINY_FLAGS}", 0, ".building.lock"),
    ("report", "--runs=. --to=report", 0, "report/index.html"),
    ("report", "--runs=. --to=report", 9_000, "report/index.html"),
    ("mixers", "--write=mixers.md", 100, "mixers.md"),
    ("new-mixer", "--name=mine", 100, "mine.py"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "typed", "most", "expected"), FULL)
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    verb, typed, most, expected, tmp_path
):
    """A limit on the size of files stands for the full disk."""
    limited = (
        "import os, resource, sys; "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most})); "
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    program = [sys.executable, "-c", limited, "-m", "lra_fnet", verb, *typed.split()]
    done = run(program, tmp_path / "data", cwd=tmp_path)
    assert done.returncode
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert expected in done.stderr
    for name in ("mixers.md", "mine.py", "report/index.html", "run/result.json"):
        assert not (tmp_path / name).exists()
