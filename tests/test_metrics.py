import jax.numpy as jnp
import numpy as np
import pytest

from lra_fnet.metrics import Sums, classification_sums, restore
from lra_fnet.model import Restoration

# A model that always gives class 2 the logit 1 and the other three classes 0:
# p(2) = e / (e + 3), p(other) = 1 / (e + 3).
CONSTANT_LOGITS = np.array([0.0, 0.0, 1.0, 0.0], np.float32)
LOSS_RIGHT = np.log(np.e + 3) - 1
LOSS_WRONG = np.log(np.e + 3)


def constant_model_sums(labels, weight):
    logits = jnp.tile(CONSTANT_LOGITS, (len(labels), 1))
    return classification_sums(logits, jnp.array(labels), jnp.array(weight))


def test_constant_model_scores_what_hand_computation_says():
    sums = constant_model_sums([2, 2, 0, 1], [1.0, 1.0, 1.0, 1.0])
    assert float(sums.accuracy()) == 0.5
    assert float(sums.mean_loss()) == pytest.approx((LOSS_RIGHT + LOSS_WRONG) / 2)


def test_rows_of_weight_zero_do_not_count():
    sums = constant_model_sums([2, 0, 2], [1.0, 1.0, 0.0])
    assert float(sums.weight) == 2
    assert float(sums.accuracy()) == 0.5
    assert float(sums.mean_loss()) == pytest.approx((LOSS_RIGHT + LOSS_WRONG) / 2)


def test_sums_of_unequal_batches_give_the_mean_over_examples():
    total = constant_model_sums([2], [1.0]) + constant_model_sums([0, 0, 2], [1.0] * 3)
    assert float(total.accuracy()) == 0.5  # not the mean of 1 and 1/3


def test_zero_sums_are_neutral():
    sums = constant_model_sums([2, 0], [1.0, 1.0])
    assert float((Sums.zeros() + sums).loss) == float(sums.loss)


def restoration_sums(outputs, targets, hidden, weight=(1.0, 1.0)):
    found = Restoration(jnp.array(outputs), jnp.array(targets), jnp.array(hidden))
    return restore(found, jnp.zeros(2, jnp.int32), jnp.array(weight))[0]


HIDDEN = [[True, False, True], [False, False, True]]


def test_restored_ids_count_where_they_were_hidden_and_nowhere_else():
    logits = np.tile(CONSTANT_LOGITS, (2, 3, 1))
    sums = restoration_sums(logits, np.uint8([[2, 2, 0], [2, 0, 2]]), HIDDEN)
    assert (float(sums.correct), float(sums.weight)) == (2, 3)
    assert float(sums.loss) == pytest.approx(2 * LOSS_RIGHT + LOSS_WRONG)
    sums = restoration_sums(
        logits, np.uint8([[2, 2, 0], [2, 0, 2]]), HIDDEN, (1.0, 0.0)
    )
    assert (float(sums.correct), float(sums.weight)) == (1, 2)


def test_restored_values_are_scored_by_their_absolute_error():
    targets = np.float32([[-1.0, 0.5, 1.0], [0.0, 0.0, 0.25]])
    sums = restoration_sums(np.zeros((2, 3, 1), np.float32), targets, HIDDEN)
    assert float(sums.mean_loss()) == pytest.approx((1 + 1 + 0.25) / 3)
    assert float(sums.accuracy()) == pytest.approx(1 - sums.mean_loss() / 2)
