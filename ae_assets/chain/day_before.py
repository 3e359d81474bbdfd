"""What became of the alarms of the day before: which devices still have one, and where the others are."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl

from ae_assets.decisions import is_listed, one_per_device
from ae_assets.schemas.periods import named


@dataclass(frozen=True)
class DayBefore:
    """The alarms of the last day before, as its own table counts them, by what is known of their devices now.

    Attributes:
        day: that day.
        alarms: its devices with an alarm that were not muted; the sum of the other numbers.
        still: devices with an alarm now.
        cleared: judged now, without an alarm and without an open episode.
        open: judged now, without an alarm, though their episode is still open.
        not_judged: without a score now.
        muted: muted since.
        left: without a record now.
    """

    day: date
    alarms: int
    still: int
    cleared: int
    open: int
    not_judged: int
    muted: int
    left: int

    def in_words(self, today: date) -> str:
        """E.g. ``29 on the day before, of which 3 are gone: 2 cleared, 1 left``."""
        if isinstance(self.day, datetime):
            when = f"at {named(self.day)}, the last hour before"
        else:
            when = (
                "on the day before" if self.day == today - timedelta(days=1) else f"on {self.day}, the last day before"
            )
        words = {
            "cleared": self.cleared,
            "below the threshold but not clear": self.open,
            "not judged": self.not_judged,
            "muted": self.muted,
            "left": self.left,
        }
        gone = ", ".join(f"{devices:,} {what}" for what, devices in words.items() if devices)
        number = self.alarms - self.still
        verb = "is" if number == 1 else "are"
        return f"{self.alarms:,} {when}" + (f", of which {number:,} {verb} gone: {gone}" if number else "")


@dataclass(frozen=True)
class Alarms:
    """The devices of one day with an alarm that are not muted."""

    day: date
    entities: pl.Series

    @classmethod
    def of(cls, rows: pl.DataFrame) -> "Alarms | None":
        """Those of the last day of some rows; None where there are no rows.

        Args:
            rows: ``day, entity, score, is_anomaly, muted_until`` and the others that `one_per_device` takes.
        """
        last = rows["day"].max()
        if not isinstance(last, date):
            return None
        devices = one_per_device(rows.filter(pl.col("day") == last))
        alarms = devices.filter(pl.col("is_anomaly"), pl.col("muted_until").is_null())
        return cls(last, alarms["entity"])

    def now(self, rows: pl.DataFrame) -> DayBefore:
        """What is known of them on a later day.

        Args:
            rows: ``entity, is_anomaly, episode, muted_until`` of that day, one row per device.
        """
        found = rows.filter(pl.col("entity").is_in(self.entities.implode()))
        watched = found.filter(pl.col("muted_until").is_null())
        calm = watched.filter(~pl.col("is_anomaly"))
        cleared = calm.filter(~is_listed()).height
        return DayBefore(
            self.day,
            alarms=len(self.entities),
            still=watched.filter("is_anomaly").height,
            cleared=cleared,
            open=calm.height - cleared,
            not_judged=watched["is_anomaly"].null_count(),
            muted=found.height - watched.height,
            left=len(self.entities) - found.height,
        )
