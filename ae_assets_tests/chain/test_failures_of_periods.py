"""Devices of hours, days and weeks that fail: what is known of it when, what is detected before it, and what is not."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from ae_assets.chain import Workspace
from ae_assets.chain.anomalies import find_anomalies
from ae_assets.chain.anomaly_day import AnomalyDay
from ae_assets.chain.challenger import Reason
from ae_assets.chain.champion import load_champion
from ae_assets.chain.evaluation import evaluate
from ae_assets.chain.features import build_features
from ae_assets.chain.lives import failures_in, lives_in
from ae_assets.chain.model import TrainingRange, train, training_windows
from ae_assets.chain.rates import judge_rates
from ae_assets.chain.raw import RawDay, load_raw
from ae_assets.chain.rolling import evaluate_origins
from ae_assets.chain.threshold import calibrate_latest, calibration_scores
from ae_assets.chain.unseen import latest_unseen_days
from ae_assets.detectors import fit
from ae_assets.detectors.config import GradientBoostingConfig
from ae_assets.evaluation.results import Comparison
from ae_assets.model.parse import parse_table
from ae_assets.schemas.durations import written
from ae_assets.schemas.periods import DAILY, HOURLY, PERIODS, WEEKLY, Periods
from ae_assets.schemas.records import day_of
from ae_assets.sources import open_source
from ae_assets_tests.chain.gauges import START, attributes_of
from ae_assets_tests.chain.tables import storage_of

STEP = {HOURLY: timedelta(minutes=30), DAILY: timedelta(hours=8), WEEKLY: timedelta(days=1)}
DAYS = {HOURLY: 8, DAILY: 40, WEEKLY: 140}
HORIZON = {HOURLY: 1, DAILY: 4, WEEKLY: 14}
DEVICES = 10
FAIL_AT = {"d00": 0.3, "d01": 0.72, "d02": 0.9}
"""After which share of the days; their level rises through the horizon before."""


@dataclass
class Failing:
    """A table of one kind of periods, with its devices' failures."""

    space: Workspace
    periods: Periods
    failed: dict[str, datetime]

    @property
    def held(self) -> list[date]:
        return self.periods.range(self.at(0), self.periods.last_of(START + timedelta(days=DAYS[self.periods] - 1)))

    def at(self, day: int) -> date:
        """The period of a day, counted from the first."""
        return self.periods.of(START + timedelta(days=day))


