"""Metrics as sums: added over batches, steps and devices, divided once at the end."""

import operator
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from lra_fnet.model import Prediction, Restoration

# Floats of one shape, on the device or fetched from it; JAX rebuilds its trees with
# placeholders of other types in the same places.
Values = Any

# What a run minimizes: from outputs, labels and weights of a batch to sums and answers.
Objective = Callable[
    [Any, Int[Array, "b"], Float[Array, "b"]], tuple["Sums", Int[Array, "b"]]
]


@flax.struct.dataclass
class Sums:
    """Weighted sums over examples, or over hidden positions.

    Attributes:
      loss: sum of cross entropies in nats, or of errors of values.
      correct: weighted number of right answers.
      weight: sum of weights, the number of examples or positions.
    """

    loss: Values
    correct: Values
    weight: Values

    def __add__(self, other: "Sums") -> "Sums":
        """Add two sums field by field."""
        return jax.tree.map(operator.add, self, other)

    def mean_loss(self) -> Values:
        """Return the mean cross entropy in nats, or the mean error."""
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


def classify(
    logits: Float[Array, "b c"], labels: Int[Array, "b"], weight: Float[Array, "b"]
) -> tuple[Sums, Int[Array, "b"]]:
    """Return the sums of a batch and its answers: the objective of the tasks."""
    return classification_sums(logits, labels, weight), jnp.argmax(logits, axis=-1)


def predict_next(
    found: Prediction,
    labels: Int[Array, "b"],
    weight: Float[Array, "b"],
    answer_length: int = 0,
) -> tuple[Sums, Int[Array, "b"]]:
    """Return the sums of a batch and its answers: the objective of language models.

    The loss of a row is the mean over its positions, each predicting the id after it.
    Its answer is the one of the last position, which has read it whole.

    Args:
      found: of the model.
      labels: what follows the last position.
      weight: 0 marks rows that only fill the batch.
      answer_length: if it is not 0, these last positions alone count, and an answer
        with a wrong id among them is 0, no label. If none is wrong the model would
        write the same, each id after its own.
    """
    logits, inputs = (each[:, -answer_length:] for each in found)
    following = jnp.concatenate([inputs[:, 1:], labels[:, None]], axis=1)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, following)
    chosen = jnp.argmax(logits, axis=-1)
    answers = chosen[:, -1]
    if answer_length:
        answers *= (chosen == following)[:, :-1].all(axis=1)
    sums = Sums(
        loss=jnp.sum(losses.mean(axis=1) * weight),
        correct=jnp.sum((answers == labels) * weight),
        weight=jnp.sum(weight),
    )
    return sums, answers


def added_loss(outputs: Any, sown: PyTree) -> Float[Array, ""]:
    """Return what layers add to the sum of losses of a batch, such as z-losses.

    Args:
      outputs: of the model.
      sown: arrays (n,), a number for each of the documents that were encoded; each
        counts as it does in the loss, by its hidden positions in pre-training.
    """
    added = jnp.sum(jnp.stack(jax.tree.leaves(sown)), axis=0)
    if isinstance(outputs, Restoration):
        return jnp.sum(added * outputs.hidden.reshape(len(added), -1).sum(axis=1))
    return jnp.mean(added) * len(jax.tree.leaves(outputs)[0])


def restore(
    found: Restoration, labels: Int[Array, "b"], weight: Float[Array, "b"]
) -> tuple[Sums, Int[Array, "b"]]:
    """Return the sums over hidden positions: the objective of pre-training.

    Cross entropy of ids; of values the absolute error, and as right answers 1 less the
    error as a share of their range. Labels are not looked at, and no answers given.
    """
    weight = found.hidden * weight.reshape(-1, *[1] * (found.hidden.ndim - 1))
    if jnp.issubdtype(found.targets.dtype, jnp.floating):
        loss = jnp.abs(found.outputs[..., 0] - found.targets)
        correct = jnp.maximum(0.0, 1 - loss / 2)
    else:
        loss = optax.softmax_cross_entropy_with_integer_labels(
            found.outputs, found.targets
        )
        correct = jnp.argmax(found.outputs, axis=-1) == found.targets
    sums = (jnp.sum(each * weight) for each in (loss, correct, jnp.ones_like(weight)))
    return Sums(*sums), jnp.zeros_like(labels)
