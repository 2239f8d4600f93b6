"""FNet's encoder here and in PyTorch: Hugging Face's, and one by torch.fft."""

import importlib.util
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from lra_fnet.mixers import mixer_class
from lra_fnet.model import Encoder
from lra_fnet.speed.comparison import Comparison, compared
from lra_fnet.speed.plan import Plan
from lra_fnet.speed.timing import interleaved
from lra_fnet.step import make_mesh

# As LRA's Text and Retrieval: hidden units for each channel, and layers.
NUM_LAYERS, MLP_FACTOR = 4, 4
LENGTH, WIDTHS = 2048, (128, 512)
OURS, TORCH, HUGGING_FACE = "fnet", "torch.fft", "Hugging Face"
Call = Callable[[], Any]


def missing() -> str:
    """Return which module the comparison needs and does not find; "" for none."""
    return "" if importlib.util.find_spec("torch") else "torch"


def pytorch(plan: Plan) -> Iterator[Comparison]:
    """Compare encoders forward and backward, in float32, without dropout.

    They place dropout differently; and no optimiser, embedding or head takes part.
    """
    for width in WIDTHS:
        shape = plan.batch(LENGTH), LENGTH, width
        x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        calls = {OURS: our_call(x), TORCH: torch_call(torch_encoder(width), x)}
        if importlib.util.find_spec("transformers"):
            calls[HUGGING_FACE] = torch_call(hugging_face_encoder(width), x)
        samples = interleaved(calls, plan.rounds, plan.seconds, settling=1)
        pairs = [(OURS, name) for name in calls if name != OURS]
        words = f"{NUM_LAYERS} layers, length {LENGTH:,}, width {width}"
        yield from compared("pytorch", words, samples, pairs, shape[0])


def our_call(x: np.ndarray) -> Call:
    """Return what computes gradients through this project's encoder, (b, l, d)."""
    encoder = Encoder(
        mixers=(partial(mixer_class("fnet")),) * NUM_LAYERS,
        mlp_dim=MLP_FACTOR * x.shape[-1],
        dropout_rate=0.0,
        norm_placement="post",
        padding="keep",
    )
    mask = np.ones(x.shape[:2], bool)
    params = encoder.init(jax.random.key(0), x[:1], mask[:1], train=False)
    mesh = make_mesh(len(x))

    def on_device(params, x, mask):
        def loss(params, x):
            y = cast(jax.Array, encoder.apply(params, x, mask, train=True))
            return (y**2).mean()

        of_params, of_x = jax.grad(loss, argnums=(0, 1))(params, x)
        return jax.lax.psum(of_params, "data"), of_x

    share, whole = P("data"), P()
    gradients = jax.jit(
        jax.shard_map(
            on_device,
            mesh=mesh,
            in_specs=(whole, share, share),
            out_specs=(whole, share),
            check_vma=False,
        )
    )
    params = jax.device_put(params, NamedSharding(mesh, whole))
    arrays = jax.device_put((jnp.asarray(x), mask), NamedSharding(mesh, share))
    return partial(gradients.lower(params, *arrays).compile(), params, *arrays)


def torch_call(encoder: Any, x: np.ndarray) -> Call:
    """Return what computes gradients through a PyTorch module, (b, l, d)."""
    import torch

    where = "cuda" if torch.cuda.is_available() else "cpu"
    encoder = encoder.to(where).train()
    inputs = torch.tensor(x, device=where, requires_grad=True)

    def call() -> None:
        encoder.zero_grad()
        inputs.grad = None
        encoder(inputs).square().mean().backward()
        if where == "cuda":
            torch.cuda.synchronize()

    return call


def torch_encoder(width: int) -> Any:
    """Return FNet's encoder by torch.fft, with the shapes of this project's."""
    import torch
    from torch import nn

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            hidden = MLP_FACTOR * width
            self.mixer_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
            self.mlp = nn.Sequential(
                nn.Linear(width, hidden),
                nn.GELU(approximate="tanh"),
                nn.Linear(hidden, width),
            )

        def forward(self, x):
            x = self.mixer_norm(x + torch.fft.fftn(x, dim=(-2, -1)).real)
            return self.mlp_norm(x + self.mlp(x))

    return nn.Sequential(nn.LayerNorm(width), *(Layer() for _ in range(NUM_LAYERS)))


def hugging_face_encoder(width: int) -> Any:
    """Return Hugging Face's encoder at the same sizes."""
    from torch import nn
    from transformers import FNetConfig
    from transformers.models.fnet.modeling_fnet import FNetEncoder

    class States(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(width)
            self.encoder = FNetEncoder(
                FNetConfig(
                    hidden_size=width,
                    num_hidden_layers=NUM_LAYERS,
                    intermediate_size=MLP_FACTOR * width,
                    hidden_dropout_prob=0.0,
                )
            )

        def forward(self, x):
            return self.encoder(self.norm(x)).last_hidden_state

    return States()
