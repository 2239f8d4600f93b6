"""Token mixers: each file here is one baseline and holds one `class Mixer(nn.Module)`.

The contract, `mixer(x, mask, train)` with x (b, l, d) and mask (b, l), True on real
tokens, is that the result has the shape and dtype of x. The fields of the class are
its hyperparameters; width and length come from x.
"""

import difflib
import importlib
from pathlib import Path

import flax.linen as nn


def mixer_names() -> list[str]:
    """List the mixers: the files of this folder without a leading underscore."""
    files = Path(__file__).parent.glob("[!_]*.py")
    return sorted(file.stem for file in files)


def mixer_class(name: str) -> type[nn.Module]:
    """Return the class `Mixer` of `lra_fnet/mixers/<name>.py`.

    Raises:
      ValueError: no such file; names the closest and all there are.
    """
    names = mixer_names()
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ";"
        raise ValueError(f"unknown model {name!r}{hint} have: {', '.join(names)}")
    return importlib.import_module(f"lra_fnet.mixers.{name}").Mixer


def layer_names(
    model: str, num_layers: int, mixer: str, num_mixed: int, layout: str
) -> tuple[str, ...]:
    """Return the mixer of each layer: `model`, but `mixer` in `num_mixed` of them.

    The layouts are those of FNet's hybrids (section 4.4): the first layers ("bottom"),
    the "middle" ones, evenly spread ones from the first on ("mixed"), the last ("top").

    Raises:
      ValueError: unknown layout, or more special layers than layers.

    >>> layer_names("fnet", 4, "transformer", 2, "mixed")
    ('transformer', 'fnet', 'transformer', 'fnet')
    """
    if not 0 <= num_mixed <= num_layers:
        raise ValueError(
            f"hybrid.num_layers is {num_mixed}; choose from 0 to {num_layers}"
        )
    first_middle = (num_layers - num_mixed + 1) // 2
    layouts = {
        "bottom": range(num_mixed),
        "middle": range(first_middle, first_middle + num_mixed),
        "mixed": [i * num_layers // max(num_mixed, 1) for i in range(num_mixed)],
        "top": range(num_layers - num_mixed, num_layers),
    }
    if layout not in layouts:
        raise ValueError(f"hybrid.layout is {layout!r}; choose from {[*layouts]}")
    special = layouts[layout]
    return tuple(mixer if i in special else model for i in range(num_layers))
