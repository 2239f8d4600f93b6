"""Markdown tables of measured cells: figures, ratios to the Transformer, exponents."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lra_fnet.report.markdown import table
from lra_fnet.speed.exponents import fitted_exponent

BASE = "transformer"
Cell = Mapping[str, Any]


def document(cells: Sequence[Cell], claimed: Mapping[str, str]) -> str:
    """Return the tables of cells of one task and device.

    Args:
      cells: as their files have them.
      claimed: the cost of every mixer by its own account.
    """
    device = cells[0]["device"]
    where = f"{device['kind']}, {device['count']} device(s) of {device['platform']}"
    parts = [
        f"Task {cells[0]['task']}, width {cells[0]['width']}, on {where}. In brackets: "
        f"how many times as fast as the {BASE}, per example; `/8`: in batches of 8 "
        f"where others have {max(c['batch_size'] for c in cells)}, for want of memory.",
        "Training steps per second\n\n" + _by_length(cells, _training),
        "Milliseconds to answer a batch\n\n" + _by_length(cells, _inference),
        "Peak memory of a device, GiB\n\n" + _by_length(cells, _memory),
        "Seconds to compile a training step\n\n" + _by_length(cells, _compiling),
        "Growth of the time of a training step with the length l: fitted exponent\n\n"
        + _exponents(cells, claimed),
    ]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _by_length(
    cells: Sequence[Cell], figure: Callable[[Cell, Cell | None], str]
) -> str:
    """Return a table with a row for each mixer and a column for each length."""
    found = {(c["model"], c["length"]): c for c in cells}
    models = sorted({model for model, _ in found})
    lengths = sorted({length for _, length in found})
    rows = [
        [
            model,
            *(
                _shown(found.get((model, n)), found.get((BASE, n)), figure)
                for n in lengths
            ),
        ]
        for model in models
    ]
    return table(["mixer", *(f"{n:,}" for n in lengths)], rows)


def _shown(
    cell: Cell | None, base: Cell | None, figure: Callable[[Cell, Cell | None], str]
) -> str:
    """Return the figure of a cell, or why there is none."""
    if cell is None:
        return ""
    if cell["status"] != "ok":
        return cell["status"]
    return figure(cell, base if base and base["status"] == "ok" else None)


def _training(cell: Cell, base: Cell | None) -> str:
    """Return steps per second; the ratio is of examples, since batches may differ."""
    rate = cell["train_steps_per_second"]["median"]
    text = f"{rate:.3g}" + (f" /{cell['batch_size']}" if cell["reason"] else "")
    if base is None:
        return text
    return f"{text} ({_examples_per_second(cell) / _examples_per_second(base):.3g}x)"


def _inference(cell: Cell, base: Cell | None) -> str:
    """Return milliseconds; the ratio is of seconds per example."""
    each, base_each = (
        c and c["inference_seconds"]["median"] / c["batch_size"] for c in (cell, base)
    )
    text = f"{1e3 * cell['inference_seconds']['median']:.3g}"
    return f"{text} ({base_each / each:.3g}x)" if each and base_each else text


def _memory(cell: Cell, base: Cell | None) -> str:
    """Return GiB."""
    return f"{cell['peak_memory']['bytes'] / 2**30:.3g}"


def _compiling(cell: Cell, base: Cell | None) -> str:
    """Return seconds."""
    return f"{cell['compile_seconds']:.3g}"


def _examples_per_second(cell: Cell) -> float:
    """Return the examples trained on in a second."""
    return cell["train_steps_per_second"]["median"] * cell["batch_size"]


def _exponents(cells: Sequence[Cell], claimed: Mapping[str, str]) -> str:
    """Return a table of fitted exponents beside the mixers' own accounts."""
    rows = []
    for model in sorted({c["model"] for c in cells}):
        own = [c for c in cells if c["model"] == model and c["status"] == "ok"]
        lengths = [c["length"] for c in own]
        exponent = fitted_exponent(lengths, [1 / _examples_per_second(c) for c in own])
        fitted = "" if exponent is None else f"{exponent:.2f}"
        span = f"{min(lengths):,} to {max(lengths):,}" if lengths else ""
        rows.append([model, fitted, span, f"`O({claimed.get(model, '')})`"])
    return table(["mixer", "exponent of l", "lengths", "claimed"], rows)
