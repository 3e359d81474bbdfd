"""The last day before one: what became of its alarms, and which of its open episodes have no row any more."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl

from ae_assets.chain.set_aside import cell_in_words
from ae_assets.chain.workspace import QUARANTINE, Workspace
from ae_assets.decisions.devices import one_per_device
from ae_assets.decisions.episodes import is_listed
from ae_assets.schemas.periods import named


@dataclass(frozen=True)
class DayBefore:
    """The devices of a day, muted ones left out, that the day after it is told beside.

    Attributes:
        day: that day.
        alarms: those with an alarm.
        listed: those with an open episode that are not known to have failed on it.
    """

    day: date
    alarms: pl.Series
    listed: pl.Series

    @classmethod
    def of(cls, rows: pl.DataFrame) -> "DayBefore | None":
        """That of the last day of some rows of anomalies; None where there are no rows."""
        last = rows["day"].max()
        if not isinstance(last, date):
            return None
        devices = one_per_device(rows.filter(pl.col("day") == last))
        failed = (pl.col("label") == 1).fill_null(value=False)
        alarms = devices.filter(pl.col("is_anomaly"), pl.col("muted_until").is_null())
        return cls(last, alarms["entity"], devices.filter(is_listed(), ~failed)["entity"])

    def in_words(self, today: date, devices: pl.DataFrame) -> str:
        """What became of the alarms, e.g. ``29 on the day before, of which 3 are gone: 2 cleared, 1 left``.

        ``devices`` has ``entity, is_anomaly, episode, muted_until`` of today, one row per device.
        """
        if isinstance(self.day, datetime):
            when = f"at {named(self.day)}, the last hour before"
        elif self.day == today - timedelta(days=1):
            when = "on the day before"
        else:
            when = f"on {self.day}, the last day before"
        now = devices.filter(pl.col("entity").is_in(self.alarms.implode()))
        watched = now.filter(pl.col("muted_until").is_null())
        calm = watched.filter(~pl.col("is_anomaly"))
        still_open = calm.filter(is_listed()).height
        counts = {
            "cleared": calm.height - still_open,
            "below the threshold but not clear": still_open,
            "not judged": watched["is_anomaly"].null_count(),
            "muted": now.height - watched.height,
            "left": len(self.alarms) - now.height,
        }
        gone = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
        number = sum(counts.values())
        verb = "is" if number == 1 else "are"
        return f"{len(self.alarms):,} {when}" + (f", of which {number:,} {verb} gone: {gone}" if number else "")

    def gone(self, space: Workspace, day: date, rows: pl.DataFrame) -> tuple[str, ...]:
        """The devices with an open episode of which the rows of a later day have none, e.g. ``Z305B2QN (no row)``."""
        entities = sorted(set(self.listed) - set(rows["entity"]))
        why = _set_aside(space, day, entities) if entities else {}
        return tuple(f"{entity} ({why.get(entity, 'no row')})" for entity in entities)


def _set_aside(space: Workspace, day: date, entities: Sequence[str]) -> dict[str, str]:
    if not space.exists(QUARANTINE):
        return {}
    rows = space.read(QUARANTINE, day, day, ["entity", "rule", "column", "value"], entities=entities)
    return {
        entity: f"its row is set aside by {rule}: {cell_in_words(column, value)}"
        for entity, rule, column, value in reversed(rows.rows())
    }
