import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lra_fnet.optimizer import SCHEDULES, make_optimizer, make_schedule

ADAM = {"b1": 0.9, "b2": 0.98, "eps": 1e-9}


def test_rsqrt_takes_the_values_of_the_released_configs():
    # ListOps: 0.05, warm-up 1,000: peak 1.58e-3 at 1,000, 7.07e-4 at 5,000.
    schedule = make_schedule("rsqrt", 0.05, warmup_steps=1000, num_steps=5000)
    assert float(schedule(0)) == 0
    assert float(schedule(500)) == pytest.approx(0.5 * 0.05 / np.sqrt(1000))
    assert float(schedule(1000)) == pytest.approx(1.58e-3, rel=1e-2)
    assert float(schedule(5000)) == pytest.approx(7.07e-4, rel=1e-3)


def test_cosine_rises_to_its_peak_and_ends_at_zero():
    schedule = make_schedule("cosine", 1e-3, warmup_steps=10, num_steps=110)
    assert float(schedule(0)) == 0
    assert float(schedule(10)) == pytest.approx(1e-3)
    assert float(schedule(60)) == pytest.approx(5e-4)
    assert float(schedule(110)) == pytest.approx(0, abs=1e-9)


def test_the_cosine_of_lra_does_not_quite_end_at_zero():
    schedule = make_schedule("lra_cosine", 1e-3, warmup_steps=10, num_steps=100)
    assert float(schedule(5)) == pytest.approx(5e-4)
    assert float(schedule(10)) == pytest.approx(1e-3)
    assert float(schedule(60)) == pytest.approx(5e-4)
    assert float(schedule(100)) == pytest.approx(5e-4 * (1 + np.cos(0.9 * np.pi)))


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_run_shorter_than_its_warmup_is_possible(name):
    schedule = make_schedule(name, 1e-3, warmup_steps=1000, num_steps=3)
    assert all(np.isfinite(float(schedule(step))) for step in range(4))


def test_unknown_schedule_names_the_choices():
    with pytest.raises(ValueError, match="choose from .*rsqrt"):
        make_schedule("rsqr", 1e-3, 1, 10)


def update(params, gradients, **options):
    options = {"weight_decay": 0.0, "decay_all": True, "clip_norm": 0.0} | options
    options = {"ssm_factor": 1.0} | options
    optimizer = make_optimizer(lambda step: 0.1, **ADAM, **options)
    return optimizer.update(gradients, optimizer.init(params), params)[0]


def test_decay_reaches_every_parameter_or_matrices_alone():
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    still = jax.tree.map(jnp.zeros_like, params)
    everywhere = update(params, still, weight_decay=0.5, decay_all=True)
    np.testing.assert_allclose(everywhere["bias"], -0.05 * np.ones(2), rtol=1e-6)
    matrices = update(params, still, weight_decay=0.5, decay_all=False)
    np.testing.assert_allclose(matrices["kernel"], -0.05 * np.ones((2, 2)), rtol=1e-6)
    np.testing.assert_array_equal(matrices["bias"], np.zeros(2))


def test_stacked_biases_of_experts_are_no_matrices():
    params = {"experts": {"kernel": jnp.ones((4, 2, 2)), "bias": jnp.ones((4, 2))}}
    still = jax.tree.map(jnp.zeros_like, params)
    decayed = update(params, still, weight_decay=0.5, decay_all=False)["experts"]
    assert decayed["kernel"].all() and not decayed["bias"].any()


def test_parameters_of_state_spaces_are_slow_and_not_decayed():
    params = {"mixer": {"ssm_B": jnp.ones((2, 2)), "kernel": jnp.ones((2, 2))}}
    still = jax.tree.map(jnp.zeros_like, params)
    decayed = update(params, still, weight_decay=0.5, decay_all=False)["mixer"]
    np.testing.assert_array_equal(decayed["ssm_B"], np.zeros((2, 2)))
    assert decayed["kernel"].all()
    moving = jax.tree.map(jnp.ones_like, params)
    moved = update(params, moving, ssm_factor=0.25)["mixer"]
    np.testing.assert_allclose(moved["ssm_B"], 0.25 * moved["kernel"], rtol=1e-6)


def test_clip_scales_the_whole_gradient_to_the_norm():
    # Adam divides scale away, so look at its first moment after one step.
    optimizer = make_optimizer(
        lambda step: 0.1,
        **ADAM,
        weight_decay=0.0,
        decay_all=True,
        clip_norm=1.0,
        ssm_factor=1.0,
    )
    params = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
    gradients = {"a": jnp.array([30.0]), "b": jnp.array([40.0])}
    state = optimizer.update(gradients, optimizer.init(params), params)[1]
    moments = [float(m[0]) for m in jax.tree.leaves(state[1][0].mu)]
    np.testing.assert_allclose(moments, [0.06, 0.08], rtol=1e-5)
