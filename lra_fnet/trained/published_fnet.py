"""The pre-trained FNet of its authors, read into this project's blocks.

Two forms are read: a Hugging Face folder (config.json and model.safetensors), and the
Flax checkpoint of the authors' release (msgpack). Neither can run code.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import flax.serialization
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from lra_fnet.mixers.fnet import Mixer
from lra_fnet.model import Block
from lra_fnet.trained.export import named_arrays
from lra_fnet.workdir import write_bytes, write_json

WEIGHTS, CONFIG = "model.safetensors", "config.json"
SIZES = ("vocab_size", "num_positions", "num_types", "width", "mlp_dim", "num_layers")
EPSILON = 1e-12  # of the norms, in both releases

Arrays = Mapping[str, np.ndarray]


class PublishedFNet(nn.Module):
    """The published encoder and pooler, in Flax, without dropout.

    h = W norm(word + position + type) + b, N blocks as in `Block`, tanh(V h_0 + c).

    Lee-Thorp et al., FNet (2021), https://arxiv.org/abs/2105.03824, figure 1; types,
    projection and pooler as in the authors' code. Padding is read like any token.

    Attributes:
      vocab_size: word pieces.
      num_positions: the longest input.
      num_types: of segments.
      width: d.
      mlp_dim: hidden units of each MLP.
      num_layers: N.
    """

    vocab_size: int
    num_positions: int
    num_types: int
    width: int
    mlp_dim: int
    num_layers: int

    @nn.compact
    def __call__(
        self, ids: Int[Array, "b l"], types: Int[Array, "b l"]
    ) -> tuple[Float[Array, "b l d"], Float[Array, "b d"]]:
        """Return the last hidden states, and the pooled first one."""
        word = nn.Embed(self.vocab_size, self.width, name="word")(ids)
        positions = jnp.arange(ids.shape[1])
        position = nn.Embed(self.num_positions, self.width, name="position")(positions)
        x = word + position + nn.Embed(self.num_types, self.width, name="type")(types)
        x = nn.LayerNorm(epsilon=EPSILON, name="embedding_norm")(x)
        x = nn.Dense(self.width, name="projection")(x)
        mask = jnp.ones(ids.shape, bool)
        for layer in range(self.num_layers):
            block = Block(
                Mixer, self.mlp_dim, 0.0, "post", EPSILON, name=f"block_{layer}"
            )
            x = block(x, mask, train=False)
        return x, jnp.tanh(nn.Dense(self.width, name="pooler")(x[:, 0]))


class Part(NamedTuple):
    """A layer, by its path here, in Hugging Face's form and in the Flax release."""

    here: str
    hugging_face: str
    flax: str
    kind: str  # "embedding", "norm" or "dense"


_EMBEDDER, _FIRST = "encoder/embedder", "embeddings"
PARTS = (
    Part("word", f"{_FIRST}.word_embeddings", f"{_EMBEDDER}/word", "embedding"),
    Part(
        "position",
        f"{_FIRST}.position_embeddings",
        f"{_EMBEDDER}/position",
        "embedding",
    ),
    Part("type", f"{_FIRST}.token_type_embeddings", f"{_EMBEDDER}/type", "embedding"),
    Part("embedding_norm", f"{_FIRST}.LayerNorm", f"{_EMBEDDER}/layer_norm", "norm"),
    Part(
        "projection", f"{_FIRST}.projection", f"{_EMBEDDER}/hidden_mapping_in", "dense"
    ),
    Part("pooler", "pooler.dense", "encoder/pooler", "dense"),
)
BLOCK = (
    ("mixer_norm", "fourier.output.LayerNorm", "encoder_{}/mixing_layer_norm", "norm"),
    ("mlp/Dense_0", "intermediate.dense", "feed_forward_{}/intermediate", "dense"),
    ("mlp/Dense_1", "output.dense", "feed_forward_{}/output", "dense"),
    ("mlp_norm", "output.LayerNorm", "encoder_{}/output_layer_norm", "norm"),
)
# Names of the arrays of a layer, here and in the Flax release, and Hugging Face's.
NAMES = {
    "embedding": {"embedding": "weight"},
    "norm": {"scale": "weight", "bias": "bias"},
    "dense": {"kernel": "weight", "bias": "bias"},
}


def import_fnet(path: Path, to: Path) -> PublishedFNet:
    """Read a checkpoint and write its weights under the names of this project.

    Args:
      path: a folder in Hugging Face's form, or a file of the Flax release.
      to: a folder, for model.safetensors and config.json.

    Raises:
      ValueError: see `read_fnet`.
      OSError: a file cannot be read or written.
    """
    model, params = read_fnet(path)
    sizes = {name: getattr(model, name) for name in SIZES}
    to.mkdir(parents=True, exist_ok=True)
    write_json(to / CONFIG, {"model": "published FNet", "from": path.name, **sizes})
    write_bytes(to / WEIGHTS, save(dict(named_arrays(params)), {"format": "np"}))
    return model


