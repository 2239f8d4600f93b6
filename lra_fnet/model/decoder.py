"""A decoder behind the encoder: read one sequence whole, write another id by id."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt

from lra_fnet.hardware import target
from lra_fnet.mixers._attention import from_heads, to_heads
from lra_fnet.mixers._tiled_attention import attend_in_tiles
from lra_fnet.model.classifier import Classifier, Embedder, MixerFactory, Mlp
from lra_fnet.model.positions import Prediction


class Translator(Classifier):
    """Encode what is given, and predict each id of the answer from those before it.

    The encoder's mixers may read all that is given. Decoder layers mix the answer
    causally, then attend to the encoded positions: a Fourier transform has no query,
    so this stays attention. Vaswani et al. (2017), section 3.1, with norms first.

    Attributes:
      answer_length: the last ids of a row that belong to the answer, the mark before
        it included; the label is the answer's last id.
      decoder_mixer: makes a mixer with a causal form, one for every decoder layer.
      decoder_layers: how many.
      decoder_heads: of the attention to encoded positions.
    """

    answer_length: int
    decoder_mixer: MixerFactory
    decoder_layers: int
    decoder_heads: int

    @nn.compact
    def __call__(  # type: ignore[override]
        self, inputs: UInt[Array, "b l"], train: bool
    ) -> Prediction:
        """Return float32 logits of the id after each of the last `answer_length`."""
        given, answer = jnp.split(inputs, [inputs.shape[1] - self.answer_length], 1)
        encoded, mask = self._encoded(given, train)
        x = Embedder(
            vocab_size=self.vocab_size,
            inputs=self.inputs,
            width=self.width,
            positions=self.positions,
            has_cls=False,
            dtype=self.dtype,
            name="decoder_embedder",
        )(answer)
        x = nn.Dropout(self.dropout_rate, deterministic=not train)(x)
        for layer in range(self.decoder_layers):
            x = DecoderBlock(
                mixer=self.decoder_mixer,
                num_heads=self.decoder_heads,
                mlp_dim=self.mlp_dim,
                dropout_rate=self.dropout_rate,
                name=f"decoder_{layer}",
            )(x, encoded, mask, train)
        x = nn.LayerNorm(dtype=x.dtype, name="decoder_norm")(x)
        head = nn.Dense(self.num_classes, name="next")
        return Prediction(head(x.astype(jnp.float32)), answer)


class DecoderBlock(nn.Module):
    """Mix causally, attend to what was encoded, transform: each with a residual.

    x = x + mix(norm(x));  x = x + attend(norm(x), encoded);  x = x + mlp(norm(x))
    """

    mixer: MixerFactory
    num_heads: int
    mlp_dim: int
    dropout_rate: float

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b m d"],
        encoded: Float[Array, "b l d"],
        mask: Bool[Array, "b l"],
        train: bool,
    ) -> Float[Array, "b m d"]:
        """Return vectors of the shape and dtype of x; mask: real encoded positions."""
        dropout = nn.Dropout(self.dropout_rate, deterministic=not train)
        norms = [nn.LayerNorm(dtype=x.dtype, name=f"norm_{n}") for n in range(3)]
        everywhere = jnp.ones(x.shape[:2], bool)
        mixer = self.mixer(causal=True, name="mixer")
        x = x + dropout(mixer(norms[0](x), everywhere, train))
        attention = CrossAttention(self.num_heads, name="attention")
        x = x + dropout(attention(norms[1](x), encoded, mask))
        mlp = Mlp(self.mlp_dim, self.dropout_rate, name="mlp")
        return x + mlp(norms[2](x), train)


class CrossAttention(nn.Module):
    """Attend from one sequence to another: softmax(Q(x) K(y)^T / sqrt(k)) V(y) W."""

    num_heads: int

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b m d"],
        encoded: Float[Array, "b l d"],
        mask: Bool[Array, "b l"],
    ) -> Float[Array, "b m d"]:
        """Return for every position of x what it reads of the real encoded ones."""
        query = to_heads(x, self.num_heads, 0, "query")
        key, value = (
            to_heads(encoded, self.num_heads, 0, name) for name in ("key", "value")
        )
        platform = target().platform
        heads = attend_in_tiles(query, key, value, mask, platform=platform)
        return from_heads(heads, x.shape[-1])
