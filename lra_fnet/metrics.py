"""Metrics as sums: added over batches, steps and devices, divided once at the end."""

import operator
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

# Floats of one shape, on the device or fetched from it; JAX rebuilds its trees with
# placeholders of other types in the same places.
Values = Any


@flax.struct.dataclass
class Sums:
    """Weighted sums over examples.

    Attributes:
      loss: sum of cross entropies in nats.
      correct: weighted number of right answers.
      weight: sum of weights, the number of examples.
    """

    loss: Values
    correct: Values
    weight: Values

    def __add__(self, other: "Sums") -> "Sums":
        """Add two sums field by field."""
        return jax.tree.map(operator.add, self, other)

    def mean_loss(self) -> Values:
        """Return the mean cross entropy in nats."""
        return self.loss / self.weight

    def accuracy(self) -> Values:
        """Return the share of right answers, in [0, 1]."""
        return self.correct / self.weight

    @classmethod
    def zeros(cls, shape: tuple[int, ...] = ()) -> "Sums":
        """Return the sums over no examples."""
        return cls(jnp.zeros(shape), jnp.zeros(shape), jnp.zeros(shape))


def classification_sums(
    logits: Float[Array, "b c"], labels: Int[Array, "b"], weight: Float[Array, "b"]
) -> Sums:
    """Return the sums of a batch; weight 0 marks rows that only fill the batch.

    >>> logits = jnp.array([[0.0, 9.0], [0.0, 9.0]])
    >>> sums = classification_sums(logits, jnp.array([1, 0]), jnp.array([1.0, 1.0]))
    >>> float(sums.accuracy())
    0.5
    """
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    correct = jnp.argmax(logits, axis=-1) == labels
    return Sums(
        loss=jnp.sum(loss * weight),
        correct=jnp.sum(correct * weight),
        weight=jnp.sum(weight),
    )
