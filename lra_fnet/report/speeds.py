"""Speed and memory against length, from speed cells."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from configs.grid import MODELS
from lra_fnet.report.boards import ordered
from lra_fnet.report.grids import Grid, Plot, Series
from lra_fnet.report.machines import device_name
from lra_fnet.report.words import NONE, TIMES, short, title
from lra_fnet.speed.exponents import fitted_exponent

BASE = "transformer"
GIB = 2**30

Content = Mapping[str, Any]
Figure = Callable[[Content, Content | None], str]


class Measured:
    """Hold speed cells that one device measured at the same sizes.

    Attributes:
      cells: by model and length.
      name: of device and sizes.
    """

    def __init__(self, cells: Iterable[Content]):
        self.cells = {(c["model"], c["length"]): c for c in cells}
        first = next(iter(self.cells.values()))
        self.name = (
            f"{device_name(first['device'])}; model of {title(first['task'])}, "
            f"batch {asked_batch(first)}"
        )
        self.models = ordered({model for model, _ in self.cells}, MODELS)
        self.lengths = sorted({length for _, length in self.cells})

    def grids(self) -> list[Grid]:
        """Return the tables of training, inference and memory."""
        note = (
            f"In brackets: how many times as fast as the {BASE}, per example. /8: in "
            "batches of 8, for want of memory. Growth: the exponent e of time per "
            "example ~ length^e that is closest to the measurements."
        )
        return [
            self._by_length("Training, steps per second", _training, note),
            self._by_length("Inference, milliseconds to answer a batch", _inference),
            self._by_length("Peak memory of a device in training, GiB", _memory),
        ]

    def plots(self, name: str) -> list[Plot]:
        """Return the curves of speed and memory against length."""
        kinds = (
            ("Training speed", "examples per second", examples_per_second),
            ("Peak memory", "GiB per device", _gibibytes),
        )
        return [
            Plot(
                f"{name}-{place}",
                f"{kind} against length",
                "length, positions",
                unit,
                [s for s in (self._line(m, value) for m in self.models) if s.x],
                log=True,
            )
            for place, (kind, unit, value) in enumerate(kinds)
        ]

    def finding(self) -> str:
        """Say which mixer trains fastest at the greatest length that it can tell of."""
        for length in reversed(self.lengths):
            base = self.cells.get((BASE, length))
            known = [c for c in self._at(length) if c["status"] == "ok"]
            if base in known and len(known) > 1:
                best = max(known, key=examples_per_second)
                times = examples_per_second(best) / examples_per_second(base)
                where = f"at length {length:,} ({self.name})"
                if best is base:
                    return f"Nothing trains faster than the {BASE} {where}."
                return (
                    f"{best['model']} trains fastest {where}: {times:.2g} times the "
                    f"speed of the {BASE}."
                )
        return ""

    def _at(self, length: int) -> list[Content]:
        """Return the cells of a length."""
        return [c for (_, n), c in self.cells.items() if n == length]

    def _by_length(self, name: str, figure: Figure, note: str = "") -> Grid:
        """Return a table with a row for each mixer; training has the exponent, too."""
        rows = [
            [m, *(self._shown(m, n, figure) for n in self.lengths)] for m in self.models
        ]
        header = ["mixer", *(f"{n:,}" for n in self.lengths)]
        if figure is _training:
            header.append("growth")
            rows = [
                [*row, self._exponent(m)]
                for row, m in zip(rows, self.models, strict=True)
            ]
        return Grid(name, header, rows, note)

    def _shown(self, model: str, length: int, figure: Figure) -> str:
        """Return the figure of a cell, or why there is none."""
        cell, base = self.cells.get((model, length)), self.cells.get((BASE, length))
        if cell is None:
            return NONE
        if cell["status"] != "ok":
            return cell["status"]
        return figure(cell, base if base and base["status"] == "ok" else None)

    def _exponent(self, model: str) -> str:
        """Return how the time of an example grows with the length."""
        line = self._line(model, examples_per_second)
        lengths = [float(length) for length in line.x]
        exponent = fitted_exponent(lengths, [1 / rate for rate in line.y])
        return NONE if exponent is None else f"{exponent:.2f}"

    def _line(self, model: str, value: Callable[[Content], float]) -> Series:
        """Return the line of a mixer over the lengths that it was measured at."""
        found = [self.cells.get((model, n)) for n in self.lengths]
        known = [c for c in found if c and c["status"] == "ok"]
        return Series(model, [c["length"] for c in known], [value(c) for c in known])


def measured(cells: Iterable[Content]) -> list[Measured]:
    """Group speed cells by device and sizes."""
    groups: dict[tuple[Any, ...], list[Content]] = {}
    for cell in cells:
        sizes = cell["task"], cell.get("width", 0), asked_batch(cell)
        groups.setdefault((device_name(cell["device"]), *sizes), []).append(cell)
    return [Measured(groups[key]) for key in sorted(groups)]


def asked_batch(cell: Content) -> int:
    """Return the batch size that was asked for; what fits may be smaller."""
    found = re.search(r"--batch[= ](\d+)", cell.get("command", ""))
    return int(found[1]) if found else cell["batch_size"]


def examples_per_second(cell: Content) -> float:
    """Return the examples that a speed cell trains on in a second."""
    return cell["train_steps_per_second"]["median"] * cell["batch_size"]


def _training(cell: Content, base: Content | None) -> str:
    """Return steps per second; the ratio is of examples, since batches may differ."""
    text = short(cell["train_steps_per_second"]["median"])
    text += f" /{cell['batch_size']}" if cell["batch_size"] < asked_batch(cell) else ""
    if base is None or cell["model"] == BASE:
        return text
    return (
        f"{text} ({examples_per_second(cell) / examples_per_second(base):.2g}{TIMES})"
    )


def _inference(cell: Content, base: Content | None) -> str:
    """Return milliseconds; the ratio is of seconds per example."""
    text = short(1e3 * cell["inference_seconds"]["median"])
    if base is None or cell["model"] == BASE:
        return text
    each, base_each = (
        c["inference_seconds"]["median"] / c["batch_size"] for c in (cell, base)
    )
    return f"{text} ({base_each / each:.2g}{TIMES})"


def _memory(cell: Content, base: Content | None) -> str:
    """Return GiB."""
    return short(_gibibytes(cell))


def _gibibytes(cell: Content) -> float:
    """Return the peak memory of a device in GiB."""
    return cell["peak_memory"]["bytes"] / GIB
