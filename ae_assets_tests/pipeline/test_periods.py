"""Tables by hours, days and weeks in Dagster: which partitions there are, what a run makes, what is asked for again."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ae_assets.chain.maintenance import maintain
from ae_assets.model.definition import FreshnessSection
from ae_assets.pipeline.alerts.cursor import Cursor
from ae_assets.pipeline.alerts.event_log import EventLog
from ae_assets.pipeline.alerts.problems import Kind, Rules, Subject, follow
from ae_assets.pipeline.alerts.wording import as_json, as_text
from ae_assets.pipeline.automation import late_periods, stale_periods
from ae_assets.pipeline.freshness import judge
from ae_assets.pipeline.partitions import partitions_of, periods_of, remember_periods
from ae_assets.pipeline.resources import DayTableIOManager, LakehouseResource
from ae_assets.schemas.periods import DAILY, HOURLY, PERIODS, WEEKLY, Periods
from ae_assets_tests.chain.gauges import CADENCE, GAUGES, START, gauges, last_hour, numbered, write_period
from ae_assets_tests.chain.tables import storage_of
from ae_assets_tests.pipeline.runs import PipelineAlone, check_of, failure_of

KINDS = pytest.mark.parametrize("periods", PERIODS.values(), ids=PERIODS)
LOOK_BACKS = st.sampled_from([timedelta(), timedelta(hours=6), timedelta(days=2), timedelta(days=28)])
POSITIONS = st.dictionaries(st.integers(0, 40), st.integers(1, 40), max_size=12)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AE_ASSETS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


# Which partitions there are.


@KINDS
def test_the_partitions_are_the_periods_between_start_and_end_and_their_days_count_whole(
    tmp_path: Path, periods: Periods
) -> None:
    wednesday = START + timedelta(days=2)
    table = gauges(tmp_path, periods, start=str(wednesday), end=str(wednesday + timedelta(days=8)))
    first, last = {
        HOURLY: (datetime(2024, 4, 17, tzinfo=UTC), last_hour(date(2024, 4, 25))),
        DAILY: (wednesday, date(2024, 4, 25)),
        WEEKLY: (START, date(2024, 4, 22)),
    }[periods]
    definition = partitions_of(table)
    assert definition.get_partition_keys() == [periods.key(period) for period in periods.range(first, last)]
    assert periods_of(definition) is periods
    windows = [definition.time_window_for_partition_key(key) for key in definition.get_partition_keys()]
    assert [(window.start, window.end) for window in windows] == [
        (periods.start(period), periods.end(period)) for period in periods.range(first, last)
    ]


@KINDS
def test_a_source_that_goes_on_has_partitions_until_the_last_period_that_has_ended(
    tmp_path: Path, periods: Periods
) -> None:
    newest = periods.shifted(periods.of(datetime.now(tz=UTC)), -1)
    first = periods.shifted(newest, -3)
    write_period(tmp_path / "in", periods, first)
    table = gauges(tmp_path / "in", periods, start=None)
    assert partitions_of(table).get_partition_keys() == [periods.key(one) for one in periods.range(first, newest)]


@KINDS
def test_a_source_that_has_ended_has_its_own_partitions_and_those_that_were_seen_before(
    tmp_path: Path, home: Path, periods: Periods
) -> None:
    held, seen = numbered(periods, 0, 9), numbered(periods, 4, 6)
    for period in (seen[0], seen[-1]):
        write_period(tmp_path / "in", periods, period)
    table = gauges(tmp_path / "in", periods, start=None)
    assert partitions_of(table).get_partition_keys() == [periods.key(period) for period in seen]
    remember_periods(home, storage_of(table, home), loaded=[held[-1]], listed=[held[0]])
    assert partitions_of(table).get_partition_keys() == [periods.key(period) for period in held]


# What a run makes.


@dataclass
class Gauges:
    """A table by periods in an instance of its own, whose sensors and conditions are looked at as the daemon does."""

    periods: Periods
    source: Path
    home: Path
    instance: dg.DagsterInstance
    more: dict[str, Any]
    cursor: Any = None

    def __post_init__(self) -> None:
        end = numbered(self.periods, 0, 200)[-1]
        self.table = gauges(self.source, self.periods, **{"end": f"{end:%Y-%m-%d}", **self.more})
        self.resources = {"lakehouse": LakehouseResource(home=str(self.home))}
        self.definitions = dg.Definitions.merge(
            PipelineAlone(self.table).build_defs(None),  # type: ignore[arg-type]  # it looks at no context
            dg.Definitions(resources=self.resources, executor=dg.in_process_executor),
        )
        self.space = storage_of(self.table, self.home)

    def write(self, *numbers: int, level: float = 2.0) -> None:
        for number in numbers:
            write_period(self.source, self.periods, *numbered(self.periods, number, number), level)

    def keys(self, *numbers: int) -> list[str]:
        return [self.periods.key(*numbered(self.periods, number, number)) for number in numbers]

    def run(self, assets: tuple[str, ...], first: int, last: int) -> dg.ExecuteInProcessResult:
        """A backfill of a range in one run, by the table's own job."""
        start, end = self.keys(first, last)
        tags = {"dagster/asset_partition_range_start": start, "dagster/asset_partition_range_end": end}
        job = self.definitions.resolve_job_def(f"gauges_{self.periods.partitions}")
        keys = [dg.AssetKey(["gauges", name]) for name in assets]
        return job.execute_in_process(instance=self.instance, tags=tags, asset_selection=keys, raise_on_error=False)

    def train(self) -> dg.ExecuteInProcessResult:
        job = self.definitions.resolve_job_def("gauges_retrain")
        return job.execute_in_process(instance=self.instance, raise_on_error=False)

    def materialised(self, asset: str) -> set[str]:
        return self.instance.get_materialized_partitions(dg.AssetKey(["gauges", asset]))

    def asked_for(self) -> dict[str, list[str]]:
        """The partitions that the conditions ask for now, by asset."""
        result = dg.evaluate_automation_conditions(self.definitions, self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        found = {
            name: sorted(result.get_requested_partitions(dg.AssetKey(["gauges", name])))
            for name in ("raw", "features", "quarantine", "anomalies")
        }
        return {name: asked for name, asked in found.items() if asked}

    def tick(self, cursor: str | None = None) -> dg.SensorResult:
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=cursor,
            definitions=self.definitions,
            sensor_name="gauges_landing",
            resources=self.resources,
        ) as context:
            return self.definitions.resolve_sensor_def("gauges_landing").evaluate_tick(context)  # type: ignore[return-value]


