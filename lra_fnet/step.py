"""Everything that is compiled: the training steps and the evaluation of a split.

A leading axis s over seeds runs through state, batches and sums, so that several
seeds train in one program. The batch is split over the devices of a mesh; each device
computes its share of the gradient sum, and the shares are added.
"""

import collections
import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.struct
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental.layout import Layout
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int, PyTree, Shaped

from lra_fnet.dropout import dropout_key
from lra_fnet.hardware import Options, repeatable_options, tracing_for
from lra_fnet.hosts import put
from lra_fnet.metrics import Objective, Sums, added_loss, classify, restore
from lra_fnet.model import Classifier
from lra_fnet.optimizer import descent_direction

# An array; JAX rebuilds its trees with placeholders of other types in the same places.
Leaf = Any


@flax.struct.dataclass
class TrainState:
    """State of a run in training; every array has the seed axis s in front.

    Attributes:
      step: number of steps taken, int32 (s,).
      params: model parameters.
      opt_state: optimizer state.
      key: the key that dropout keys are folded from, never advanced, (s,).
    """

    step: Leaf
    params: PyTree
    opt_state: PyTree
    key: Leaf


@flax.struct.dataclass
class Best:
    """The parameters with the highest validation accuracy so far, per seed.

    Attributes:
      params: model parameters.
      step: steps they had taken, int32 (s,).
      accuracy: theirs on the validation split, float32 (s,); -1 before any.
    """

    params: PyTree
    step: Leaf
    accuracy: Leaf

    @classmethod
    def before_training(cls, state: TrainState) -> "Best":
        """Return a copy of the state's parameters that any accuracy beats."""
        return cls(
            params=jax.tree.map(jnp.copy, state.params),
            step=jnp.zeros_like(state.step),
            accuracy=jnp.full_like(state.step, -1.0, dtype=jnp.float32),
        )


class DeviceSplit(NamedTuple):
    """A split on the devices, whole on each."""

    inputs: Shaped[Array, "n ..."]
    labels: Int[Array, "n"]


