"""Language models: every position of a causal encoder predicts the byte after it."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lra_fnet.__main__ import main
from lra_fnet.config import load_config, make_program
from lra_fnet.metrics import predict_next
from lra_fnet.model import Prediction
from lra_fnet.result import bits_per_id, render
from lra_fnet.train import train_and_evaluate
from lra_fnet.trained.sample import sample
from tasks import make_task
from tiny_runs import ROOT, kept_runs

TINY = {
    "data.source": "sample",
    "data.length": 32,
    "data.num_validation": 60,
    "data.num_test": 61,
    "encoder.width": 32,
    "encoder.mlp_dim": 32,
    "train.batch_size": 32,
    "train.num_steps": 200,
    "train.eval_every": 100,
}


SORT = {
    "data.num_train": 2_000,
    "data.num_validation": 50,
    "data.num_test": 61,
    "data.count": 4,
    "encoder.width": 32,
    "encoder.mlp_dim": 32,
    "train.num_steps": 300,
    "train.eval_every": 300,
}


def tiny(task="corpus", **changes):
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return load_config(task, "quick", (SORT if task == "sort" else TINY) | named)


def some_model(config):
    """Return a model, parameters as drawn, and ids for it."""
    task = make_task(config.task, **config.data)
    model, shape = make_program(config, task).model, (2, task.max_length)
    ids = jax.random.randint(jax.random.key(1), shape, 1, 60).astype(jnp.uint8)
    return model, model.init(jax.random.key(0), ids, train=False), ids


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("language")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LRA_DATA", str(folder / "data"))
        return folder / "run", train_and_evaluate(tiny(), folder / "run")[0]


def test_the_loss_of_a_window_is_the_mean_over_what_follows_each_position():
    rng = np.random.default_rng(0)
    logits, inputs = rng.normal(size=(3, 4, 6)), rng.integers(0, 6, (3, 4))
    labels, weight = np.array([1, 5, 2]), np.array([1.0, 1.0, 0.0])
    found = Prediction(jnp.asarray(logits), jnp.asarray(inputs))
    sums, answers = predict_next(found, jnp.asarray(labels), jnp.asarray(weight))
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = 0.0
    for row in range(2):
        following = [*inputs[row, 1:], labels[row]]
        expected -= np.mean([log_p[row, t, id] for t, id in enumerate(following)])
    assert float(sums.loss) == pytest.approx(expected, rel=1e-5)
    assert answers.tolist() == logits[:, -1].argmax(-1).tolist()
    assert float(sums.correct) == (answers[:2] == labels[:2]).sum()
    assert float(sums.weight) == 2


@pytest.mark.parametrize("mixer", ["fnet", "transformer", "s5"])
def test_no_position_learns_from_a_later_one(mixer):
    model, params, inputs = some_model(tiny(mixer=mixer))
    logits = model.apply(params, inputs, train=False).logits
    for cut in (1, 17, 31):
        other = inputs.at[:, cut:].set(7)
        changed = model.apply(params, other, train=False).logits
        same = np.abs(changed - logits)[:, :cut].max()
        assert same < 1e-4 < np.abs(changed - logits)[:, cut:].max()


def test_a_language_model_learns_more_than_how_frequent_bytes_are(trained):
    _, result = trained
    splits = make_task("corpus", **tiny().data).read(None)
    counts = np.bincount(splits["train"].inputs.ravel(), minlength=257) + 1
    share = counts / counts.sum()
    unigram = -np.log2(share[splits["test"].inputs]).mean()
    assert bits_per_id(result) < unigram - 1
    assert result.test.loss == pytest.approx(bits_per_id(result) * math.log(2))
    assert f"{bits_per_id(result):.3f} bits per id" in render(result)


def test_the_answers_are_about_the_byte_after_each_window(trained):
    workdir, result = trained
    labels = make_task("corpus", **tiny().data).read(None)["test"].labels
    answers = np.load(workdir / "test_predictions.npy")
    assert (answers == labels).sum() == result.test.correct
    assert result.test.examples == len(labels) == 61


def test_it_writes_the_same_text_for_the_same_draw_and_fills_a_window(trained):
    workdir, _ = trained
    texts = [
        b"".join(sample(workdir, "The ", "", temperature, draw))
        for temperature, draw in ((0.8, 0), (0.8, 0), (0.8, 1), (0.0, 0), (0.0, 1))
    ]
    assert texts[0] == texts[1] != texts[2] and texts[3] == texts[4]
    assert all(len(text) == 32 and text.startswith(b"The ") for text in texts)


def test_each_byte_is_drawn_by_what_the_model_says_of_the_text_so_far(trained):
    workdir, _ = trained
    text = b"".join(sample(workdir, "T", "", temperature=0.0, draw=0))
    shorter = text[:20].decode()
    assert b"".join(sample(workdir, shorter, "", 0.0, draw=0)) == text


def test_what_cannot_be_sampled_is_a_clear_error(trained, capfd):
    workdir, _ = trained
    for start in ("", "x" * 32):
        with pytest.raises(ValueError, match="bytes; the model needs 1 to 31"):
            list(sample(workdir, start, "", 1.0, 0))
    with pytest.raises(ValueError, match="temperature is -1"):
        list(sample(workdir, "a", "", -1.0, 0))
    assert main(["sample", f"--workdir={workdir}", "--start=The "]) == 0
    assert capfd.readouterr().out.startswith("The ")


def test_only_a_causal_encoder_on_labels_that_follow_can_learn_it():
    with pytest.raises(ValueError, match="set encoder.causal to true"):
        tiny(encoder__causal=False)
    with pytest.raises(ValueError, match="'cuasal'; did you mean 'causal'"):
        tiny(train__objective="cuasal")
    changes = {
        "train.objective": "causal",
        "encoder.causal": True,
        "encoder.pool": "mean",
        "data.source": "sample",
    }
    config = load_config("text", "quick", changes)
    with pytest.raises(ValueError, match="labels of text are not.*task=corpus"):
        make_program(config, make_task("text", **config.data))


def test_the_step_is_the_same_in_micro_batches():
    config = tiny(mixer="fnet")
    task = make_task("corpus", **config.data)
    split = task.read(None)["train"]
    program = make_program(config, task)
    states = []
    for parts in (1, 4):
        each = dataclasses.replace(program, micro_batches=parts)
        state = each.init(jnp.array([0]), jnp.asarray(split.inputs))
        indices = np.arange(32, dtype=np.int32).reshape(1, 1, 32)
        put = each.put(split.inputs, split.labels)
        states.append(each.train(state, *put, indices, np.int32(1))[0])
    for one, other in zip(*(jax.tree.leaves(s.params) for s in states), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


# --- Sequences for sequences: a decoder behind the encoder --------------------------


@pytest.mark.parametrize("mixer", ["fnet", "transformer"])
def test_a_decoder_reads_all_that_is_given_and_no_later_id_of_the_answer(mixer):
    model, params, inputs = some_model(tiny("sort", mixer=mixer))
    logits = model.apply(params, inputs, train=False).logits
    assert logits.shape == (2, 4, 66)
    for place in range(8):  # four symbols, the mark, three of the answer
        other = inputs.at[:, place].set(61)
        change = jnp.abs(model.apply(params, other, train=False).logits - logits)
        changed = change.max(axis=(0, 2)) > 1e-4
        assert changed.tolist() == [place < 4 or place - 4 <= t for t in range(4)]


def test_an_answer_is_right_if_all_of_it_is():
    logits = np.full((3, 4, 6), -5.0)
    inputs = np.array([[5, 1, 2, 3]] * 3)  # of a longer row, the mark and three ids
    for t, row in enumerate(([1, 2, 3, 4], [1, 3, 3, 4], [1, 2, 3, 3])):
        logits[t, np.arange(4), row] = 5.0
    row = jnp.concatenate([jnp.ones((3, 4), int), jnp.asarray(inputs)], axis=1)
    wide = jnp.concatenate([jnp.zeros((3, 4, 6)), jnp.asarray(logits)], axis=1)
    labels = jnp.full(3, 4)
    for found in (Prediction(jnp.asarray(logits), inputs), Prediction(wide, row)):
        sums, answers = predict_next(found, labels, jnp.ones(3), answer_length=4)
        assert answers.tolist() == [4, 0, 3]
        assert float(sums.correct) == 1
        assert float(sums.loss) == pytest.approx(2 * 10 / 4, abs=0.01)


@pytest.mark.parametrize(
    "changes", [{}, {"decoder__num_layers": 0, "encoder__causal": True}]
)
def test_it_learns_to_sort_with_a_decoder_and_as_one_causal_stack(
    changes, tmp_path, monkeypatch
):
    monkeypatch.setenv("LRA_DATA", str(tmp_path / "data"))
    config = tiny("sort", mixer="transformer", train__batch_size=64, **changes)
    result = train_and_evaluate(config, tmp_path / "run")[0]
    assert result.curves.train[-1].loss < 0.5 * result.curves.train[0].loss
    assert result.test.accuracy > 0.02  # of 64^4 / 24 orders
    assert ("decoder" in result.config) is not bool(changes)
    with pytest.raises(ValueError, match="no language model of a text; make task=corp"):
        list(sample(tmp_path / "run", "a", "", 1.0, 0))


def test_a_decoder_where_there_is_nothing_to_decode_is_a_clear_error():
    with pytest.raises(ValueError, match="'classify' has no use for a decoder"):
        load_config("listops", "quick", {"decoder.num_layers": 1})
    with pytest.raises(ValueError, match="or give it a decoder"):
        tiny("sort", encoder__causal=True)
    with pytest.raises(ValueError, match="or give it a decoder"):
        tiny("sort", decoder__num_layers=0)
    config = tiny("corpus", decoder__num_layers=1, encoder__causal=False)
    with pytest.raises(ValueError, match="rows of corpus do not end in a sequence"):
        make_program(config, make_task("corpus", **config.data))
    config = tiny("sort", decoder__mixer="linformer")
    with pytest.raises(ValueError, match="'linformer', which has no causal form"):
        make_program(config, make_task("sort", **config.data))
    changes = {"train__objective": "classify", "decoder__num_layers": 0}
    config = tiny("sort", **changes)
    with pytest.raises(ValueError, match="answers of sort are sequences"):
        make_program(config, make_task("sort", **config.data))


def test_experts_and_causal_positions_exclude_each_other():
    with pytest.raises(ValueError, match="experts choose among all tokens"):
        tiny(encoder__moe_layers=1)


# --- What is said of the runs that are kept -----------------------------------------


def kept_rows(task):
    """Yield the documentation's lines about the runs of a task."""
    for result, name, score in kept_runs(task):
        bits, speed = bits_per_id(result), f"{result.speed.steps_per_second:.1f}"
        if task == "corpus":
            yield f"| {name} | {bits:.2f} | {score} | {speed} |"
        else:
            yield f"| {name} | {score} | {bits:.3f} | {speed} |"


@pytest.mark.parametrize("task", ["corpus", "sort"])
def test_the_documentation_shows_the_runs_that_are_kept(task):
    lines = (ROOT / "docs" / "language.md").read_text().splitlines()
    rows = list(kept_rows(task))
    assert len(rows) >= 3 and set(rows) <= set(lines)
