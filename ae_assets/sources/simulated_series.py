"""Invented series of a table's own columns, `simulated://?entities=5&days=60&seed=7&start=2013-04-10`.

Each value of each entity follows a daily and a slower wave with noise. Now and then one sticks, jumps, drifts or is
lost for some hours, which the table's marks of abnormal records say. A period is made by itself, the same whatever is
asked before it.
"""

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.schemas.layouts.layout import RESCUED_COLUMN, ROW_COLUMN, Layout
from ae_assets.schemas.reading import Reading
from ae_assets.sources.simulated import Simulated

RULES_VERSION = 1
"""Part of every fingerprint: raised when the same settings generate other rows."""

FAULTS_A_DAY = 0.06
"""Of each entity: about one in two weeks."""
DAY_SECONDS = 24 * 3600
FAULTS = ("stuck", "jump", "drift", "lost")
_BYTES_PER_CELL = 12


@dataclass(frozen=True)
class Fault:
    """Some hours in which a value of an entity tells something else than what it measures.

    Attributes:
        value: number of the value.
        kind: one of ``FAULTS``.
        start: seconds since 1970.
        end: seconds since 1970.
        size: of a jump or drift, in standard deviations of the value.
    """

    value: int
    kind: str
    start: int
    end: int
    size: float


class SimulatedSeries(Simulated):
    """Periods of invented series in the columns of a table.

    Args:
        location: ``simulated://?...``; settings that are not named have their defaults.
        reading: the table's columns and periods.

    Raises:
        SourceError: a setting is unknown, repeated or out of range.
    """

    defaults: ClassVar = {"entities": 5, "days": 60, "seed": 7}
    largest: ClassVar = {"entities": 100_000, "days": 36_500, "seed": 2**63 - 1}

    def __init__(self, location: str, reading: Reading) -> None:
        super().__init__(location, reading.periods)
        self._entities, self._days, self._seed = self._numbers.values()
        self._reading, self._layout = reading, reading.layout
        self._cadence = self._layout.time.cadence or self._periods.step

    @property
    def _fingerprint(self) -> str:
        return f"series-{RULES_VERSION}-{self._entities}-{self._seed}-{self._start}-{self._reading.digest}"

    @property
    def _period_bytes(self) -> int:
        records = self._entities * (self._periods.step // self._cadence)
        return _BYTES_PER_CELL * records * (2 + len(self._layout.values))

    def _rows(self, period: date) -> pl.DataFrame:
        """Rows of a period, by time and entity."""
        moments = self._moments(period)
        parts = [self._of_entity(entity, moments) for entity in range(self._entities)]
        rows = pl.concat(parts).sort(self._layout.time.name, maintain_order=True)
        return rows.with_columns(
            pl.int_range(1, pl.len() + 1, dtype=pl.Int32).alias(ROW_COLUMN),
            pl.lit(None, pl.String).alias(RESCUED_COLUMN),
        )

    def _moments(self, period: date) -> NDArray[np.int64]:
        """When records of the period are taken, as far as it lies within the days, in seconds since 1970."""
        edges = self._periods.start(period), self._periods.end(period), self._periods.start(self._start)
        start, end, begin = (int(moment.timestamp()) for moment in edges)
        moments = np.arange(start, end, int(self._cadence.total_seconds()))
        return moments[(moments >= begin) & (moments < begin + self._days * DAY_SECONDS)]

    def _of_entity(self, entity: int, moments: NDArray[np.int64]) -> pl.DataFrame:
        layout = self._layout
        numbers = [name for name, value in layout.values.items() if value.type != "text"]
        faults = [fault for day in self._days_before(moments) for fault in self._faults(entity, day, len(numbers))]
        values = {name: self._value(entity, number, moments, faults) for number, name in enumerate(numbers)}
        abnormal = np.zeros(len(moments), np.bool_)
        for fault in faults:
            abnormal |= (moments >= fault.start) & (moments < fault.end)
        marks = layout.abnormal.columns if layout.abnormal is not None else ()
        whole = [name for name in numbers if layout.type_of(name) == pl.Int64]
        texts = [name for name in layout.values if name not in numbers]
        frame = (
            pl.DataFrame(values)
            .fill_nan(None)
            .with_columns(
                *_times(layout, moments),
                pl.col(whole).round().cast(pl.Int64),
                pl.lit(f"simulated_{entity + 1}").alias(layout.entity),
                *([pl.lit(f"kind_{entity % 2 + 1}").alias(layout.cohort)] if layout.cohort else []),
                *([pl.lit(0, pl.Int8).alias(layout.label)] if layout.label else []),
                *(pl.when(pl.Series(abnormal)).then(pl.lit("1")).alias(name) for name in marks[:1]),
                *(pl.lit(None, pl.String).alias(name) for name in [*marks[1:], *texts]),
            )
        )
        written = dict.fromkeys([*layout.required, *marks, *layout.values])
        return frame.select(name for name in layout.day_schema(written) if name in frame.columns)

    def _days_before(self, moments: NDArray[np.int64]) -> range:
        """The days on which a fault may have begun that is not over, counted from 1970."""
        if not len(moments):
            return range(0)
        return range(int(moments[0]) // DAY_SECONDS - 1, int(moments[-1]) // DAY_SECONDS + 1)

    def _faults(self, entity: int, day: int, values: int) -> list[Fault]:
        chance = np.random.default_rng([self._seed, entity, day])
        if chance.random() >= FAULTS_A_DAY:
            return []
        start = day * DAY_SECONDS + int(chance.integers(DAY_SECONDS))
        length = int(chance.uniform(1, 24) * 3600)
        kind = str(chance.choice(FAULTS))
        return [Fault(int(chance.integers(values)), kind, start, start + length, float(chance.uniform(4, 10)))]

    def _value(self, entity: int, number: int, moments: NDArray[np.int64], faults: list[Fault]) -> NDArray[np.float64]:
        """One value over time: what is measured, and what a faulty sensor makes of it."""
        of_entity = np.random.default_rng([self._seed, entity, number, 1])
        base, swing = 20.0 * (number + 1) + of_entity.uniform(-5, 5), of_entity.uniform(2, 4)
        phases, noise = of_entity.uniform(0, 2 * np.pi, 2), 0.2
        days = moments / DAY_SECONDS
        measured: NDArray[np.float64] = (
            base + swing * np.sin(2 * np.pi * days + phases[0]) + swing * np.sin(2 * np.pi * days / 9 + phases[1])
        )
        first = int(moments[0]) if len(moments) else 0
        measured += noise * np.random.default_rng([self._seed, entity, number, first]).standard_normal(len(moments))
        for fault in (one for one in faults if one.value == number):
            here = (moments >= fault.start) & (moments < fault.end)
            share = (moments[here] - fault.start) / (fault.end - fault.start)
            match fault.kind:
                case "stuck":
                    measured[here] = base
                case "jump":
                    measured[here] += fault.size * swing
                case "drift":
                    measured[here] += share * fault.size * swing
                case _:
                    measured[here] = np.nan
        return measured


def _times(layout: Layout, moments: NDArray[np.int64]) -> list[pl.Series]:
    """The column of times, and where it is put together of several the texts of these."""
    times = pl.Series(layout.time.name, moments * 1_000_000, dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
    parts = []
    if len(layout.time.column) > 1:
        local = times.dt.convert_time_zone(layout.time.time_zone)
        texts = local.dt.strftime(layout.time.format[0]).str.split(" ")
        parts = [texts.list.get(place).alias(name) for place, name in enumerate(layout.time.column)]
    return [times.cast(layout.time.dtype), *parts]
