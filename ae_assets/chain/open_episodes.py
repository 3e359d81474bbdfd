"""Devices with an open episode of which a day has no row: they left, or their row was set aside."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from ae_assets.chain.set_aside import BrokenRule
from ae_assets.chain.workspace import QUARANTINE, Workspace
from ae_assets.decisions import is_listed, one_per_device


@dataclass(frozen=True)
class GoneDevice:
    """A device with an open episode the day before and no row now.

    Attributes:
        entity: the device.
        set_aside: why its row is in quarantine; None where the day has none of it.
    """

    entity: str
    set_aside: BrokenRule | None

    @property
    def in_words(self) -> str:
        """E.g. ``Z305B2QN (no row)``."""
        if self.set_aside is None:
            return f"{self.entity} (no row)"
        return f"{self.entity} (its row is set aside by {self.set_aside.rule}: {self.set_aside.place})"


@dataclass(frozen=True)
class OpenEpisodes:
    """The devices of one day with an open episode that are not muted and not known to have failed on that day."""

    day: date
    entities: pl.Series

    @classmethod
    def of(cls, rows: pl.DataFrame) -> "OpenEpisodes | None":
        """Those of the last day of some rows; None where there are no rows.

        Args:
            rows: ``day, entity, score, episode, muted_until, label`` and the others that `one_per_device` takes.
        """
        last = rows["day"].max()
        if not isinstance(last, date):
            return None
        failed = (pl.col("label") == 1).fill_null(value=False)
        devices = one_per_device(rows.filter(pl.col("day") == last))
        return cls(last, devices.filter(is_listed(), ~failed)["entity"])

    def gone(self, space: Workspace, day: date, rows: pl.DataFrame) -> tuple[GoneDevice, ...]:
        """Those of which a later day has no row, by name.

        Args:
            space: the table, whose quarantine of the day says why.
            day: the later day.
            rows: ``entity`` of its rows.
        """
        entities = sorted(set(self.entities) - set(rows["entity"]))
        why = _set_aside(space, day, entities) if entities else {}
        return tuple(GoneDevice(entity, why.get(entity)) for entity in entities)


def _set_aside(space: Workspace, day: date, entities: Sequence[str]) -> dict[str, BrokenRule]:
    if not space.exists(QUARANTINE):
        return {}
    columns = ["entity", "rule", "column", "value"]
    rows = space.read(QUARANTINE, day, day, columns, entities=entities)
    return {entity: BrokenRule(rule, 1, column, value) for entity, rule, column, value in reversed(rows.rows())}
