"""What an evaluation says: counts, rates with intervals, curves, per cohort; as JSON and as Polars tables."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from statistics import median
from typing import TypeAlias

import polars as pl

from ae_assets.evaluation.bootstrap import spread
from ae_assets.evaluation.intervals import Floats, Rate

FORMAT_VERSION = 1

IN_USE = "in use"
"""The point of a detector's own threshold."""

Detection: TypeAlias = Mapping[str, Mapping[float, Rate]]
"""Share of the failed entities that are found, by detector and false alarm rate."""


@dataclass(frozen=True)
class Sample:
    """Which days and how many entities and rows an evaluation stands on.

    Attributes:
        start: first day of the range; its end, horizon, window and follow-up are those of the `Protocol` as well.
        known_until: labels after this day were not available.
        windows: complete windows in the range.
        rows: scored rows in the range, of so many days and entities.
        failures: entities that failed in the range, scored or not.
        failed: those with a scored row in their horizon; what the detection rate counts.
        unscored: those without one.
        healthy_entities: distinct entities among the healthy pairs.
        healthy_windows: healthy pairs; what the false alarm rate counts.
        censored_windows: pairs left out because the entity was not seen at the end of the horizon.
        windows_followed_short: healthy pairs whose horizon ends after `known_until`; some of them may yet turn out to
            belong to failing entities.
        healthy_rows: rows of healthy entities; what the row false positive rate counts.
        base_rate: failures per entity and window.
        not_judged: rows of the range without a score, which count for nothing.
        never_judged: entities that have only such rows.
    """

    start: date
    end: date
    known_until: date
    horizon_days: int
    window_days: int
    windows: int
    follow_up: str
    rows: int
    days: int
    entities: int
    failures: int
    failed: int
    unscored: tuple[str, ...]
    healthy_entities: int
    healthy_windows: int
    censored_windows: int
    windows_followed_short: int
    healthy_rows: int
    base_rate: float
    not_judged: int = 0
    never_judged: int = 0

    def in_words(self) -> str:
        """The counts that a reader needs beside any rate, and what was left out of them."""
        counted = (
            f"{self.start} to {self.end}: {self.failed:,} failed entities with a score in the {self.horizon_days} days "
            f"before failure, {self.healthy_windows:,} healthy {self.window_days}-day windows, "
            f"{self.rows:,} rows of {self.entities:,} entities."
        )
        nothing_to_detect = "Without a failed entity nothing is known of detection; false alarms are judged alone."
        unscored = f"{len(self.unscored):,} more failed without a score before."
        censored = f"{self.censored_windows:,} windows are left out: their entity vanished within the horizon."
        short = (
            f"Labels end on {self.known_until}: {self.windows_followed_short:,} of the windows are not followed "
            "through their horizon, and some of their entities may yet fail."
        )
        unjudged = (
            f"{self.not_judged:,} more rows were not judged, for want of what the score rests on, and count for "
            f"nothing; {self.never_judged:,} entities have no other rows."
        )
        unfollowed = "Entities that vanish without a label count as healthy."
        remarks = [
            (nothing_to_detect, not self.failed),
            (unscored, bool(self.unscored)),
            (censored, self.censored_windows > 0),
            (short, self.windows_followed_short > 0),
            (unjudged, self.not_judged > 0),
            (unfollowed, self.follow_up == "none"),
        ]
        return " ".join([counted, *(remark for remark, holds in remarks if holds)])


@dataclass(frozen=True)
class OperatingPoint:
    """What a detector does at one threshold.

    Attributes:
        name: `"FAR 1%"` for a threshold chosen on these very rows, else the name of a threshold that was given.
        target_false_alarm_rate: the rate that chose the threshold; None where it was given.
        threshold: an alarm is a score strictly above it.
        detection: share of failed entities with an alarm in their horizon. With a target rate the interval also covers
            the uncertainty of the threshold.
        false_alarm: share of healthy pairs with an alarm.
        row_false_positive: share of rows of healthy entities with an alarm.
        failure_day: share of entities scored on their day of failure that have an alarm on it; never part of detection.
        precision: probability that an entity with an alarm within a window fails within the horizon, at the fleet's
            base rate; None where there is no alarm.
        alarms_per_day: rows over the threshold per scored day, whatever became of them.
        new_alarms_per_day: those whose entity was not over it on its previous scored day.
        lead_days: for each detected entity the days from its first alarm in the horizon to its failure, ascending.
        missed: failed entities without an alarm, in order of name.
    """

    name: str
    target_false_alarm_rate: float | None
    threshold: float
    detection: Rate
    false_alarm: Rate
    row_false_positive: Rate
    failure_day: Rate
    precision: float | None
    alarms_per_day: float
    new_alarms_per_day: float
    lead_days: tuple[int, ...]
    missed: tuple[str, ...]

    @property
    def median_lead_days(self) -> float | None:
        """Median of `lead_days`; None where nothing was detected."""
        return float(median(self.lead_days)) if self.lead_days else None

    @property
    def row(self) -> dict[str, object]:
        """The point as a row of a table."""
        return {
            "point": self.name,
            "target_false_alarm_rate": self.target_false_alarm_rate,
            "threshold": self.threshold,
            **rate_columns("detection", self.detection),
            **rate_columns("false_alarm", self.false_alarm),
            "precision": self.precision,
            "median_lead_days": self.median_lead_days,
            "alarms_per_day": self.alarms_per_day,
            "new_alarms_per_day": self.new_alarms_per_day,
            "row_false_positive_rate": self.row_false_positive.value,
            "failure_day_rate": self.failure_day.value,
            "failure_day_entities": self.failure_day.total,
        }


