"""The error about an option that is none of its choices."""

import difflib
from collections.abc import Iterable


def check_choice(option: str, value: str, choices: Iterable[str]) -> None:
    """Check that a value is one of the choices of an option.

    Raises:
      ValueError: it is not; says which is closest, and all there are.
    """
    choices = list(choices)
    if value not in choices:
        close = difflib.get_close_matches(value, choices, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ";"
        raise ValueError(f"unknown {option} {value!r}{hint} have: {', '.join(choices)}")
