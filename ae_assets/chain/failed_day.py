"""A day that could not be made: what the chain says of it while the other days go on."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class FailedDay:
    """A day that could not be made, or that a check holds back.

    Attributes:
        day: which one.
        asset: the asset of the chain at which it failed; for what follows that asset it failed there, too.
        reason: why, for a person.
        check: the check that holds the day back: the asset's rows are stored, what follows them is not made. None
            where the rows could not be made.
    """

    day: date
    asset: str
    reason: str
    check: str | None = None
