"""Experts in place of the MLP of a layer: each takes the tokens that suit it most."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int


class ExpertsMlp(nn.Module):
    """Several MLPs, the experts, each of which takes the tokens that suit it most.

    With p(x) = softmax(W x + b), a probability for each expert, expert e takes those C
    tokens x of a row that have the largest p(x)[e], and

        y(x) = sum over the experts e that took x of p(x)[e] MLP_e(x)

    which is 0 for a token that nobody took. Padding is never taken, and C counts real
    tokens: `expert_capacities`. No row depends on another. Where tokens are equal the
    first is taken.

    Lee-Thorp and Ainslie, Sparse Mixers (2022), https://arxiv.org/abs/2205.12399,
    section 3, with the routing of Zhou et al., Mixture-of-Experts with Expert Choice
    Routing (2022), https://arxiv.org/abs/2202.09368, section 3.2. The router is
    computed in float32, its W starts as N(0, 0.02).

    In training the router's z-loss (Zoph et al., ST-MoE, 2022,
    https://arxiv.org/abs/2202.08906, equation 5) is sown in the collection "losses":
    for each row `z_loss` times the mean over its real tokens of logsumexp(W x + b)^2.

    Attributes:
      mlp_dim: hidden units of each expert.
      dropout_rate: of each expert, as in Mlp.
      num_experts: e.
      capacity: tokens that an expert takes, times real tokens / experts.
      z_loss: weight of the z-loss.
      mlp: the class of an expert, made as `mlp(mlp_dim, dropout_rate, name=...)`.
    """

    mlp_dim: int
    dropout_rate: float
    num_experts: int
    capacity: float
    z_loss: float
    mlp: Callable[..., nn.Module]

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Transform the tokens that experts take, each alone; zero for the rest."""
        gates, places = take_tokens(self._route(x, mask), mask, self.capacity)
        rows = jnp.arange(len(x))[:, None]
        experts = nn.vmap(
            self.mlp,
            in_axes=(0, None),
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
        )(self.mlp_dim, self.dropout_rate, name="experts")
        y = experts(x[rows, places], train)
        y = y * gates[..., None].astype(x.dtype)
        return jnp.zeros_like(x).at[rows, places].add(y)

    def _route(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"]
    ) -> Float[Array, "b l e"]:
        """Return p, and sow the z-loss of every row."""
        logits = nn.Dense(
            self.num_experts,
            dtype=jnp.float32,
            kernel_init=nn.initializers.normal(0.02),
            name="router",
        )(x)
        if not self.is_initializing():  # it is no parameter
            z = jax.nn.logsumexp(logits, axis=-1)
            mean = jnp.sum(z**2, axis=1, where=mask) / jnp.maximum(mask.sum(axis=1), 1)
            self.sow("losses", "z", self.z_loss * mean)
        return nn.softmax(logits)


def take_tokens(
    probabilities: Float[Array, "b l e"], mask: Bool[Array, "b l"], capacity: float
) -> tuple[Float[Array, "e b c"], Int[Array, "e b c"]]:
    """Return the probabilities and the places of the tokens that each expert takes.

    Where a row has fewer real tokens than others, its last probabilities are 0: these
    places are not taken.
    """
    _, length, num_experts = probabilities.shape
    capacities = expert_capacities(length, num_experts, capacity)
    scores = jnp.where(mask, jnp.moveaxis(probabilities, -1, 0), -1.0)
    gates, places = jax.lax.top_k(scores, int(capacities[-1]))
    own = jnp.asarray(capacities)[mask.sum(axis=1)]
    return jnp.where(jnp.arange(capacities[-1]) < own[:, None], gates, 0.0), places


def expert_capacities(
    length: int, num_experts: int, capacity: float
) -> Int[np.ndarray, "n"]:
    """Return how many tokens an expert takes of rows with 0 to `length` real ones.

    >>> expert_capacities(8, 4, 1.5).tolist()
    [0, 1, 1, 2, 2, 2, 3, 3, 3]
    """
    real = np.arange(length + 1)
    # In floating point 10 * 1.1 is a little more than 11, and no reason for 12.
    shares = np.ceil(real * capacity / num_experts - 1e-9)
    return np.clip(shares, np.minimum(real, 1), real).astype(np.int32)
