"""The outcome of one check, of data or of a mixer, in words."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Finding:
    """Hold what was checked, whether it holds, and what was found."""

    name: str
    passed: bool
    detail: str

    def line(self) -> str:
        """Return the outcome as a printed line."""
        return f"{'ok' if self.passed else 'FAILED':<6}  {self.name}: {self.detail}"
