"""Speed tables: speed and memory of mixers against length."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from lra_fnet.report.accuracy import MIXERS, ordered
from lra_fnet.report.figures import Plot, Series
from lra_fnet.report.sentences import NONE, TIMES, listed, short
from lra_fnet.report.tables import TextTable
from lra_fnet.schema import MEMORY_OF
from tasks import task_title

BASE = "transformer"
FNET = "fnet"
GIB = 2**30
SIZES = ["machine", "task", "width", "asked_batch_size"]
NUMBERS = {
    "steps_per_second": "train_steps_per_second.median",
    "seconds": "inference_seconds.median",
    "gib": "peak_memory.bytes",
}
NOTE = (
    f"In brackets: speed-up over the {BASE}, per example. /8: in batches of 8, because "
    "the batch that was asked for does not fit in memory. Growth: the exponent e of "
    "time per example ~ length^e, fitted by least squares."
)

# Columns of the spread of what is measured in turns with FNet.
IN_TURNS = "fnet_speed_up"
TURNS_NOTE = (
    "Median of rounds in which both took steps in turns, in equal batches, and the "
    "range over the rounds. Faster, slower: in every round."
)

# The length, of those that `make speed` measures, that stands for a task.
LENGTH_OF = {
    "listops": 2_048,
    "text": 4_096,
    "retrieval": 4_096,
    "image": 1_024,
    "pathfinder": 1_024,
    "pathx": 16_384,
}


@dataclass(frozen=True, eq=False)
class SpeedTable:
    """Speed and memory of mixers on one device, all models of the same sizes.

    Attributes:
      rows: of the data frame of speed measurements, one for each mixer and length,
        with numbers as floats: NaN where not measured.
    """

    rows: pd.DataFrame

    @property
    def name(self) -> str:
        """Return device and sizes."""
        machine, task, _, batch = self.rows[SIZES].iloc[0]
        return f"{machine}; model of {task_title(task)}, batch {batch}"

    @cached_property
    def mixers(self) -> list[str]:
        """Return the mixers in the order of the tables."""
        return ordered(self.rows["mixer"], MIXERS)

    def tables(self) -> list[TextTable]:
        """Return the tables of training, inference, memory, and FNet's verdicts."""
        training, inference, memory = (
            self._by_length(title, text)
            for title, text in (
                ("Training, steps per second", _training),
                ("Inference, milliseconds to answer a batch", _inference),
                (f"Memory of a device, GiB: {self._memory_is_of()}", _memory),
            )
        )
        header = [*training.header, "growth"]
        rows = [[*row, self._growth(row[0])] for row in training.rows]
        training = TextTable(training.title, header, rows, NOTE)
        return [training, *self.verdicts(), inference, memory]

    def verdicts(self) -> list[TextTable]:
        """Return the table of FNet's speed-ups over the others, if any was measured."""
        measured = self.rows.dropna(subset=[f"{IN_TURNS}.median"])
        if measured.empty:
            return []
        table = self._by_length(
            "How many times as long as FNet's a training step takes", _in_turns
        )
        of_mixer = dict(iter(measured.groupby("mixer")))
        rows = [
            [*row, verdict(of_mixer[row[0]], measured["length"].nunique())]
            for row in table.rows
            if row[0] in of_mixer
        ]
        return [TextTable(table.title, [*table.header, "FNet is"], rows, TURNS_NOTE)]

    def at_length_of(self, task: str) -> dict[str, tuple[float, float]]:
        """Return speed-up and GiB of each mixer at the length of a task."""
        here = self.rows[self.rows["length"] == LENGTH_OF.get(task)]
        found = here.dropna(subset=["speed_up", "gib"]).set_index("mixer")
        return {
            mixer: (float(found["speed_up"][mixer]), float(found["gib"][mixer]))
            for mixer in ordered(found.index, MIXERS)
        }

    def plots(self) -> list[Plot]:
        """Return the curves of speed and memory against length."""
        speed, memory = (
            [line for line in (self._line(m, name) for m in self.mixers) if line.x]
            for name in ("examples_per_second", "gib")
        )
        against = "against length", "length, positions"
        return [
            Plot(f"{title} {against[0]}", against[1], unit, lines, log=True)
            for title, unit, lines in (
                ("Training speed", "examples per second", speed),
                ("Memory", "GiB per device", memory),
            )
            if lines
        ]

    def finding(self) -> str:
        """Say which mixers train fastest at the longest length that was compared."""
        rates = self.rows.dropna(subset=["speed_up"]).sort_values("length")
        rates = rates[rates.groupby("length")["mixer"].transform("size") > 1]
        if rates.empty:
            return ""
        longest = rates[rates["length"] == rates["length"].iloc[-1]]
        where = f"at length {longest['length'].iloc[0]:,} ({self.name})"
        best = _fastest(longest)
        if best == [BASE]:
            return f"Nothing trains faster than the {BASE} {where}."
        over = f"a speed-up of {_over_base(longest, best[0]):.2g} over the {BASE}"
        if best[1:]:
            return f"{listed(best)}, tied, train fastest {where}: {over}."
        return f"{best[0]} trains fastest {where}: {over}."

    def _by_length(self, title: str, text: Callable[[Any], str]) -> TextTable:
        """Return a table with a row for each mixer and a column for each length."""
        texts = [
            text(row) if row.status == "ok" else row.status
            for row in self.rows.itertuples()
        ]
        wide = self.rows.assign(text=texts).pivot(
            index="mixer", columns="length", values="text"
        )
        wide = wide.reindex(self.mixers).fillna(NONE)
        header = ["mixer", *(f"{length:,}" for length in wide.columns)]
        return TextTable(title, header, wide.reset_index().values.tolist())

    def _memory_is_of(self) -> str:
        """Say what needed the memory; on one device it was found in one way."""
        methods = self.rows["peak_memory.method"].dropna().unique()
        return " or ".join(MEMORY_OF.get(each, each) for each in methods)

    def _growth(self, mixer: str) -> str:
        """Return the exponent of the time of an example against the length."""
        line = self._line(mixer, "examples_per_second")
        if len(line.x) < 2:
            return NONE
        slope, _ = np.polyfit(np.log2(np.array(line.x, float)), -np.log2(line.y), 1)
        return f"{slope:.2f}"

    def _line(self, mixer: str, name: str) -> Series:
        """Return a column of a mixer against the lengths where it was measured."""
        found = self.rows[self.rows["mixer"] == mixer].dropna(subset=[name])
        found = found.sort_values("length")
        return Series(mixer, found["length"].tolist(), found[name].tolist())


