r"""Detectors of a table of series, each device's year apart: fitted on the first of its records, judged on the last.

    WATER_LEVEL_LOCATION=/data/logan_river.zip python -m benchmarks.series_split water_level

`ae-assets evaluate` judges all devices on one range of days; series of different years have none in common. Features,
fits, scores, aggregation and figures are the chain's own; only the lakehouse is left out. Each run of records that
cells mark as abnormal (`source.columns.label`) is an event; the fit leaves them out, or learns from them where the
detector does, unless ``--unlabelled``. The years of a device in which nothing is marked are left out: nobody has looked
at them.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import numpy as np
import polars as pl

from ae_assets.chain.raw_columns import RawColumns
from ae_assets.cli.instance import load_table
from ae_assets.decisions.aggregation import aggregate
from ae_assets.detectors import TrainingData, fit, windows_of
from ae_assets.detectors.config import (
    DetectorConfig,
    EcodConfig,
    EnsembleConfig,
    GradientBoostingConfig,
    IsolationForestConfig,
    MatrixProfileConfig,
    PcaConfig,
)
from ae_assets.detectors.networks.classifiers import (
    BidirectionalLstmClassifierConfig,
    ConvolutionalClassifierConfig,
    LstmClassifierConfig,
    SpectrogramClassifierConfig,
)
from ae_assets.detectors.networks.convolutional import ConvolutionalAutoencoderConfig
from ae_assets.detectors.networks.lstm import LstmAutoencoderConfig
from ae_assets.detectors.networks.variational import VariationalAutoencoderConfig
from ae_assets.evaluation.intervals import rate
from ae_assets.evaluation.protocols.alarms import AlarmFigures, alarm_figures
from ae_assets.evaluation.protocols.curves import average_precision, vus_pr
from ae_assets.evaluation.protocols.labelled_series import LabelledSeries, labelled_series
from ae_assets.evaluation.target import Intervals, joined, labelled_pieces
from ae_assets.features.catalogue import catalogue, feature_names
from ae_assets.model.baselines import all_baselines
from ae_assets.model.definition import WatchedTable
from ae_assets.model.preparation import Preparation
from ae_assets.reports.tables import markdown_table
from ae_assets.schemas.contracts import contract_of
from ae_assets.schemas.intervals import INTERVAL_SCHEMA
from ae_assets.schemas.records import TIME_TYPE
from ae_assets.sources import open_source

FALSE_ALARMS_A_DAY = 0.1
"""False alarms for each day of a device at which the events that are found are counted."""

CUTS = 400

_BLOCKS, _EVERY = 50, 10
"""The records to learn from are cut into blocks, of which each tenth is kept to stop networks by."""


@dataclass(frozen=True)
class Records:
    """The features of all records, ``entity`` being a device's year, and what is marked as abnormal."""

    features: pl.DataFrame
    events: pl.DataFrame
    table: WatchedTable

    @cached_property
    def place(self) -> pl.Series:
        """Where each record stands among those of its device's year, from 0 to 1."""
        number = pl.int_range(pl.len()).over("entity", order_by="time")
        return self.features.select(number / pl.len().over("entity")).to_series()

    def normal(self, window: timedelta | None) -> pl.Series:
        """Whether each record may be learned from; a label reaches as far as the chain lets it."""
        intervals = Intervals(joined(self.events, 3 * self.table.rhythm.step))
        return intervals.normal(self.features, self.table.rhythm.look_back(window))


