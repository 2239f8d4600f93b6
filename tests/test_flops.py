"""Operations: by hand for each rule, and XLA's own count where XLA counts right."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from lra_fnet.flops import _open, count_flops, forward_flops, inner_programs
from lra_fnet.mixers import mixer_class, mixer_names
from lra_fnet.mixers._tiled_attention import attend_in_tiles

LENGTH, WIDTH = 256, 32
# XLA counts a transform several times over.
WITH_TRANSFORM = {
    *("dct", "fnet", "fnet_gate", "fourier_abs", "fourier_seq", "hartley", "hyena"),
    *("mega", "s4d"),
}
# XLA counts the chunks of a loop as one.
WITH_LOOP = {"b2s6", "transformer", "transformer_rope"}
# What these do is mostly comparing, choosing and drawing numbers, which XLA counts.
MOSTLY_OTHER_WORK = {"chordmixer", "ff_only", "random", "reformer"}


def flops(function, *args):
    return count_flops(jax.make_jaxpr(function)(*args))


def traced(name):
    """A mixer's forward and backward pass."""
    mixer = mixer_class(name)()
    x = jax.ShapeDtypeStruct((2, LENGTH, WIDTH), jnp.float32)
    mask = jax.ShapeDtypeStruct((2, LENGTH), jnp.bool_)
    params = jax.eval_shape(
        partial(mixer.init, train=False), jax.random.key(0), x, mask
    )

    def loss(params, x, mask):
        return jnp.sum(mixer.apply(params, x, mask, train=False) ** 2)

    both = jax.value_and_grad(loss, argnums=(0, 1))
    return jax.jit(both).trace(params, x, mask)


def test_a_matrix_product_is_two_operations_for_each_term():
    a, b = jnp.ones((5, 3, 7)), jnp.ones((5, 7, 11))
    assert flops(jnp.matmul, a, b) == 2 * 5 * 3 * 7 * 11


def test_a_convolution_is_two_operations_for_each_tap():
    x, kernel = jnp.ones((1, 3, 20)), jnp.ones((4, 3, 5))
    convolve = partial(jax.lax.conv, window_strides=(1,), padding="VALID")
    assert flops(convolve, x, kernel) == 2 * (4 * 16) * (3 * 5)


def test_a_depthwise_convolution_sees_one_channel_of_its_input():
    x, kernel = jnp.ones((1, 8, 20)), jnp.ones((8, 1, 5))
    convolve = partial(
        jax.lax.conv_general_dilated,
        window_strides=(1,),
        padding="VALID",
        feature_group_count=8,
    )
    assert flops(convolve, x, kernel) == 2 * (8 * 16) * 5


def test_a_transform_is_five_n_log_n_and_a_real_one_half_of_it():
    z, x = jnp.ones((3, 64), complex), jnp.ones((3, 64))
    assert flops(jnp.fft.fft, z) == 3 * 5 * 64 * 6
    assert flops(jnp.fft.rfft, x) == 3 * 2.5 * 64 * 6
    assert flops(partial(jnp.fft.irfft, n=64), z[:, :33]) == 3 * 2.5 * 64 * 6


def test_a_scan_is_its_length_times_its_body():
    def body(carry, x):
        return carry * x, None

    x = jnp.ones((10, 7))
    assert flops(lambda x: jax.lax.scan(body, jnp.ones(7), x)[0], x) == 10 * 7


def test_the_dearest_branch_counts():
    def choose(x):
        return jax.lax.cond(x[0] > 0, lambda x: x + 1, lambda x: jnp.exp(x) * x, x)

    assert flops(choose, jnp.ones(7)) == 2 * 7


def test_integers_and_moving_count_nothing():
    def move(x):
        return jnp.flip(x)[jnp.arange(5) * 2].reshape(5, 1)

    assert flops(move, jnp.ones(10)) == 0
    assert flops(lambda i: i * i + 1, jnp.arange(10)) == 0


def test_complex_numbers_count_as_the_real_ones_they_are_made_of():
    z = jnp.ones(10, complex)
    assert flops(jnp.add, z, z) == 20
    assert flops(jnp.multiply, z, z) == 60


@pytest.mark.parametrize(
    "name",
    sorted({*mixer_names()} - WITH_TRANSFORM - WITH_LOOP - MOSTLY_OTHER_WORK),
)
def test_the_count_is_that_of_xla_where_there_is_neither_transform_nor_loop(name):
    program = traced(name)
    by_xla = program.lower().cost_analysis()
    expected = by_xla["flops"] + by_xla.get("transcendentals", 0)
    assert count_flops(program.jaxpr) == pytest.approx(expected, rel=0.12)


@pytest.mark.parametrize("name", mixer_names())
def test_no_mixer_has_a_loop_whose_rounds_are_unknown(name):
    def primitives(jaxpr):
        for equation in _open(jaxpr).eqns:
            yield equation.primitive.name
            for inner in inner_programs(equation):
                yield from primitives(inner)

    assert "while" not in set(primitives(traced(name).jaxpr))


def test_fnet_is_a_real_transform_and_its_derivative_another():
    def mixed(x):
        return mixer_class("fnet")().apply({}, x, mask, train=False).sum()

    x, mask = jnp.ones((2, 64, 16)), jnp.ones((2, 64), bool)
    transform = 2 * 2.5 * 64 * 16 * 10
    assert flops(jax.grad(mixed), x) == pytest.approx(2 * transform, rel=0.15)


def test_the_forward_pass_of_one_example_does_not_depend_on_how_many_there_are():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, inputs, train):
            return nn.Dense(3)(inputs)

    assert forward_flops(Model(), jnp.ones((5, 7))) == 2 * 7 * 3 + 3
    assert forward_flops(Model(), jnp.ones((9, 7))) == 2 * 7 * 3 + 3


def test_attention_in_tiles_counts_as_attention_of_all_heads():
    def whole(query, key, value, mask):
        return nn.dot_product_attention(query, key, value, mask=mask[:, None, None])

    arguments = *jnp.ones((3, 2, 64, 4, 16)), jnp.ones((2, 64), bool)
    expected = flops(whole, *arguments)
    for platform in ("cpu", "gpu"):
        own = flops(partial(attend_in_tiles, platform=platform), *arguments)
        assert own == pytest.approx(expected, rel=0.05)