def read_fnet(path: Path) -> tuple[PublishedFNet, PyTree]:
    """Return the model of a checkpoint and its parameters.

    Raises:
      ValueError: it is in neither form, lacks weights, or has some of a wrong shape.
      OSError: a file cannot be read.
    """
    if path.is_dir():
        found, num_layers = _hugging_face_arrays(path)
        arrays = dict(_from_hugging_face(found, num_layers))
    else:
        found = _flax_arrays(path)
        blocks = {n.split("/")[1] for n in found if n.startswith("encoder/encoder_")}
        num_layers = len(blocks)
        arrays = dict(_from_flax(found, num_layers))
    if not {"word/embedding", "position/embedding", "type/embedding"} <= arrays.keys():
        raise ValueError(f"{path} holds no FNet: it lacks embeddings")
    model = _model_of(arrays, num_layers)
    ids = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    wanted = jax.eval_shape(model.init, jax.random.key(0), ids, ids)["params"]
    shapes = flax.traverse_util.flatten_dict(wanted, sep="/")
    _check_shapes(path, arrays, {name: leaf.shape for name, leaf in shapes.items()})
    return model, flax.traverse_util.unflatten_dict(arrays, sep="/")


def _hugging_face_arrays(folder: Path) -> tuple[Arrays, int]:
    """Return the arrays of a Hugging Face folder, and its number of layers.

    Raises:
      ValueError: a file is missing or damaged, or the model is no FNet.
    """
    if not (folder / WEIGHTS).is_file():
        raise ValueError(
            f"there is no {WEIGHTS} in {folder}; a checkpoint as pytorch_model.bin can "
            "be saved anew with save_pretrained(..., safe_serialization=True)"
        )
    try:
        config = json.loads((folder / CONFIG).read_text())
        arrays = load_file(folder / WEIGHTS)
    except (ValueError, SafetensorError) as error:
        raise ValueError(f"{folder} is damaged: {error}") from error
    if not isinstance(config, dict) or config.get("model_type") != "fnet":
        raise ValueError(f"{folder / CONFIG} is of no FNet: its model_type says so")
    told = config.get("layer_norm_eps", EPSILON), config.get("hidden_act", "gelu_new")
    if told != (EPSILON, "gelu_new"):
        raise ValueError(f"{folder / CONFIG} asks for other layers: {told}")
    return arrays, int(config.get("num_hidden_layers", 12))


def _from_hugging_face(
    arrays: Arrays, num_layers: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield arrays by their paths here; heads for pre-training are left out."""
    arrays = {name.removeprefix("fnet."): array for name, array in arrays.items()}
    for part in parts(num_layers):
        for ours, theirs in NAMES[part.kind].items():
            array = arrays.get(f"{part.hugging_face}.{theirs}")
            if array is not None:
                yield f"{part.here}/{ours}", array.T if ours == "kernel" else array


def _flax_arrays(path: Path) -> Arrays:
    """Return the arrays of a file of the Flax release.

    Raises:
      ValueError: it is no such file.
    """
    content = path.read_bytes()
    try:
        tree = flax.serialization.msgpack_restore(content)
        tree = tree.get("target", tree)  # of the optimizer that was saved
        return flax.traverse_util.flatten_dict(tree, sep="/")
    except Exception as error:  # msgpack's own, of many types
        raise ValueError(f"{path} is no Flax checkpoint: {error}") from error


def _from_flax(arrays: Arrays, num_layers: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield arrays by their paths here; heads for pre-training are left out."""
    for part in parts(num_layers):
        for name in NAMES[part.kind]:
            array = arrays.get(f"{part.flax}/{name}")
            if array is not None:
                # Positions have an axis for the batch there.
                yield f"{part.here}/{name}", array[0] if array.ndim == 3 else array


def parts(num_layers: int) -> Iterator[Part]:
    """Yield the layers of a model with so many blocks."""
    yield from PARTS
    for i in range(num_layers):
        for here, hugging_face, in_flax, kind in BLOCK:
            yield Part(
                f"block_{i}/{here}",
                f"encoder.layer.{i}.{hugging_face}",
                f"encoder/{in_flax.format(i)}",
                kind,
            )


def _model_of(arrays: Arrays, num_layers: int) -> PublishedFNet:
    """Return the model whose other sizes are those of the arrays."""
    vocab_size, width = arrays["word/embedding"].shape
    hidden = arrays.get("block_0/mlp/Dense_0/bias", np.zeros(0))
    return PublishedFNet(
        vocab_size=vocab_size,
        num_positions=len(arrays["position/embedding"]),
        num_types=len(arrays["type/embedding"]),
        width=width,
        mlp_dim=len(hidden),
        num_layers=num_layers,
    )


def _check_shapes(
    path: Path, arrays: Arrays, shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Check that the arrays are those of the model.

    Raises:
      ValueError: names the first that is missing or has another shape.
    """
    for name, shape in shapes.items():
        found = arrays[name].shape if name in arrays else "missing"
        if found != shape:
            raise ValueError(f"{path}: {name} must be {shape} and is {found}")
