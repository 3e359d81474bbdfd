"""An invented fleet as a source, `simulated://?drives=4000&days=120&seed=7&start=2013-04-10`, in the official layout.

It is the default where no location is set, so that everything runs without a download; whoever shows its rows says so.
"""

import re
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import polars as pl

from ae_assets.errors import SourceError
from ae_assets.schemas.layouts.layout import RESCUED_COLUMN, ROW_COLUMN
from ae_assets.sources.fleet_settings import Fleet
from ae_assets.sources.source import SourceDay

DEFAULTS = {"drives": "4000", "days": "120", "seed": "7", "start": "2013-04-10"}
LARGEST = {"drives": 5_000_000, "days": 36_500, "seed": 2**63 - 1}

_BYTES_PER_ROW = 370


RULES_VERSION = 2
"""Part of every fingerprint: raised when the same settings generate other rows."""


class SimulatedSource:
    """Days of an invented fleet, see `fleet`.

    Args:
        fleet: which fleet.
        days: number of days from its start; more days do not change the earlier ones.
    """

    simulated = True

    def __init__(self, fleet: Fleet, days: int) -> None:
        self.location = f"simulated://?drives={fleet.drives}&days={days}&seed={fleet.seed}&start={fleet.start}"
        self._fleet = fleet
        self._days = days

    @classmethod
    def from_location(cls, location: str) -> "SimulatedSource":
        """The source of a `simulated://?…` location; settings that are not named have the values of `DEFAULTS`.

        Raises:
            SourceError: a setting is unknown, repeated or out of range.
        """
        settings, numbers = settings_of(location, DEFAULTS, LARGEST)
        start = start_of(location, settings["start"], numbers["days"])
        return cls(Fleet(numbers["drives"], numbers["seed"], start), numbers["days"])

    def span(self) -> tuple[date, date]:
        """First and last day."""
        return self._fleet.start, self._fleet.start + timedelta(days=self._days - 1)

    def days(self) -> dict[date, SourceDay]:
        """All days; a fingerprint changes with the settings of the fleet and the rules that generate it."""
        days = (self._fleet.start + timedelta(days=offset) for offset in range(self._days))
        return {day: self._listed(day) for day in days}

    def strays(self) -> list[str]:
        """Nothing is ever left out."""
        return []

    def read(self, day: SourceDay) -> pl.DataFrame:
        """Rows of a day, see `fleet.fleet_day`. SourceError for a day that this source does not list."""
        first, last = self.span()
        if not first <= day.day <= last or day != self._listed(day.day):
            raise SourceError(
                f"{self.location}: {day.origin} is not a day of this source. Expected one of its listed days,"
                f" {first} to {last}."
            )
        # Sources are opened in every process to list their days; only reading a day needs numpy.
        from ae_assets.sources.fleet import fleet_day

        return fleet_day(self._fleet, day.day)

    def _listed(self, day: date) -> SourceDay:
        fleet = self._fleet
        fingerprint = f"simulated-{RULES_VERSION}-{fleet.drives}-{fleet.seed}-{fleet.start}"
        return SourceDay(day, fingerprint, f"{self.location}!{day}.csv", _BYTES_PER_ROW * fleet.drives)


def write_csv(rows: pl.DataFrame, path: Path) -> None:
    """Writes rows of a day as an official daily file: the columns that a reader adds are left out.

    Args:
        rows: as returned by `read` of any source.
        path: the file, replaced if it exists; officially named `YYYY-MM-DD.csv`.
    """
    rows.drop(ROW_COLUMN, RESCUED_COLUMN, strict=False).write_csv(path)


def settings_of(
    location: str, defaults: Mapping[str, str], largest: Mapping[str, int]
) -> tuple[dict[str, str], dict[str, int]]:
    """The settings of a `simulated://?…` location, as texts and those that are numbers as such.

    Args:
        location: the location.
        defaults: the settings that there are, with the values of those that are not named.
        largest: the largest value of each number.

    Raises:
        SourceError: a setting is unknown, repeated or out of range.
    """
    parts = urlsplit(location)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    names = [name for name, _ in pairs]
    unknown = sorted(set(names) - set(defaults))
    if parts.netloc or parts.path.strip("/") or parts.fragment or unknown or len(set(names)) < len(names):
        received = f"the setting {unknown[0]!r}" if unknown else "something else"
        example = "&".join(f"{name}={value}" for name, value in defaults.items())
        raise SourceError(
            f"{location}: received {received}. Expected simulated://? and, each at most once, {', '.join(defaults)};"
            f" e.g. simulated://?{example}"
        )
    settings = {**defaults, **dict(pairs)}
    return settings, {name: _number(location, name, settings[name], largest[name]) for name in largest}


def start_of(location: str, text: str, days: int) -> date:
    """The first of so many days. SourceError for a text that is none."""
    try:
        start = date.fromisoformat(text)
        start + timedelta(days=days)
    except (ValueError, OverflowError) as problem:
        raise SourceError(
            f"{location}: start={text} is no day. Expected YYYY-MM-DD, e.g. start={DEFAULTS['start']}."
        ) from problem
    return start


def _number(location: str, name: str, text: str, largest: int) -> int:
    smallest = 0 if name == "seed" else 1
    number = int(text) if re.fullmatch(r"\d{1,19}", text, re.ASCII) else -1
    if not smallest <= number <= largest:
        raise SourceError(f"{location}: {name}={text}. Expected a whole number from {smallest} to {largest}.")
    return number
