"""What a check on a window of days says."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PooledVerdict:
    """A verdict with the counts that explain it."""

    passed: bool
    text: str
    facts: dict[str, object]
