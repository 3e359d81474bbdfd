r"""The starter model of `ae-assets score --smartctl`: makes it again, and judges it.

    python -m benchmarks.feature_file --location FLEET_2014_2015 --output f2014.parquet
    python -m benchmarks.starter --features f2014.parquet            # writes ae_assets/one_server/starter_model
    python -m benchmarks.starter --features f2014.parquet --judge    # and the figures of docs/one-server.md

The model is what the chain itself trains and calibrates on B3 of `benchmarks.rolling_origin`; B1 is the same recipe on
earlier months. Judged days come a horizon after all that it has seen. Twice each: as daily runs with a history see the
drives, and without one, where no growth is known. Then once more by models that have seen no drive of the same model
(five groups of drive models, each scored by a fit and a threshold without it).
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.chain.champion import CalibrationRange
from ae_assets.chain.lives import lives_in
from ae_assets.chain.model import TrainingRange, train, training_windows
from ae_assets.chain.rolling import training_of
from ae_assets.chain.threshold import calibrate_latest, calibration_scores
from ae_assets.chain.workspace import FEATURES, Workspace
from ae_assets.cli.instance import load_table
from ae_assets.detectors import FittedDetector, Windows, fit, windows_of
from ae_assets.detectors.config import CounterRuleConfig, GrowthRuleConfig, KMeansConfig
from ae_assets.evaluation.intervals import Rate, rate_by_entity, rate_of
from ae_assets.evaluation.pooling import pooled
from ae_assets.evaluation.population import population_of
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.rolling import Origin, Split, judge_split
from ae_assets.evaluation.spells import Lives
from ae_assets.features.catalogue import feature_names
from ae_assets.lakehouse import ModelStore
from ae_assets.model.definition import WatchedTable
from ae_assets.one_server.starter import FOLDER, LEAST_HISTORY, WITHOUT_HISTORY
from ae_assets.reports.rolling import pooled_markdown
from ae_assets.reports.tables import markdown_table
from ae_assets.thresholds.target_far import TargetFarConfig
from ae_assets.thresholds.threshold import Threshold, fit_threshold
from benchmarks.feature_frame import storage_over
from benchmarks.rolling_origin import splits_of

VERSION = "starter-1"
WEAR = (5, 187, 197, 198)
ATTRIBUTES = (*(f"smart_{number}_raw" for number in WEAR), "smart_9_raw")
ANY_OF = (5, 187, 188, 197, 198)
"""What is often said to announce a failure where it is above 0."""
FALSE_ALARMS = 0.01
"""Per drive and 30 days: of ten sound drives one false alarm in ten months."""
GROUPS = 5
IN_USE = "in use: growth from a week of records on"
KEYS = ("day", "entity", "cohort")
SOURCE = (
    "Backblaze drive stats, daily readings 2014-02 to 2015-06 of 55,216 drives, published by Backblaze "
    "(https://www.backblaze.com/cloud-storage/resources/hard-drive-test-data), as kept in the data set hds of the R "
    "package dynamichazard. Nothing of the data is in the model but medians, spreads, centres and a distribution of "
    "scores."
)

JUDGED = (
    "On 2015-02-01 to 2015-05-31, by drive, thresholds fixed before: with a history 57.4% [53.0, 61.7] of 519 failed "
    "drives have an alarm within 30 days before the failure, and 0.63% [0.6, 0.7] of sound drives one within 30 days; "
    "without a history 53.4% [49.0, 57.7] and 0.68% [0.6, 0.8]. Of drive models that a fit has not seen 57.6% "
    "[53.2, 61.9] at 0.76%, and 53.6% [49.2, 57.9] at 0.77%. More in docs/one-server.md."
)
"""By this module, on the model that it makes."""
NOT_JUDGED_ON = (
    "laptop disks, disks of 2016 and later (helium, SMR), servers at home, other makers than HGST, Seagate, WDC"
)

Scores = dict[str, NDArray[np.float64]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the model, and the figures where they are asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.starter", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--features", type=Path, required=True, help="of the second fleet, by benchmarks.feature_file")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of the model (default: the package's)")
    parser.add_argument("--judge", action="store_true", help="judge it, too")
    given = parser.parse_args(arguments)
    splits = splits_of("2014")
    fleet = Fleet.of(pl.scan_parquet(given.features))
    make(fleet, splits["B3"], given.output)
    if given.judge:
        judge(fleet, {name: splits[name] for name in ("B1", "B3")})
    return 0


@dataclass(frozen=True)
class Fleet:
    """The months, as they are seen with a history and without one."""

    space: Workspace
    levels: Workspace

    @classmethod
    def of(cls, features: pl.LazyFrame) -> "Fleet":
        table = starter_table()
        growths = [name for name in feature_names(table.features) if "_growth_" in name]
        levels = features.with_columns(pl.lit(None, pl.Float32).alias(name) for name in growths)
        return cls(storage_over(features, table), storage_over(levels, table))


def starter_table() -> WatchedTable:
    """Drive stats with the counters that most disks have, and the settings of the starter model."""
    table = load_table("drive_stats")[1]
    features = table.features.model_copy(
        update={"attributes": {name: table.features.attributes[name] for name in ATTRIBUTES}}
    )
    levels = [f"smart_{number}_{made}" for number in WEAR for made in ("level", "growth_1d", "growth_7d", "growth_28d")]
    used = [name for name in levels if name in feature_names(features)]
    return table.model_copy(
        update={
            "features": features,
            "detector": KMeansConfig(features=tuple(used)),
            "threshold": TargetFarConfig(rate=FALSE_ALARMS, confidence=0.5),
            # A server has ten drives, not thousands: no share of them says that a day is implausible.
            "checks": table.checks.model_copy(update={"max_share_set_aside": 1.0}),
        }
    )


def make(fleet: Fleet, origin: Origin, output: Path) -> None:
    """Trains and calibrates as the chain does, and keeps the version without what differs from run to run.

    A second threshold is that of drives without a history, whose scores are lower.
    """
    with tempfile.TemporaryDirectory() as folder:
        space, training = replace(fleet.space, models=ModelStore.open(Path(folder))), training_of(fleet.space, origin)
        trained = train(space, training)
        calibrate_latest(space, "always")
        without_history = _threshold(fleet.levels, trained.detector, training)
        version = space.models.path(space.table.table, trained.version)
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(version, output)
    for name in ("version.json", "preprocessing.json", "threshold.json"):
        path = output / name
        path.write_text(json.dumps(_settled(json.loads(path.read_text())), indent=1) + "\n")
    (output / WITHOUT_HISTORY).write_text(without_history.to_json() + "\n")
    size = sum(file.stat().st_size for file in output.iterdir())
    print(f"{output}: {size:,} bytes")


def _settled(record: dict[str, Any]) -> dict[str, Any]:
    """A file of a version without the times and names of this run, and the card with what people ask of it."""
    if "history" in record:
        return {**record, "history": {**record["history"], "seconds": 0.0}}
    if "card" not in record:
        return {key: value for key, value in record.items() if key != "promotion"}
    card = {**record["card"], "source": SOURCE, "judged": JUDGED, "not_judged_on": NOT_JUDGED_ON}
    card["history"] = {**card["history"], "seconds": 0.0}
    del card["features_snapshot"]
    return {"version": VERSION, "card": card}


def judge(fleet: Fleet, splits: Mapping[str, Origin]) -> None:
    """Prints the figures of the splits, each by itself at the model's threshold, and pooled at false alarm rates."""
    space, points = fleet.space, []
    lives = lives_in(space)
    judged: dict[str, list[Split]] = {"starter": [], "starter without history": []}
    for name, origin in splits.items():
        scores, cuts = scored(fleet, origin)
        protocol = Protocol(*origin.test, space.table.horizon_days, space.table.checks.window_days)
        frames = {one: scores.select(*KEYS, score=pl.col(one)) for one in scores.columns if one not in KEYS}
        ranked = {
            one: frame for one, frame in frames.items() if "unseen" not in one and one not in {"any of five", IN_USE}
        }
        for reference, of_reference in judged.items():
            of_reference.append(judge_split(name, origin.training, ranked, lives, protocol, reference=reference))
        points += [{"split": name, "scored by": one, **_point(protocol, lives, frame, cuts[one])}
                   for one, frame in frames.items() if one in cuts]  # fmt: skip
        points += [
            {"split": name, "scored by": f"{one}, at the false alarms of any of five",
             **_as_often_as(protocol, lives, frames[one], frames["any of five"])}
            for one in ("starter", "starter without history", "sum of levels")
        ]  # fmt: skip
    for of_reference in judged.values():
        print(pooled_markdown(pooled(of_reference)))
    print("\nAt a threshold that was fixed before\n")
    print(markdown_table(pl.DataFrame(points)))


