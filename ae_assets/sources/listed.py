"""A source that was listed, for whoever looks at its days first and reads some of them next."""

from datetime import date

import polars as pl

from ae_assets.sources.source import Source, SourceDay


class ListedSource:
    """A source that gives its first listing again: to list thousands of files, or a server, costs as much as a day.

    A file that is replaced after the listing is not read for another: reading it fails, as from any old listing.
    """

    def __init__(self, source: Source) -> None:
        """Takes the source; its first `days` lists it."""
        self.location = source.location
        self.simulated = source.simulated
        self._source = source
        self._days: dict[date, SourceDay] | None = None

    def span(self) -> tuple[date, date] | None:
        """As the source says it."""
        return self._source.span()

    def days(self) -> dict[date, SourceDay]:
        """The days as they were listed first. SourceError where nothing can be listed."""
        if self._days is None:
            self._days = self._source.days()
        return self._days

    def strays(self) -> list[str]:
        """What that listing left out."""
        return self._source.strays()

    def read(self, day: SourceDay) -> pl.DataFrame:
        """Every row of a day of the listing. SourceError where it cannot be read."""
        return self._source.read(day)
