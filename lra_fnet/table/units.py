"""Seconds, operations and bytes in few letters."""


def duration(seconds: float) -> str:
    """Return a time in the unit that a reader would take.

    >>> [duration(s) for s in (50.0, 200.0, 9e3, 2e5)]
    ['50 s', '3 min', '2.5 h', '2.3 days']
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 36 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


def operations(count: float) -> str:
    """Return floating-point operations with a prefix from giga to exa.

    >>> operations(8.2e15)
    '8.2 P'
    """
    for prefix, size in (("E", 1e18), ("P", 1e15), ("T", 1e12)):
        if count >= size:
            return f"{count / size:.3g} {prefix}"
    return f"{count / 1e9:.3g} G"


def gibibytes(count: int) -> str:
    """Return bytes in GiB.

    >>> gibibytes(3 * 2**29), gibibytes(100 * 2**30)
    ('1.5 GiB', '100 GiB')
    """
    size = count / 2**30
    return f"{size:.0f} GiB" if size >= 10 else f"{size:.2g} GiB"
