"""Days that follow and days that are renewed, as the instance's event log says."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ae_assets.chain.workspace import FailedPeriod
from ae_assets.pipeline.automation import last_change, stale_periods, unmade_periods
from ae_assets.pipeline.daily import record_of
from ae_assets.pipeline.resources import LakehouseResource
from ae_assets.schemas.periods import DAILY
from ae_assets_tests.chain.tables import FIRST, storage_of, watched_table, write_day
from ae_assets_tests.pipeline.runs import PipelineAlone, failure_of, instance_in, materialise

RULE = {"type": "counter_rule", "features": ["smart_5_level", "smart_197_level"]}
LAST = FIRST + timedelta(days=33)
POSITIONS = st.dictionaries(st.dates(FIRST, FIRST + timedelta(days=12)), st.integers(1, 40), max_size=12)


def days(first: int, last: int) -> list[date]:
    return [FIRST + timedelta(days=number) for number in range(first, last + 1)]


@given(POSITIONS, POSITIONS, st.integers(0, 5))
def test_a_day_is_stale_if_and_only_if_a_day_that_it_reads_was_written_later(
    written: dict[date, int], theirs: dict[date, int], look_back: int
) -> None:
    stale = stale_periods(written, [(theirs, timedelta(days=look_back))], DAILY)
    for day, position in written.items():
        read = [theirs[other] for other in theirs if 0 <= (day - other).days <= look_back]
        assert (day in stale) == any(other > position for other in read)
    assert stale <= set(written)


def test_days_are_unmade_that_upstream_has_from_the_start_of_the_asset_on() -> None:
    upstream = dict(zip(days(0, 4), [5, 6, 20, 21, 22], strict=True))
    assert unmade_periods({}, upstream) == set(days(0, 4))
    assert unmade_periods({}, upstream, after=10) == set(days(2, 4))
    assert unmade_periods({}, {**upstream, days(0, 0)[0]: 30}, after=10) == set(days(2, 4)), "a renewed day of history"
    assert unmade_periods({days(2, 2)[0]: 25}, upstream, after=24) == set(days(3, 4))
    assert unmade_periods({}, dict.fromkeys(days(0, 4), 30), after=10) == set(), "nothing says where history ended"


class Fleet:
    """A watched table with an instance, whose conditions are looked at as the daemon does."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.source, self.home, self.instance = folder / "source", folder / "home", instance
        self.table = watched_table(str(self.source), detector=RULE, end="2013-12-31")
        self.definitions = dg.Definitions.merge(
            PipelineAlone(self.table).build_defs(None),  # type: ignore[arg-type]
            dg.Definitions(
                resources={"lakehouse": LakehouseResource(home=str(self.home))}, executor=dg.in_process_executor
            ),
        )
        self._cursor: Any = None

    def write(self, *written: date, drives: int = 8) -> None:
        for day in written:
            counters = [(f"D{number}", 0, (day - FIRST).days * (number == 7)) for number in range(drives)]
            write_day(self.source, day, counters)

    def run(self, assets: list[str], span: list[date] | None = None, **config: Any) -> None:
        asked = None if span is None else (span[0], span[-1])
        result = materialise(self.table, self.home, assets, asked, config, self.instance)
        assert result.success, failure_of(result)

    def asked_for(self) -> dict[str, list[date]]:
        """The days that the conditions ask for now, by asset."""
        result = dg.evaluate_automation_conditions(self.definitions, self.instance, cursor=self._cursor)
        self._cursor = result.cursor
        found = {
            name: sorted(map(date.fromisoformat, result.get_requested_partitions(dg.AssetKey(["fleet", name]))))
            for name in ("raw", "features", "quarantine", "anomalies")
        }
        return {name: asked for name, asked in found.items() if asked}

    def follow(self) -> dict[str, list[date]]:
        """Runs what is asked for, one range a time as a backfill does."""
        asked = self.asked_for()
        for first, last in _ranges(asked.get("features", [])):
            self.run(["features", "quarantine"], [first, last])
        for first, last in _ranges(asked.get("anomalies", [])):
            self.run(["anomalies"], [first, last])
        return asked


def _ranges(asked: list[date]) -> Iterator[tuple[date, date]]:
    starts = [day for day in asked if day - timedelta(days=1) not in asked]
    ends = [day for day in asked if day + timedelta(days=1) not in asked]
    yield from zip(starts, ends, strict=True)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with instance_in(tmp_path) as instance:
        yield Fleet(tmp_path, instance)


def _with_champion(fleet: Fleet) -> None:
    fleet.write(*days(0, 33))
    fleet.run(["raw", "features", "quarantine"], days(0, 29))
    fleet.run(["model", "threshold"], model={"train_start": str(FIRST), "train_end": str(days(18, 18)[0])})


@pytest.mark.slow
def test_loaded_days_go_on_to_features_and_those_after_the_champion_to_anomalies(fleet: Fleet) -> None:
    fleet.write(*days(0, 2))
    fleet.run(["raw"], days(0, 2))
    assert fleet.follow() == {"features": days(0, 2), "quarantine": days(0, 2)}
    assert fleet.asked_for() == {}
    _with_champion(fleet)
    assert fleet.asked_for() == {}, "history before the champion is left to people"
    fleet.run(["raw"], days(30, 33))
    assert fleet.follow() == {name: days(30, 33) for name in ("features", "quarantine", "anomalies")}
    assert fleet.asked_for() == {}


