"""Begin a mixer: a file that works and its line in the config.

python -m lra_fnet.new_mixer --name=mymixer
"""

import argparse
import ast
import keyword
import os
import shutil
import sys
from pathlib import Path

from ml_collections import ConfigDict

MIXER = '''"""NAME: say in one line what mixes the tokens."""

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from lra_fnet.layers import masked_mean


class Mixer(nn.Module):
    """Mix by y = gelu(x U + mean(x) V) W, the mean over the real tokens.

    A working beginning, to be replaced. What every mixer promises, and `make conform
    model=NAME` checks: the result has the shape and dtype of x (float32, bfloat16);
    no real position depends on a padded one (mask is True on real tokens), or the
    class has a ClassVar `mixes_padding` with the reason; rows of padding alone stay
    finite; rows of the batch do not see each other; only training is random, by the
    "dropout" key; every parameter gets a gradient; any length works, with the same
    parameters unless a ClassVar `length_bound` says why not. The encoder adds residual,
    norm and dropout; a ClassVar `norm_placement` "post" puts the norm after the sum.

    Cost O(l d h).
    """

    hidden_dim: int  # h; 0: the width of x

    formula: ClassVar[str] = "y = gelu(x U + mean(x) V) W"
    cost: ClassVar[str] = "l d h"

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l d"], mask: Bool[Array, "b l"], train: bool
    ) -> Float[Array, "b l d"]:
        """Show every position the mean of the real ones."""
        width = x.shape[-1]
        hidden_dim = self.hidden_dim or width
        mean = masked_mean(x, mask)
        own = nn.Dense(hidden_dim, dtype=x.dtype, name="own")(x)
        shared = nn.Dense(hidden_dim, use_bias=False, dtype=x.dtype, name="shared")
        hidden = nn.gelu(own + jnp.expand_dims(shared(mean), axis=1))
        return nn.Dense(width, dtype=x.dtype, name="out")(hidden)
'''

CONFIG_LINE = '    config.mixers.NAME = ConfigDict({"hidden_dim": 0})  # 0: the width\n'


def create_mixer(name: str, root: Path) -> Path:
    """Write the mixer's file and its line in the config below `root`, or neither.

    Raises:
      ValueError: the name is no name for a mixer, or taken.
    """
    _check_word(name)
    mixer = root / "lra_fnet" / "mixers" / f"{name}.py"
    config = root / "configs" / "common.py"
    source = config.read_text()
    if mixer.exists() or name in _config_lines(source):
        raise ValueError(f"there is a mixer {name!r} already: {mixer}, {config}")
    mixer_draft, config_draft = _draft_path(mixer), _draft_path(config)
    try:
        mixer_draft.write_text(MIXER.replace("NAME", name))
        config_draft.write_text(with_line(source, name))
        shutil.copymode(config, config_draft)
        os.link(mixer_draft, mixer)  # unlike a rename, never over another file
        try:
            os.replace(config_draft, config)
        except BaseException:
            mixer.unlink()
            raise
    finally:
        mixer_draft.unlink(missing_ok=True)
        config_draft.unlink(missing_ok=True)
    return mixer


def with_line(source: str, name: str) -> str:
    """Return configs/common.py with a line for the mixer after those of the others.

    >>> with_line("config.mixers.fnet = ConfigDict()", "new").count("config.mixers.new")
    1
    """
    lines = source.splitlines(keepends=True)
    last = max(_config_lines(source).values())
    return "".join([*lines[:last], CONFIG_LINE.replace("NAME", name), *lines[last:]])


def _config_lines(source: str) -> dict[str, int]:
    """Return the mixers of the config, and the number of each one's last line.

    Raises:
      ValueError: there is none, so that there is no place for another.
    """
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign):
            target = ast.unparse(node.targets[0])
            if target.startswith("config.mixers."):
                name = target.removeprefix("config.mixers.")
                found[name] = node.end_lineno or node.lineno
    if not found:
        raise ValueError("no line config.mixers.... in configs/common.py to follow")
    return found


def _check_word(name: str) -> None:
    """Raise ValueError unless the name can be a module, and a key of the config."""
    if not (name.isidentifier() and name.isascii()) or keyword.iskeyword(name):
        raise ValueError(f"{name!r} is no name for a mixer; take letters, digits and _")
    if name.startswith("_"):
        raise ValueError(f"{name!r} begins with _, as files do that are no mixers")
    if hasattr(ConfigDict, name):
        raise ValueError(f"{name!r} is a method of ConfigDict, so it can be no key")


def _draft_path(path: Path) -> Path:
    """Return a name beside the path that nothing reads."""
    return path.with_name(f".{path.name}.{os.getpid()}.draft")


def main() -> None:
    """Begin a mixer in the repository one is in, and say what to do next."""
    parser = argparse.ArgumentParser(prog="python -m lra_fnet.new_mixer")
    parser.add_argument("--name", required=True, help="of the file and the config key")
    name = parser.parse_args().name
    try:
        mixer = create_mixer(name, Path())
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"{mixer} is a mixer that works; its hyperparameters: configs/common.py")
    print(f"make conform model={name}         does it keep the promises of a mixer?")
    print(f"make task=listops model={name}    train it")
    print("python -m tests.test_mixers && make docs    its parameters and table row")


if __name__ == "__main__":
    main()
