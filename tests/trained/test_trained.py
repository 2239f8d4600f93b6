"""What leaves a trained run: weights, and answers to a user's own examples."""

import json
import shutil

import flax.traverse_util
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from lra_fnet.__main__ import main
from lra_fnet.config import as_config, make_program, task_facts
from lra_fnet.data import data_root, load_dataset
from lra_fnet.train import train_and_evaluate
from lra_fnet.trained.evaluate import evaluate
from lra_fnet.trained.export import export, named_arrays
from lra_fnet.trained.predict import predict
from lra_fnet.trained.restore import restore
from lra_fnet.workdir import WorkdirError
from tasks import DataError, make_task
from tasks.listops import decode
from tasks.sources.folder import gray
from tiny_runs import tiny_config


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two tiny seeds, and the data they were trained on."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LRA_DATA", str(folder / "data"))
        config = tiny_config(num_seeds=2, train__num_steps=20, train__eval_every=10)
        results = train_and_evaluate(config, folder / "run")
        test = load_dataset(make_task("listops", **config.data), data_root()).splits
    return folder / "run", results, test["test"]


def test_exported_weights_give_the_same_answers_in_another_program(trained, tmp_path):
    workdir, results, test = trained
    weights, beside = export(workdir, tmp_path / "new" / "w.safetensors", seed="1")
    facts = json.loads(beside.read_text())
    config = as_config(facts["config"])
    model = make_program(config, task_facts(config)).model
    arrays = {name: jnp.asarray(array) for name, array in load_file(weights).items()}
    params = flax.traverse_util.unflatten_dict(arrays, sep="/")
    logits = model.apply({"params": params}, jnp.asarray(test.inputs), train=False)
    saved = np.load(workdir / "seed1" / "test_predictions.npy")
    assert (np.argmax(logits, -1) == saved).all()
    assert facts["test"]["correct"] == results[1].test.correct
    assert facts["classes"] == [str(digit) for digit in range(10)]
    assert (facts["seed"], facts["data_checksum"]) == (1, results[1].data.checksum)


def test_an_export_replaces_its_own_files_and_no_others(trained, tmp_path):
    workdir, *_ = trained
    to = tmp_path / "w.safetensors"
    export(workdir, to, seed="1")
    export(workdir, to, seed="0")
    assert json.loads(to.with_suffix(".json").read_text())["seed"] == 0
    to.with_suffix(".json").write_text('{"mine": 1}')
    with pytest.raises(ValueError, match=r"would replace .*w\.json, which no export"):
        export(workdir, to, seed="1")
    assert to.with_suffix(".json").read_text() == '{"mine": 1}'