@pytest.fixture
def fleet(tmp_path: Path, home: Path) -> Any:
    with dg.DagsterInstance.ephemeral() as instance:

        def make(periods: Periods, **more: Any) -> Gauges:
            return Gauges(periods, tmp_path / "in", home, instance, more)

        yield make


Make = Callable[..., Gauges]
INPUT = ("raw", "features", "quarantine")


@KINDS
def test_a_range_is_made_in_one_run_and_each_period_shows_its_own_facts(fleet: Make, periods: Periods) -> None:
    table = fleet(periods)
    table.write(0, 1, 3)
    result = table.run(INPUT, 0, 3)
    assert result.success, failure_of(result)
    records = len(GAUGES) * (periods.step // CADENCE[periods])
    assert list(table.space.days_of("features").values()) == [records] * 3
    assert table.space.days_of("raw").keys() == {one for n in (0, 1, 3) for one in numbered(periods, n, n)}
    assert {asset: table.materialised(asset) for asset in INPUT} == {key: set(table.keys(0, 1, 2, 3)) for key in INPUT}
    shown = {
        event.partition: event.step_materialization_data.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key.path[-1] == "raw"
    }
    assert {key: values["dagster/partition_row_count"].value for key, values in shown.items()} == dict(
        zip(table.keys(0, 1, 2, 3), (records, records, 0, records), strict=True)
    )
    assert f"4 {periods.noun}s from {table.keys(0)[0]} to {table.keys(3)[0]}" in str(
        shown[table.keys(0)[0]]["This run"].value
    )
    assert check_of(result, "features", "rows_are_conserved").passed


@KINDS
def test_a_period_that_fails_stops_no_other_and_is_named_by_its_key(fleet: Make, periods: Periods) -> None:
    table = fleet(periods)
    table.write(0, 1, 2)
    write_period(table.source, periods, *numbered(periods, 1, 1)).write_text("nothing of ours\n")
    result = table.run(INPUT, 0, 2)
    assert not result.success
    (bad,) = table.keys(1)
    assert f"1 of 3 {periods.noun}s failed" in failure_of(result)
    assert f"{bad} at raw" in failure_of(result)
    assert {asset: table.materialised(asset) for asset in INPUT} == {key: set(table.keys(0, 2)) for key in INPUT}


# What the sensor asks for.


@KINDS
def test_new_and_replaced_files_are_asked_for_by_the_keys_of_their_periods(fleet: Make, periods: Periods) -> None:
    table = fleet(periods)
    table.write(0, 2)
    first = table.tick()
    assert [request.partition_key for request in first.run_requests or []] == table.keys(0, 2)
    assert table.tick(first.cursor).run_requests == []
    assert table.run(INPUT, 0, 2).success
    loaded = table.tick(first.cursor)
    assert (loaded.run_requests, json.loads(str(loaded.cursor))["asked"]) == ([], {})
    table.write(2, level=3.0)
    (request,) = table.tick(loaded.cursor).run_requests or []
    assert request.partition_key == table.keys(2)[0]
    run = table.definitions.resolve_job_def(f"gauges_{periods.partitions}").execute_in_process(
        instance=table.instance,
        partition_key=request.partition_key,
        asset_selection=request.asset_selection,
        run_config=request.run_config,
    )
    assert run.success
    assert table.tick(loaded.cursor).run_requests == []


# What is asked for again.


def dated(periods: Periods, positions: dict[int, int]) -> dict[date, int]:
    return {periods.shifted(periods.of(START), number): position for number, position in positions.items()}


@given(st.sampled_from(list(PERIODS.values())), POSITIONS, POSITIONS, LOOK_BACKS)
def test_a_period_is_stale_if_and_only_if_one_that_it_reads_was_written_later(
    periods: Periods, mine: dict[int, int], others: dict[int, int], look_back: timedelta
) -> None:
    written, theirs = dated(periods, mine), dated(periods, others)
    newer = {
        (period, other)
        for period in written
        for other in theirs
        if periods.before(period, look_back) <= other <= period and theirs[other] > written[period]
    }
    assert stale_periods(written, [(theirs, look_back)], periods) == {period for period, _ in newer}
    assert late_periods(theirs, written, look_back, periods) == {other: theirs[other] for _, other in newer}


@pytest.mark.parametrize(("periods", "renewed"), [(HOURLY, 6), (DAILY, 2), (WEEKLY, 4)])
def test_a_late_period_renews_those_whose_features_look_back_on_it(fleet: Make, periods: Periods, renewed: int) -> None:
    table = fleet(periods)
    table.write(*range(8))
    assert table.run(("raw",), 0, 7).success
    assert table.asked_for() == dict.fromkeys(("features", "quarantine"), table.keys(*range(8)))
    assert table.run(("features", "quarantine"), 0, 7).success
    assert table.asked_for() == {}
    assert table.run(("raw",), 1, 1).success
    assert table.asked_for() == {}, "the same rows came again"
    table.write(1, level=3.0)
    assert table.run(("raw",), 1, 1).success
    stale = table.keys(*range(1, 2 + renewed))
    assert table.asked_for() == dict.fromkeys(("features", "quarantine"), stale)


# From the model to alarms.


LENGTHS = {HOURLY: (96, 2, 1), DAILY: (24, 8, 4), WEEKLY: (30, 70, 28)}
"""How many periods there are, and the days that are trained and calibrated on."""


@pytest.fixture(scope="module", params=PERIODS.values(), ids=PERIODS)
def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gauges]:
    """A table with a champion, in whose last period the gauges have run away."""
    count, training, calibration = LENGTHS[request.param]
    settings = {
        "training": {"horizon_days": 1, "days": training, "max_rows": 5000},
        "calibration": {"embargo_days": 1, "days": calibration},
        "retraining": {"cron_schedule": "0 6 * * 1", "window_days": 1},
    }
    folder = tmp_path_factory.mktemp("watched")
    with dg.DagsterInstance.ephemeral() as instance:
        table = Gauges(request.param, folder / "in", folder / "home", instance, settings)
        _with_alarms(table, count)
        yield table


