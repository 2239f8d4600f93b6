"""The encoder that all mixers share; only the mixers inside it differ.

    embed, add positions -> dropout
    -> N x (mixer, residual, norm, MLP, residual, norm) -> pool -> dense layers

Two documents are read by the same encoder, one after the other, and compared by the
dense layers.

b, l, d are batch, length and width throughout; mask is True on real tokens.
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt

from lra_fnet.model.experts import ExpertsMlp

MixerFactory = Callable[..., nn.Module]
ExpertsFactory = Callable[..., nn.Module]

POSITIONS = ("sinusoid", "learned", "none")
NORM_PLACEMENTS = ("published", "pre", "post")
PADDINGS = ("keep", "zero_embeddings", "zero_layers")
POOLINGS = ("cls", "mean", "max", "first", "first_and_mean", "last")
CAUSAL_POOLINGS = ("mean", "max", "last")
COMPARISONS = ("concat", "match")
DTYPES = ("float32", "bfloat16")
PRECISIONS = ("default", "high", "highest")
INPUTS = ("tokens", "values")


class Classifier(nn.Module):
    """Classify a document, or a pair of them: embed, encode, pool, and dense layers.

    Attributes:
      mixers: one factory per layer, called as `mixer(name=...)`.
      num_classes: C, the number of classes.
      vocab_size: ids run from 0 to vocab_size - 1.
      pad_id: the id that is padding; None where every position is data.
      num_documents: 1, or 2 for inputs (b, 2, l).
      inputs: "tokens", each id with its vector, or "values", each id a number that is
        scaled to [-1, 1]; only where no id is padding, as in images.
      width: d.
      mlp_dim: hidden units of the MLP of every layer, and of the head.
      dropout_rate: of embeddings, sublayer outputs and MLP hidden units, in [0, 1).
      positions: "sinusoid", "learned" or "none".
      norm_placement: LayerNorm before ("pre") or after ("post") each sublayer, or
        "published": where the first mixer's paper has it.
      padding: "keep" padded positions as ordinary vectors, or set them to zero after
        the embedding ("zero_embeddings") or there and after every layer
        ("zero_layers"). It matters to mixers that ignore the mask, such as FNet.
      pool: read a learned "cls" slot, the "mean" of real positions, the "max" of
        each column over them, the "first", "first_and_mean" side by side, or the
        "last" real one.
      causal: position t of every layer reads positions <= t alone; for mixers that have
        a causal form, and with a pool that reads later positions than the first.
      comparison: what the dense layers read of two documents with vectors u and v:
        "concat", u and v, or "match", |u - v| and u * v.
      moe_layers: how many of the layers, the middle ones, have experts for an MLP.
      num_experts: of each such layer.
      expert_capacity: tokens that an expert takes, times real tokens / experts.
      router_z_loss: weight of the router's z-loss in training; see ExpertsMlp.
      dtype: of activations, "float32" or "bfloat16"; parameters stay float32.
      precision: of products of float32 matrices, JAX's "default", "high" or "highest";
        it is for the program that traces the model to apply.
    """

    mixers: tuple[MixerFactory, ...]
    num_classes: int
    vocab_size: int
    pad_id: int | None
    num_documents: int
    inputs: str
    width: int
    mlp_dim: int
    dropout_rate: float
    positions: str
    norm_placement: str
    padding: str
    pool: str
    causal: bool
    comparison: str
    moe_layers: int
    num_experts: int
    expert_capacity: float
    router_z_loss: float
    dtype: str
    precision: str

    def __post_init__(self) -> None:
        """Check the choices, for which a misspelt word would otherwise pass.

        Raises:
          ValueError: names the key, the value and the choices; or a mixer that has no
            causal form, where `causal` asks for one.
        """
        _check_choice("inputs", self.inputs, INPUTS)
        if self.inputs == "values" and self.pad_id is not None:
            raise ValueError(
                "encoder.inputs is 'values', but ids of this task are no quantities; "
                "use 'tokens'"
            )
        _check_choice("positions", self.positions, POSITIONS)
        _check_choice("norm_placement", self.norm_placement, NORM_PLACEMENTS)
        _check_choice("padding", self.padding, PADDINGS)
        _check_choice("pool", self.pool, POOLINGS)
        _check_choice("comparison", self.comparison, COMPARISONS)
        _check_choice("dtype", self.dtype, DTYPES)
        _check_choice("precision", self.precision, PRECISIONS)
        if self.causal:
            _check_causal(self.mixers, self.pool)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, inputs: UInt[Array, "b *documents l"], train: bool
    ) -> Float[Array, "b c"]:
        """Return float32 logits."""
        if self.num_documents == 1:
            head = Head((self.mlp_dim,), self.num_classes)
            return head(self._pooled(inputs, train))
        batch, documents, length = inputs.shape
        pooled = self._pooled(inputs.reshape(batch * documents, length), train)
        head = Head((self.mlp_dim, self.mlp_dim // 2), self.num_classes)
        return head(compared(pooled.reshape(batch, documents, -1), self.comparison))

    def _pooled(self, inputs: UInt[Array, "b l"], train: bool) -> Float[Array, "b d"]:
        """Return a vector for every document."""
        x, mask = self._encoded(inputs, train)
        if self.pool == "mean":
            return masked_mean(x, mask)
        if self.pool == "max":
            return masked_max(x, mask)
        if self.pool == "last":
            return last_real(x, mask)
        if self.pool == "first_and_mean":
            return jnp.concatenate([x[:, 0], masked_mean(x, mask)], axis=-1)
        return x[:, 0]

    def _encoded(
        self,
        inputs: UInt[Array, "b l"],
        train: bool,
        hidden: Bool[Array, "b l"] | None = None,
    ) -> tuple[Float[Array, "b l d"], Bool[Array, "b l"]]:
        """Return a vector for every position, and which are real, hidden or not."""
        mask = real_tokens(inputs, self.pad_id)
        x = Embedder(
            vocab_size=self.vocab_size,
            inputs=self.inputs,
            width=self.width,
            positions=self.positions,
            has_cls=self.pool == "cls",
            dtype=self.dtype,
        )(inputs, hidden)
        if self.pool == "cls":
            mask = jnp.roll(mask, 1, axis=1).at[:, 0].set(True)
        mixers = self.mixers
        if self.causal:
            mixers = tuple(partial(mixer, causal=True) for mixer in mixers)
        x = Encoder(
            mixers=mixers,
            mlp_dim=self.mlp_dim,
            dropout_rate=self.dropout_rate,
            norm_placement=self.norm_placement,
            padding=self.padding,
            moe_layers=self.moe_layers,
            experts=partial(
                ExpertsMlp,
                mlp=Mlp,
                num_experts=self.num_experts,
                capacity=self.expert_capacity,
                z_loss=self.router_z_loss,
            ),
        )(x, mask, train)
        return x, mask


class Embedder(nn.Module):
    """Map ids to vectors, prepend the CLS slot if there is one, add positions.

    One learned vector stands for every hidden id. Where inputs are values that is what
    a second input channel with the mask bit comes to: the dense layer of (0, 1).
    """

    vocab_size: int
    inputs: str
    width: int
    positions: str
    has_cls: bool
    dtype: str

    @nn.compact
    def __call__(
        self, inputs: UInt[Array, "b l"], hidden: Bool[Array, "b l"] | None = None
    ) -> Float[Array, "b l d"]:
        """Return vectors of dtype `dtype`, as many as there are ids."""
        x = self._vectors(inputs)
        if hidden is not None:
            vector = self.param("mask", nn.initializers.normal(1.0), (self.width,))
            x = jnp.where(hidden[..., None], vector, x)
        if self.has_cls:
            # LRA: its CLS slot makes l + 1 positions, a length that FFTs and blocks
            # do not like (2,001; 4,001 is prime). Here it takes the first of the l
            # and the last id is dropped; in ListOps that is always padding.
            cls = self.param("cls", nn.initializers.zeros, (self.width,))
            cls = jnp.broadcast_to(cls, (len(x), 1, self.width))
            x = jnp.concatenate([cls, x[:, :-1]], axis=1)
        x = x + self._positions(x.shape[1])
        return x.astype(self.dtype)

    def _vectors(self, inputs: UInt[Array, "b l"]) -> Float[Array, "b l d"]:
        """Look up a vector per id, or map its value by a dense layer."""
        if self.inputs == "values":
            values = as_values(inputs, self.vocab_size)
            return nn.Dense(self.width, name="values")(values[..., None])
        shape = (self.vocab_size, self.width)
        return self.param("tokens", nn.initializers.normal(1.0), shape)[inputs]

    def _positions(self, length: int) -> Float[Array, "l d"]:
        """Return what is added to tell positions apart."""
        if self.positions == "learned":
            init = nn.initializers.normal(0.02)
            return self.param("positions", init, (length, self.width))
        if self.positions == "sinusoid":
            return jnp.asarray(sinusoid_positions(length, self.width))
        return jnp.zeros((length, self.width))


class Encoder(nn.Module):
    """Apply dropout to the embeddings, then one block per mixer.

    The middle `moe_layers` have `experts`; middle as in a hybrid's layout.
    """

    mixers: tuple[MixerFactory, ...]
    mlp_dim: int
    dropout_rate: float
    norm_placement: str
    padding: str
    moe_layers: int = 0
    experts: ExpertsFactory | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Return vectors of the shape and dtype of x."""
        placement = self.norm_placement
        if placement == "published":
            placement = published_norm_placement(self.mixers[0])
        if placement == "post":  # BERT and FNet normalize the embeddings as well.
            x = nn.LayerNorm(dtype=x.dtype, name="embedding_norm")(x)
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        if self.padding != "keep":
            x = zero_padding(x, mask)
        first = (len(self.mixers) - self.moe_layers + 1) // 2
        for layer, mixer in enumerate(self.mixers):
            x = Block(
                mixer,
                self.mlp_dim,
                self.dropout_rate,
                placement,
                experts=self.experts if 0 <= layer - first < self.moe_layers else None,
                name=f"block_{layer}",
            )(x, mask, train)
            if self.padding == "zero_layers":
                x = zero_padding(x, mask)
        if placement == "pre":
            x = nn.LayerNorm(dtype=x.dtype, name="output_norm")(x)
        return x


