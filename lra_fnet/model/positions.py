"""The same encoder with a dense layer at every position: restore ids, or go on."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped, UInt

from lra_fnet.model.classifier import Classifier, as_values, real_tokens


class Restoration(NamedTuple):
    """What pre-training compares: what was restored, and what was there.

    Attributes:
      outputs: logits of all ids, or one number, at every position.
      targets: ids, or their values in [-1, 1] where these are the inputs.
      hidden: where the encoder could not see the target.
    """

    outputs: Float[Array, "b *documents l v"]
    targets: Shaped[Array, "b *documents l"]
    hidden: Bool[Array, "b *documents l"]


class Restorer(Classifier):
    """Restore hidden positions: the classifier's encoder, and a dense layer on top.

    The masked objective of Amos, Berant and Gupta, Never train from scratch (2023),
    https://arxiv.org/abs/2310.02980; docs/pretraining.md has the differences.

    Attributes:
      mask_rate: probability of a real position to be hidden, each by its own draw.
    """

    mask_rate: float

    @nn.compact
    def __call__(  # type: ignore[override]
        self, inputs: UInt[Array, "b *documents l"], train: bool
    ) -> Restoration:
        """Hide positions, by the step's key in training and else always the same."""
        ids = inputs.reshape(-1, inputs.shape[-1])
        hidden = self._draw(ids, train)
        x, _ = self._encoded(ids, train, hidden)
        if self.pool == "cls":  # its slot has moved every id by one
            x = jnp.roll(x, -1, axis=1)
        numbers = self.inputs == "values"
        head = nn.Dense(1 if numbers else self.vocab_size, name="restore")
        return Restoration(
            outputs=head(x.astype(jnp.float32)).reshape(*inputs.shape, -1),
            targets=as_values(inputs, self.vocab_size) if numbers else inputs,
            hidden=hidden.reshape(inputs.shape),
        )

    def _draw(self, ids: UInt[Array, "n l"], train: bool) -> Bool[Array, "n l"]:
        """Return which positions to hide: none that is padding."""
        key = self.make_rng("dropout") if train else jax.random.key(0)
        # By content, so that in a validation no batch size matters.
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, ids.sum(1, jnp.uint32))
        draw = jax.vmap(
            lambda key: jax.random.bernoulli(key, self.mask_rate, ids[0].shape)
        )
        hidden = draw(keys) & real_tokens(ids, self.pad_id)
        if self.pool == "cls":  # which the last id makes room for
            hidden = hidden.at[:, -1].set(False)
        return hidden


class Prediction(NamedTuple):
    """What a language model is scored by: its logits, and what it has read.

    Attributes:
      logits: of the id that follows each position.
      inputs: ids; position t + 1 is what follows position t.
    """

    logits: Float[Array, "b l c"]
    inputs: UInt[Array, "b l"]


class Predictor(Classifier):
    """Predict the id after every position: a causal encoder, and a dense layer."""

    @nn.compact
    def __call__(  # type: ignore[override]
        self, inputs: UInt[Array, "b l"], train: bool
    ) -> Prediction:
        """Return float32 logits at every position."""
        x, _ = self._encoded(inputs, train)
        head = nn.Dense(self.num_classes, name="next")
        return Prediction(head(x.astype(jnp.float32)), inputs)