@pytest.mark.slow
def test_a_late_day_renews_the_days_that_rest_on_it_until_they_equal_those_of_an_orderly_arrival(
    fleet: Fleet, tmp_path: Path
) -> None:
    _with_champion(fleet)
    late = days(30, 30)
    fleet.run(["raw", "features", "quarantine", "anomalies"], days(31, 33))
    before = storage_of(fleet.table, fleet.home).tables.read("fleet.features", *days(31, 31) * 2)
    fleet.run(["raw", "features", "quarantine", "anomalies"], late)
    renewed = days(31, 33)  # the look-back is 7 days, and there are no more
    assert fleet.follow() == dict.fromkeys(("features", "quarantine", "anomalies"), renewed)
    assert fleet.asked_for() == {}
    space = storage_of(fleet.table, fleet.home)
    healed = {
        name: space.tables.read(f"fleet.{name}", days(30, 30)[0], days(33, 33)[0]) for name in ("features", "anomalies")
    }
    assert not before.equals(space.tables.read("fleet.features", *days(31, 31) * 2)), "the late day says something"
    fleet.run(["features", "quarantine", "anomalies"], days(30, 33))
    for name, frame in healed.items():
        in_order = space.tables.read(f"fleet.{name}", days(30, 30)[0], days(33, 33)[0])
        keys = ["day", "entity"]
        assert frame.sort(keys).equals(in_order.sort(keys))


@pytest.mark.slow
def test_a_replaced_day_renews_no_day_beyond_its_reach(fleet: Fleet) -> None:
    _with_champion(fleet)
    fleet.write(days(5, 5)[0], drives=9)
    fleet.run(["raw"], days(5, 5))
    assert fleet.follow() == {name: days(5, 12) for name in ("features", "quarantine")}
    assert fleet.asked_for() == {}


def test_a_day_that_failed_is_not_asked_for_again_by_itself(fleet: Fleet) -> None:
    fleet.write(*days(0, 1))
    fleet.run(["raw"], days(0, 1))
    broken = fleet.home / "warehouse"
    away = fleet.home / "away"
    broken.rename(away)
    result = materialise(fleet.table, fleet.home, ["features", "quarantine"], (FIRST, FIRST), None, fleet.instance)
    assert not result.success
    away.rename(broken)
    assert fleet.asked_for() == {"features": days(1, 1), "quarantine": days(1, 1)}


def test_nothing_is_renewed_while_days_are_being_loaded(fleet: Fleet) -> None:
    fleet.write(*days(0, 1))
    fleet.run(["raw"], days(0, 1))
    job = fleet.definitions.resolve_implicit_global_asset_job_def()
    run = fleet.instance.create_run_for_job(
        job,
        asset_selection=frozenset([dg.AssetKey(["fleet", "raw"])]),
        tags={"dagster/partition": str(LAST)},
        status=dg.DagsterRunStatus.STARTED,
    )
    assert fleet.asked_for() == {}
    fleet.instance.report_run_canceled(run)
    assert fleet.asked_for() == {"features": days(0, 1), "quarantine": days(0, 1)}


def test_a_day_that_is_loaded_again_without_other_bytes_renews_nothing(fleet: Fleet) -> None:
    fleet.write(*days(0, 9))
    fleet.run(["raw", "features", "quarantine"], days(0, 9))
    fleet.write(*days(2, 4))
    fleet.run(["raw"], days(2, 4))
    assert fleet.asked_for() == {}
    fleet.write(days(3, 3)[0], drives=9)
    fleet.run(["raw"], days(2, 4))
    renewed = days(3, 9)  # the longest span is 7 days
    assert fleet.follow() == {"features": renewed, "quarantine": renewed}
    assert fleet.asked_for() == {}


def test_a_day_that_the_source_lacks_now_renews_nothing(fleet: Fleet) -> None:
    fleet.write(*days(0, 4))
    fleet.run(["raw", "features", "quarantine"], days(0, 4))
    (fleet.source / f"{days(1, 1)[0]}.csv").unlink()
    fleet.run(["raw"], days(0, 2))
    assert fleet.asked_for() == {}
    fleet.write(days(1, 1)[0])
    fleet.run(["raw"], days(1, 1))
    assert fleet.asked_for() == {}, "it is back as it was"


@pytest.mark.parametrize(
    ("loads", "changed"),
    [
        (["a"], 1),
        ([None], 1),
        (["a", "a", "a"], 1),
        (["a", "b", "b"], 2),
        (["a", "b", "a"], 3),
        (["a", None, "a"], 1),
        (["a", None, "b"], 3),
        ([None, "a", None], 2),
    ],
)
def test_a_load_counts_where_it_brought_another_fingerprint_than_the_one_before(
    loads: list[str | None], changed: int
) -> None:
    assert last_change(enumerate(loads, 1)) == changed


def test_no_anomalies_are_asked_for_of_a_day_whose_features_a_check_holds_back(fleet: Fleet) -> None:
    _with_champion(fleet)
    fleet.run(["raw", "features", "quarantine"], days(30, 31))
    held_back = FailedPeriod(days(30, 30)[0], "features", "rows are lost", "rows_are_conserved")
    fleet.instance.report_runless_asset_event(record_of(held_back, DAILY, dg.AssetKey(["fleet", "features"])))
    assert fleet.asked_for() == {"anomalies": days(31, 31)}
    fleet.run(["features", "quarantine"], days(30, 30))
    assert fleet.asked_for() == {"anomalies": days(30, 31)}