@dataclass(frozen=True)
class Parts:
    """Shares of each device's year: what is learned from until ``fitted``, and the cut chosen on until ``judged``."""

    fitted: float
    judged: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a table of figures."""
    given = _arguments(arguments)
    table = load_table(given.table)[1]
    records = read(table)
    print(_sample(records, given.judged), file=sys.stderr)
    rows = []
    for name, config in detectors(table, given.detectors).items():
        scores = scored(
            records, config, Parts(given.fitted or given.judged, given.judged), labelled=not given.unlabelled
        )
        rows.append({"detector": name, **figures(records, scores, given.judged)})
        print(name, file=sys.stderr)
    print(markdown_table(pl.DataFrame(rows)))
    return 0


def detectors(table: WatchedTable, names: Iterable[str] = ()) -> Mapping[str, DetectorConfig]:
    """The table's detector, its comparisons and the compulsory baselines, by name; those that are named, if any are."""
    levels = tuple(feature.name for feature in catalogue(table.features) if feature.transform == "level")
    found: dict[str, DetectorConfig] = {table.detector.name: table.detector}
    for config in table.comparisons:
        found[f"{config.name} (comparison)"] = config
    found["last_value"] = all_baselines(table.features)["last_value"]
    found["last_value of each device"] = found["last_value"].model_copy(update={"per": "entity"})
    found["t2_and_q of the values"] = PcaConfig(features=levels, statistic="t2_and_q", per="entity", clip=1e6)
    found["q of the values"] = PcaConfig(features=levels, per="entity", clip=1e6)
    found["gradient_boosting, supervised"] = GradientBoostingConfig()
    window = 20 * table.rhythm.step
    for supervised in (
        LstmClassifierConfig(window=window, units=(32,), epochs=10),
        BidirectionalLstmClassifierConfig(window=window, units=(32,), epochs=10),
        ConvolutionalClassifierConfig(window=window, epochs=10),
        SpectrogramClassifierConfig(window=3 * window, epochs=10),
    ):
        found[f"{supervised.name}, supervised"] = supervised
    found["lstm_classifier of chunks, supervised"] = LstmClassifierConfig(
        window=window, chunk_step=window / 4, units=(32,), epochs=10
    )
    for network in (
        LstmAutoencoderConfig(window=window, epochs=10),
        ConvolutionalAutoencoderConfig(window=window, epochs=10),
        VariationalAutoencoderConfig(epochs=10),
    ):
        found[network.name] = network
        found[f"{network.name} of each device"] = network.model_copy(update={"per": "entity"})
    found["isolation forest of the values"] = IsolationForestConfig(features=levels, per="entity")
    found["ecod of each device"] = EcodConfig(per="entity")
    others = IsolationForestConfig(per="entity"), EcodConfig(per="entity")
    found["ensemble"] = EnsembleConfig(members=(table.detector, *others))
    found["matrix profile of the values"] = MatrixProfileConfig(
        window=timedelta(days=7), records=20, features=levels, per="entity"
    )
    chosen = list(names)
    return {name: config for name, config in found.items() if not chosen or name in chosen}


def read(table: WatchedTable) -> Records:
    """Reads the table's source, and makes the features of all its days."""
    marks, layout = table.layout.abnormal, table.layout
    if marks is None or layout.time.cadence is None:
        sys.exit(f"{table.table} marks no records as abnormal (source.columns.label), or has one record a day")
    source = open_source(table.source.location, table.reading)
    preparation = Preparation(
        contract_of(layout, tuple(table.features.attributes), table.features.low_bits, table.periods), table.features
    )
    columns, frames, pieces = RawColumns(source.location, {}), [], [pl.DataFrame(schema=INTERVAL_SCHEMA)]
    listed = source.days()
    for day in sorted(listed):
        raw = columns.fit(source.read(listed[day]), listed[day].origin)
        prepared = preparation.prepare(raw, day)
        frames.append(prepared.features)
        named = [name for name in marks.columns if name in raw.columns]
        records = raw.select(*named, entity=layout.entity, at=pl.col(layout.time.name).cast(TIME_TYPE))
        pieces.append(labelled_pieces(records, named, marks.abnormal))
    zone = layout.time.time_zone

    def year_of(time: str) -> pl.Expr:
        return pl.concat_str("entity", pl.col(time).dt.convert_time_zone(zone).dt.year(), separator=" ")

    features = pl.concat(frames).with_columns(entity=year_of("time"))
    events = joined(_runs(features, pl.concat(pieces).with_columns(entity=year_of("start"))))
    return Records(features.filter(pl.col("entity").is_in(events["entity"].unique().to_list())), events, table)


def _runs(features: pl.DataFrame, pieces: pl.DataFrame) -> pl.DataFrame:
    """A piece for each run of records that are marked, from its first to its last."""
    marked = pieces.select("entity", time="start", marked=pl.lit(True)).unique()
    records = features.select("entity", "time").join(marked, on=["entity", "time"], how="left").sort("entity", "time")
    run = pl.col("marked").is_null().cum_sum().over("entity")
    runs = records.with_columns(run=run).drop_nulls("marked").group_by("entity", "run")
    spans = runs.agg(start=pl.col("time").min(), end=pl.col("time").max())
    return (
        spans.select("entity", "start", "end", kind=pl.lit(None, pl.String))
        .select(INTERVAL_SCHEMA.names())
        .cast(INTERVAL_SCHEMA)
    )


