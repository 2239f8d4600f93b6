"""The authors' FNet, against its formula and, where that is installed, PyTorch."""

import json
import os
from pathlib import Path

import flax.serialization
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lra_fnet.trained.published_fnet import (
    EPSILON,
    PublishedFNet,
    import_fnet,
    parts,
    read_fnet,
)

VOCAB, POSITIONS, TYPES, WIDTH, HIDDEN, LAYERS = 64, 32, 4, 24, 40, 2
LENGTHS = (1, 2, 13, 15, 32)  # odd, prime, and the longest


def random_arrays():
    """Return weights by their paths here."""
    model = PublishedFNet(VOCAB, POSITIONS, TYPES, WIDTH, HIDDEN, LAYERS)
    ids = jnp.zeros((1, 1), jnp.int32)
    params = model.init(jax.random.key(0), ids, ids)["params"]
    random = np.random.default_rng(0)
    return {
        name: random.normal(size=leaf.shape, scale=0.3).astype(np.float32)
        for name, leaf in flax.traverse_util.flatten_dict(params, sep="/").items()
    }


def in_flax_form(arrays):
    """Return the arrays as the authors' release has them, in the file's bytes."""
    names = {part.here: part.flax for part in parts(LAYERS)}
    renamed = {}
    for name, array in arrays.items():
        layer, _, leaf = name.rpartition("/")
        renamed[f"{names[layer]}/{leaf}"] = (
            array[None] if layer == "position" else array
        )
    renamed["predictions_dense/kernel"] = np.zeros((WIDTH, WIDTH), np.float32)
    tree = flax.traverse_util.unflatten_dict(renamed, sep="/")
    return flax.serialization.msgpack_serialize({"target": tree, "state": {}})


def write_hugging_face(folder, arrays, **config):
    """Write the arrays as Hugging Face does."""
    names = {part.here: part.hugging_face for part in parts(LAYERS)}
    leaves = {"embedding": "weight", "scale": "weight", "kernel": "weight"}
    renamed = {"cls.predictions.bias": np.zeros(VOCAB, np.float32)}
    for name, array in arrays.items():
        layer, _, leaf = name.rpartition("/")
        array = np.ascontiguousarray(array.T) if leaf == "kernel" else array
        renamed[f"fnet.{names[layer]}.{leaves.get(leaf, leaf)}"] = array
    folder.mkdir(exist_ok=True)
    save_file(renamed, folder / "model.safetensors")
    told = {"model_type": "fnet", "num_hidden_layers": LAYERS} | config
    (folder / "config.json").write_text(json.dumps(told))
    return folder


def by_formula(arrays, ids, types):
    """Return hidden states and pooled ones in float64."""
    a = {name: array.astype(np.float64) for name, array in arrays.items()}

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + EPSILON)
        return x * a[f"{name}/scale"] + a[f"{name}/bias"]

    def dense(x, name):
        return x @ a[f"{name}/kernel"] + a[f"{name}/bias"]

    def gelu(x):
        return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    x = a["word/embedding"][ids] + a["type/embedding"][types]
    x = norm(x + a["position/embedding"][: ids.shape[1]], "embedding_norm")
    x = dense(x, "projection")
    for block in (f"block_{i}" for i in range(LAYERS)):
        x = norm(x + np.fft.fft2(x).real, f"{block}/mixer_norm")
        inner = gelu(dense(x, f"{block}/mlp/Dense_0"))
        x = norm(x + dense(inner, f"{block}/mlp/Dense_1"), f"{block}/mlp_norm")
    return x, np.tanh(dense(x[:, 0], "pooler"))


def some_ids(length):
    random = np.random.default_rng(length)
    return (random.integers(0, n, (3, length)) for n in (VOCAB, TYPES))


@pytest.mark.parametrize("length", LENGTHS)
def test_both_forms_give_what_the_formula_gives(tmp_path, length):
    arrays = random_arrays()
    (tmp_path / "checkpoint").write_bytes(in_flax_form(arrays))
    folder = write_hugging_face(tmp_path / "folder", arrays)
    ids, types = some_ids(length)
    expected = by_formula(arrays, ids, types)
    for path in (tmp_path / "checkpoint", folder):
        model, params = read_fnet(path)
        found = model.apply({"params": params}, jnp.asarray(ids), jnp.asarray(types))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_an_import_writes_the_weights_as_they_are(tmp_path):
    arrays = random_arrays()
    (tmp_path / "checkpoint").write_bytes(in_flax_form(arrays))
    folder = write_hugging_face(tmp_path / "folder", arrays)
    for path in (folder, tmp_path / "checkpoint"):
        model = import_fnet(path, tmp_path / "to")
        written = load_file(tmp_path / "to" / "model.safetensors")
        assert written.keys() == arrays.keys()
        assert all((written[name] == arrays[name]).all() for name in arrays)
    told = json.loads((tmp_path / "to" / "config.json").read_text())
    assert told["mlp_dim"] == HIDDEN == model.mlp_dim


