"""The error about a name that was typed and that nothing has."""

import difflib
from collections.abc import Iterable


def check_name(kind: str, name: str, names: Iterable[str]) -> None:
    """Check that a name is one of those there are.

    Raises:
      ValueError: it is not; says which is closest, and all there are.
    """
    names = list(names)
    if name in names:
        return
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    raise ValueError(f"unknown {kind} {name!r}{hint} have: {', '.join(names)}")