@dataclass(frozen=True)
class DetectionCurve:
    """Detection rate over false alarm rate.

    Attributes:
        false_alarm_rate: the rates allowed, ascending; the threshold never lets more healthy pairs through.
        detection_rate: share of failed entities detected at each.
        low: lower end of the interval of the detection rate.
        high: upper end.
    """

    false_alarm_rate: tuple[float, ...] = ()
    detection_rate: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True)
class CohortResult:
    """Detection and false alarms of one cohort at a threshold shared by all cohorts."""

    cohort: str
    detection: Rate
    false_alarm: Rate


@dataclass(frozen=True)
class Evaluation:
    """One detector on one split.

    Attributes:
        points: operating points, those of the target rates first.
        cohorts: results per cohort, those with most failures first.
        cohorts_at: name of the operating point whose threshold `cohorts` used.
        resamples: bootstrap resamples behind the intervals.
        seed: of the bootstrap.
    """

    detector: str
    sample: Sample
    points: tuple[OperatingPoint, ...]
    curve: DetectionCurve
    cohorts: tuple[CohortResult, ...]
    cohorts_at: str
    resamples: int
    seed: int

    def point(self, *names: str) -> OperatingPoint:
        """The operating point of the first of these names that there is one of, else the first one."""
        points = {point.name: point for point in self.points}
        return next((points[name] for name in names if name in points), self.points[0])

    def to_table(self) -> pl.DataFrame:
        """One row per operating point, rates as numbers between 0 and 1."""
        rows = [{"detector": self.detector, **point.row} for point in self.points]
        return pl.DataFrame(rows, infer_schema_length=None)


@dataclass(frozen=True)
class Difference:
    """How much more a detector detects than the reference at the same false alarm rate, on the same entities.

    Attributes:
        target_false_alarm_rate: the rate at which both thresholds stand.
        value: difference of the detection rates; positive where the detector finds more.
        low: lower end of the paired bootstrap interval.
        high: upper end.
    """

    detector: str
    reference: str
    target_false_alarm_rate: float
    value: float
    low: float
    high: float


def differences_of(detection: Detection, reference: str, resampled: Floats) -> tuple[Difference, ...]:
    """The differences of all other detectors to the reference.

    Their intervals are of resampled detection rates (detectors, resamples, rates) in the order of `detection`.
    """
    base = list(detection).index(reference)
    differences = []
    for index, (name, rates) in enumerate(detection.items()):
        ends = zip(*spread(resampled[index] - resampled[base]), strict=True)
        for (target, rate), (low, high) in zip(rates.items(), ends, strict=True):
            value = (rate.value or 0.0) - (detection[reference][target].value or 0.0)
            differences.append(Difference(name, reference, target, value, float(low), float(high)))
    return tuple(one for one in differences if one.detector != reference)


@dataclass(frozen=True)
class Comparison:
    """Several detectors on one split.

    Attributes:
        evaluations: one per detector, in the order given.
        reference: the detector that the others are compared with.
        differences: of each other detector, at each target rate.
    """

    evaluations: tuple[Evaluation, ...]
    reference: str
    differences: tuple[Difference, ...]

    @property
    def detection(self) -> Detection:
        """The share of the failed entities that each detector finds at each target rate."""
        return {
            one.detector: {
                point.target_false_alarm_rate: point.detection
                for point in one.points
                if point.target_false_alarm_rate is not None
            }
            for one in self.evaluations
        }

    def to_table(self) -> pl.DataFrame:
        """One row per detector: its detection rate at each target rate with interval, and the sample sizes."""
        sample = self.of_reference.sample
        return detection_table(self.detection, sample.failed, sample.healthy_windows)

    @property
    def of_reference(self) -> Evaluation:
        """The reference's evaluation."""
        return next(one for one in self.evaluations if one.detector == self.reference)

    def to_json(self) -> str:
        """The comparison as JSON text with a format version; dates as YYYY-MM-DD."""
        return json.dumps({"format_version": FORMAT_VERSION, **asdict(self)}, default=str, allow_nan=False)


def far_name(rate: float) -> str:
    """What the point at a false alarm rate is called, such as ``FAR 1%``."""
    return f"FAR {100 * rate:g}%"


def detection_table(detection: Detection, failed: int, healthy_windows: int) -> pl.DataFrame:
    """One row per detector: the rate at each false alarm rate with its interval, and the sample sizes."""
    rows = []
    for detector, rates in detection.items():
        row: dict[str, object] = {"detector": detector}
        for target, rate in rates.items():
            name = far_name(target)
            row |= {f"detection at {name}": rate.value, f"{name} low": rate.low, f"{name} high": rate.high}
        rows.append({**row, "failed": failed, "healthy_windows": healthy_windows})
    return pl.DataFrame(rows)


def rate_columns(name: str, rate: Rate) -> dict[str, object]:
    """The columns of a rate in a table."""
    return {
        f"{name}_rate": rate.value,
        f"{name}_low": rate.low,
        f"{name}_high": rate.high,
        f"{name}_count": rate.count,
        f"{name}_total": rate.total,
    }
