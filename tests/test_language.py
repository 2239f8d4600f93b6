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
from lra_fnet.result import bits_per_byte, render
from lra_fnet.train import train_and_evaluate
from lra_fnet.trained.sample import sample
from tasks import make_task

pytestmark = pytest.mark.xdist_group("language")  # one process trains for all

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


def tiny(**changes):
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return load_config("corpus", "quick", TINY | named)


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
    config = tiny(mixer=mixer)
    model = make_program(config, make_task("corpus", **config.data)).model
    inputs = jax.random.randint(jax.random.key(1), (1, 32), 1, 200).astype(jnp.uint8)
    params = model.init(jax.random.key(0), inputs, train=False)["params"]
    logits = model.apply({"params": params}, inputs, train=False).logits
    for cut in (1, 17, 31):
        other = inputs.at[:, cut:].set(7)
        changed = model.apply({"params": params}, other, train=False).logits
        same = np.abs(changed - logits)[:, :cut].max()
        assert same < 1e-4 < np.abs(changed - logits)[:, cut:].max()


def test_a_language_model_learns_more_than_how_frequent_bytes_are(trained):
    _, result = trained
    splits = make_task("corpus", **tiny().data).read(None)
    counts = np.bincount(splits["train"].inputs.ravel(), minlength=257) + 1
    share = counts / counts.sum()
    unigram = -np.log2(share[splits["test"].inputs]).mean()
    assert bits_per_byte(result) < unigram - 1
    assert result.test.loss == pytest.approx(bits_per_byte(result) * math.log(2))
    assert f"{bits_per_byte(result):.3f} bits per byte" in render(result)


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
