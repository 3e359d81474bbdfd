"""What tells one invented fleet from another."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Fleet:
    """Settings of an invented fleet.

    Attributes:
        drives: drives on the first day; afterwards about as many join as leave or fail.
        seed: another seed is another fleet.
        start: the first day.
    """

    drives: int
    seed: int
    start: date
