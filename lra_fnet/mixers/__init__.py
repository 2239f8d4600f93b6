"""Token mixers: each file here is one and holds one `class Mixer(nn.Module)`.

The contract, `mixer(x, mask, train)` with x (b, l, d) and mask (b, l), True on real
tokens, is that the result has the shape and dtype of x. The fields of the class are
its hyperparameters; width and length come from x. Mixers of other packages are found
by their module's name, or by an entry point of the group `lra_fnet.mixers`; those of
the current folder by their file's.

A class with a field `causal: bool = False` has a causal form: where the field is True,
an output reads no later position. It is no hyperparameter; the encoder sets it.
"""

import contextlib
import importlib
import importlib.util
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import check_choice

if TYPE_CHECKING:  # configs are read where there is no JAX
    import flax.linen as nn

ENTRY_POINTS = "lra_fnet.mixers"
OTHER_FILES = {"contract", "listing", "template"}  # beside the mixers
# Fields that no config sets: Linen's own, and the one that the encoder sets.
NOT_HYPERPARAMETERS = ("parent", "name", "causal")


def mixer_names() -> list[str]:
    """List the mixers: the files of this folder, but for helpers and OTHER_FILES."""
    files = Path(__file__).parent.glob("[!_]*.py")
    return sorted({file.stem for file in files} - OTHER_FILES)


def installed_mixers() -> dict[str, EntryPoint]:
    """Return what other packages offer, by name; this folder's names come first."""
    points = sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name)
    return {point.name: point for point in points if point.name not in mixer_names()}


def mixer_class(name: str) -> "type[nn.Module]":
    """Return the class `Mixer` of a file of this folder, or of another package.

    Args:
      name: a file here, an entry point, a module such as `package.module`, or that of
        a file of the current folder.

    Raises:
      ValueError: none has this name (the closest and all there are are named), or what
        has it is no module with a class `Mixer`.
    """
    own, installed = mixer_names(), installed_mixers()
    if name in own:
        return _mixer_of(name, _module(f"lra_fnet.mixers.{name}"))
    if name in installed:
        return _mixer_of(name, installed[name].load())
    if "." in name or _is_file_here(name):
        return _mixer_of(name, _module(name))
    check_choice("mixer", name, [*own, *installed])
    raise AssertionError("check_choice has raised")


def _is_file_here(name: str) -> bool:
    """Return whether a name is that of an importable file of the current folder."""
    importlib.invalidate_caches()  # the file may have been made a moment ago
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    origin = Path(spec.origin or "") if spec else Path()
    return origin.parent == Path.cwd()


def _module(name: str) -> object:
    """Import the module of a mixer; say which one it is where that fails."""
    try:
        return importlib.import_module(name)
    except Exception as error:
        absent = error.name if isinstance(error, ModuleNotFoundError) else None
        if absent and f"{name}.".startswith(f"{absent}."):
            raise ValueError(
                f"unknown mixer {name!r}: there is no module {absent!r}; run from its "
                "folder, install it, or add its folder to PYTHONPATH"
            ) from error
        raise ValueError(
            f"mixer {name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error


def _mixer_of(name: str, found: object) -> "type[nn.Module]":
    """Return the class itself, or the class `Mixer` of a module."""
    import flax.linen as nn

    mixer_type = getattr(found, "Mixer", found)
    if isinstance(mixer_type, type) and issubclass(mixer_type, nn.Module):
        return mixer_type
    raise ValueError(f"mixer {name!r} has no class Mixer(flax.linen.Module)")


def has_causal_form(mixer_type: object) -> bool:
    """Return whether a class has the field that asks for its causal form."""
    return "causal" in getattr(mixer_type, "__dataclass_fields__", {})


def causal_mixers() -> list[str]:
    """List the mixers of this folder that have a causal form; not those in the making.

    Those are files that cannot be imported yet.
    """
    found = []
    for name in mixer_names():
        with contextlib.suppress(ValueError):
            found += [name] if has_causal_form(mixer_class(name)) else []
    return found


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
