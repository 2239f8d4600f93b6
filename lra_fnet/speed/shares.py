"""Where the time of a training step goes: parts are taken out one after the other."""

import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree, Shaped

from lra_fnet.mixers import mixer_class
from lra_fnet.model import Mlp
from lra_fnet.report.markdown import table
from lra_fnet.speed.plan import Plan, described, recipe_setting
from lra_fnet.speed.sections import in_turns
from lra_fnet.speed.setting import Setting
from lra_fnet.speed.timing import Sample
from lra_fnet.step import Program

OPTIMIZER, REST = "optimiser", "embedding, head, loss"
# In the order in which they are taken out; what is left at the end is REST.
PARTS: Mapping[str, Sequence[type[nn.Module]]] = {
    OPTIMIZER: (),
    "dropout": (nn.Dropout,),
    "mixing": (mixer_class("fnet"),),
    "normalisation": (nn.LayerNorm,),
    "MLP": (Mlp,),
}


@dataclasses.dataclass(frozen=True)
class Without(Program):
    """Compute without some kinds of modules: each returns what it was given.

    Attributes:
      parts: classes of modules.
    """

    parts: tuple[type[nn.Module], ...] = ()

    def _logits(
        self, params: PyTree, inputs: Shaped[Array, "b ..."], key: Any = None
    ) -> Float[Array, "b c"]:
        """Apply what is left of the model."""
        with nn.intercept_methods(self._passing_by):
            return super()._logits(params, inputs, key)

    def _passing_by(self, following, args, kwargs, context):
        """Return the input of a module that is to be left out."""
        is_call = context.method_name == "__call__"
        if is_call and isinstance(context.module, self.parts):
            return args[0]
        return following(*args, **kwargs)


@dataclasses.dataclass(frozen=True)
class Share:
    """Hold what one part takes of a step.

    Attributes:
      setting: what the step computes, in words.
      part: name.
      seconds: the median over rounds.
      share: of the whole step, the median over rounds.
    """

    setting: str
    part: str
    seconds: float
    share: float


def shares(plan: Plan) -> Iterator[Share]:
    """Return the shares of FNet's step at the sizes of each task."""
    for task in plan.tasks:
        whole = recipe_setting(task, {"encoder.dtype": plan.dtype})
        words = described(whole, task)
        yield from shares_of(in_turns(peeled(whole), plan), words)


def peeled(whole: Setting) -> dict[str, Setting]:
    """Return the whole step, and what is left after each part is out as well."""
    settings: dict[str, Setting] = {"": whole}
    parts: tuple[type[nn.Module], ...] = ()
    for name, kinds in PARTS.items():
        parts += tuple(kinds)
        settings[name] = without(whole, parts)
    return settings


def without(whole: Setting, parts: tuple[type[nn.Module], ...]) -> Setting:
    """Return a setting without the parts, and with the least of an optimiser.

    Plain descent stays, since without any use of the gradients XLA would drop them.
    """
    program, optimizer = whole.program, optax.sgd(1e-3)
    fields = {f.name: getattr(program, f.name) for f in dataclasses.fields(Program)}
    rest = Without(**fields | {"optimizer": optimizer}, parts=parts)
    state = jax.tree.map(jnp.copy, whole.state)  # steps give theirs away
    state = state.replace(opt_state=optimizer.init(state.params))
    return dataclasses.replace(whole, program=rest, state=state)


def shares_of(samples: Mapping[str, Sequence[Sample]], setting: str) -> Iterator[Share]:
    """Yield what each part adds to a step, and last what is left without any.

    >>> steps = {"": [Sample(4.0, 4.0)], "mixing": [Sample(1.0, 1.0)]}
    >>> [(share.part, share.share) for share in shares_of(steps, "")]
    [('mixing', 0.75), ('embedding, head, loss', 0.25)]
    """
    rounds = list(zip(*samples.values(), strict=True))
    names = [*samples, REST][1:]
    for i, name in enumerate(names):
        last = i + 1 == len(names)
        own = [r[i].wall - (0 if last else r[i + 1].wall) for r in rounds]
        share = [s / r[0].wall for s, r in zip(own, rounds, strict=True)]
        yield Share(setting, name, statistics.median(own), statistics.median(share))


def document(found: Sequence[Share]) -> str:
    """Return a Markdown table: a row for each part, a column for each setting."""
    settings = list(dict.fromkeys(share.setting for share in found))
    cells = {(s.part, s.setting): f"{100 * s.share:.0f} %" for s in found}
    parts = list(dict.fromkeys(share.part for share in found))
    rows = [[part, *(cells.get((part, s), "") for s in settings)] for part in parts]
    return table(["part of a step", *settings], rows)
