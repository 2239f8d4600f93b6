"""The document of all mixers, and a new mixer from the template."""

import inspect
import keyword
import math
import os
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
from tabulate import tabulate

from configs import grid
from lra_fnet.config import MOST_PARAMETERS, default_values, load_config, task_facts
from lra_fnet.mixers import (
    OTHER_FILES,
    has_causal_form,
    installed_mixers,
    mixer_class,
    mixer_names,
)
from lra_fnet.rules import BASE, count_parameters
from lra_fnet.workdir import named

HEADER = """\
<!-- Written by `make docs`; edit the classes in lra_fnet/mixers instead. -->

# The mixers

Every file of `lra_fnet/mixers` is one. In formulas and costs l is the length, d the
width; the docstring of the class explains the other letters.
"""
COUNTS = f"""\
## Parameters

Of the whole model in the recipe `lra2020`, and in brackets as a multiple of the base
Transformer's. LRA compares models at most 10 % larger than that; more than
{MOST_PARAMETERS:g} times is marked `*`: free-for-all under its rule.
"""
REFERENCES = """\
## Padding, length, causal forms and references

Padding: whether padded positions reach real ones. Length: whether parameters are bound
to the length, so that a model cannot be used at another. Causal: whether
`--config.encoder.causal=true` works, with which no position reads a later one.

Causal FNet keeps the lower triangle of the Fourier matrix over positions. Because
n m = (n^2 + m^2 - (n - m)^2) / 2, that is a convolution with a fixed chirp between two
multiplications by it, and costs O(l log l) like the whole transform.
"""
FOLDER = Path(__file__).parent


# ---------------------------------------------------------------------------
# The document


def document() -> str:
    """Return tables of all mixers, as Markdown that can be read as it is."""
    types: dict[str, Any] = {name: mixer_class(name) for name in mixer_names()}
    parameters = model_parameters([*types])
    base = parameters[BASE]
    formulas = [[n, f"`{t.formula}`", f"`O({t.cost})`"] for n, t in types.items()]
    counts = [[name, *cells(parameters[name], base)] for name in types]
    notes = [[name, *note(mixer_type)] for name, mixer_type in types.items()]
    parts = [
        HEADER,
        table(["mixer", "formula", "cost"], formulas),
        COUNTS,
        table(["mixer", *base], counts),
        REFERENCES,
        table(["mixer", "padding", "length", "causal", "references"], notes),
    ]
    return "\n".join(parts)


def model_parameters(names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return the parameters of the model of `lra2020`, by mixer and task.

    Models differ in their mixers alone: one layer's are counted, and the model without.
    """
    counts: dict[str, dict[str, int]] = {name: {} for name in names}
    for task in grid.TASKS:
        config = load_config(task, "lra2020", {"mixer": "ff_only"})
        facts = task_facts(config)
        rest = count_parameters(config, facts)
        for name in names:
            mixer = mixer_class(name)(**default_values(name, config.every_mixer))
            one = mixer_parameters(mixer, facts.max_length, config.encoder.width)
            counts[name][task] = rest + config.num_layers * one
    return counts


def mixer_parameters(mixer: nn.Module, length: int, width: int) -> int:
    """Return the number of parameters of a mixer; nothing is computed.

    >>> mixer_parameters(mixer_class("linear")(), 5, 3)
    34
    """
    x = jax.ShapeDtypeStruct((1, length, width), jnp.float32)
    mask = jax.ShapeDtypeStruct((1, length), jnp.bool_)
    init = partial(mixer.init, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), x, mask)
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def cells(parameters: Mapping[str, int], base: Mapping[str, int]) -> Iterator[str]:
    """Yield a number of parameters per task, with its ratio to the base's.

    >>> [*cells({"text": 1_100, "image": 1_150}, {"text": 1_000, "image": 1_000})]
    ['1,100 (1.10)', '1,150 (1.15*)']
    """
    for task, count in parameters.items():
        mark = "*" if count > MOST_PARAMETERS * base[task] else ""
        yield f"{count:,} ({count / base[task]:.2f}{mark})"


def note(mixer_type: Any) -> list[str]:
    """Return what a class says about padding, length, causality and sources."""
    padding = getattr(mixer_type, "mixes_padding", "")
    length = getattr(mixer_type, "length_bound", "")
    return [
        f"mixed: {padding}" if padding else "kept out",
        f"bound: {length}" if length else "any",
        "yes" if has_causal_form(mixer_type) else "",
        "; ".join(references(inspect.getdoc(mixer_type) or "")),
    ]


def references(docstring: str) -> list[str]:
    r"""Return the entries of a docstring's section "References:" as Markdown links.

    An entry is `AUTHORS, TITLE (YEAR), ADDRESS, WHERE`; its further lines are indented.

    >>> references("Mix.\n\nReferences:\n  A, T (2021),\n    https://x.y/z, part 3.")
    ['[A, T (2021)](https://x.y/z)']
    """
    _, _, section = docstring.partition("References:\n")
    entries: list[str] = []
    for line in textwrap.dedent(section).splitlines():
        if line.startswith(" "):
            entries[-1] += f" {line.strip()}"
        else:
            entries.append(line)
    links = []
    for entry in entries:
        what, _, rest = entry.partition(", https://")
        links.append(f"[{what}](https://{rest.split(', ')[0].rstrip('.')})")
    return links


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown; a bar in a cell does not end it."""
    rows = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True) + "\n"


