"""The table of all mixers: formula, cost, masks, parameters at LRA's sizes, reference.

python -m lra_fnet.mixers.listing [--write=docs/mixers.md]
"""

import argparse
import dataclasses
import inspect
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from lra_fnet.config import CONFIGS, count_parameters, lra_config, task_facts
from lra_fnet.mixers import mixer_class, mixer_names
from lra_fnet.report.markdown import table
from lra_fnet.result import write_text
from lra_fnet.rules import BASE, MOST_PARAMETERS
from tasks import Task, task_names

HEADER = """\
<!-- Written by `make docs`; edit the classes in lra_fnet/mixers instead. -->

# The mixers

Every file of `lra_fnet/mixers` is one. In formulas and costs l is the length, d the
width; the docstring of the class explains the other letters.
"""
COUNTS = f"""\
## Parameters

Of the whole model in the recipe `lra2020`, and in brackets how many times those of the
base Transformer. LRA compares models at most 10 % larger than that; more than
{MOST_PARAMETERS:g} times is marked `*`: free-for-all under its rule.
"""
REFERENCES = """\
## Padding and references

Padding: whether padded positions reach real ones. Length: whether parameters are bound
to the length, so that a model cannot be used at another.
"""

# Authors, perhaps a title, (year), address: as the docstrings write it.
REFERENCE = re.compile(
    r"(?:^|[.:;] )(?:[a-z]+ )*"  # such as: "...; depthwise as in"
    r"(?P<what>[A-Z][^.:;()]*?(?: et al\.)?(?:, [^.()]*?)? \(\d{4}\)), "
    r"(?P<address>https://[^\s,]*[^\s,.])"
)


@dataclasses.dataclass(frozen=True)
class Size:
    """Hold a task at the size of its recipe `lra2020`."""

    task: Task
    config: ConfigDict
    base: int  # parameters of a model whose mixers have none


@dataclasses.dataclass(frozen=True)
class Row:
    """Hold what the tables say about a mixer."""

    name: str
    formula: str
    cost: str
    mixes_padding: str  # why, or nothing
    length_bound: str  # why, or nothing
    references: Sequence[str]  # as Markdown
    parameters: Mapping[str, int]  # of the whole model, by task


def lra_sizes(folder: Path = CONFIGS) -> list[Size]:
    """Return every task at the size of its recipe `lra2020` in a folder of configs."""
    return [_lra_size(lra_config(name, folder=folder)) for name in task_names()]


def _lra_size(config: ConfigDict) -> Size:
    """Return a config with the facts of its task and the rest of its parameters."""
    task = task_facts(config)
    without = config.copy_and_resolve_references()
    without.model = "ff_only"
    return Size(task, config, count_parameters(without, task))


def count_mixer(mixer: nn.Module, length: int, width: int) -> int:
    """Return the number of parameters of a mixer; nothing is computed.

    >>> count_mixer(mixer_class("linear")(), 5, 3)
    34
    """
    x = jax.ShapeDtypeStruct((1, length, width), jnp.float32)
    mask = jax.ShapeDtypeStruct((1, length), jnp.bool_)
    return _count(partial(mixer.init, train=False), x, mask)


def _count(init: Any, *inputs: jax.ShapeDtypeStruct) -> int:
    """Return the number of numbers that `init(key, *inputs)` would make."""
    shapes = jax.eval_shape(init, jax.random.key(0), *inputs)
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def describe(name: str, sizes: Iterable[Size]) -> Row:
    """Return the row of a mixer."""
    mixer_type = mixer_class(name)
    return Row(
        name=name,
        formula=getattr(mixer_type, "formula", ""),
        cost=getattr(mixer_type, "cost", ""),
        mixes_padding=getattr(mixer_type, "mixes_padding", ""),
        length_bound=getattr(mixer_type, "length_bound", ""),
        references=references(inspect.getdoc(mixer_type) or ""),
        parameters={
            size.task.name: _model_parameters(name, mixer_type, size) for size in sizes
        },
    )


def _model_parameters(name: str, mixer_type: type[nn.Module], size: Size) -> int:
    """Add the mixer of every layer to what all models have."""
    config = size.config
    mixer = mixer_type(**config.mixers.get(name, {}))
    each = count_mixer(mixer, size.task.max_length, config.encoder.width)
    return size.base + config.num_layers * each


def references(docstring: str) -> list[str]:
    """Return the papers a docstring names, as Markdown links.

    >>> references("Mix. Cost O(l). Lee-Thorp et al., FNet (2021), https://x.y/z, 3.2.")
    ['[Lee-Thorp et al., FNet (2021)](https://x.y/z)']
    """
    found = REFERENCE.finditer(" ".join(docstring.split()))
    return [f"[{match['what']}]({match['address']})" for match in found]


def document(rows: Sequence[Row]) -> str:
    """Return the tables, as Markdown that can be read as it is."""
    formulas = [[row.name, f"`{row.formula}`", f"`O({row.cost})`"] for row in rows]
    base = next(row for row in rows if row.name == BASE).parameters
    counts = [[row.name, *_counts(row.parameters, base)] for row in rows]
    notes = [
        [
            row.name,
            f"mixed: {row.mixes_padding}" if row.mixes_padding else "kept out",
            f"bound: {row.length_bound}" if row.length_bound else "any",
            "; ".join(row.references),
        ]
        for row in rows
    ]
    parts = [
        HEADER,
        table(["mixer", "formula", "cost"], formulas),
        COUNTS,
        table(["mixer", *base], counts),
        REFERENCES,
        table(["mixer", "padding", "length", "references"], notes),
    ]
    return "\n".join(parts)


def _counts(parameters: Mapping[str, int], base: Mapping[str, int]) -> list[str]:
    """Return a cell for every task."""
    ratios = {task: count / base[task] for task, count in parameters.items()}
    return [
        f"{count:,} ({ratios[task]:.2f}{'*' if ratios[task] > MOST_PARAMETERS else ''})"
        for task, count in parameters.items()
    ]


def main() -> None:
    """Print the tables, or write them to a file."""
    parser = argparse.ArgumentParser(prog="python -m lra_fnet.mixers.listing")
    parser.add_argument("--write", type=Path, help="a file, such as docs/mixers.md")
    target = parser.parse_args().write
    sizes = lra_sizes()
    text = document([describe(name, sizes) for name in mixer_names()])
    if target is None:
        print(text, end="")
        return
    write_text(target, text)
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
