"""What the numbers say, in sentences."""

from collections.abc import Mapping, Sequence

from lra_fnet.report.boards import Board
from lra_fnet.report.verdicts import FIVE, SIX, Margin, Verdict, average

DASH, MINUS, TIMES = "\N{EN DASH}", "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
NONE = DASH  # in a table, where there is nothing

TITLES = {
    "listops": "ListOps",
    "text": "Text",
    "retrieval": "Retrieval",
    "image": "Image",
    "pathfinder": "Pathfinder",
    "pathx": "Path-X",
}


def title(task: str) -> str:
    """Return a task's name as the paper writes it."""
    return TITLES.get(task, task)


def percent(share: float) -> str:
    """Return a share in percent.

    >>> percent(0.36449)
    '36.4'
    """
    return f"{100 * share:.1f}"


def points(difference: float) -> str:
    """Return a difference of shares in percentage points, with its sign.

    >>> points(-0.01234), points(0.0), points(-0.0001)
    ('−1.2', '0.0', '0.0')
    """
    rounded = round(100 * difference, 1)
    return f"{rounded:+.1f}".replace("-", MINUS) if rounded else "0.0"


def p_words(p: float) -> str:
    """Return a p value in words.

    >>> p_words(0.3), p_words(0.0123), p_words(1e-9)
    ('p = 0.30', 'p = 0.012', 'p < 0.001')
    """
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.2f}" if p >= 0.0995 else f"p = {p:.3f}"


def listed(names: Sequence[str]) -> str:
    """Return names as a list in a sentence.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def short(number: float) -> str:
    """Return a number with three digits, without an exponent.

    >>> short(2345.6), short(0.01234)
    ('2,346', '0.0123')
    """
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> plural(1, "seed"), plural(2, "seed")
    ('1 seed', '2 seeds')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def seeds_words(seeds: Sequence[int]) -> str:
    """Return seeds in words.

    >>> seeds_words([0, 1, 2]), seeds_words([0, 3])
    ('3 seeds (0–2)', '2 seeds (0, 3)')
    """
    whole = seeds == [*range(seeds[0], seeds[-1] + 1)] and len(seeds) > 2
    span = f"{seeds[0]}{DASH}{seeds[-1]}" if whole else ", ".join(map(str, seeds))
    return f"{plural(len(seeds), 'seed')} ({span})"


def winner(board: Board, verdict: Verdict) -> str:
    """Say what won a column, by how much, and whether it is noise."""
    name, column = title(verdict.task), board.column(verdict.task)
    best = f"{verdict.best} ({percent(column[verdict.best].accuracy)} %)"
    if not verdict.margins:
        return f"On {name} only {best} has been run."
    if len(verdict.top) == 1:
        return _clear(name, best, verdict.margins[0])
    if len(verdict.top) == 2:
        tie = next(m for m in verdict.margins if m.row == verdict.top[1])
        other = f"{tie.row} ({percent(column[tie.row].accuracy)} %)"
        return f"{best} and {other} are tied on {name}: {p_words(tie.p)}."
    return _many(name, best, verdict, len(column))


def _clear(name: str, best: str, second: Margin) -> str:
    """Say that one row is ahead of all others."""
    lead = f"{100 * second.difference:.1f} points ahead of {second.row}"
    return f"{best} wins {name}, {lead}: {p_words(second.p)}."


def _many(name: str, best: str, verdict: Verdict, count: int) -> str:
    """Say that several rows cannot be told from the best."""
    ties = verdict.top[1:]
    least = min(m.p for m in verdict.margins if m.row in ties)
    if len(verdict.top) == count:
        return f"Nothing is settled on {name}: all {count} are tied ({best} highest)."
    others = listed(ties) if len(ties) <= 4 else f"{len(ties)} others"
    bound = "p < 0.001" if least < 0.001 else f"{p_words(least).replace('=', '≥')}"
    return f"{best} is highest on {name}, tied with {others}: {bound} for each."


def beaten_by_reader(board: Board, verdict: Verdict) -> str:
    """Say if nothing beats the best reader without training; else nothing."""
    readers = {
        name: by_task[verdict.task]
        for name, by_task in board.readers().items()
        if verdict.task in by_task
    }
    if not readers:
        return ""
    name = max(readers, key=lambda reader: readers[reader])
    if board.cells[verdict.best, verdict.task].answers.estimate.low > readers[name]:
        return ""
    return (
        f"On {title(verdict.task)} nothing is surely better than answering by {name}, "
        f"without training: {percent(readers[name])} %."
    )


def best_average(board: Board) -> str:
    """Say which row has the highest average; nothing where no row has one."""
    for tasks, count in ((SIX, "six"), (FIVE, "five")):
        means = {row: average(board, row, tasks) for row in board.rows}
        known = {row: found for row, found in means.items() if found is not None}
        if len(known) > 1:
            first, second = sorted(known, key=lambda r: -known[r].mean)[:2]
            overlap = known[first].low <= known[second].high
            sure = "their intervals overlap" if overlap else "the intervals are apart"
            return (
                f"Over {count} tasks {first} has the highest average, "
                f"{percent(known[first].mean)} %, before {second}, "
                f"{percent(known[second].mean)} %: {sure}."
            )
    return ""


def how_sure(board: Board) -> str:
    """Say what the intervals and tests are over."""
    counts = sorted({len(cell.runs) for cell in board.cells.values()})
    if counts == [1]:
        return (
            "Every cell is one seed: intervals and tests are about test examples "
            "alone, and other seeds may turn a small lead."
        )
    seeds = f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else ""
    seeds = seeds or plural(counts[0], "seed")
    return (
        f"Cells have {seeds}. Intervals (95 %) and tests are over seeds and test "
        "examples, the tests paired by example and corrected for all pairs of a column."
    )


def findings(board: Board, verdicts: Mapping[str, Verdict]) -> list[str]:
    """Return what a reader should take from a board, in a few sentences."""
    lines = [best_average(board)]
    lines += [winner(board, verdict) for verdict in verdicts.values()]
    lines += [beaten_by_reader(board, verdict) for verdict in verdicts.values()]
    return [line for line in lines if line]
