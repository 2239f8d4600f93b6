"""Numbers as text, and what the numbers say in sentences."""

from collections.abc import Sequence

from lra_fnet.report.accuracy import AccuracyTable, Average, Ranking
from lra_fnet.report.published import FIVE, SIX
from lra_fnet.report.statistics import TOO_FEW, Estimate, Pair
from tasks import task_title

DASH, MINUS, TIMES = "\N{EN DASH}", "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
NONE = DASH  # in a table, where there is nothing


# ---------------------------------------------------------------------------
# Numbers and names


def percent(share: float) -> str:
    """Return a share in percent.

    >>> percent(0.36449)
    '36.4'
    """
    return f"{100 * share:.1f}"


def interval(found: Average | Estimate) -> str:
    """Return the bounds of an accuracy in percent."""
    return f"{percent(found.low)}{DASH}{percent(found.high)}"


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


def listed(names: Sequence[str], most: int = 4) -> str:
    """Return names as a list in a sentence; many as their number.

    >>> listed(["a", "b", "c"]), listed("abcde")
    ('a, b and c', '5 others')
    """
    if len(names) > most:
        return f"{len(names)} others"
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


# ---------------------------------------------------------------------------
# Findings


def findings(table: AccuracyTable) -> list[str]:
    """Return what a reader should take from a table, in a few sentences."""
    columns = table.rankings.values()
    lines = [best_average(table)]
    lines += [best_of(table, column) for column in columns]
    lines += [no_better_than_baseline(table, column) for column in columns]
    return [line for line in lines if line]


def best_of(table: AccuracyTable, column: Ranking) -> str:
    """Say what is best on a task, by how much, and whether noise could explain it."""
    name, best = task_title(column.task), _mean(table, column.best, column.task)
    if not column.margins:
        return f"On {name} only {best} has been run."
    if not column.ties:
        second = column.margins[0]
        lead = f"{100 * second.comparison.difference:.1f} points ahead of"
        p = p_words(second.adjusted)
        return f"{best} is best on {name}, {lead} {second.second} ({p})."
    if len(column.ties) == 1:
        tie = column.ties[0]
        p, other = p_words(tie.adjusted), _mean(table, tie.second, column.task)
        if tie.verdict == TOO_FEW:
            return f"Too few seeds to tell {best} from {other} on {name} ({p})."
        return f"{best} and {other} are tied on {name} ({p})."
    if len(column.ties) == len(column.margins):
        count = len(column.ties) + 1
        tied = _tied(column.ties, count)
        return f"Nothing is settled on {name}: {tied} ({best} highest)."
    p = p_words(min(tie.adjusted for tie in column.ties))
    p = f"{p.replace('=', '≥')}{'' if '<' in p else ' for each'}"
    return f"{best} is highest on {name}, {_tied(column.ties)} ({p})."


def _tied(ties: Sequence[Pair], count: int = 0) -> str:
    """Say which rows cannot be told from the best, of `count` that are all the same."""
    few = [tie.second for tie in ties if tie.verdict == TOO_FEW]
    tied = [tie.second for tie in ties if tie.verdict != TOO_FEW]
    if count and not few:
        return f"all {count} are tied"
    if count and not tied:
        return f"too few seeds to tell the {count} mixers apart"
    words = [f"tied with {listed(tied)}"] if tied else []
    words += [f"with too few seeds to tell it from {listed(few)}"] if few else []
    return ", ".join(words)


def no_better_than_baseline(table: AccuracyTable, column: Ranking) -> str:
    """Say if no mixer is surely better than the best trivial baseline; else nothing."""
    known = table.baselines.items()
    found = {name: by[column.task] for name, by in known if column.task in by}
    name = max(found, key=lambda name: found[name], default="")
    best = table.configurations[column.best, column.task].estimate
    if not found or best.low > found[name]:
        return ""
    return (
        f"On {task_title(column.task)} no mixer is clearly better than the trivial "
        f"baseline “{name}” ({percent(found[name])} %)."
    )


def best_average(table: AccuracyTable) -> str:
    """Say which row has the highest average; nothing where fewer than two have one."""
    for tasks, count in ((SIX, "six"), (FIVE, "five")):
        means = {row: table.average(row, tasks) for row in table.rows}
        known = {row: found for row, found in means.items() if found}
        if len(known) > 1:
            first, second = sorted(known, key=lambda row: -known[row].mean)[:2]
            overlap = known[first].low <= known[second].high
            return (
                f"Over {count} tasks {first} has the highest average, "
                f"{percent(known[first].mean)} %, ahead of {second} with "
                f"{percent(known[second].mean)} %; their intervals "
                f"{'overlap' if overlap else 'do not overlap'}."
            )
    return ""


def how_sure(table: AccuracyTable) -> str:
    """Say what the intervals and tests cover."""
    counts = {len(found.seeds) for found in table.configurations.values()}
    if not counts:
        return ""
    if counts == {1}:
        return (
            "Every number is from one seed: intervals and tests cover test examples "
            "alone, and another seed may turn a small lead around."
        )
    least, most = min(counts), max(counts)
    seeds = plural(most, "seed") if least == most else f"{least} to {most} seeds"
    of_one = "; those of one seed, test examples alone" if least == 1 else ""
    return (
        f"Each number is from {seeds}. Intervals (95 %) and tests cover seeds and test "
        f"examples{of_one}. Tests are paired by example and corrected for all pairs of "
        "a column."
    )


def _mean(table: AccuracyTable, row: str, task: str) -> str:
    """Return a row with its accuracy."""
    return f"{row} ({percent(table.configurations[row, task].estimate.mean)} %)"