def scored(records: Records, config: DetectorConfig, parts: Parts, *, labelled: bool) -> pl.DataFrame:
    """``day, time, entity, cohort, score`` of all records, null = not judged, by a detector of the first of them."""
    names, step = feature_names(records.table.features), records.table.rhythm.step
    embargo = timedelta(days=records.table.calibration.embargo_days)
    last = records.features.filter(records.place < parts.fitted).group_by("entity").agg(last=pl.col("time").max())
    early = records.features.join(last, on="entity", how="left", maintain_order="left").select(
        pl.col("time") < pl.col("last") - embargo
    )
    abnormal = Intervals(records.events).abnormal(records.features) & labelled
    learned = early.to_series() & (records.normal(config.window) | abnormal if labelled else True)
    windows = windows_of(records.features, names, config.window, where=learned, step=step)
    held_out = np.arange(len(windows)) * _BLOCKS // len(windows) % _EVERY == 0
    detector = fit(config, TrainingData(windows, abnormal.filter(learned).to_numpy(), held_out))
    every = windows_of(records.features, names, config.window, step=step)
    judged = pl.Series(detector.judges(every))
    scores = (
        every.keys()
        .select("day", "time", "entity", "cohort")
        .with_columns(score=pl.when(judged).then(pl.Series(detector.score(every).astype(np.float64))))
    )
    return aggregate(scores, records.table.decision.aggregation)


def figures(records: Records, scores: pl.DataFrame, judged: float) -> dict[str, object]:
    """What scores say of the last records of each device's year."""
    series = _judged_series(records, scores, judged)
    abnormal, score = (
        np.concatenate([getattr(one, name) for one in series.values()]) for name in ("abnormal", "score")
    )
    best = _found(series, score)
    found = rate(best.events_detected, best.events)
    of_each = [vus_pr(one.abnormal, one.score) for one in series.values() if one.abnormal.any()]
    return {
        "AUC-PR": f"{average_precision(abnormal, score):.3f}",
        "VUS-PR": f"{np.mean(of_each):.3f}",
        f"events found at {FALSE_ALARMS_A_DAY:g} false alarms a device-day": f"{found.count} of {found.total}",
        "95% interval": f"{found.low:.0%} to {found.high:.0%}",
        "time under alarm that was abnormal": f"{best.time_precision or 0:.0%}",
        "not judged": int((~np.isfinite(score)).sum()),
    }


def _judged_series(records: Records, scores: pl.DataFrame, judged: float) -> dict[str, LabelledSeries]:
    place = records.features.select("entity", "time", place=records.place)
    late = scores.join(place, on=["entity", "time"], how="left").filter(pl.col("place") >= judged)
    first = late.group_by("entity").agg(first=pl.col("time").min())
    events = records.events.join(first, on="entity").filter(pl.col("end") >= pl.col("first"))
    clipped = events.with_columns(start=pl.max_horizontal("start", "first")).select(INTERVAL_SCHEMA.names())
    return labelled_series(late, clipped)


def _found(series: Mapping[str, LabelledSeries], score: np.ndarray) -> AlarmFigures:
    """The alarms at the cut that finds most events with no more false alarms than are allowed."""
    finite = np.sort(score[np.isfinite(score)])
    cuts = np.unique(finite[(len(finite) * (1 - np.geomspace(1e-4, 0.5, CUTS))).astype(int)])
    allowed = [
        one
        for one in (alarm_figures(series, float(cut)) for cut in cuts)
        if (one.false_alarms_per_entity_day or 0) <= FALSE_ALARMS_A_DAY
    ]
    return max(allowed, key=lambda one: one.events_detected)


def _sample(records: Records, judged: float) -> str:
    series = _judged_series(records, records.features.with_columns(score=pl.lit(0.0)), judged)
    abnormal = np.concatenate([one.abnormal for one in series.values()])
    events = sum(len(one.start) for one in series.values())
    return f"{', '.join(series)}: {len(abnormal):,} records judged, {abnormal.mean():.1%} abnormal, {events} events"


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.series_split", description=__doc__)
    parser.add_argument("table", help="a table whose source marks abnormal records")
    parser.add_argument("--judged", type=float, default=0.6, help="share of a year's records after which are judged")
    parser.add_argument("--fitted", type=float, help="share that is learned from; left out: until those judged")
    parser.add_argument("--unlabelled", action="store_true", help="learn from records whatever is marked")
    parser.add_argument("--detectors", nargs="*", default=(), help="names of those to judge; left out: all")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