def test_what_is_no_fnet_is_refused_with_the_reason(tmp_path):
    arrays = random_arrays()
    folder = write_hugging_face(tmp_path / "bert", arrays, model_type="bert")
    with pytest.raises(ValueError, match="is of no FNet"):
        read_fnet(folder)
    folder = write_hugging_face(tmp_path / "relu", arrays, hidden_act="relu")
    with pytest.raises(ValueError, match="asks for other layers"):
        read_fnet(folder)
    folder = write_hugging_face(tmp_path / "deep", arrays, num_hidden_layers=3)
    with pytest.raises(ValueError, match="block_2/.* must be .* missing"):
        read_fnet(folder)
    folder = write_hugging_face(tmp_path / "torn", arrays)
    del arrays["block_1/mlp_norm/bias"]
    with pytest.raises(ValueError, match="block_1/mlp_norm/bias must be .* missing"):
        read_fnet(write_hugging_face(tmp_path / "less", arrays))
    (folder / "model.safetensors").write_bytes(b"\x08" + bytes(20))
    with pytest.raises(ValueError, match="is damaged"):
        read_fnet(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="safe_serialization=True"):
        read_fnet(folder)
    (tmp_path / "file").write_bytes(b"no msgpack")
    with pytest.raises(ValueError, match="is no Flax checkpoint"):
        read_fnet(tmp_path / "file")


# --- Against PyTorch: python -m pip install -r requirements/torch.txt ----------------


def torch_model(folder):
    """Return Hugging Face's model of random weights, saved in a folder."""
    pytest.importorskip("torch", reason="requirements/torch.txt is not installed")
    transformers = pytest.importorskip("transformers")
    config = transformers.FNetConfig(
        vocab_size=VOCAB,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        intermediate_size=HIDDEN,
        max_position_embeddings=POSITIONS,
        type_vocab_size=TYPES,
        initializer_range=0.3,
    )
    model = transformers.FNetModel(config).eval()
    model.save_pretrained(folder)
    return model


@pytest.mark.filterwarnings("ignore")  # of libraries that are not this project's
def test_hidden_states_and_gradients_are_those_of_transformers(tmp_path):
    theirs = torch_model(tmp_path)
    import torch

    model, params = read_fnet(tmp_path)

    def total(params, ids, types):
        hidden, pooled = model.apply({"params": params}, ids, types)
        return (hidden**3).sum() + (pooled**3).sum(), (hidden, pooled)

    for length in LENGTHS:
        ids, types = some_ids(length)
        theirs.zero_grad()
        told = theirs(torch.tensor(ids), token_type_ids=torch.tensor(types))
        outputs = told.last_hidden_state, told.pooler_output
        sum((output**3).sum() for output in outputs).backward()
        gradients, found = jax.grad(total, has_aux=True)(
            params, jnp.asarray(ids), jnp.asarray(types)
        )
        for one, other in zip(found, outputs, strict=True):
            np.testing.assert_allclose(one, other.detach().numpy(), atol=1e-5)
        of_theirs = dict(theirs.named_parameters())
        ours = flax.traverse_util.flatten_dict(gradients, sep="/")
        for part in parts(LAYERS):
            gradient = of_theirs[f"{part.hugging_face}.weight"].grad.numpy()
            leaf = {"embedding": "embedding", "norm": "scale", "dense": "kernel"}
            found = ours[f"{part.here}/{leaf[part.kind]}"]
            found = found.T if part.kind == "dense" else found
            scale = np.abs(gradient).max() + 1e-3
            np.testing.assert_allclose(found / scale, gradient / scale, atol=1e-4)


GOLDEN = [
    [4.1541, -0.1051, -0.1667],
    [-0.9144, 0.2939, -0.0086],
    [-0.8472, -0.7281, 0.0256],
]


def test_the_released_weights_give_the_known_numbers():
    """Those of the tests of transformers, for google/fnet-base."""
    folder = os.environ.get("FNET_CHECKPOINT", "")
    if not folder:
        pytest.skip("FNET_CHECKPOINT names no folder of google/fnet-base")
    model, params = read_fnet(Path(folder))
    ids = jnp.arange(6)[None]
    hidden, _ = model.apply({"params": params}, ids, jnp.zeros_like(ids))
    np.testing.assert_allclose(hidden[0, :3, :3], GOLDEN, atol=1e-4)
