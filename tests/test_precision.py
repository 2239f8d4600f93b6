"""The precision of products: what a program asks for, and what rounding does to it."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lra_fnet.config import load_config, make_program, task_facts
from lra_fnet.flops import inner_programs
from lra_fnet.step import Program
from tiny_runs import ROOT, tiny_config

HIGHEST = jax.lax.Precision.HIGHEST


def products(jaxpr):
    """Yield the matrix products of a program, those of inner programs included."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation
        for inner in inner_programs(equation):
            yield from products(getattr(inner, "jaxpr", inner))


def asked_precisions(precision):
    """Return the precisions of all products of training and evaluation."""
    config = tiny_config(mixer="transformer", encoder__precision=precision)
    program, length = make_program(config, task_facts(config)), 40
    inputs, labels = jnp.ones((8, length), jnp.uint8), jnp.zeros(8, int)
    state = program.init(jnp.array([0]), inputs)
    indices, weight = jnp.zeros((1, 8), int), jnp.ones((1, 8))
    training = (state, inputs, labels, indices[None], np.int32(1))
    evaluation = (state.params, inputs, labels, indices, weight)
    traced = (
        Program.train.trace(program, *training),
        Program.evaluate.trace(program, *evaluation),
    )
    asked = [p.params["precision"] for each in traced for p in products(each.jaxpr)]
    assert len(asked) > 50
    return set(asked)


def test_every_product_of_a_program_has_the_precision_of_its_config():
    """Derivatives included, and whatever the process asks for."""
    assert asked_precisions("highest") == {(HIGHEST, HIGHEST)}
    assert asked_precisions("high") == {(jax.lax.Precision.HIGH,) * 2}
    assert asked_precisions("default") == {None}


def test_an_unknown_precision_is_refused_with_the_choices():
    config = load_config("image", "quick", {"encoder.precision": "float32"})
    with pytest.raises(ValueError) as caught:
        make_program(config, task_facts(config))
    assert str(caught.value) == (
        "encoder.precision is 'float32'; choose from ('default', 'high', 'highest')"
    )


# --- With products rounded as on accelerators ---------------------------------------

BITS = {"bfloat16": "7", "TF32": "10"}
# Tests of formulas to a few units of float32's last place.
EXACT = [
    "model/test_classifier.py::test_fnet_block_equals_the_published_one_in_float64",
    "test_step.py::test_the_first_steps_are_the_golden_ones",
    "test_step.py::test_a_seed_among_several_equals_the_seed_alone",
    "mixers/test_attention_mixers.py::"
    "test_rotary_attention_is_softmax_of_turned_vectors",
    "mixers/test_lra_mixers.py::test_blocks_equal_dense_attention_with_their_pattern",
    "mixers/test_fourier_mixers.py::test_linear_multiplies_by_both_matrices",
    "mixers/test_recurrent_mixers.py::test_mixer_equals_a_plain_loop_in_float64",
]
# Print the losses of the first steps of the golden model.
LOSSES = """
import sys
import conftest, rounded_products, test_step
rounded_products.round_products(int(sys.argv[1]))
program = test_step.make_program("transformer", precision=sys.argv[2])
_, losses = test_step.train(program)
print(*losses[:, 0])
"""


def in_process(*arguments, **variables):
    tests = ROOT / "tests"
    path = os.pathsep.join(map(str, (ROOT, tests)))
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": path} | variables,
        cwd=tests,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", BITS)
def test_formulas_are_exact_at_the_highest_precision_whatever_the_default_is(kind):
    done = in_process(
        *("-m", "pytest", "-q", "-p", "rounded_products", *EXACT), ROUNDED_TO=BITS[kind]
    )
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "most"), [("bfloat16", 1e-2), ("TF32", 1e-3)])
def test_the_default_precision_is_off_by_what_the_devices_rounding_costs(kind, most):
    """A tolerance of the losses, and not none: the emulation rounds."""
    losses = {}
    for precision in ("default", "high", "highest"):
        done = in_process("-c", LOSSES, BITS[kind], precision)
        assert done.returncode == 0, done.stderr
        losses[precision] = np.array(done.stdout.split(), float)
    assert (losses["high"] == losses["highest"]).all()
    off = np.abs(losses["default"] / losses["highest"] - 1).max()
    assert most / 100 < off < most