def _with_alarms(table: Gauges, count: int) -> None:
    table.write(*range(count - 1))
    table.write(count - 1, level=9.0)
    results = [table.run(INPUT, 0, count - 1), table.train(), table.run(("anomalies",), count - 6, count - 1)]
    for result in results:
        assert result.success, failure_of(result)


@pytest.mark.slow
def test_the_period_in_which_the_gauges_ran_away_has_the_alarms(watched: Gauges) -> None:
    periods, count = watched.periods, LENGTHS[watched.periods][0]
    made = numbered(periods, count - 6, count - 1)
    assert watched.materialised("anomalies") == set(map(periods.key, made))
    rows = watched.space.read("anomalies", made[0], made[-1])
    assert rows["day"].unique().sort().to_list() == made
    assert rows.height == len(made) * len(GAUGES) * (periods.step // CADENCE[periods])
    assert rows.sort("score")["day"].to_list()[-len(GAUGES) :] == [made[-1]] * len(GAUGES)
    assert rows.filter("is_anomaly")["day"].max() == made[-1]
    card = watched.space.models.card("gauges", watched.space.models.versions("gauges")[0])["training"]
    first, last = periods.parse(card["start"]), periods.parse(card["end"])
    assert periods.end(last) - periods.start(first) >= timedelta(days=LENGTHS[periods][1])


@pytest.mark.slow
def test_a_late_period_renews_the_anomalies_that_rest_on_it(watched: Gauges) -> None:
    count = LENGTHS[watched.periods][0]
    assert watched.asked_for() == {}
    watched.write(count - 3, level=4.0)
    assert watched.run(("raw",), count - 3, count - 3).success
    reached = watched.keys(*range(count - 3, count))
    assert watched.asked_for() == dict.fromkeys((*INPUT[1:], "anomalies"), reached)


@pytest.mark.slow
def test_the_schedule_asks_for_training_on_periods_by_their_keys(watched: Gauges) -> None:
    periods = watched.periods
    schedule = next(one for one in watched.definitions.schedules or () if one.name == "gauges_retraining")
    assert isinstance(schedule, dg.ScheduleDefinition)
    with dg.build_schedule_context(
        instance=watched.instance,
        resources=watched.resources,
        scheduled_execution_time=datetime(2024, 4, 22, tzinfo=UTC),
    ) as context:
        asked = schedule.evaluate_tick(context)
    if asked.run_requests:
        (config,) = [one["config"] for one in asked.run_requests[0].run_config["ops"].values()]
        first, last = (periods.parse(config[key]) for key in ("train_start", "train_end"))
        assert (config["train_start"], config["train_end"]) == (periods.key(first), periods.key(last))
        assert first < last
    else:
        assert "the newest version has learned from" in str(asked.skip_message)


# How old the newest may be, and what is kept.


@pytest.mark.parametrize(
    ("periods", "newest", "end"),
    [
        (HOURLY, datetime(2024, 5, 2, 4, tzinfo=UTC), datetime(2024, 5, 2, 5, tzinfo=UTC)),
        (DAILY, date(2024, 5, 2), datetime(2024, 5, 3, tzinfo=UTC)),
        (WEEKLY, date(2024, 4, 29), datetime(2024, 5, 6, tzinfo=UTC)),
    ],
)
def test_age_is_counted_from_the_end_of_the_newest_period(periods: Periods, newest: date, end: datetime) -> None:
    limits = FreshnessSection(warn_after_hours=1, fail_after_hours=2)
    states = [judge(periods, newest, end + timedelta(minutes=at), limits).state for at in (-1, 59, 61, 119, 121)]
    assert states == [f"{periods.key(newest)} {word}" for word in ("passed", "passed", "WARN", "WARN", "ERROR")]


@KINDS
def test_periods_past_their_retention_are_removed(fleet: Make, periods: Periods) -> None:
    kept = timedelta(days=70) if periods is WEEKLY else timedelta(days=7)
    retention = {"raw": kept.days, "features": kept.days}
    table = fleet(periods, retraining={"window_days": 1}, maintenance={"retention_days": retention})
    count = kept // periods.step + 2
    table.write(0, 1, count - 1)
    assert table.run(INPUT, 0, 1).success
    assert table.run(INPUT, count - 1, count - 1).success
    maintained = maintain(table.space).tables
    assert {asset: maintained[asset].days_past_retention for asset in ("raw", "features")} == {"raw": 2, "features": 2}
    assert list(table.space.days_of("raw")) == numbered(periods, count - 1, count - 1)


# What a team's own assets and alerts make of it.


@KINDS
def test_an_asset_of_ones_own_takes_and_writes_periods_as_frames(fleet: Make, periods: Periods) -> None:
    table = fleet(periods)
    table.write(0, 1)
    assert table.run(INPUT, 0, 1).success
    partitions = partitions_of(table.table)

    @dg.asset(
        partitions_def=partitions,
        ins={"features": dg.AssetIn(key=["gauges", "features"], input_manager_key="day_tables")},
        io_manager_key="day_tables",
        key_prefix="mine",
    )
    def levels(features: pl.DataFrame) -> pl.DataFrame:
        return features.select("day", "entity", "time")

    lakehouse = LakehouseResource(home=str(table.home))
    upstream = dg.AssetSpec(["gauges", "features"], partitions_def=partitions)
    (key,) = table.keys(1)
    resources = {"day_tables": DayTableIOManager(lakehouse=lakehouse)}
    assert dg.materialize([upstream, levels], partition_key=key, resources=resources).success
    (second,) = numbered(periods, 1, 1)
    written = lakehouse.tables.read("mine.levels", second, second)
    assert written.height == table.space.days_of("features")[second]
    assert written["day"].unique().to_list() == [second]


@KINDS
def test_an_alert_names_the_periods_that_failed_by_their_keys(fleet: Make, periods: Periods) -> None:
    table = fleet(periods)
    table.write(0, 1, 2, 3)
    for number in (1, 2):
        write_period(table.source, periods, *numbered(periods, number, number)).write_text("nothing of ours\n")
    log = EventLog(table.instance, table.definitions.resolve_asset_graph(), None)
    begun = Cursor(log.newest(), log.newest())
    assert not table.run(INPUT, 0, 3).success
    sightings, _ = log.look(replace(begun, until=log.newest()))
    (alert,) = [
        alert
        for alert in follow({}, sightings, 0.0, Rules()).alerts
        if alert.problem.sighting.subject == Subject(Kind.RUN, "gauges/raw", f"gauges_{periods.partitions}")
    ]
    first, last = table.keys(1, 2)
    assert as_json(alert, None)["days"] == [{"first": first, "last": last}]
    assert as_text(alert, None).startswith(f"{periods.noun.capitalize()}s: {first} to {last}\n")