def test_saved_answers_that_cannot_be_read_are_one_clear_error(trained, tmp_path):
    workdir, *_ = trained
    copy = tmp_path / "run"
    shutil.copytree(workdir, copy)
    (copy / "seed1" / "test_predictions.npy").write_bytes(b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LRA_DATA", str(workdir.parent / "data"))
        with pytest.raises(WorkdirError, match="test_predictions.npy cannot be read"):
            evaluate(copy)


def test_names_are_those_of_the_parameter_tree_and_complex_ones_come_in_halves():
    tree = {"a": {"b": np.ones(3), "c": np.array([1 + 2j])}}
    halves = dict(named_arrays(tree))
    assert sorted(halves) == ["a/b", "a/c.imag", "a/c.real"]
    assert (halves["a/c.real"], halves["a/c.imag"]) == (1, 2)


def test_answers_to_a_file_are_those_of_the_test_split(trained, tmp_path):
    workdir, _, test = trained
    file = tmp_path / "expressions.txt"
    lines = [decode(row) for row in test.inputs[:20]]
    file.write_text("\ufeff" + "\n\n".join(lines))
    answers = list(predict(workdir, [file], seed="0"))
    saved = np.load(workdir / "seed0" / "test_predictions.npy")
    assert [line.split(": ")[1].split(",")[0] for line in answers] == [
        str(label) for label in saved[:20]
    ]
    assert answers[2].startswith(f"{file}:5: ") and answers[2].endswith(" %")
    chance = float(answers[0].rsplit(", ")[1].removesuffix(" %"))
    assert 10 <= chance <= 100  # the most probable of ten


def test_one_of_several_seeds_must_be_chosen(trained, tmp_path):
    workdir, *_ = trained
    for seed in ("", "7"):
        with pytest.raises(ValueError, match="has seeds 0, 1; choose one"):
            export(workdir, tmp_path / "w.safetensors", seed)
    with pytest.raises(ValueError, match="does not end in .safetensors"):
        export(workdir, tmp_path / "w.npz", "0")
    assert not list(tmp_path.iterdir())


def test_no_run_is_one_line(tmp_path):
    with pytest.raises(WorkdirError, match="no run in"):
        restore(tmp_path)


def test_a_command_may_be_typed_as_for_make(trained, tmp_path, capsys):
    workdir, *_ = trained
    to = tmp_path / "my weights.safetensors"
    assert main(["export", f"workdir={workdir}", f"to={to}", "seed=0"]) == 0
    assert to.exists() and "wrote" in capsys.readouterr().out
    missing = tmp_path / "no.txt"
    assert main(["predict", f"workdir={workdir}", f"file={missing}", "seed=0"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def examples(task, path, **options):
    """Return the examples that a task finds in a file."""
    found = list(make_task(task, source="sample", **options).read_file(path))
    return [ids for _, ids in found]


def test_a_text_is_read_as_the_task_reads_reviews(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"  n\xc3\xa9 \n")
    (ids,) = examples("text", tmp_path / "a.txt")
    assert ids.shape == (4_000,) and ids[:4].tolist() == [111, 196, 170, 0]


def test_two_texts_lie_on_a_line(tmp_path):
    (tmp_path / "pairs.tsv").write_text("a b\tc\nd\te\tf\n")
    first, second = examples("retrieval", tmp_path / "pairs.tsv", length=10)
    assert first[:, :4].tolist() == [[98, 33, 99, 0], [100, 0, 0, 0]]
    assert second[1, :4].tolist() == [102, 10, 103, 0]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1"])
def test_a_picture_is_read_as_gray(tmp_path, mode):
    colors = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    picture = Image.fromarray(colors).convert(mode)
    picture.save(tmp_path / "a.png")
    (ids,) = examples("image", tmp_path / "a.png")
    if mode in ("L", "1"):
        expected = np.asarray(picture.convert("L"))
    else:
        expected = gray(np.asarray(picture.convert("RGB")))
    assert (ids == expected.ravel()).all()


@pytest.mark.parametrize(
    ("task", "content", "expected"),
    [
        ("text", b"", "is empty"),
        ("text", b"a\xff", "0xFF"),
        ("retrieval", b"one text", "no tab between two texts"),
        ("retrieval", b"one text\t ", "second text is empty"),
        ("image", b"no picture", "no intact picture"),
        ("pathfinder", b"", "no intact picture"),
    ],
)
def test_a_file_that_is_no_example_is_refused_by_name(
    tmp_path, task, content, expected
):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{path}.*{expected}"):
        examples(task, path)


@pytest.mark.parametrize(
    ("line", "expected"),
    [("[MAX 2 x ]", "unknown token 'x'"), ("[MAX 2", "no expression"), ("", "empty")],
)
def test_a_line_that_is_no_expression_is_refused_by_number(tmp_path, line, expected):
    path = tmp_path / "file"
    path.write_text(f"\n{line}\n")
    with pytest.raises(DataError, match=expected):
        list(make_task("listops").read_file(path))


@pytest.mark.parametrize(("dtype", "mode"), [(np.uint16, "I;16"), (np.float32, "F")])
def test_a_picture_of_more_than_8_bits_is_refused(tmp_path, dtype, mode):
    path = tmp_path / "a.tiff"
    Image.fromarray(np.zeros((32, 32), dtype)).save(path)
    with pytest.raises(DataError, match=rf"a.tiff: more than 8 bits .*mode {mode}"):
        examples("image", path)


def test_a_picture_that_was_cut_off_is_named(tmp_path):
    random = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    Image.fromarray(random).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"a.png: no intact picture"):
        examples("image", tmp_path / "a.png")


def test_a_picture_of_another_size_is_refused_with_both(tmp_path):
    Image.new("L", (40, 30)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="40 x 30 pixels instead of 32 x 32"):
        examples("image", tmp_path / "a.png")
