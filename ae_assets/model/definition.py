"""The definition of one watched table: every key of its ``defs.yaml``, typed, with defaults and a word on each.

No Dagster in here: the component reads this model from YAML, the chain is driven by it. The words below a key are its
description in docs/reference.md and in editors (`schemas/section.py`).
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from pathlib import PurePath
from typing import Annotated, Literal, Self

import polars as pl
from pydantic import Field, field_validator, model_validator

from ae_assets.decisions.config import DecisionConfig
from ae_assets.detectors.config import DetectorConfig
from ae_assets.detectors.networks.dense import DenseAutoencoderConfig
from ae_assets.detectors.settings import COHORT, ENTITY, TABLE
from ae_assets.features.config import FeatureConfig
from ae_assets.features.settings import FeatureSettings
from ae_assets.model.life import LifeRange
from ae_assets.schemas.columns import ColumnsSection
from ae_assets.schemas.durations import DAY, Duration, whole_days, written
from ae_assets.schemas.layouts.drive_stats_columns import DRIVE_STATS
from ae_assets.schemas.layouts.layout import Layout
from ae_assets.schemas.layouts.own import layout_of
from ae_assets.schemas.periods import DAILY, PERIODS, Partitions, Periods
from ae_assets.schemas.reading import (
    MISSING_MARKERS,
    DaysPerFile,
    DecimalMark,
    Format,
    LastLineEnd,
    Lines,
    Reading,
    Separator,
)
from ae_assets.schemas.records import Rhythm
from ae_assets.schemas.section import Section
from ae_assets.thresholds.config import ThresholdConfig
from ae_assets.thresholds.percentile import PercentileConfig

Rate = Annotated[float, Field(gt=0, lt=1)]
Days = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Text = Annotated[str, Field(min_length=1)]
Hours = Annotated[float, Field(ge=0.02)]  # Dagster takes a minute at least


class LinesSection(Section):
    """What the lines of CSV files lack."""

    columns: tuple[Text, ...] = ()
    """The names of their fields, where files have no header line."""
    begin: datetime | None = None
    """The time of the first line of each file, where no column says the time: source.columns.time is then {column:
    time, format: "%Y-%m-%d %H:%M:%S", cadence: STEP}, and each line is a step later than the one before."""
    step: Duration | None = None
    """From each line to the next, 1s or longer."""

    @model_validator(mode="after")
    def _a_beginning_has_a_step(self) -> Self:
        if (self.begin is None) != (self.step is None):
            raise ValueError("begin and step say the times of lines together; name both or neither")
        if self.begin is not None and self.begin.tzinfo is not None:
            raise ValueError("begin is what the clock of source.columns.time.time_zone showed; leave out the offset")
        return self


class SourceSection(Section):
    """Where the raw rows come from."""

    location: Text
    """A folder of files or archives, one of them, an http(s) address of an archive, s3://bucket/prefix,
    iceberg://catalog/namespace.table, cassandra://host/keyspace.table, kafka://host/topic, or
    simulated://?drives=4000&days=120&seed=7."""
    layout: Literal["drive_stats", "columns"] = "drive_stats"
    """What the files' columns are called. drive_stats: the official files of Backblaze. columns: as source.columns
    says; it need not be written where these are there."""
    columns: ColumnsSection | None = None
    """The contract of a table's own columns, instead of layout: drive_stats."""
    separator: Separator = ","
    """What stands between the fields of a line of a CSV file."""
    decimal_mark: DecimalMark = "."
    """What stands before the decimals of a number in CSV."""
    missing_markers: tuple[str, ...] = MISSING_MARKERS
    """Cells that hold nothing but one of these are missing, in upper or lower case alike. An empty cell always is, also
    in quotes. Numbers (-9999) stand for their value."""
    last_line_end: LastLineEnd = "required"
    """required: a CSV file whose last line has no line end was cut off and fails its day. optional: it is read if that
    line has all its fields, for writers that leave the line end out."""
    format: Format | None = None
    """The format of all files; left out: by the ending, .csv, .parquet, .jsonl or .ndjson."""
    files: Text | None = None
    """The files that hold rows of this table, by their names without folders, e.g. "Flow_*.csv"; left out: all."""
    lines: LinesSection | None = None
    """What the lines of CSV files lack: names of columns, or times."""
    days_per_file: DaysPerFile = "one"
    """one: a file holds a day and is named after it, YYYY-MM-DD.csv (hours, weeks: docs/tables.md). many: a file holds
    many days, by the time of each row, and may have any name; when it changes, the days that changed are loaded
    again."""

    @field_validator("location", mode="before")
    @classmethod
    def _location_is_filled_in(cls, location: object) -> object:
        if isinstance(location, bool | float | date):
            # A ValueError, since pydantic does not report a TypeError with its key.
            raise ValueError("expected text; put ./ before a folder that is called so, e.g. ./2024.10")  # noqa: TRY004
        if isinstance(location, str) and location.strip().upper() == "FILL_IN":
            raise ValueError("name the folder, archive or address of the source here")
        return str(location) if isinstance(location, int) else location

    @field_validator("missing_markers", mode="before")
    @classmethod
    def _markers_are_words(cls, markers: object) -> object:
        if not isinstance(markers, list | tuple):
            return markers
        # YAML takes the word null, and a template the word None, for nothing.
        words = ["null" if one is None else str(one) if type(one) in (int, float) else one for one in markers]
        return [*words, "none"] if None in markers else words

    @model_validator(mode="before")
    @classmethod
    def _columns_are_a_layout(cls, section: object) -> object:
        if isinstance(section, dict) and section.get("columns") is not None and "layout" not in section:
            return {**section, "layout": "columns"}
        return section

    @model_validator(mode="after")
    def _one_contract(self) -> Self:
        if self.layout == "columns" and self.columns is None:
            raise ValueError("layout: columns needs source.columns, which name the time, the entity and the values")
        if self.layout != "columns" and self.columns is not None:
            raise ValueError(f"received source.columns and layout: {self.layout}; leave out one of them")
        if self.columns is not None and self.columns.metric is not None and self.days_per_file == "one":
            raise ValueError("columns.metric puts rows of several files together; say days_per_file: many")
        if self.separator == self.decimal_mark:
            raise ValueError(
                'separator and decimal_mark are both ","; name the separator that the files have, e.g. ";"'
            )
        return self

    @property
    def contract(self) -> Layout:
        """What the columns of the files are called, and what their rows promise."""
        return DRIVE_STATS if self.columns is None else layout_of(self.columns)

    @property
    def reading(self) -> Reading:
        """How the source's files are written."""
        return Reading(
            self.missing_markers,
            self.last_line_end,
            self.contract,
            self.separator,
            self.decimal_mark,
            self.format,
            self.days_per_file,
            files=self.files,
            lines=None if self.lines is None else Lines(self.lines.columns, self.lines.begin, self.lines.step),
        )


