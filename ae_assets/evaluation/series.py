"""The protocol of series: labelled intervals are events to be found, and alarms outside of them are false.

Records count, each for the time until the next one; no alarm is credited with more than the interval that it lies in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from ae_assets.errors import EvaluationError
from ae_assets.evaluation.bootstrap import RESAMPLES, cuts_at, spread
from ae_assets.evaluation.intervals import Flags, Floats, Rate, rate_by_entity, rate_of
from ae_assets.evaluation.results import IN_USE, Difference, far_name
from ae_assets.evaluation.target import Intervals
from ae_assets.schemas.durations import DAY
from ae_assets.schemas.records import ENTITY, PERIOD, key_of, keys_of, time_of

SERIES_FALSE_ALARM_RATES = (0.001, 0.01)
"""Shares of the records outside of intervals at which detectors are compared."""


@dataclass(frozen=True)
class SeriesSample:
    """What the figures of a range rest on.

    Attributes:
        start: first period.
        end: last period.
        entities: with a judged record.
        records: that were judged.
        abnormal_records: those of them within an interval.
        entity_days: time outside of intervals, as the records cover it, in days over all entities.
        intervals: with a judged record.
        unscored: intervals of known entities in the range of which no record was judged.
        not_judged: records without a score; they count for nothing.
        unknown: entities of intervals that no record names.
    """

    start: date
    end: date
    entities: int
    records: int
    abnormal_records: int
    entity_days: float
    intervals: int
    unscored: int
    not_judged: int
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class SeriesPoint:
    """What a detector does at one cut.

    Attributes:
        name: of the point.
        threshold: the cut.
        recall: share of the intervals with an alarm inside.
        false_alarm: share of the records outside of intervals with an alarm.
        precision: share of the records with an alarm that lie within an interval; None without alarms.
        alarms: records with an alarm.
        false_alarms: alarms outside of intervals, those of records that follow each other counted as one.
        false_alarms_per_entity_day: these for each day of an entity outside of intervals.
        missed: entity and start of each interval without an alarm.
    """

    name: str
    threshold: float
    recall: Rate
    false_alarm: Rate
    precision: float | None
    alarms: int
    false_alarms: int
    false_alarms_per_entity_day: float | None
    missed: tuple[str, ...]


@dataclass(frozen=True)
class SeriesComparison:
    """Several detectors on the same records.

    Attributes:
        sample: what the figures rest on.
        reference: the detector that the others are compared with.
        points: of each detector, by its name.
        differences: of the recall of the others to that of the reference, by false alarm rate.
    """

    sample: SeriesSample
    reference: str
    points: Mapping[str, tuple[SeriesPoint, ...]]
    differences: tuple[Difference, ...]


class Series:
    """The judged records of a range and the intervals that they lie in. Independent of any cut."""

    def __init__(self, scores: pl.DataFrame, target: Intervals, start: date, end: date, step: timedelta) -> None:
        """Finds out which records lie in which interval.

        Args:
            scores: ``day, entity, score`` and, where the table has it, ``time``, a row for each record, null = not
                judged; rows outside the range are ignored.
            target: the intervals.
            start: first period of the range.
            end: last period.
            step: how long a record counts for.

        Raises:
            EvaluationError: no record of the range was judged.
        """
        given = scores.filter(pl.col(PERIOD).is_between(start, end))
        self._keys = list(keys_of(scores.columns))
        self._start, self._end = start, end
        rows = given.drop_nulls("score").sort(ENTITY, key_of(scores.columns)[0])
        if rows.is_empty():
            raise EvaluationError(
                f"none of the {given.height} records between {start} and {end} was judged; materialise anomalies for "
                "those days"
            )
        self.rows = rows.select(*self._keys, interval=target.numbers(rows))
        self._inside = self.rows["interval"].is_not_null().to_numpy()
        self._outside_of = self.rows[ENTITY].rle_id().to_numpy().astype(np.int64)[~self._inside]
        first, last = (given.select(time_of(given.columns)).to_series().sort().item(place) for place in (0, -1))
        of_known = target.frame.with_row_index("interval").filter(~pl.col(ENTITY).is_in(target.unknown))
        in_range = of_known.filter(pl.col("start") <= last, pl.col("end") >= first)
        found = self.rows["interval"].drop_nulls().unique().sort()
        self._events = in_range.filter(pl.col("interval").is_in(found.implode())).sort("interval")
        self.sample = SeriesSample(
            start=start,
            end=end,
            entities=self.rows[ENTITY].n_unique(),
            records=self.rows.height,
            abnormal_records=int(self._inside.sum()),
            entity_days=int((~self._inside).sum()) * (step / DAY),
            intervals=self._events.height,
            unscored=in_range.height - self._events.height,
            not_judged=given.height - rows.height,
            unknown=target.unknown,
        )

    def align(self, scores: pl.DataFrame, detector: str) -> Floats:
        """Another detector's scores of the same records; where it does not judge one it raises no alarm.

        Raises:
            EvaluationError: it scores other records.
        """
        inside = scores.filter(pl.col(PERIOD).is_between(self._start, self._end))
        own = self.rows.select(self._keys).join(inside, on=self._keys, how="left", maintain_order="left")
        if inside.height != self.sample.records + self.sample.not_judged or own.height != self.rows.height:
            raise EvaluationError(
                f"{detector} has {inside.height} records between {self._start} and {self._end}, and the reference "
                f"{self.sample.records + self.sample.not_judged}; score the same periods and entities with each"
            )
        return own.select(pl.col("score").fill_null(-np.inf).cast(pl.Float64)).to_series().to_numpy()

    def found(self, alarms: Flags) -> Flags:
        """Whether each interval has an alarm inside."""
        hit = self.rows["interval"].filter(pl.Series(alarms)).drop_nulls().unique()
        return self._events["interval"].is_in(hit.implode()).to_numpy()

    def cuts_at(self, scores: Floats, rates: Floats) -> Floats:
        """The lowest cut at each rate that lets no more than that share of the records outside of intervals through.

        Raises:
            EvaluationError: every record lies within an interval.
        """
        outside = scores[~self._inside]
        if not len(outside):
            raise EvaluationError(
                f"every judged record between {self._start} and {self._end} lies within a labelled interval, so false "
                "alarms cannot be counted; judge a longer range"
            )
        return cuts_at(outside, rates)

    def point(self, alarms: Flags, cut: float, name: str) -> SeriesPoint:
        """What the alarms of a cut are worth, given as a flag for each of `rows`."""
        found, sample = self.found(alarms), self.sample
        runs = self._false_runs(alarms)
        missed = self._events.filter(pl.Series(~found)).select(
            pl.format("{} from {}", ENTITY, pl.col("start").dt.to_string("%Y-%m-%d %H:%M"))
        )
        return SeriesPoint(
            name=name,
            threshold=cut,
            recall=rate_of(found),
            false_alarm=rate_by_entity(self._outside_of, alarms[~self._inside]),
            precision=float((alarms & self._inside).sum() / alarms.sum()) if alarms.any() else None,
            alarms=int(alarms.sum()),
            false_alarms=runs,
            false_alarms_per_entity_day=runs / sample.entity_days if sample.entity_days else None,
            missed=tuple(missed.to_series()),
        )

    def _false_runs(self, alarms: Flags) -> int:
        """Runs of alarms on records of an entity that follow each other, none of them within an interval."""
        marked = self.rows.select(ENTITY, alarm=pl.Series(alarms), inside=pl.Series(self._inside))
        runs = marked.group_by(pl.struct(ENTITY, "alarm").rle_id().alias("run")).agg(
            pl.col("alarm").first(), pl.col("inside").any()
        )
        return runs.filter(pl.col("alarm") & ~pl.col("inside")).height


def compare_series(
    series: Series,
    scores: Mapping[str, pl.DataFrame],
    *,
    reference: str,
    in_use: Mapping[str, tuple[float, pl.DataFrame]] | None = None,
    rates: tuple[float, ...] = SERIES_FALSE_ALARM_RATES,
) -> SeriesComparison:
    """Judges detectors on the same records, at their own thresholds and at the same false alarm rates.

    Args:
        series: the records, from the reference's scores.
        scores: of each detector, as `Series` takes them.
        reference: the detector that the others are compared with.
        in_use: of each detector the fitted cut, and how far each score lies above the cut of its record.
        rates: shares of the records outside of intervals, in (0, 1).

    Raises:
        EvaluationError: a detector scores other records, or none lies outside of the intervals.
    """
    points: dict[str, tuple[SeriesPoint, ...]] = {}
    found: dict[str, list[Flags]] = {}
    for name, frame in scores.items():
        aligned = series.align(frame, name)
        given = series.cuts_at(aligned, np.asarray(rates))
        at_rates = [aligned > cut for cut in given]
        found[name] = [series.found(alarms) for alarms in at_rates]
        points[name] = tuple(
            series.point(alarms, float(cut), far_name(one))
            for alarms, cut, one in zip(at_rates, given, rates, strict=True)
        )
        if in_use is not None:
            cut, margins = in_use[name]
            points[name] = (*points[name], series.point(series.align(margins, name) > 0, cut, IN_USE))
    differences = tuple(
        recall_difference(found[name][place], found[reference][place], name, reference, one)
        for name in scores
        if name != reference and series.sample.intervals
        for place, one in enumerate(rates)
    )
    return SeriesComparison(series.sample, reference, points, differences)


def recall_difference(found: Flags, by_reference: Flags, name: str, reference: str, at: float) -> Difference:
    """By how much the recall of one detector is higher, with a 95% interval of a paired bootstrap over the intervals.

    The flags say of each interval, at least one, whether the detector and whether the reference found it; both at the
    same false alarm rate.
    """
    apart = found.astype(np.float64) - by_reference.astype(np.float64)
    drawn = np.random.default_rng(0).integers(0, len(apart), (RESAMPLES, len(apart)))
    low, high = spread(apart[drawn].mean(axis=1))
    return Difference(name, reference, at, float(apart.mean()), float(low), float(high))
