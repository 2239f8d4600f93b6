"""The bits that dropout masks are made of."""

import jax
import jax.numpy as jnp
import numpy as np

from lra_fnet.dropout import dropout_key

SHAPE = (64, 128, 32)


def bits(seed):
    key = dropout_key(jax.random.key(seed))
    return np.asarray(jax.random.bits(key, SHAPE, jnp.uint32))


def test_every_bit_is_set_half_of_the_time_and_follows_no_other():
    words = bits(0).reshape(-1)
    ones = (words[:, None] >> np.arange(32, dtype=np.uint32)) & 1
    noise = 1 / np.sqrt(len(words))  # of a correlation; twice that of a mean
    assert np.abs(ones.mean(axis=0) - 0.5).max() < 2.5 * noise
    correlations = np.corrcoef(ones.T) - np.eye(32)
    assert np.abs(correlations).max() < 5 * noise


def test_masks_of_neighbours_in_any_axis_are_independent():
    mask = bits(1) < 0.1 * 2**32
    noise = 1 / np.sqrt(mask.size)
    for axis in range(3):
        shifted = np.roll(mask, 1, axis=axis)
        assert abs(np.corrcoef(mask.ravel(), shifted.ravel())[0, 1]) < 5 * noise


def test_masks_of_other_keys_are_independent():
    noise = 1 / np.sqrt(np.prod(SHAPE))
    keys = [dropout_key(k) for k in jax.random.split(jax.random.key(0), 4)]
    masks = [np.asarray(jax.random.bernoulli(key, 0.1, SHAPE)).ravel() for key in keys]
    correlations = np.corrcoef(masks) - np.eye(4)
    assert np.abs(correlations).max() < 5 * noise


def test_a_share_of_the_units_is_kept_and_the_key_alone_decides_which():
    key = dropout_key(jax.random.key(3))
    kept = jax.random.bernoulli(key, 0.9, SHAPE)
    assert abs(float(kept.mean()) - 0.9) < 5 * np.sqrt(0.09 / kept.size)
    np.testing.assert_array_equal(kept, jax.random.bernoulli(key, 0.9, SHAPE))


def test_a_key_alone_draws_as_under_vmap():
    keys = dropout_key(jax.random.split(jax.random.key(0), 3))
    together = jax.vmap(lambda key: jax.random.bits(key, (50,)))(keys)
    for row, key in enumerate(keys):
        np.testing.assert_array_equal(together[row], jax.random.bits(key, (50,)))