def scored(fleet: Fleet, origin: Origin) -> tuple[pl.DataFrame, dict[str, float]]:
    """The scores of the judged days by each way, and the cuts of those that have one."""
    space = fleet.space
    names, training = feature_names(space.table.features), training_of(space, origin)
    data = training_windows(space, training, None).data
    cohorts = data.windows.keys()["cohort"]
    starter = fit(space.table.detector, data)
    by_group = [
        fit(space.table.detector, data.take(np.flatnonzero(_group(cohorts) != group))) for group in range(GROUPS)
    ]
    cuts = {"any of five": 0.0, IN_USE: 0.0, "unseen drive models": 0.0, "unseen drive models, without history": 0.0,
            "starter": _threshold(space, starter, training).cut,
            "starter without history": _threshold(fleet.levels, starter, training).cut}  # fmt: skip
    cuts_by_group = [[_threshold(seen, one, training, group).cut for group, one in enumerate(by_group)]
                     for seen in (space, fleet.levels)]  # fmt: skip
    sums = [f"smart_{number}_level" for number in WEAR]
    rule = fit(CounterRuleConfig(features=tuple(sums)), data)
    growths = [f"smart_{number}_growth_28d" for number in WEAR]
    growth = fit(GrowthRuleConfig(features=tuple(growths)), data)
    unknown = [pl.lit(None, pl.Float32).alias(name) for name in names if "_growth_" in name]
    flags = [f"smart_{number}_level" for number in ANY_OF]
    frames = []
    for _, frame in space.iter_days(FEATURES, *origin.test, [*KEYS, "label", *{*names, *flags}]):
        windows, levels = windows_of(frame, names), windows_of(frame.with_columns(unknown), names)
        group = _group(windows.keys()["cohort"])
        ways: Scores = {
            "starter": starter.score(windows).astype(np.float64),
            "starter without history": starter.score(levels).astype(np.float64),
            "sum of levels": rule.score(windows).astype(np.float64),
            "sum of 28-day growths": growth.score(windows).astype(np.float64),
            "any of five": windows_of(frame, flags).values.clip(0).sum(axis=1, where=_known(frame, flags)),
        }
        has_history = _feature(windows, "history_days") >= LEAST_HISTORY.days
        ways[IN_USE] = np.where(
            has_history,
            ways["starter"] - cuts["starter"],
            ways["starter without history"] - cuts["starter without history"],
        )
        unseen = (("unseen drive models", windows), ("unseen drive models, without history", levels))
        for (way, seen), of_groups in zip(unseen, cuts_by_group, strict=True):
            above = np.stack([one.score(seen) - at for one, at in zip(by_group, of_groups, strict=True)])
            ways[way] = above[group, np.arange(len(group))].astype(np.float64)
        judges = starter.judges(windows)
        columns = {way: pl.Series(np.where(judges, values, np.nan)).fill_nan(None) for way, values in ways.items()}
        frames.append(windows.keys().select(KEYS).with_columns(**columns))
    return pl.concat(frames).sort("entity", "day"), cuts