class Block(nn.Module):
    """Mix over positions, then transform each: two sublayers with residuals.

    pre:  x = x + mix(norm(x));  x = x + mlp(norm(x))   (LRA's blocks)
    post: x = norm(x + mix(x));  x = norm(x + mlp(x))   (BERT's and FNet's)

    The MLP is one for all tokens, or one of `experts`.
    """

    mixer: MixerFactory
    mlp_dim: int
    dropout_rate: float
    norm_placement: str
    norm_epsilon: float = 1e-6  # added to the variance
    experts: ExpertsFactory | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Return vectors of the shape and dtype of x."""
        mixer = self.mixer(name="mixer")
        mlp = self._mlp(mask, train)
        norm = partial(nn.LayerNorm, epsilon=self.norm_epsilon, dtype=x.dtype)
        mixer_norm = norm(name="mixer_norm")
        mlp_norm = norm(name="mlp_norm")
        # LRA: dropout on every mixer's output; FNet's reference has none there.
        dropout = nn.Dropout(self.dropout_rate, deterministic=not train)
        if self.norm_placement == "pre":
            x = x + dropout(mixer(mixer_norm(x), mask, train))
            return x + mlp(mlp_norm(x))
        x = mixer_norm(x + dropout(mixer(x, mask, train)))
        return mlp_norm(x + mlp(x))

    def _mlp(self, mask: Bool[Array, "b l"], train: bool) -> Callable[[Array], Array]:
        """Return the second sublayer, a function of x."""
        if self.experts is None:
            return partial(
                Mlp(self.mlp_dim, self.dropout_rate, name="mlp"), train=train
            )
        experts = self.experts(self.mlp_dim, self.dropout_rate, name="mlp")
        return partial(experts, mask=mask, train=train)


class Head(nn.Module):
    """Map pooled vectors to logits: dense and ReLU, then dense, as in LRA."""

    hidden_dims: tuple[int, ...]
    num_classes: int

    @nn.compact
    def __call__(self, pooled: Float[Array, "b d"]) -> Float[Array, "b c"]:
        """Return float32 logits."""
        x = pooled
        for hidden_dim in self.hidden_dims:
            x = nn.relu(nn.Dense(hidden_dim, dtype=x.dtype)(x))
        return nn.Dense(self.num_classes)(x.astype(jnp.float32))


def compared(pooled: Float[Array, "b 2 d"], comparison: str) -> Float[Array, "b n"]:
    """Return what the dense layers read of the vectors u and v of two documents.

    "concat" is the released LRA: u, v. "match" is |u - v|, u * v: Tai et al., Tree-LSTM
    (2015), https://arxiv.org/abs/1503.00075, equation 15. It is the same for v, u.

    LRA: its paper describes x1, x2, x1 * x2, x1 - x2, which no released config uses.
    """
    if comparison == "concat":
        return pooled.reshape(len(pooled), -1)
    u, v = pooled[:, 0], pooled[:, 1]
    return jnp.concatenate([jnp.abs(u - v), u * v], axis=-1)


def as_values(ids: UInt[Array, "*shape"], vocab_size: int) -> Float[Array, "*shape"]:
    """Return ids that are quantities as numbers in [-1, 1]."""
    middle = (vocab_size - 1) / 2
    return (ids.astype(jnp.float32) - middle) / middle


def published_norm_placement(mixer: MixerFactory) -> str:
    """Return where the mixer's paper normalizes: its class may say; LRA's is "pre"."""
    return getattr(_class_of(mixer), "norm_placement", "pre")


def _class_of(mixer: MixerFactory) -> object:
    """Return the class behind a factory, or the factory if it has none."""
    return getattr(mixer, "func", mixer)


def real_tokens(inputs: UInt[Array, "b l"], pad_id: int | None) -> Bool[Array, "b l"]:
    """Return the mask: True where an id is not padding.

    LRA: masks id 0 in the image tasks too, where it is a black pixel.
    """
    if pad_id is None:
        return jnp.ones(inputs.shape, bool)
    return inputs != pad_id


def _check_choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ValueError unless the value is one of the choices."""
    if value not in choices:
        raise ValueError(f"encoder.{key} is {value!r}; choose from {choices}")


