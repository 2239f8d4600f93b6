import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lra_fnet.batches import batch_indices, call_indices, evaluation_batches


@given(
    num_examples=st.integers(1, 40),
    batch_size=st.integers(1, 50),
    num_epochs=st.integers(1, 4),
)
def test_every_epoch_shows_every_example_once(num_examples, batch_size, num_epochs):
    num_steps = -(-num_epochs * num_examples // batch_size)
    stream = batch_indices(0, 0, num_steps, batch_size, num_examples).ravel()
    epochs = stream[: num_epochs * num_examples].reshape(num_epochs, num_examples)
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(num_examples))


@given(
    num_first=st.integers(1, 40),
    num_others=st.integers(1, 20),
    batch_size=st.integers(1, 50),
)
def test_a_curriculum_is_read_once_in_its_order_before_the_epochs(
    num_first, num_others, batch_size
):
    count = num_first + num_others
    num_steps = -(-(count + num_others) // batch_size)
    stream = batch_indices(0, 0, num_steps, batch_size, count, num_first).ravel()
    np.testing.assert_array_equal(stream[:num_first], np.arange(num_first))
    alone = batch_indices(0, 0, num_steps, batch_size, num_others).ravel()
    others = stream[num_first:] - num_first
    np.testing.assert_array_equal(others, alone[: len(others)])


@given(num_first=st.integers(1, 40), first_at=st.integers(0, 12))
def test_a_curriculum_that_begins_later_is_put_between_what_the_epochs_give(
    num_first, first_at
):
    count, batch_size, start = num_first + 7, 3, 3 * first_at
    stream = batch_indices(0, 0, 40, batch_size, count, num_first, first_at).ravel()
    first, stop = stream[start:], start + num_first
    np.testing.assert_array_equal(first[:num_first], np.arange(num_first))
    others = np.concatenate([stream[:start], stream[stop:]]) - num_first
    alone = batch_indices(0, 0, 40, batch_size, 7).ravel()
    np.testing.assert_array_equal(others, alone[: len(others)])


@pytest.mark.parametrize(("num_first", "first_at"), [(0, 0), (9, 0), (9, 4)])
@given(first=st.integers(0, 30), count=st.integers(1, 10))
def test_order_is_a_function_of_the_step_alone(num_first, first_at, first, count):
    whole = batch_indices(7, 0, 40, 5, 17, num_first, first_at)
    part = batch_indices(7, first, count, 5, 17, num_first, first_at)
    np.testing.assert_array_equal(part, whole[first : first + count])


def test_seeds_and_epochs_are_ordered_differently():
    first, second = batch_indices(0, 0, 2, batch_size=50, num_examples=50)
    other = batch_indices(1, 0, 1, batch_size=50, num_examples=50)[0]
    assert (first != second).any() and (first != other).any()


def test_a_call_holds_the_batches_of_each_seed():
    indices = call_indices(
        range(3, 5), 2, 2, max_steps=4, batch_size=5, num_examples=17
    )
    assert indices.shape == (2, 4, 5)
    np.testing.assert_array_equal(indices[1, :2], batch_indices(4, 2, 2, 5, 17))


@pytest.mark.parametrize("num_examples", [1, 7, 8, 9, 16])
def test_evaluation_counts_every_example_exactly_once(num_examples):
    indices, weight = evaluation_batches(num_examples, batch_size=8)
    assert indices.shape == weight.shape == (-(-num_examples // 8), 8)
    counted = np.bincount(indices.ravel(), weight.ravel(), minlength=num_examples)
    np.testing.assert_array_equal(counted, np.ones(num_examples))
    padded, more = evaluation_batches(num_examples, batch_size=8, multiple=3)
    assert padded.shape == (3, 8) and more.sum() == num_examples
    np.testing.assert_array_equal(padded[: len(indices)], indices)