@dataclasses.dataclass(frozen=True)
class Program:
    """One model and optimizer on the devices of one mesh.

    Attributes:
      model: called as `model(inputs, train)`.
      optimizer: its update runs once a step.
      schedule: the learning rate as a function of the step.
      mesh: one axis, "data", over which batches are split.
      micro_batches: parts a batch is computed in, one after the other.
      compiler_options: for speed; those without which bits would vary are added.
      objective: what is minimized, as its mean over what it weighs.
    """

    model: Classifier
    optimizer: optax.GradientTransformation
    schedule: optax.Schedule
    mesh: Mesh
    micro_batches: int = 1
    compiler_options: Options = ()
    objective: Objective = classify

    def compile(self, lowered: jax.stages.Lowered) -> jax.stages.Compiled:
        """Compile `train` or `evaluate`, lowered, with the options of this program."""
        options = self.compiler_options + repeatable_options(self.mesh, lowered)
        return lowered.compile(compiler_options=dict(options))

    @contextlib.contextmanager
    def tracing(self) -> Iterator[None]:
        """Have what is traced here choose by the mesh, and multiply at the precision.

        Derivatives need it around them, too: those that are written by hand are traced
        when the gradient is.
        """
        precision = self.model.precision
        asked = None if precision == "default" else precision
        with tracing_for(self.mesh), jax.default_matmul_precision(asked):
            yield

    def init(
        self, seeds: Int[Array, "s"], inputs: Shaped[Array, "b ..."]
    ) -> TrainState:
        """Return the state before the first step, one slice per seed."""

        def init_one(
            seed: Int[Array, ""], inputs: Shaped[Array, "1 ..."]
        ) -> TrainState:
            init_key, key = jax.random.split(jax.random.key(seed))
            with self.tracing():
                params = self.model.init(init_key, inputs, train=False)["params"]
            step = jnp.zeros((), jnp.int32)
            return TrainState(step, params, self.optimizer.init(params), key)

        init_all = jax.vmap(init_one, in_axes=(0, None))
        return jax.jit(init_all, out_shardings=self.replicated)(seeds, inputs[:1])

    def put(self, inputs: np.ndarray, labels: np.ndarray) -> DeviceSplit:
        """Copy the arrays of a split to every device."""
        whole = self.replicated
        return DeviceSplit(put(inputs, whole, by_rows(inputs.ndim)), put(labels, whole))

    @property
    def replicated(self) -> NamedSharding:
        """Return the sharding of arrays that every device holds whole."""
        return NamedSharding(self.mesh, P())

    @partial(jax.jit, static_argnums=0, donate_argnums=(1,))
    def train(
        self,
        state: TrainState,
        inputs: Shaped[Array, "n ..."],
        labels: Int[Array, "n"],
        indices: Int[Array, "s k b"],
        num_steps: Int[Array, ""],
    ) -> tuple[TrainState, Sums, Int[Array, "s"]]:
        """Take `num_steps` <= k steps, step i on the examples `indices[:, i]`.

        Returns the new state, the sums over those steps, and the number of the first
        step whose loss was not finite (-1 where all were).
        """
        shard = jax.shard_map(
            self._train_shard,
            mesh=self.mesh,
            in_specs=(P(), P(), P(), P(None, None, "data"), P()),
            out_specs=P(),
            # Gradients are added by hand below, also through custom derivatives.
            check_vma=False,
        )
        with self.tracing():
            return shard(state, inputs, labels, indices, num_steps)

    def _train_shard(self, state, inputs, labels, indices, num_steps):
        """Take the steps on this device's share of each batch."""

        def body(i, carry):
            state, sums, bad_step = carry
            batch = jax.lax.dynamic_index_in_dim(indices, i, axis=1, keepdims=False)
            step = partial(self._step, inputs=inputs, labels=labels)
            new_state, step_sums = _over_seeds(step)(state, batch)
            is_first_bad = (bad_step < 0) & ~jnp.isfinite(step_sums.loss)
            bad_step = jnp.where(is_first_bad, new_state.step, bad_step)
            return new_state, sums + step_sums, bad_step

        carry = (state, Sums.zeros(state.step.shape), jnp.full_like(state.step, -1))
        if indices.shape[1] == 1:
            # XLA on CPUs runs a Fourier transform inside a loop on one thread.
            return body(0, carry)
        return jax.lax.fori_loop(0, num_steps, body, carry)

    def _step(self, state, batch, *, inputs, labels):
        """Take one step of one seed on the examples `batch`, (b,)."""
        num_examples = len(batch) * self.mesh.size
        key = jax.random.fold_in(state.key, state.step)
        key = jax.random.fold_in(key, jax.lax.axis_index("data"))

        def loss(params, part, key):
            outputs, sown = self._outputs(params, inputs[part], key)
            sums, _ = self.objective(outputs, labels[part], jnp.ones(len(part)))
            total = sums.loss + added_loss(outputs, sown) if sown else sums.loss
            return total / num_examples, sums

        gradient = jax.grad(loss, has_aux=True)
        if self.micro_batches == 1:
            gradients, sums = gradient(state.params, batch, key)
        else:
            gradients, sums = self._accumulated(gradient, state.params, batch, key)
        gradients, sums = jax.lax.psum((gradients, sums), "data")
        if self.objective is restore:
            # How many positions a batch hides is known once all its parts are added.
            share = num_examples / jnp.maximum(sums.weight, 1.0)
            gradients = jax.tree.map(lambda gradient: gradient * share, gradients)
        gradients = descent_direction(gradients)
        updates, opt_state = self.optimizer.update(
            gradients, state.opt_state, state.params
        )
        params = optax.apply_updates(state.params, updates)
        return TrainState(state.step + 1, params, opt_state, state.key), sums

    def _outputs(
        self, params: PyTree, inputs: Shaped[Array, "b ..."], key: Any = None
    ) -> tuple[Any, PyTree]:
        """Apply the model, with dropout if there is a key for it.

        Returns the outputs and, in training, what layers add to the loss.
        """
        train = key is not None
        return self.model.apply(
            {"params": params},
            inputs,
            train=train,
            rngs={"dropout": dropout_key(key)} if train else None,
            mutable=["losses"] if train else [],
        )

    def _accumulated(self, gradient, params, batch, key):
        """Add the gradients of `micro_batches` parts of the batch."""

        def add_part(total, part_and_key):
            return jax.tree.map(jnp.add, total, gradient(params, *part_and_key)), None

        parts = batch.reshape(self.micro_batches, -1)
        keys = jax.random.split(key, self.micro_batches)
        zeros = jax.tree.map(jnp.zeros_like, params), Sums.zeros()
        return jax.lax.scan(add_part, zeros, (parts, keys))[0]

    @partial(jax.jit, static_argnums=0)
    def evaluate(
        self,
        params: PyTree,
        inputs: Shaped[Array, "n ..."],
        labels: Int[Array, "n"],
        indices: Int[Array, "k b"],
        weight: Float[Array, "k b"],
    ) -> tuple[Sums, Int[Array, "s k b"]]:
        """Return the sums over k batches, and each example's answer.

        Weight 0 marks places of the last batch that no example fills.
        """
        shard = jax.shard_map(
            self._evaluate_shard,
            mesh=self.mesh,
            in_specs=(P(), P(), P(), P(None, "data"), P(None, "data")),
            out_specs=(P(), P(None, None, "data")),
            check_vma=False,
        )
        with self.tracing():
            sums, answers = shard(params, inputs, labels, indices, weight)
        if not self.replicated.is_fully_addressable:  # each host is to read them all
            answers = jax.lax.with_sharding_constraint(answers, self.replicated)
        return sums, answers

    def _evaluate_shard(self, params, inputs, labels, indices, weight):
        """Evaluate this device's share of each batch."""

        def one_seed(params, batch, weight):
            outputs, _ = self._outputs(params, inputs[batch])
            sums, answers = self.objective(outputs, labels[batch], weight)
            return jax.lax.psum(sums, "data"), answers

        def body(sums, batch_and_weight):
            step_sums, answers = _over_seeds(lambda p: one_seed(p, *batch_and_weight))(
                params
            )
            return sums + step_sums, answers

        num_seeds = len(jax.tree.leaves(params)[0])
        zeros = Sums.zeros((num_seeds,))
        if len(indices) == 1:  # as in training: no loop around a transform on CPUs
            sums, answers = body(zeros, (indices[0], weight[0]))
            return sums, answers[:, None]
        sums, answers = jax.lax.scan(body, zeros, (indices, weight))
        return sums, jnp.swapaxes(answers, 0, 1)