def _feature(windows: Windows, feature: str) -> NDArray[np.float32]:
    """A feature of the scored records; 0 where it is unknown."""
    column = windows.values[windows.last_row, windows.feature_names.index(feature)]
    return np.asarray(np.nan_to_num(column))


def _known(frame: pl.DataFrame, flags: Sequence[str]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(windows_of(frame, flags).values))


def _group(cohorts: pl.Series) -> NDArray[np.int64]:
    """The group of each drive model; those of several capacities or prefixes count as several models."""
    models = cohorts.unique().sort()
    order = {model: place % GROUPS for place, model in enumerate(models)}
    return cohorts.replace_strict(order, return_dtype=pl.Int64).to_numpy()


def _threshold(
    space: Workspace, detector: FittedDetector, training: TrainingRange, without: int | None = None
) -> Threshold:
    asked = space.table.calibration
    days = CalibrationRange.after(training, asked.embargo_days, asked.days, (), space.table.periods)
    aggregation = space.table.decision.aggregation
    scores = calibration_scores(space, detector, aggregation, training, days, earlier_failures=True)
    if without is not None:
        scores = scores.filter(pl.Series(_group(scores["cohort"]) != without))
    return fit_threshold(space.table.threshold, scores)


def _point(protocol: Protocol, lives: Lives, scores: pl.DataFrame, cut: float) -> dict[str, Any]:
    population = population_of(protocol, lives, scores)
    values = population.align(scores, "starter")
    highest = population.highest(values)
    look = values > cut
    healthy = np.asarray(population.healthy_rows)
    return {
        "failed drives detected": _words(rate_of(highest.failed > cut)),
        "false alarms a drive and 30 days": _words(rate_by_entity(population.pair_entities, highest.pairs > cut)),
        "on one look in the last 30 days": f"{np.mean([look[rows].mean() for rows in _rows_of(population)]):.1%}",
        "healthy drive-days": f"{look[healthy].mean():.2%}",
    }


def _rows_of(population: Any) -> list[NDArray[np.int64]]:
    return list(np.split(population.failed_rows.rows, population.failed_rows.starts[1:]))


def _as_often_as(protocol: Protocol, lives: Lives, scores: pl.DataFrame, rule: pl.DataFrame) -> dict[str, Any]:
    """What a ranking finds at the cut that lets no more healthy windows through than the rule does."""
    population = population_of(protocol, lives, scores)
    alarmed = int((population.highest(population.align(rule, "rule")).pairs > 0).sum())
    pairs = np.sort(population.highest(population.align(scores, "starter")).pairs)[::-1]
    return _point(protocol, lives, scores, float(pairs[alarmed]))


def _words(rate: Rate) -> str:
    return f"{rate.count:,} of {rate.total:,}: {rate.value or 0:.2%} [{rate.low:.2%}, {rate.high:.2%}]"


if __name__ == "__main__":
    sys.exit(main())
