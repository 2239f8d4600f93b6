"""Step sizes that depend on the input: what their biases begin as."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def draw_step_bias(
    key: Array, shape: tuple[int, ...], min_step: float, max_step: float
) -> Float[Array, "*shape"]:
    """Draw what softplus makes steps of min_step to max_step of, log-uniform.

    >>> bias = draw_step_bias(jax.random.key(0), (999,), 0.001, 0.1)
    >>> steps = jax.nn.softplus(bias)
    >>> bool(steps.min() > 0.00099), bool(steps.max() < 0.101)
    (True, True)
    """
    bounds = np.log([min_step, max_step])
    steps = jnp.exp(jax.random.uniform(key, shape, jnp.float32, *bounds))
    return steps + jnp.log(-jnp.expm1(-steps))