def filled(folder: Path, periods: Periods) -> Failing:
    step, days, horizon = STEP[periods], DAYS[periods], HORIZON[periods]
    begin = periods.start(periods.of(START))
    failed = {device: begin + round(share * days) * DAILY.step + DAILY.step / 2 for device, share in FAIL_AT.items()}
    rows = []
    for number in range(days * DAILY.step // step):
        at = begin + number * step
        for device in (f"d{index:02}" for index in range(DEVICES)):
            end = failed.get(device, datetime.max.replace(tzinfo=begin.tzinfo))
            if at > end:
                continue
            worn = at > end - horizon * DAILY.step
            noise = (int(device[1:]) * 37 + number * 11) % 17 / 100
            rows.append((at, device, 2.0 + noise + 5.0 * worn, 3.5 + noise / 2, int(at + step > end)))
    source = folder / "in"
    source.mkdir(parents=True)
    frame = pl.DataFrame(rows, ["at", "gauge", "level", "flow", "failed"], orient="row")
    frame.with_columns(pl.col("at").dt.strftime("%Y-%m-%d %H:%M")).write_csv(source / "all.csv")
    columns = {
        "time": {"column": "at", "format": "%Y-%m-%d %H:%M", "cadence": written(step)},
        "entity": "gauge",
        "label": "failed",
        "values": {"level": {}, "flow": {}},
    }
    table = attributes_of(
        source,
        periods,
        source={"location": str(source), "days_per_file": "many", "columns": columns},
        training={"horizon_days": horizon, "days": days // 4, "max_rows": 5000},
        calibration={"embargo_days": horizon, "days": days // 8},
        checks={"window_days": 2 * horizon},
        retraining={"window_days": days // 3},
        threshold={"policy": "percentile", "percentile": 99.5},
    )
    space = storage_of(parse_table(table, "defs.yaml"), folder / "home")
    made = Failing(space, periods, failed)
    loaded = load_raw(space, open_source(str(source), space.table.reading), made.held)
    assert all(isinstance(one, RawDay) for one in loaded)
    build_features(space, made.held)
    train(space, TrainingRange.of(made.at(0), made.at(days // 4), horizon, periods))
    calibrate_latest(space)
    champion = load_champion(space)
    days_after = periods.range(periods.shifted(champion.seen_until, 1), made.held[-1])
    assert all(isinstance(facts, AnomalyDay) for facts in find_anomalies(space, champion, days_after))
    return made


@pytest.fixture(scope="module", params=PERIODS.values(), ids=PERIODS)
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Failing:
    return filled(tmp_path_factory.mktemp("failing"), request.param)


def test_failures_are_known_by_their_day_and_not_before_it_is_over(table: Failing) -> None:
    expected = [(device, at.date()) for device, at in table.failed.items()]
    assert failures_in(table.space).rows() == expected
    assert dict(lives_in(table.space).frame.drop_nulls().select("entity", "failed_on").rows()) == dict(expected)
    device, at = expected[1]
    before = table.periods.shifted(table.periods.of(at), -1)
    assert device not in failures_in(table.space, before)["entity"]
    assert device in failures_in(table.space, table.periods.last_of(at))["entity"]


def test_what_fails_after_the_champion_has_seen_is_detected(table: Failing) -> None:
    unseen = latest_unseen_days(table.space)
    assert not isinstance(unseen, str), unseen
    found = evaluate(table.space, *unseen, with_comparisons=False)
    assert isinstance(found.result, Comparison)
    first, last = table.periods.days(*unseen)
    expected = [device for device, at in table.failed.items() if first < at.date() <= last]
    (detector,) = found.result.evaluations
    assert detector.sample.failed == len(expected) > 0
    point = detector.points[-1]
    assert point.detection.value == 1.0
    verdicts = judge_rates(table.space)
    assert verdicts["detection_rate_is_acceptable"].facts["total"] in {0, 1, 2}
    assert verdicts["false_alarm_rate_is_acceptable"].passed


def test_a_challenger_is_compared_on_periods_that_neither_has_seen(table: Failing) -> None:
    space, periods = table.space, table.periods
    training = TrainingRange.of(table.at(1), table.at(DAYS[periods] // 4), HORIZON[periods], periods)
    promotion = calibrate_latest(space, version=train(space, training).version).promotion
    assert promotion.reason is Reason.NOT_WORSE, promotion.words
    first, last = map(periods.parse, promotion.figures["window"])
    assert last == table.held[-1]
    assert first > load_champion(space).seen_until


def test_ranges_going_back_in_time_are_judged_after_an_embargo(table: Failing) -> None:
    space, periods = table.space, table.periods
    start = periods.spanning(table.held[-1], timedelta(days=DAYS[periods] // 3))
    pooled = evaluate_origins(space, start, table.held[-1], 1, with_comparisons=False, with_baselines=False)
    assert (pooled.start, pooled.end) == (start, table.held[-1])


def test_a_threshold_may_see_the_scores_before_failures_since_the_training_began(table: Failing) -> None:
    champion, (device, at) = load_champion(table.space), next(iter(table.failed.items()))
    given = (champion.aggregation, champion.training, champion.calibration)
    scores = calibration_scores(table.space, champion.detector, *given, earlier_failures=True)
    marked = scores.drop_nulls("fails_in")
    assert marked["entity"].unique().to_list() == [device]
    failed_on = marked.select(day_of(marked.columns) + pl.duration(days="fails_in")).to_series().unique()
    assert failed_on.to_list() == [at.date()]
    assert sorted(marked["fails_in"].unique()) == list(range(1, HORIZON[table.periods] + 1))


def test_a_fit_that_learned_from_failures_is_not_judged_by_those_it_knew(table: Failing) -> None:
    space, champion = table.space, load_champion(table.space)
    days = replace(champion.calibration, start=table.at(0))
    learned = TrainingRange.of(days.start, days.end, HORIZON[table.periods], table.periods)
    config = GradientBoostingConfig(trees=5, min_windows_per_leaf=1)
    detector = fit(config, training_windows(space, learned, None).data, space.progress)
    knows_it = table.periods.last_of(next(iter(table.failed.values())).date())
    for known_until, is_judged in ((knows_it, False), (table.periods.shifted(knows_it, -1), True)):
        training = replace(learned, known_until=known_until)
        scores = calibration_scores(space, detector, champion.aggregation, training, days, earlier_failures=True)
        assert bool(scores["fails_in"].count()) is is_judged