class TargetSection(Section):
    """What is known to have gone wrong, where the files themselves do not say it."""

    file: Text | None = None
    """A file of the intervals in which devices were abnormal: CSV with the columns entity, start, end and, if wanted,
    kind; JSON with a list of such objects, or {"entity": [["start", "end"], ...]} as Numenta writes it. A path from the
    YAML's folder, or where a source may lie."""


TargetKind = Literal["failures", "intervals"]


class TrainingSection(Section):
    """Which drive-days a detector learns from."""

    horizon_days: Days = 30
    """Days before a failure in which a drive does not count as healthy; also the horizon of detection."""
    days: Days = 60
    """Length of the training range when a run names none, counted from its start."""
    records: Count | None = None
    """Of counted_from: entity, instead of days: so many first records of each device, for series that are shorter than
    days, or of which some have a record each minute and others each hour."""
    counted_from: Literal["calendar", "entity"] = "calendar"
    """calendar: the days of training, embargo and calibration follow each other for all devices at once. entity: they
    are the first days, or records, of each device's own, wherever in the range these lie, for series that do not run
    side by side; a device is judged after them, and begins again after an absence as long as the look-back of its
    features."""
    validation_share: Rate = 0.1
    """Share of drives, chosen by hash, kept for early stopping."""
    max_rows: Annotated[int, Field(ge=1_000)] = 2_000_000
    """Drive-days held in memory for training; larger ranges keep whole drives, chosen by hash."""
    seed: int = 7
    """Seed of the split, the sampling and the weights."""


