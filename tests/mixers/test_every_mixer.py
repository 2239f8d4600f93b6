"""The contract every file of lra_fnet/mixers is held to, for free.

`python -m tests.mixers.test_every_mixer` writes the lists of parameters in golden/
anew: only if a mixer was meant to change, since they decide every published count, and
whether an old checkpoint can be read.
"""

import functools
import hashlib
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lra_fnet.config import default_values
from lra_fnet.mixers import contract, mixer_class, mixer_names

GOLDEN = Path(__file__).parent / "golden"
NAMES = mixer_names()


@functools.cache
def trial_of(name):
    return contract.make_trial(mixer_class(name)())


of_every_mixer = pytest.mark.parametrize("name", NAMES)


@of_every_mixer
@pytest.mark.parametrize("check", contract.OF_THE_CLASS, ids=lambda c: c.__name__)
def test_of_every_class(check, name):
    check(mixer_class(name))


@of_every_mixer
@pytest.mark.parametrize(
    "check",
    [contract.only_parameters_are_kept, *contract.OF_A_TRIAL],
    ids=lambda c: c.__name__,
)
def test_of_every_mixer(check, name):
    check(trial_of(name))


def parameter_list(name):
    """One line per parameter: path and shape, at width 24 and length 37."""
    leaves = jax.tree.leaves_with_path(trial_of(name).params)
    return "".join(
        f"{jax.tree_util.keystr(path, simple=True, separator='/')} {leaf.shape}\n"
        for path, leaf in leaves
    )


@of_every_mixer
def test_parameters_are_the_golden_ones(name):
    assert parameter_list(name) == (GOLDEN / f"{name}.txt").read_text()


def test_there_is_a_golden_list_for_every_mixer_and_no_other():
    assert sorted(path.stem for path in GOLDEN.glob("*.txt")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_hyperparameters_are_the_defaults_unless_a_recipe_says_otherwise(name):
    values = default_values(name, {"num_heads": 2, "no_field_of_any": 1})
    expected = default_values(name, {})
    assert values == expected | ({"num_heads": 2} if "num_heads" in expected else {})


class ShiftsByAHash(nn.Module):
    """A mixer whose result depends on the process."""

    @nn.compact
    def __call__(self, x, mask, train):
        return x + hash("a string") % 1000


def programs():
    """Return a hash of the program of each mixer."""
    mixers = {name: mixer_class(name)() for name in NAMES} | {"hashed": ShiftsByAHash()}
    x, mask = contract.some_x(), jnp.ones((contract.BATCH, contract.LENGTH), bool)
    hashes = {}
    for name, mixer in mixers.items():
        init = partial(mixer.init, train=False)
        variables = jax.eval_shape(init, jax.random.key(0), x, mask)
        lowered = jax.jit(partial(mixer.apply, train=False)).lower(variables, x, mask)
        hashes[name] = hashlib.sha256(lowered.as_text().encode()).hexdigest()
    return hashes


@pytest.mark.slow
def test_programs_are_the_same_in_another_process():
    # It gives strings other hashes, and so sets another order. Programs have the
    # precision that tests ask for, which a process that is no test does not know.
    environment = os.environ | {
        "PYTHONHASHSEED": "4321",
        "JAX_DEFAULT_MATMUL_PRECISION": jax.config.jax_default_matmul_precision,
        "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path),
    }
    program = f"import json, {__name__} as m; print(json.dumps(m.programs()))"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    here, there = programs(), json.loads(done.stdout)
    assert [name for name in here if here[name] != there[name]] == ["hashed"]


def test_a_gradient_of_the_transformer_compiles_where_jax_is_64_bits_wide():
    mixer = mixer_class("transformer")()
    with jax.enable_x64(True):
        x, mask = jnp.ones((2, 64, 8), jnp.float32), jnp.ones((2, 64), bool)
        params = mixer.init(jax.random.key(0), x, mask, train=False)

        def loss(params, x):
            rngs = {"dropout": jax.random.key(1)}
            return mixer.apply(params, x, mask, train=True, rngs=rngs).sum()

        gradients = jax.eval_shape(jax.grad(loss, argnums=(0, 1)), params, x)
        assert {leaf.dtype for leaf in jax.tree.leaves(gradients)} == {
            np.dtype("float32")
        }


if __name__ == "__main__":
    for each in NAMES:
        (GOLDEN / f"{each}.txt").write_text(parameter_list(each))