def _check_causal(mixers: tuple[MixerFactory, ...], pool: str) -> None:
    """Raise ValueError unless mixers have causal forms and the pooling can use them."""
    # Late: it imports tasks, which a model does not need.
    from lra_fnet.mixers import causal_mixers, has_causal_form

    if pool not in CAUSAL_POOLINGS:
        raise ValueError(
            f"encoder.causal is True and encoder.pool is {pool!r}, which reads the "
            "first position, and that one sees nothing but itself; choose from "
            f"{CAUSAL_POOLINGS}"
        )
    for mixer in map(_class_of, mixers):
        if not has_causal_form(mixer):
            name = mixer.__module__.removeprefix("lra_fnet.mixers.")
            raise ValueError(
                f"encoder.causal is True, but mixer {name!r} has no causal form; "
                f"these have one: {', '.join(causal_mixers())}"
            )


class Mlp(nn.Module):
    """Widen, apply GELU (tanh form), and come back to the width of x.

    Vaswani et al. (2017), section 3.3, with the GELU of LRA and FNet.
    """

    mlp_dim: int
    dropout_rate: float

    @nn.compact
    def __call__(self, x: Float[Array, "b l d"], train: bool) -> Float[Array, "b l d"]:
        """Transform every position alone."""
        shape, width = x.shape, x.shape[-1]
        # As a matrix: for gradients of parameters XLA on CPUs would transpose arrays
        # with two axes to sum over, and compute the GELU's derivative in that order.
        x = x.reshape(-1, width)
        x = nn.gelu(_block_dense(self.mlp_dim, x.dtype)(x), approximate=True)
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        x = _block_dense(width, x.dtype)(x)
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        return x.reshape(shape)