class CalibrationSection(Section):
    """Which days the threshold is chosen on: they follow the training range and precede every day it is judged on."""

    embargo_days: Annotated[int, Field(ge=0)] = 7
    """Days left out between the training range and the calibration range."""
    days: Days = 23
    """Length of the calibration range."""
    records: Count | None = None
    """Where training.records are counted: so many records of each device, after those."""
    embargo_records: Annotated[int, Field(ge=0)] = 0
    """Records left out between the two."""


class ChecksSection(Section):
    """What the asset checks allow."""

    window_days: Days = 30
    """Days that the two rate checks pool."""
    min_detection_rate: Rate = 0.1
    """detection_rate_is_acceptable fails when even the upper 95% bound lies below."""
    max_false_alarm_rate: Rate = 0.05
    """false_alarm_rate_is_acceptable fails when even the lower 95% bound lies above."""
    max_alarm_share: Rate = 0.05
    """Largest plausible share of a day's judged drives with an alarm."""
    max_share_not_judged: Rate = 0.02
    """Largest share of a day's drives that report nothing which a score would rest on."""
    max_share_set_aside: Share = 0.05
    """Largest share of a day's rows in quarantine with which the others are still scored."""
    min_cohort_devices: Count = 5
    """Devices from which on a cohort is missed when a day has no row of features of it."""
    max_open_episodes_gone: Annotated[int, Field(ge=0)] = 0
    """Devices with an open episode that may be gone on a day: without a row, and not muted or known to have failed."""
    max_score_drift: Annotated[float, Field(gt=0)] = 0.25
    """Largest population stability index of the latest scores against calibration that does not matter; of few devices
    chance alone may reach a higher one, which is allowed too."""
    max_feature_drift: Annotated[float, Field(gt=0)] = 0.25
    """The same for each feature and for the cohort mix."""
    drift_days: Days = 7
    """Days of which the two drift checks take each device's latest record."""
    drift_false_alarm_rate: Rate = 0.01
    """Largest probability that a drift check names anything though devices are distributed as in calibration, over all
    its quantities together."""
    volume_low: Rate = 0.5
    """A day with fewer rows than this share of the usual is implausible."""
    volume_high: Annotated[float, Field(gt=1)] = 2.0
    """A day with more rows than this multiple of the usual is implausible."""


class RetrainingSection(Section):
    """When a challenger is trained without being asked for, and when a new model replaces the champion."""

    cron_schedule: str | None = None
    """Five fields of cron, e.g. "0 6 * * 1" for Mondays at six; without it no schedule trains a model."""
    timezone: str = "UTC"
    """Time zone of the cron schedule, e.g. Europe/Berlin."""
    window_days: Days = 30
    """Latest labelled days on which champion and challenger are compared. More days hold more failures; a scheduled
    challenger learns from days that are older by as many."""
    false_alarm_rate: Rate = 0.01
    """False alarm rate at which their detection rates are compared."""
    margin: Share = 0.05
    """A challenger that detects less by more than this is rejected even where failures are too few to show that it is
    worse."""


class RetentionSection(Section):
    """How many days the tables hold, counted back from the newest day that each holds; without a number all of them."""

    raw: Days | None = None
    """Days of raw rows."""
    features: Days | None = None
    """Days of features."""
    quarantine: Days | None = None
    """Days of quarantined rows."""
    anomalies: Days | None = None
    """Days of anomalies."""
    stream: Days | None = None
    """Days of what was landed of a topic; a period goes once raw has all of its records."""
    dead_letters: Days | None = None
    """Days of the records of a topic that are none, by when they were sent."""


class MaintenanceSection(Section):
    """How long replaced rows stay readable, when files that nothing names are removed, and how many days are held."""

    cron_schedule: str | None = None
    """Five fields of cron, e.g. "30 3 * * 0" for Sundays; without it only on demand."""
    timezone: str = "UTC"
    """Time zone of the cron schedule."""
    keep_days: Days = 5
    """Days for which the tables can be read as they were, and for which files of broken runs are left alone. Longer
    than the longest run."""
    keep_snapshots: Count = 5
    """Last states of each table that stay readable however old they are, the current one included."""
    retention_days: RetentionSection = RetentionSection()