def speed_tables(speeds: pd.DataFrame) -> list[SpeedTable]:
    """Group speed measurements by device and sizes; of several the last file counts."""
    speeds = speeds.copy()
    for name, source in NUMBERS.items():
        numbers = speeds[source].astype(float)
        speeds[name] = numbers.where(numbers.gt(0) & speeds["status"].eq("ok"))
    batch = speeds["batch_size"].astype(float)
    for name, key in (("", "median"), ("_low", "low"), ("_high", "high")):
        speeds[f"in_turns{name}"] = speeds[f"{IN_TURNS}.{key}"].astype(float)
    speeds["gib"] /= GIB
    speeds["examples_per_second"] = speeds["steps_per_second"] * batch
    speeds["seconds_per_example"] = speeds["seconds"] / batch
    speeds["width"] = speeds["width"].fillna(0)
    speeds = speeds.drop_duplicates([*SIZES, "mixer", "length"], keep="last")
    groups = [_with_speed_ups(found) for _, found in speeds.groupby(SIZES)]
    return [SpeedTable(found) for found in groups]


def _with_speed_ups(rows: pd.DataFrame) -> pd.DataFrame:
    """Add how many times the examples a second of the base a mixer has."""
    base = rows[rows["mixer"] == BASE].set_index("length")
    of_base = rows["length"].map(base["examples_per_second"]).astype(float)
    inference = rows["length"].map(base["seconds_per_example"]).astype(float)
    return rows.assign(
        speed_up=rows["examples_per_second"] / of_base,
        inference_speed_up=inference / rows["seconds_per_example"],
    )


def _fastest(rows: pd.DataFrame) -> list[str]:
    """Return the fastest mixer, or FNet and those that are tied with it.

    Steps in turns with FNet's, where there are any, count more than rates, which are
    of other minutes.

    Args:
      rows: of one length, one for each mixer.
    """
    rows = rows.set_index("mixer")
    best = str(rows["examples_per_second"].astype(float).idxmax())
    tied = rows.index[(rows["in_turns_low"] <= 1) & (rows["in_turns_high"] >= 1)]
    fnet_is = best == FNET or best in tied or rows["in_turns_low"][best] > 1
    if fnet_is and FNET in rows.index:
        return [FNET, *ordered(tied, MIXERS)]
    return [best]


def _over_base(rows: pd.DataFrame, mixer: str) -> float:
    """Return a mixer's speed-up over the base, FNet's in turns where there is one."""
    rows = rows.set_index("mixer")
    in_turns = float(rows["in_turns"][BASE])
    if mixer == FNET and not np.isnan(in_turns):
        return in_turns
    return float(rows["speed_up"][mixer])


def _training(row: Any) -> str:
    """Return steps per second, and the batch where it is smaller than asked for."""
    batch = f" /{row.batch_size}" if row.batch_size < row.asked_batch_size else ""
    return f"{_number(row.steps_per_second)}{batch}{_ratio(row, row.speed_up)}"


def verdict(rows: pd.DataFrame, num_lengths: int) -> str:
    """Say at which lengths FNet is faster than a mixer, and at which slower.

    Args:
      rows: of one mixer, with the range of FNet's speed-up.
      num_lengths: at which any mixer was measured; at all of them needs no saying.
    """
    rows = rows.sort_values("length")
    faster = rows.loc[rows[f"{IN_TURNS}.low"].astype(float) > 1, "length"]
    slower = rows.loc[rows[f"{IN_TURNS}.high"].astype(float) < 1, "length"]
    said = {"faster": faster, "slower": slower}
    parts = [
        word if len(lengths) == num_lengths else f"{word} at {_lengths(lengths)}"
        for word, lengths in said.items()
        if len(lengths)
    ]
    return ", ".join(parts) or "neither"


def _lengths(lengths: pd.Series) -> str:
    """Return lengths in a row."""
    return ", ".join(f"{length:,}" for length in lengths)


def _in_turns(row: Any) -> str:
    """Return FNet's speed-up with its range."""
    if np.isnan(row.in_turns):
        return NONE
    low, high = short(row.in_turns_low), short(row.in_turns_high)
    return f"{short(row.in_turns)}{TIMES} [{low} to {high}]"


def _inference(row: Any) -> str:
    """Return milliseconds to answer a batch."""
    text = _number(1e3 * row.seconds)
    return f"{text}{_ratio(row, row.inference_speed_up)}"


def _memory(row: Any) -> str:
    """Return GiB."""
    return _number(row.gib)


def _number(value: float) -> str:
    """Return a number, or a dash for one that was not measured."""
    return NONE if np.isnan(value) else short(value)


def _ratio(row: Any, speed_up: float) -> str:
    """Return a speed-up in brackets; nothing for the base itself, or without one."""
    if row.mixer == BASE or np.isnan(speed_up):
        return ""
    return f" ({speed_up:.2g}{TIMES})"
