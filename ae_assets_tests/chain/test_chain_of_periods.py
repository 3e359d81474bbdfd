"""The chain below Dagster on hours, days and weeks: what is written, replaced, learned from, calibrated and judged."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ae_assets.chain import Workspace
from ae_assets.chain.anomalies import find_anomalies
from ae_assets.chain.anomaly_day import AnomalyDay
from ae_assets.chain.champion import load_champion
from ae_assets.chain.entity_history import entity_history
from ae_assets.chain.features import build_features
from ae_assets.chain.ledger import ledger_of
from ae_assets.chain.lives import lives_in
from ae_assets.chain.model import TrainingRange, train
from ae_assets.chain.rates import judge_rates
from ae_assets.chain.raw import RawDay, load_raw
from ae_assets.chain.threshold import calibrate_latest, calibration_after
from ae_assets.chain.training_days import default_training_days
from ae_assets.chain.unseen import latest_unseen_days
from ae_assets.chain.volume import gaps_in, in_words
from ae_assets.chain.workspace import ANOMALIES, FEATURES, RAW
from ae_assets.schemas.periods import HOURLY, PERIODS, WEEKLY, Periods, named
from ae_assets.sources import open_source
from ae_assets_tests.chain.gauges import CADENCE, GAUGES, gauges, numbered, write_period
from ae_assets_tests.chain.tables import storage_of

LENGTHS: dict[Periods, dict[str, Any]] = {
    WEEKLY: {
        "training": {"horizon_days": 7, "days": 30, "max_rows": 5000},
        "calibration": {"embargo_days": 10, "days": 15},
        "checks": {"window_days": 14},
    }
}
"""Of weeks, calendar lengths that are no whole weeks."""


@dataclass
class Table:
    """A table of one kind of periods with its source."""

    space: Workspace
    folder: Path
    periods: Periods

    def at(self, number: int) -> date:
        (period,) = numbered(self.periods, number, number)
        return period

    def fill(self, first: int, last: int, level: float = 2.0) -> None:
        for number in range(first, last + 1):
            write_period(self.folder, self.periods, self.at(number), level)
        self.load(first, last)

    def load(self, first: int, last: int) -> None:
        source = open_source(self.space.table.source.location, self.space.table.reading)
        days = numbered(self.periods, first, last)
        assert all(isinstance(made, RawDay) for made in load_raw(self.space, source, days))
        build_features(self.space, days)

    @property
    def records(self) -> int:
        return len(GAUGES) * (self.periods.step // CADENCE[self.periods])


@pytest.fixture(params=PERIODS.values(), ids=PERIODS)
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Table:
    periods: Periods = request.param
    folder = tmp_path / "in"
    return Table(storage_of(gauges(folder, periods, **LENGTHS.get(periods, {})), tmp_path / "home"), folder, periods)


def test_features_of_a_period_alone_are_those_of_the_range_and_a_replaced_one_changes_those_after_it(
    table: Table,
) -> None:
    table.fill(20, 27)  # hours: over midnight
    space, last = table.space, table.at(27)
    assert space.days_of(FEATURES) == dict.fromkeys(numbered(table.periods, 20, 27), table.records)
    made = space.read(FEATURES, last, last)
    build_features(space, [last])
    assert_frame_equal(space.read(FEATURES, last, last), made)
    assert made.schema["day"] == table.periods.dtype
    write_period(table.folder, table.periods, table.at(26), 7.0)
    table.load(26, 27)
    changed = space.read(FEATURES, last, last)
    assert not changed.equals(made), "it looks back on the period before"
    assert space.read(FEATURES, table.at(24), table.at(25)).height == 2 * table.records


def test_the_ledger_knows_each_period_and_the_lives_each_calendar_day(table: Table) -> None:
    table.fill(22, 25)
    held = numbered(table.periods, 22, 25)
    ledger = ledger_of(table.space)
    assert ledger["period"].to_list() == held
    assert ledger["rows"].to_list() == [table.records] * 4
    assert dict(ledger.select("period", "raw_version").iter_rows()) == table.space.day_versions(RAW)
    first, last = table.periods.days(held[0], held[-1])
    lives = lives_in(table.space)
    assert lives.frame.rows() == [(gauge, first, last, None) for gauge in GAUGES]
    assert lives.known_until == last
    # What is not over is not known: of hours, the day of the last one.
    known = table.periods.end(held[2]).date() - timedelta(days=1)
    assert lives_in(table.space, held[2]).known_until == known


def test_a_period_that_is_emptied_is_taken_out_of_the_lives_and_is_a_gap(table: Table) -> None:
    table.fill(0, 29)
    gone = numbered(table.periods, 25, 29)
    with table.space.writer(RAW) as writer:
        for period in gone:
            writer.write(period, table.space.no_rows)
    last = table.periods.days(table.at(24), table.at(24))[1]
    assert lives_in(table.space).known_until == last
    assert gaps_in(table.space, RAW, table.at(20), table.at(29)) == set(gone)
    assert in_words(gone, table.periods) == (
        f"{table.periods.key(gone[0])} to {table.periods.key(gone[-1])} (5 {table.periods.noun}s)"
    )


def test_ranges_of_calendar_lengths_do_not_overlap_and_are_no_shorter_than_was_said(table: Table) -> None:
    count = {HOURLY: 24 * 5, WEEKLY: 16}.get(table.periods, 10)
    table.fill(0, count - 1)
    space, periods = table.space, table.periods
    planned = default_training_days(space)
    assert not isinstance(planned, str), planned
    training = TrainingRange.of(*planned, space.table.horizon_days, periods)
    asked, held = space.table, calibration_after(space, training)
    assert periods.end(training.end) - periods.start(training.start) >= timedelta(days=asked.training.days)
    embargo = periods.start(held.start) - periods.end(training.end)
    assert timedelta() <= embargo - timedelta(days=asked.calibration.embargo_days) < periods.step
    length = periods.end(held.end) - periods.start(held.start)
    assert timedelta() <= length - timedelta(days=asked.calibration.days) < periods.step
    assert held.end <= table.at(count - 1)
    known = periods.end(training.end) + timedelta(days=asked.horizon_days)
    assert periods.start(training.known_until) < known <= periods.end(training.known_until)


def test_a_range_is_scored_over_a_boundary_as_each_of_its_periods_alone_and_the_unseen_ones_are_judged(
    table: Table,
) -> None:
    count = {HOURLY: 24 * 5, WEEKLY: 16}.get(table.periods, 10)
    table.fill(0, count - 1)
    space, periods = table.space, table.periods
    end = table.at({HOURLY: 29, WEEKLY: 5}.get(periods, 2))
    train(space, TrainingRange.of(table.at(0), end, space.table.horizon_days, periods))
    calibrate_latest(space)
    champion = load_champion(space)
    days = periods.range(periods.shifted(champion.seen_until, 1), table.at(count - 1))
    made = list(find_anomalies(space, champion, days))
    assert [facts.rows for facts in made if isinstance(facts, AnomalyDay)] == [len(GAUGES)] * len(days)
    whole = space.read(ANOMALIES, days[0], days[-1])
    assert whole.schema["day"] == periods.dtype
    for day in days[-3:]:
        (alone,) = find_anomalies(space, champion, [day])
        assert_frame_equal(space.read(ANOMALIES, day, day), whole.filter(pl.col("day") == day))
        assert alone.day == day
    unseen = latest_unseen_days(space)
    assert not isinstance(unseen, str), unseen
    first, last = unseen
    assert last == days[-1]
    assert first > champion.seen_until
    assert periods.end(last) - periods.start(first) >= timedelta(days=space.table.checks.window_days)
    verdicts = judge_rates(space)
    assert verdicts.keys() >= {"scores_have_not_drifted", "features_have_not_drifted"}
    assert verdicts["features_have_not_drifted"].facts["window_end"] == named(days[-1])
    history = entity_history(space, "north", days=2)
    assert (history["last_day"], history["latest"] is not None) == (days[-1], True)
    assert history["first_day"] == periods.spanning(days[-1], timedelta(days=2))