class FreshnessSection(Section):
    """How old the newest raw and anomalies may be. Not judged unless set: a source may publish once a quarter."""

    warn_after_hours: Hours | None = None
    """Hours after the end of the newest hour, day or week (UTC) until a warning."""
    fail_after_hours: Hours | None = None
    """Hours until it counts as failed; without it nothing is judged."""

    @model_validator(mode="after")
    def _a_warning_comes_before_the_failure(self) -> Self:
        if self.warn_after_hours is not None and not self.warn_after_hours < (self.fail_after_hours or 0):
            raise ValueError(
                f"warn_after_hours {self.warn_after_hours:g} needs a fail_after_hours that is longer, received "
                f"{self.fail_after_hours}"
            )
        return self


class SensorSection(Section):
    """The landing sensor, which requests runs for new or replaced days, and the automation of the days that follow."""

    enabled: bool = False
    """Whether the two sensors start switched on."""
    interval_seconds: Annotated[int, Field(ge=5)] = 60
    """Seconds between two looks."""
    max_runs_per_tick: Count = 10
    """Most runs requested by one look."""


class WatchedTable(Section):
    """One table under watch."""

    table: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    """Name of the table: lower case letters, digits and underscores."""
    only_with: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """An environment variable without which the table is not loaded, such as that of its location."""
    description: str = ""
    """What the table holds, shown in the UI."""
    owners: tuple[str, ...] = ()
    """E-mail addresses or team:NAME, shown in the UI."""
    partitions: Partitions = "daily"
    """By which periods rows are stored and made: hourly, daily or weekly (from Monday), in UTC."""
    engine: Literal["local", "spark"] = "local"
    """What makes raw, features, quarantine and anomalies. local: this process, a period at a time. spark: Spark, for
    fleets of any size, with the extra spark (docs/spark.md). Both give the same rows."""
    start: date | None = None
    """The first day that can be watched; left out: the first of the source."""
    end: date | None = None
    """The last day, for a table that has ended; left out: the last of a source that has ended, or none."""
    source: SourceSection
    target: TargetSection = TargetSection()
    features: FeatureConfig
    training: TrainingSection = TrainingSection()
    detector: DetectorConfig = DenseAutoencoderConfig()
    """The detector whose scores are in the anomaly table."""
    comparisons: tuple[DetectorConfig, ...] = ()
    """Detectors and rules fitted and judged beside it on the same split."""
    threshold: ThresholdConfig = PercentileConfig()
    """The policy that chooses the cut."""
    calibration: CalibrationSection = CalibrationSection()
    decision: DecisionConfig = DecisionConfig()
    """What becomes of a score: aggregation, episodes, mute list."""
    checks: ChecksSection = ChecksSection()
    retraining: RetrainingSection = RetrainingSection()
    maintenance: MaintenanceSection = MaintenanceSection()
    freshness: FreshnessSection = FreshnessSection()
    sensor: SensorSection = SensorSection()

    @field_validator("owners")
    @classmethod
    def _owners_are_people_or_teams(cls, owners: tuple[str, ...]) -> tuple[str, ...]:
        for owner in owners:
            if "@" not in owner and not owner.startswith("team:"):
                raise ValueError("an owner is an e-mail address or team:NAME")
        return owners

    @model_validator(mode="after")
    def _no_key_contradicts_another(self) -> Self:
        for contradictions in (self._wrong_times(), self._wrong_target(), self._wrong_lengths(), self._wrong_groups()):
            for says in contradictions:
                raise ValueError(says)
        return self

    def _wrong_times(self) -> Iterator[str]:
        periods, columns = self.periods, self.source.columns
        if self.end is not None and self.start is not None and self.end < self.start:
            yield f"end {self.end} lies before start {self.start}"
        if self.end is not None and self.freshness.fail_after_hours is not None:
            yield f"the table ends on {self.end}, so it would never be fresh again; leave out freshness"
        if columns is None:
            if periods is not DAILY:
                yield f"layout: {self.source.layout} has a file for each day, received {self.partitions}"
            return
        time, step = columns.time, periods.step
        if not time.has_time_of_day and step < DAY:
            yield (
                f"partitions: {self.partitions} need times with a time of day; say in source.columns.time.format how "
                'they are written, such as "%Y-%m-%d %H:%M"'
            )
        if time.cadence is None:
            return
        cadence = f"source.columns.time.cadence {written(time.cadence)}"
        if time.cadence > step:
            yield (
                f"{cadence} is longer than the {periods.noun} by which rows are stored; leave it out where a device "
                "has one record in it, or choose longer partitions"
            )
        if not time.has_time_of_day and (time.cadence < DAY or step <= DAY):
            yield (
                f"{cadence} needs times with a time of day, which tell the records of a {periods.noun} apart; say in "
                'source.columns.time.format how they are written, such as "%Y-%m-%d %H:%M", or leave out cadence where '
                "a device has one record in it"
            )

    def _wrong_target(self) -> Iterator[str]:
        layout = self.layout
        marks = (layout.label,) if layout.abnormal is None else layout.abnormal.columns
        if self.target.file is not None and any(marks):
            yield (
                f"target.file names intervals, and the column {marks[0]} of the source is a label; one table has one "
                "target, so leave out one of them"
            )
        if self.training.counted_from == "entity" and self.target_kind == "failures":
            yield (
                "training.counted_from: entity gives each device days of its own, and failures are known by a horizon "
                "after days that all share; leave it out, or name intervals (target.file)"
            )
        if self.threshold.needs_failures and self.target_kind != "failures":
            known = "labelled intervals" if self.target_kind == "intervals" else "nothing"
            yield (
                f"threshold.policy {self.threshold.name} is chosen by devices that failed, and of this table {known} "
                "is known; name the column of failures in source.columns.label, or choose another policy, e.g. "
                "target_far"
            )

    def _wrong_lengths(self) -> Iterator[str]:
        aggregation, episodes, rhythm = self.decision.aggregation, self.decision.episodes, self.rhythm
        embargo = self.calibration.embargo_days
        look_back = whole_days(rhythm.look_back(aggregation.window))
        if self.training.records is not None:
            yield from self._wrong_records()
        elif look_back > embargo:
            yield (
                f"decision.aggregation.span {written(aggregation.span)} looks back on {look_back} days before the "
                f"calibration range and calibration.embargo_days is {embargo}, so the cut would rest on scores of "
                f"training days; make the embargo {look_back} days or longer, or aggregate over less"
            )
        seen = self.calibration_of_life(self.learned)
        if seen is not None and seen.last * (DAY if seen.unit == "days" else rhythm.step) >= self.features.look_back:
            yield (
                f"training.counted_from: entity tells the first {seen.last} {seen.unit} of a device by the look-back "
                f"of its features, which is {written(self.features.look_back)}; make one of features.spans longer than "
                "those of training, embargo and calibration together"
            )
        if (episodes.alarms - 1) * rhythm.step >= episodes.within and episodes.alarms > 1:
            yield (
                f"decision.episodes.alarms: {episodes.alarms} alarms cannot lie within {written(episodes.within)}, as "
                f"a device has a record each {written(rhythm.step)}; raise within to "
                f"{written(episodes.alarms * rhythm.step)} or more"
            )
        if self.retraining.window_days < self.checks.window_days:
            yield (
                f"retraining.window_days {self.retraining.window_days} is shorter than checks.window_days "
                f"{self.checks.window_days}, so no false alarm rate could be measured; make it as long or longer"
            )
        read_back = {
            "features.spans": self.features.look_back,
            "training.days": self.training.days * DAY,
            "calibration.embargo_days": embargo * DAY,
            "calibration.days": self.calibration.days * DAY,
            "training.horizon_days": self.horizon_days * DAY,
            "retraining.window_days": self.retraining.window_days * DAY,
        }
        # Of each as many whole periods are read as hold it.
        needed = {key: whole_days(self.periods.count(length) * self.periods.step) for key, length in read_back.items()}
        parts, total = " + ".join(f"{days} ({key})" for key, days in needed.items()), sum(needed.values())
        for asset in ("raw", "features", "anomalies"):
            retained = getattr(self.maintenance.retention_days, asset)
            if retained is not None and retained < total:
                yield (
                    f"maintenance.retention_days.{asset} {retained} is shorter than the chain reads back: {parts} = "
                    f"{total} days; make it as long or longer, or leave it out to keep all"
                )

    def _wrong_groups(self) -> Iterator[str]:
        known = [TABLE, ENTITY, *([] if self.layout.cohort is None else [COHORT]), *self.features.groups]
        for name in self.features.groups:
            if self.layout.type_of(name) != pl.String:
                yield f"features.groups: {name} holds no text; name columns of text, or leave it out"
        for per in dict.fromkeys(one.per for one in (self.detector, *self.comparisons)):
            if per not in known:
                yield f"detector.per: received {per}, expected {', '.join(known)} or a column of features.groups"

    def _wrong_records(self) -> Iterator[str]:
        aggregation, rhythm, embargo = self.decision.aggregation, self.rhythm, self.calibration.embargo_records
        if self.training.counted_from != "entity" or rhythm.cadence is None or self.calibration.records is None:
            yield (
                "training.records are the first of each device: they need training.counted_from: entity, "
                "source.columns.time.cadence, and calibration.records, which follow them"
            )
        elif rhythm.look_back(aggregation.window) > embargo * rhythm.step:
            yield (
                f"decision.aggregation.span {written(aggregation.span)} looks back on more than the "
                f"{embargo} records of calibration.embargo_records, so the cut would rest on scores of training "
                "records; make the embargo longer, or aggregate over less"
            )

    @property
    def periods(self) -> Periods:
        return PERIODS[self.partitions]

    @property
    def rhythm(self) -> Rhythm:
        """By which periods it is kept, and how the records of a device follow each other."""
        return Rhythm(self.periods, None if self.source.columns is None else self.source.columns.time.cadence)

    @property
    def reading(self) -> Reading:
        return replace(self.source.reading, periods=self.periods)

    @property
    def is_of_a_topic(self) -> bool:
        """Whether its records are landed from a topic of Kafka."""
        return self.source.location.lower().startswith("kafka:")

    @property
    def layout(self) -> Layout:
        return self.source.contract

    @property
    def target_kind(self) -> TargetKind | None:
        """What is known to have gone wrong: when devices failed, or when they were abnormal; None: nothing is."""
        layout = self.layout
        if layout.label is not None:
            return "failures"
        return None if layout.abnormal is None and self.target.file is None else "intervals"

    @property
    def target_settings(self) -> dict[str, object]:
        """Where the target is read from, by key of the YAML, as far as a preset leaves it open; a file by its name."""
        columns, file = self.source.columns, self.target.file
        label = None if columns is None or columns.label is None else columns.label.model_dump(mode="json")
        name = None if file is None else PurePath(file.partition("?")[0]).name  # what follows may be a secret
        return {"source.columns.label": label, "target.file": name}

    @property
    def horizon_days(self) -> int:
        """Days before a failure in which an alarm counts as detection; none where failures are not what is known."""
        return self.training.horizon_days if self.target_kind == "failures" else 0

    @property
    def learned(self) -> LifeRange | None:
        """Which first days or records of each device are learned from; None: days of the calendar."""
        if self.training.counted_from == "calendar":
            return None
        records = self.training.records
        return LifeRange(1, self.training.days) if records is None else LifeRange(1, records, "records")

    def calibration_of_life(self, learned: LifeRange | None) -> LifeRange | None:
        """On which days or records of each device the threshold is chosen of a model that has learned from the first.

        None as `learned`.
        """
        asked = self.calibration
        if learned is None or learned.unit == "days":
            return None if learned is None else learned.after(asked.embargo_days, asked.days)
        return learned.after(asked.embargo_records, asked.records or asked.days)

    @property
    def feature_settings(self) -> FeatureSettings:
        """What features are made by: the attributes, and of the source its contract, but not where it lies."""
        source: dict[str, object] = {
            "layout": self.source.layout,
            "missing_markers": sorted(self.source.missing_markers),
        }
        if self.source.columns is not None:
            unit = {"values": {"__all__": {"unit"}}}  # changes no number
            columns = self.source.columns.model_dump(mode="json", exclude=unit)
            for section, key in ((columns["time"], "cadence"), (columns, "metric")):
                if section[key] is None:  # as it was before there was such a key
                    del section[key]
            if self.layout.abnormal is not None:  # which no feature rests on
                columns["label"] = None
            source["columns"] = columns
        if self.partitions != "daily":
            source["partitions"] = self.partitions
        return FeatureSettings(self.features, source)
