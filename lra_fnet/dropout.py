"""Cheaper random bits for dropout than JAX's, from a key of their own kind.

JAX's default generator is a cipher of twenty rounds, a large part of a training step on
CPUs. A mask needs no cipher: here a bit comes from hashing its place and the key twice,
with the finaliser of MurmurHash3 (Appleby, public domain), in which every bit of the
input changes each bit of the output with probability one half. Keys are made, split and
folded by the cipher, so streams are as far apart as JAX's; and a key's bits are the
same on any device, alone or under `vmap`.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax.extend.random import define_prng_impl, threefry_prng_impl
from jaxtyping import Array, UInt32


def dropout_key(key: jax.Array) -> jax.Array:
    """Return a key of this kind with the same words as one of JAX's.

    >>> jax.random.bernoulli(dropout_key(jax.random.key(0)), 0.9, (6,)).shape
    (6,)
    """
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=_kind())


@functools.cache
def _kind() -> object:
    """Register the kind of key."""
    return define_prng_impl(
        key_shape=threefry_prng_impl.key_shape,
        seed=threefry_prng_impl.seed,
        split=threefry_prng_impl.split,
        random_bits=_random_bits,
        fold_in=threefry_prng_impl.fold_in,
        name="dropout_bits",
        tag="drp",
    )


def _random_bits(key: UInt32[Array, "2"], bit_width: int, shape: tuple) -> Array:
    """Return an array of random unsigned integers of that width."""
    if bit_width == 64:
        high, low = (_random_bits(key, 32, (2, *shape))).astype(jnp.uint64)
        return high << 32 | low
    place = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    word = _hashed(_hashed(place ^ key[0]) ^ key[1])
    return word.astype(f"uint{bit_width}")


def _hashed(word: UInt32[Array, "*shape"]) -> UInt32[Array, "*shape"]:
    """Return MurmurHash3's 32-bit finaliser of every word."""
    word = (word ^ word >> 16) * jnp.uint32(0x85EBCA6B)
    word = (word ^ word >> 13) * jnp.uint32(0xC2B2AE35)
    return word ^ word >> 16