def _block_dense(features: int, dtype: jnp.dtype) -> nn.Dense:
    """Return a dense layer with the initializers of LRA's MLP block."""
    return nn.Dense(
        features,
        dtype=dtype,
        kernel_init=nn.initializers.xavier_uniform(),
        bias_init=nn.initializers.normal(stddev=1e-6),
    )


def sinusoid_positions(length: int, width: int) -> Float[np.ndarray, "l d"]:
    """Return sines in the first half of the columns and cosines in the second.

    Wavelengths grow geometrically from 2 pi to 20,000 pi, as in Vaswani et al. (2017),
    section 3.5; halves instead of interleaved columns, as in LRA's code.

    >>> sinusoid_positions(2, 4).astype(float).round(3).tolist()
    [[0.0, 0.0, 1.0, 1.0], [0.841, 0.0, 0.54, 1.0]]
    """
    num_sines = (width + 1) // 2
    exponents = np.arange(num_sines) / max(num_sines - 1, 1)
    angles = np.arange(length)[:, None] * 10_000.0**-exponents
    waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    return waves[:, :width].astype(np.float32)


def zero_padding(
    x: Float[Array, "b l d"], mask: Bool[Array, "b l"]
) -> Float[Array, "b l d"]:
    """Set the padded positions to zero."""
    return jnp.where(mask[..., None], x, 0)


def masked_mean(
    x: Float[Array, "b l d"], mask: Bool[Array, "b l"]
) -> Float[Array, "b d"]:
    """Average the real positions; zero for a row without any.

    LRA: its MEAN pooling divides by the padded length and adds the padding in.
    """
    count = jnp.maximum(mask.sum(axis=1, keepdims=True), 1)
    total = zero_padding(x, mask).astype(jnp.float32).sum(axis=1)
    return (total / count).astype(x.dtype)


def masked_max(
    x: Float[Array, "b l d"], mask: Bool[Array, "b l"]
) -> Float[Array, "b d"]:
    """Return the largest of each column over the real positions; zero without any."""
    largest = jnp.where(mask[..., None], x, -jnp.inf).max(axis=1)
    return jnp.where(mask.any(axis=1, keepdims=True), largest, 0)


def last_real(
    x: Float[Array, "b l d"], mask: Bool[Array, "b l"]
) -> Float[Array, "b d"]:
    """Return the vector of the last real position; zero without any."""
    place = x.shape[1] - 1 - jnp.argmax(mask[:, ::-1], axis=1)
    last = jnp.take_along_axis(x, place[:, None, None], axis=1)[:, 0]
    return jnp.where(mask.any(axis=1, keepdims=True), last, 0)
