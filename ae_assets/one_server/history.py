"""What earlier runs saw of the drives: one record for each drive and day, in one SQLite file.

Each run writes in one transaction, so a kill leaves all of it or nothing, and runs at one time wait for each other.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from ae_assets.errors import SourceError
from ae_assets.sources.printable import printable

KEEP = timedelta(days=120)
"""Behind the newest record of each drive; features and episodes look back on 35 days."""
FORMAT = 1
SECONDS_TO_WAIT = 30.0
"""For another run that writes."""

_TABLES = """
CREATE TABLE IF NOT EXISTS records (
    drive TEXT NOT NULL, day TEXT NOT NULL, state TEXT NOT NULL, since TEXT NOT NULL, readings TEXT NOT NULL,
    PRIMARY KEY (drive, day)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS listed (
    drive TEXT PRIMARY KEY, day TEXT NOT NULL, device TEXT NOT NULL, model TEXT, serial TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS told (drive TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Record:
    """A drive on a day.

    Attributes:
        since: the day since which records say the same state.
        readings: columns of drive stats for a hard disk, and counts by name.
    """

    drive: str
    day: date
    state: str
    since: date
    readings: Mapping[str, Any]


@dataclass(frozen=True)
class Listed:
    """A drive that this machine had on a day, the last on which it was read."""

    drive: str
    day: date
    device: str
    model: str | None
    serial: str | None


class History:
    """The records of a file, which is made where it is missing.

    Raises:
        SourceError: from any method, where the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        """Opens nothing yet."""
        self.path = path

    def records(self, drives: Sequence[str]) -> list[Record]:
        """All that is known of some drives, by day."""
        with self._opened() as connection:
            found = [
                row
                for drive in drives
                for row in connection.execute(
                    "SELECT drive, day, state, since, readings FROM records WHERE drive = ?", (drive,)
                )
            ]
            try:
                records = [
                    Record(drive, date.fromisoformat(day), state, date.fromisoformat(since), json.loads(readings))
                    for drive, day, state, since, readings in found
                ]
            except (ValueError, TypeError) as error:
                raise self._refusal(error) from error
        return sorted(records, key=lambda record: record.day)

    def keep(self, records: Iterable[Record]) -> None:
        """Takes records, in the place of those of the same day, and forgets what is older than `KEEP`."""
        rows = [
            (one.drive, one.day.isoformat(), one.state, one.since.isoformat(), json.dumps(one.readings))
            for one in records
        ]
        with self._opened() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?)", rows)
            connection.execute(
                "DELETE FROM records WHERE day < date("
                "(SELECT max(day) FROM records AS newer WHERE newer.drive = records.drive), ?)",
                (f"-{KEEP.days} days",),
            )
            connection.execute("COMMIT")

    def listed(self) -> list[Listed]:
        """The drives that this machine ever had."""
        with self._opened() as connection:
            try:
                return [
                    Listed(drive, date.fromisoformat(day), *rest)
                    for drive, day, *rest in connection.execute(
                        "SELECT drive, day, device, model, serial FROM listed ORDER BY drive"
                    )
                ]
            except (ValueError, TypeError) as error:
                raise self._refusal(error) from error

    def keep_listed(self, drives: Iterable[Listed]) -> None:
        """Takes the drives that this machine has now."""
        rows = [(one.drive, one.day.isoformat(), one.device, one.model, one.serial) for one in drives]
        with self._opened() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR REPLACE INTO listed VALUES (?, ?, ?, ?, ?)", rows)
            connection.execute("COMMIT")

    def told(self) -> dict[str, str]:
        """The state of each drive that was last delivered."""
        with self._opened() as connection:
            return dict(connection.execute("SELECT drive, state FROM told"))

    def tell(self, states: Mapping[str, str]) -> None:
        """Remembers what was delivered."""
        with self._opened() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR REPLACE INTO told VALUES (?, ?)", list(states.items()))
            connection.execute("COMMIT")

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        connection: sqlite3.Connection | None = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self.path.exists():
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))  # serial numbers are nobody else's business
            connection = sqlite3.connect(self.path, timeout=SECONDS_TO_WAIT, isolation_level=None)
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in {0, FORMAT}:
                raise self._refusal(f"it has format {version}, this release knows {FORMAT}")
            if version == 0:
                connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {FORMAT}; COMMIT;")
            yield connection
        except (OSError, sqlite3.Error) as error:
            raise self._refusal(error) from error
        finally:
            if connection is not None:
                connection.close()

    def _refusal(self, why: object) -> SourceError:
        return SourceError(
            f"the history {printable(str(self.path))} cannot be used ({why}); name another file with --history FILE, "
            "or do without: --no-history"
        )


def default_path() -> Path:
    """``ae_assets/drives.sqlite`` where programs keep state (XDG base directories)."""
    given = os.environ.get("XDG_STATE_HOME", "")
    state = Path(given) if Path(given).is_absolute() else Path.home() / ".local" / "state"
    return state / "ae_assets" / "drives.sqlite"