# ---------------------------------------------------------------------------
# A new mixer


def create_mixer(name: str) -> Path:
    """Copy the template to a mixer's file, and return its path.

    That is in this package if it is in a checkout that can be written to, else in the
    current folder.

    Raises:
      ValueError: the name is no name for a mixer, or taken.
    """
    in_package = _is_writable_checkout()
    check_new_name(name, in_package)
    path = (FOLDER if in_package else Path()) / f"{name}.py"
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        text = (FOLDER / "template.py").read_text().replace("template", name)
        with named(path):
            draft.write_text(text)
        os.link(draft, path)  # unlike a rename, never over another file
    except FileExistsError:
        raise ValueError(f"there is a file {path} already") from None
    finally:
        draft.unlink(missing_ok=True)
    return path


def next_steps(path: Path) -> str:
    """Say what a new mixer's file is and what to type next."""
    name = path.stem
    python = f"PYTHONPATH=. {sys.executable} -m lra_fnet"
    commands = [
        f"{python} check-mixer --mixer={name}    does it keep the contract?",
        f"{python} train --task=listops --mixer={name}    train it",
    ]
    if path.parent == FOLDER:
        commands = [
            f"make check-mixer mixer={name}    does it keep the contract?",
            f"make task=listops mixer={name}    train it",
            f"{sys.executable} -m tests.mixers.test_every_mixer; make docs    list it",
        ]
    made = f"{path} is a mixer that works; its fields are its hyperparameters"
    return "\n".join([made, *commands])


def check_new_name(name: str, in_package: bool) -> None:
    """Raise ValueError unless a name can be a new module and a key of the config."""
    if not (name.isidentifier() and name.isascii()) or keyword.iskeyword(name):
        raise ValueError(f"{name!r} is no name for a mixer; take letters, digits and _")
    if name.startswith("_"):
        raise ValueError(f"{name!r} begins with _, as files do that are no mixers")
    if hasattr(ConfigDict, name):
        raise ValueError(f"{name!r} is a method of ConfigDict, so it can be no key")
    if name in {*mixer_names(), *installed_mixers(), *OTHER_FILES}:
        raise ValueError(f"there is a mixer {name!r} already, or a file of that name")
    if not in_package and name in sys.stdlib_module_names:
        raise ValueError(f"{name!r} is a module of Python, which a file would hide")


def _is_writable_checkout() -> bool:
    """Return whether this package lies beside its project file, and can be changed."""
    is_checkout = (FOLDER.parents[1] / "pyproject.toml").exists()
    return is_checkout and os.access(FOLDER, os.W_OK)
