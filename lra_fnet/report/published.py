"""Look up accuracies that others have published. No JAX here."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

TASKS = ("listops", "text", "retrieval", "image", "pathfinder", "pathx")


class Source(NamedTuple):
    """Say where numbers were read, and what they are about.

    Attributes:
      citation: where they were read.
      protocol: "original", LRA's own code; "own", runs of a model's authors; "re-run",
        runs of others.
      lra_inputs: whether it is stated that inputs are LRA's token ids, pixels included.
      remark: what else a reader should know.
    """

    citation: str
    protocol: str
    lra_inputs: bool
    remark: str


class Row(NamedTuple):
    """Hold a line of a published table.

    Attributes:
      name: of the model, as published.
      model: the mixer of this suite that stands for it, or "".
      source: a key of SOURCES.
      accuracies: percent by task, None where there is none.
      pathx_failed: Path-X was run and did not get above a half, or did not run.
      spreads: the published "plus or minus", in points, where there is one.
    """

    name: str
    mixer: str
    source: str
    accuracies: tuple[float | None, ...]
    pathx_failed: bool = False
    spreads: tuple[float, ...] = ()


_VALUES = "pixels enter as real numbers; other budget and sizes"

SOURCES = {
    "lra": Source(
        "LRA repository, README of 8 November 2020",
        "original",
        True,
        "LRA's code and budgets; no seeds or intervals stated",
    ),
    "fnet": Source(
        "FNet's own runs, as listed in Gu et al., S4 (2021), table 4",
        "own",
        True,
        "configuration not released; no seeds or intervals stated",
    ),
    "s4-list": Source(
        "the authors' runs, as listed in Gu et al., S4 (2021), table 4",
        "own",
        False,
        "each paper's own budget",
    ),
    "xformers": Source(
        "xFormers, LRA benchmark (two layers; removed from its repository in 2026)",
        "re-run",
        True,
        "other budget and sizes",
    ),
    "hrrformer": Source(
        "Hrrformer repository, README (2023)",
        "own",
        False,
        "20 epochs",
    ),
    "s4": Source("Gu et al., S4 (arXiv 2111.00396)", "own", False, _VALUES),
    "s5": Source("Smith et al., S5 (arXiv 2208.04933)", "own", False, _VALUES),
    "mega": Source("Ma et al., Mega (arXiv 2209.10655)", "own", False, _VALUES),
    "chordmixer": Source("ChordMixer repository, README", "own", False, _VALUES),
    "b2s6": Source(
        "B2S6 (arXiv 2505.09022), table 3", "own", False, "other budget and sizes"
    ),
    "b2s6-list": Source(
        "as listed in B2S6 (arXiv 2505.09022), table 3",
        "re-run",
        False,
        "other budget and sizes",
    ),
    "s4d": Source(
        "Gu et al., S4D (arXiv 2206.11893), as listed in B2S6 (arXiv 2505.09022)",
        "own",
        False,
        _VALUES,
    ),
    "metala": Source("MetaLA, table 7", "own", False, "other budget and sizes"),
    "metala-list": Source(
        "as listed in MetaLA, table 7", "own", False, "other budget and sizes"
    ),
}

# LRA's README and its paper's table 1 agree in every cell.
_LRA = (
    ("Transformer", "transformer", 36.37, 64.27, 57.46, 42.44, 71.40),
    ("Local Attention", "local", 15.82, 52.98, 53.39, 41.46, 66.63),
    ("Sparse Transformer", "sparse", 17.07, 63.58, 59.59, 44.24, 71.71),
    ("Longformer", "longformer", 35.63, 62.85, 56.89, 42.22, 69.71),
    ("Linformer", "linformer", 35.70, 53.94, 52.27, 38.56, 76.34),
    ("Reformer", "reformer", 37.27, 56.10, 53.40, 38.07, 68.50),
    ("Sinkhorn Transformer", "sinkhorn", 33.67, 61.20, 53.83, 41.23, 67.45),
    ("Synthesizer", "synthesizer", 36.99, 61.68, 54.67, 41.61, 69.45),
    ("BigBird", "bigbird", 36.05, 64.02, 59.29, 40.83, 74.87),
    ("Linear Transformer", "linear_transformer", 16.13, 65.90, 53.09, 42.34, 75.30),
    ("Performer", "performer", 18.01, 65.40, 53.82, 42.77, 77.05),
)

ROWS = (
    *(Row(name, model, "lra", (*cells, None), True) for name, model, *cells in _LRA),
    Row("FNet", "fnet", "fnet", (35.33, 65.11, 59.61, 38.67, 77.80, None), True),
    Row(
        "FourierMix (FNet)",
        "fnet",
        "xformers",
        (36.29, 60.72, 76.41, 36.53, 54.07, None),
    ),
    Row(
        "Nyströmformer",
        "nystromformer",
        "s4-list",
        (37.15, 65.52, 79.56, 41.58, 70.94, None),
        True,
    ),
    Row("Luna-256", "luna", "s4-list", (37.25, 64.57, 79.29, 47.38, 77.72, None), True),
    Row("Hrrformer", "", "hrrformer", (39.98, 65.38, 76.15, 50.45, 72.17, None)),
    Row("S4", "", "s4", (59.60, 86.82, 90.90, 88.65, 94.20, 96.35)),
    Row("S4D-LegS", "", "s4d", (60.47, 86.18, 89.46, 88.19, 93.06, 91.95)),
    Row("S5", "s5", "s5", (62.15, 89.31, 91.40, 88.00, 95.33, 98.58)),
    Row("Mega", "", "mega", (63.14, 90.43, 91.25, 90.44, 96.01, 97.98)),
    Row("Mega-chunk", "mega", "mega", (58.76, 90.19, 90.97, 85.80, 94.41, 93.81)),
    Row(
        "ChordMixer",
        "chordmixer",
        "chordmixer",
        (59.89, 88.87, 90.38, 89.95, 96.67, 98.63),
    ),
    Row(
        "B2S6",
        "b2s6",
        "b2s6",
        (63.85, 88.32, 91.44, 88.81, 95.93, 97.90),
        spreads=(0.45, 0.50, 0.36, 0.22, 0.38, 0.17),
    ),
    Row("S7", "", "b2s6-list", (63.77, 87.22, 91.80, 61.14, 65.62, 61.50)),
    Row("Mamba-2", "mamba2", "b2s6-list", (41.45, 86.09, 79.23, 71.96, 75.45, 69.07)),
    Row("Mamba (S6)", "", "b2s6-list", (38.02, 82.98, 72.14, 69.82, 69.26, 67.32)),
    Row("MetaLA", "", "metala", (59.34, 89.27, 91.28, 91.88, 91.66, 96.57)),
    Row("SGConv", "", "metala-list", (61.45, 89.20, 91.11, 87.97, 95.46, 97.83)),
    Row("HGRN", "", "metala-list", (59.95, 88.14, 94.23, 88.69, 92.92, 97.50)),
    Row("TNN", "", "metala-list", (61.04, 87.90, 90.97, 88.24, 93.00, 96.10)),
)


class SpeedRow(NamedTuple):
    """Hold a line of LRA's table 2: training on Text, batch 32, 4 x 4 TPU v3.

    Attributes:
      name, model: as of Row.
      steps_per_second: at 1,000, 2,000, 3,000 and 4,000 bytes.
      gigabytes: of memory at the peak, on each TPU device.
    """

    name: str
    mixer: str
    steps_per_second: tuple[float, ...]
    gigabytes: tuple[float, ...]


SPEED_SOURCE = (
    "Tay et al., Long Range Arena (2020), table 2: Text, batch 32, 4 x 4 TPU v3; "
    "memory per device"
)
SPEED_LENGTHS = (1000, 2000, 3000, 4000)

# The Synthesizer's 6.6 at 3,000, faster than at 2,000, stands so in the original.
SPEED_ROWS = (
    SpeedRow(
        "Transformer", "transformer", (8.1, 4.9, 2.3, 1.4), (0.85, 2.65, 5.51, 9.48)
    ),
    SpeedRow(
        "Local Attention", "local", (9.2, 8.4, 7.4, 7.4), (0.42, 0.76, 1.06, 1.37)
    ),
    SpeedRow("Linformer", "linformer", (9.3, 9.1, 8.5, 7.7), (0.37, 0.55, 0.99, 0.99)),
    SpeedRow("Reformer", "reformer", (4.4, 2.2, 1.5, 1.1), (0.48, 0.99, 1.53, 2.28)),
    SpeedRow(
        "Sinkhorn Transformer",
        "sinkhorn",
        (9.1, 7.9, 6.6, 5.3),
        (0.47, 0.83, 1.13, 1.48),
    ),
    SpeedRow(
        "Synthesizer", "synthesizer", (8.7, 5.7, 6.6, 1.9), (0.65, 1.98, 4.09, 6.99)
    ),
    SpeedRow("BigBird", "bigbird", (7.4, 3.9, 2.7, 1.5), (0.77, 1.49, 2.18, 2.88)),
    SpeedRow(
        "Linear Transformer",
        "linear_transformer",
        (9.1, 9.3, 8.6, 7.8),
        (0.37, 0.57, 0.80, 1.03),
    ),
    SpeedRow("Performer", "performer", (9.5, 9.4, 8.7, 8.0), (0.37, 0.59, 0.82, 1.06)),
)


# What a failed task of two classes counts in an average: a guess.
GUESS = 50.0


@dataclasses.dataclass(frozen=True)
class Published:
    """Hold a published test accuracy.

    Attributes:
      accuracy: in percent.
      source: where it was read.
      name: of the model, as published.
      protocol: "original", "own" or "re-run"; see Source in published_numbers.
      lra_inputs: whether its inputs are LRA's token ids; only then is a difference to
        a run of this suite one of models.
      remark: what else a reader should know.
    """

    accuracy: float
    source: str
    name: str
    protocol: str
    lra_inputs: bool
    remark: str


def published(model: str, task: str) -> Published | None:
    """Return the first published accuracy of a model on a task, None without one.

    >>> published("transformer", "listops").accuracy
    36.37
    """
    return next(iter(all_published(model, task)), None)


def all_published(model: str, task: str) -> list[Published]:
    """Return all published accuracies of a mixer on a task, the original's first."""
    if task not in TASKS:
        return []
    rows = [(row, row.accuracies[TASKS.index(task)]) for row in published_rows(model)]
    return [_as_published(row, cell) for row, cell in rows if cell is not None]


def published_rows(model: str) -> Iterator[Row]:
    """Yield the published lines of a mixer of this suite."""
    return (row for row in ROWS if row.mixer == model)


def averages(row: Row) -> tuple[float | None, float | None]:
    """Return a line's averages of five and of six tasks, a failed Path-X as a guess.

    >>> row = next(published_rows("fnet"))
    >>> [round(average, 2) for average in averages(row)]
    [55.3, 54.42]
    """
    *five, last = row.accuracies
    if row.pathx_failed:
        last = GUESS
    known = [value for value in five if value is not None]
    if len(known) < len(five):
        return None, None
    return sum(known) / 5, None if last is None else (sum(known) + last) / 6


def _as_published(row: Row, accuracy: float) -> Published:
    """Return one number of a line."""
    source = SOURCES[row.source]
    return Published(
        accuracy,
        source.citation,
        row.name,
        source.protocol,
        source.lra_inputs,
        source.remark,
    )


# The order of the accuracies below.