@partial(jax.jit, donate_argnums=0)
def keep_best(best: Best, state: TrainState, accuracy: Float[Array, "s"]) -> Best:
    """Take over the parameters of the seeds whose accuracy has risen."""

    def choose_if_better(new: Array, old: Array) -> Array:
        better = accuracy > best.accuracy
        return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    new = Best(state.params, state.step, accuracy)
    return jax.tree.map(choose_if_better, new, best)


def carry_over(fresh: TrainState, params: PyTree, step: int) -> TrainState:
    """Return a fresh state at a later step with what another model has learned.

    The encoder's parameters are taken over. Those of the head stay fresh, and what
    served to hide positions is dropped.
    """
    learned = flax.traverse_util.flatten_dict(of_encoder(params))
    own = flax.traverse_util.flatten_dict(fresh.params)
    kept = {path: learned.get(path, leaf) for path, leaf in own.items()}
    params = flax.traverse_util.unflatten_dict(kept)
    return TrainState(fresh.step + step, params, fresh.opt_state, fresh.key)


def of_encoder(params: PyTree) -> PyTree:
    """Return the parameters that every objective shares: all but the head's."""
    return {name: params[name] for name in ("Embedder_0", "Encoder_0")}


def by_rows(num_axes: int) -> Layout:
    """Return how a split lies on a device: each example in one piece, as on CPUs.

    By itself XLA lays it out on TPUs so that little is padded, by columns in most
    tasks, and each call first copies it all to gather examples from.
    """
    return Layout(tuple(range(num_axes)))


def make_mesh(batch_size: int, available: Sequence[jax.Device] | None = None) -> Mesh:
    """Return a mesh of as many devices as divide the batch, equally many of each host.

    Args:
      batch_size: examples.
      available: devices to choose from; by default those that JAX has here.

    Raises:
      ValueError: the hosts cannot share it equally.
    """
    of_host = collections.defaultdict(list)
    for device in jax.devices() if available is None else available:
        of_host[device.process_index].append(device)
    most = min(map(len, of_host.values()))
    counts = [n for n in range(1, most + 1) if batch_size % (n * len(of_host)) == 0]
    if not counts:
        raise ValueError(
            f"{len(of_host)} hosts cannot share {batch_size} examples equally; change "
            "train.batch_size, train.micro_batches or the number of hosts"
        )
    devices = [d for host in sorted(of_host) for d in of_host[host][: counts[-1]]]
    return jax.make_mesh(
        (len(devices),), ("data",), devices=devices, axis_types=(AxisType.Auto,)
    )


def _over_seeds(function):
    """Map over the seed axis; a single seed is computed without it, which is faster."""

    def mapped(*args):
        if len(jax.tree.leaves(args)[0]) > 1:
            return jax.vmap(function)(*args)
        first = function(*jax.tree.map(lambda a: a[0], args))
        return jax.tree.map(lambda a: a[None], first)

    return mapped
