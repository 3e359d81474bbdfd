"""Invented rows as a source, so that everything runs without a download; whoever shows them says so.

Here are the location, the days it lists and the fleet of drives, `simulated://?drives=4000&days=120&seed=7` (see
`fleet`), which is the default where no location is set. `simulated_series` invents tables of other columns.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import ClassVar
from urllib.parse import parse_qsl, urlsplit

import polars as pl

from ae_assets.errors import SourceError
from ae_assets.schemas.periods import DAILY, Periods
from ae_assets.sources.source import SourceDay

RULES_VERSION = 2
"""Part of every fingerprint: raised when the same settings generate other rows."""

START = "2013-04-10"

_BYTES_PER_ROW = 370


class Simulated(ABC):
    """Periods of invented rows, the same at each call; more days do not change the earlier ones.

    Args:
        location: ``simulated://?...``; settings that are not named have their defaults.
        periods: by which the rows are cut.

    Raises:
        SourceError: a setting is unknown, repeated or out of range.
    """

    simulated = True

    defaults: ClassVar[Mapping[str, int]]
    """Of the settings that are whole numbers, in the order in which a location has them."""

    largest: ClassVar[Mapping[str, int]]

    def __init__(self, location: str, periods: Periods = DAILY) -> None:
        self._numbers, self._start = _settings(location, self.defaults, self.largest)
        self._periods = periods
        settings = "&".join(f"{name}={number}" for name, number in self._numbers.items())
        self.location = f"simulated://?{settings}&start={self._start}"

    @property
    @abstractmethod
    def _fingerprint(self) -> str:
        """Of every period: changes with the settings, the columns and the rules that generate them."""

    @property
    @abstractmethod
    def _period_bytes(self) -> int:
        """About how large the file of a period would be."""

    @abstractmethod
    def _rows(self, period: date) -> pl.DataFrame:
        """The rows of a period."""

    def span(self) -> tuple[date, date]:
        end = self._periods.start(self._start) + timedelta(days=self._numbers["days"])
        return self._periods.of(self._start), self._periods.of(end - datetime.resolution)

    def days(self) -> dict[date, SourceDay]:
        return {period: self._listed(period) for period in self._periods.range(*self.span())}

    def strays(self) -> list[str]:
        return []

    def read(self, day: SourceDay) -> pl.DataFrame:
        first, last = self.span()
        if not first <= day.day <= last or day != self._listed(day.day):
            raise SourceError(
                f"{self.location}: {day.origin} is no period of this source. Expected one of those it lists,"
                f" {first} to {last}."
            )
        return self._rows(day.day)

    def _listed(self, period: date) -> SourceDay:
        origin = f"{self.location}!{self._periods.key(period)}.csv"
        return SourceDay(period, self._fingerprint, origin, self._period_bytes)


class SimulatedSource(Simulated):
    """Days of an invented fleet of drives in the official layout, see `fleet`."""

    defaults: ClassVar = {"drives": 4000, "days": 120, "seed": 7}
    largest: ClassVar = {"drives": 5_000_000, "days": 36_500, "seed": 2**63 - 1}

    @property
    def _fingerprint(self) -> str:
        return f"simulated-{RULES_VERSION}-{self._numbers['drives']}-{self._numbers['seed']}-{self._start}"

    @property
    def _period_bytes(self) -> int:
        return _BYTES_PER_ROW * self._numbers["drives"]

    def _rows(self, period: date) -> pl.DataFrame:
        # Sources are opened in every process to list their days; only reading a day needs numpy.
        from ae_assets.sources.fleet import fleet_day

        return fleet_day(self._numbers["drives"], self._numbers["seed"], self._start, period)


def _settings(location: str, defaults: Mapping[str, int], largest: Mapping[str, int]) -> tuple[dict[str, int], date]:
    """The numbers of a `simulated://?…` location, and its first day."""
    parts = urlsplit(location)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    names = [name for name, _ in pairs]
    known = {**{name: str(number) for name, number in defaults.items()}, "start": START}
    unknown = sorted(set(names) - set(known))
    if parts.netloc or parts.path.strip("/") or parts.fragment or unknown or len(set(names)) < len(names):
        received = f"the setting {unknown[0]!r}" if unknown else "something else"
        example = "&".join(f"{name}={value}" for name, value in known.items())
        raise SourceError(
            f"{location}: received {received}. Expected simulated://? and, each at most once, {', '.join(known)};"
            f" e.g. simulated://?{example}"
        )
    settings = {**known, **dict(pairs)}
    numbers = {name: _number(location, name, settings[name], largest[name]) for name in defaults}
    try:
        start = date.fromisoformat(settings["start"])
        start + timedelta(days=numbers["days"])
    except (ValueError, OverflowError) as problem:
        raise SourceError(
            f"{location}: start={settings['start']} is no day. Expected YYYY-MM-DD, e.g. start={START}."
        ) from problem
    return numbers, start


def _number(location: str, name: str, text: str, largest: int) -> int:
    smallest = 0 if name == "seed" else 1
    number = int(text) if re.fullmatch(r"\d{1,19}", text, re.ASCII) else -1
    if not smallest <= number <= largest:
        raise SourceError(f"{location}: {name}={text}. Expected a whole number from {smallest} to {largest}.")
    return number
