"""What a source of raw rows is: it lists its days, each with a fingerprint, and reads one. Readers live beside it.

What is called a day here is a period of the table (see `schemas.periods`): its day, hour or week.
"""

from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Protocol

import polars as pl

from ae_assets.sources.printable import printable


@dataclass(frozen=True, order=True)
class SourceDay:
    """One day, hour or week that a source can read.

    Attributes:
        day: the period that the rows belong to.
        fingerprint: rests on content: changes when that changes, and not by a touch or a copy; only compared for
            equality.
        origin: printable place of the file, e.g. ``data_2013.zip!2013/2013-04-10.csv``; never opened as a path.
            Characters that would break a log are escaped here, whatever a reader found.
        size_bytes: size of the uncompressed file.
        records: how many there were when it was listed, of which those that repeat another one word for word are no
            rows; None: as many as rows.
    """

    day: date
    fingerprint: str
    origin: str
    size_bytes: int
    records: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "origin", printable(self.origin))


class Source(Protocol):
    """Where raw rows come from.

    Attributes:
        location: printable, without passwords or tokens.
        simulated: whether the rows are generated; whoever shows them says so.
    """

    location: str
    simulated: bool

    def span(self) -> tuple[date, date] | None:
        """First and last day where names on this machine tell them; None where none do, or a server would be asked.

        It is asked at every load of the code location, so it reads no day and fails for nothing.
        """
        ...

    def days(self) -> dict[date, SourceDay]:
        """The days that can be read, oldest first; looks again each time. SourceError where nothing can be listed."""
        ...

    def strays(self) -> list[str]:
        """What the latest listing left out, one line each with the reason; lists first if nothing was listed yet."""
        ...

    def read(self, day: SourceDay) -> pl.DataFrame:
        """Every row of one listed day, typed as `csv_day.parse_day` describes. SourceError where it cannot be read."""
        ...


class ListedSource:
    """A source that gives its first listing again: to list thousands of files, or a server, costs as much as a day.

    A file that is replaced after the listing is not read for another: reading it fails, as from any old listing.
    """

    def __init__(self, source: Source) -> None:
        self.location, self.simulated = source.location, source.simulated
        self.span, self.strays, self.read = source.span, source.strays, source.read
        self.days = cache(source.days)
