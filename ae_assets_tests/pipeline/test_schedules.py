"""The retraining schedule: which days a challenger learns from, and when none is trained."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.chain.challenger import window_to_judge
from ae_assets.chain.champion import CalibrationRange
from ae_assets.chain.model import TrainingRange
from ae_assets.chain.training_days import plan_retraining, plan_training
from ae_assets.errors import ConfigError
from ae_assets.model.definition import WatchedTable
from ae_assets.pipeline.component import AnomalyPipeline
from ae_assets.pipeline.resources import LakehouseResource
from ae_assets.schemas.periods import DAILY
from ae_assets_tests.chain.tables import FIRST, LAST, storage_of, watched_table
from ae_assets_tests.pipeline.runs import PipelineAlone

MONDAYS = {"cron_schedule": "0 6 * * 1", "window_days": 10}


def table(**retraining: Any) -> WatchedTable:
    return watched_table(retraining={**MONDAYS, **retraining})


@settings(deadline=None)
@given(
    window=st.integers(10, 90),
    embargo=st.integers(0, 40),
    calibration=st.integers(1, 40),
    horizon=st.integers(1, 60),
    days=st.integers(1, 90),
    outages=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 40)), max_size=3),
)
def test_a_challenger_leaves_exactly_the_window_that_it_is_judged_on_unseen(
    window: int, embargo: int, calibration: int, horizon: int, days: int, outages: list[tuple[int, int]]
) -> None:
    yaml = watched_table(
        retraining={**MONDAYS, "window_days": window},
        calibration={"embargo_days": embargo, "days": calibration},
        training={"horizon_days": horizon, "days": days},
    )
    last = LAST + timedelta(days=600)
    left_out = {last - timedelta(days=back + more) for back, length in outages for more in range(length)} - {last}

    def counted(first: date, until: date) -> int:
        return (until - first).days + 1 - sum(first <= day <= until for day in left_out)

    planned = plan_retraining(yaml, DAILY.range(FIRST, last), None, judged=True, left_out=left_out)
    assert not isinstance(planned, str)
    training = TrainingRange.of(*planned, horizon)
    calibrated = CalibrationRange.after(training, embargo, calibration, left_out)
    seen_until = max(training.known_until, calibrated.end)
    assert counted(training.start, training.end) == days
    assert counted(calibrated.start, calibrated.end) == calibration
    assert set(calibrated.left_out) == {day for day in left_out if calibrated.start <= day <= calibrated.end}
    first, until = window_to_judge(last, seen_until, window, 10, left_out)
    assert until == last
    assert first > seen_until
    assert counted(first, last) == window
    if not left_out:
        assert (last - seen_until).days == window
        assert (training.end - training.start).days == days - 1


def test_a_first_model_learns_from_later_days_since_it_is_not_compared() -> None:
    held = DAILY.range(FIRST, LAST)
    first = plan_retraining(table(), held, None, judged=False)
    assert first == (LAST - timedelta(days=29), LAST - timedelta(days=10))
    assert plan_retraining(table(), held, None, judged=True) == (LAST - timedelta(days=39), LAST - timedelta(days=20))


def test_who_names_no_days_gets_those_that_leave_room_to_judge_where_there_are_enough() -> None:
    assert plan_training(table(), DAILY.range(FIRST, LAST), judged=True) == (
        LAST - timedelta(days=39),
        LAST - timedelta(days=20),
    )
    few = DAILY.range(LAST - timedelta(days=28), LAST)
    planned = plan_training(table(), few, judged=True)
    assert (
        planned == plan_training(table(), few, judged=False) == (LAST - timedelta(days=29), LAST - timedelta(days=10))
    )


def test_who_names_no_days_and_has_too_few_is_told_how_many_are_needed_and_from_when_on_there_are() -> None:
    enough = DAILY.range(FIRST, FIRST + timedelta(days=19))  # half of 20, then 2 and 8
    assert not isinstance(plan_training(table(), enough, judged=False), str)
    for held in (enough[:-1], enough[:1]):
        told = plan_training(table(), held, judged=False)
        assert isinstance(told, str)
        assert f"{len(held)} days have features to learn from ({held[0]} to {held[-1]}), and a model needs 20" in told
        assert f"that is from {enough[-1]} on" in told
    left_out = set(enough[3:5])
    told = plan_training(table(), enough, judged=False, left_out=left_out)
    assert isinstance(told, str)
    assert told.startswith("18 days have features to learn from")


@pytest.mark.parametrize(
    ("held", "trained_until", "says"),
    [
        ([], None, "fleet has no features yet"),
        (DAILY.range(FIRST, FIRST + timedelta(days=28)), None, "9 of the 20 days from"),
        (DAILY.range(FIRST, LAST), LAST - timedelta(days=20), "the newest version has learned from days until"),
    ],
)
def test_no_challenger_is_trained_without_new_days(held: list[date], trained_until: date | None, says: str) -> None:
    planned = plan_retraining(table(), held, trained_until, judged=True)
    assert isinstance(planned, str)
    assert says in planned


def test_a_table_has_no_schedule_by_default() -> None:
    definitions = AnomalyPipeline(watched_table()).build_defs(None)  # type: ignore[arg-type]
    assert not definitions.schedules


def tick(settings: WatchedTable, home: Path) -> Any:
    definitions = dg.Definitions.merge(
        PipelineAlone(settings).build_defs(None),  # type: ignore[arg-type]
        dg.Definitions(resources={"lakehouse": LakehouseResource(home=str(home))}, executor=dg.in_process_executor),
    )
    schedule = definitions.resolve_schedule_def("fleet_retraining")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 6 * * 1", "UTC")
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_schedule_context(
            instance=instance,
            resources={"lakehouse": LakehouseResource(home=str(home))},
            scheduled_execution_time=datetime(2013, 6, 10, 6, tzinfo=UTC),
            repository_def=definitions.get_repository_def(),
        ) as context,
    ):
        return schedule.evaluate_tick(context), definitions


def test_a_tick_asks_for_a_model_and_its_threshold_on_the_planned_days(finished_home: Path) -> None:
    # The champion has learned until the 30th of 60 days; 20 days are kept after training.
    result, definitions = tick(table(), finished_home)
    (request,) = result.run_requests
    planned = {"train_start": str(LAST - timedelta(days=39)), "train_end": str(LAST - timedelta(days=20))}
    assert request.run_config == {"ops": {"fleet__model": {"config": planned}}}
    job = definitions.resolve_job_def("fleet_retrain")
    assert dg.validate_run_config(job, request.run_config)
    assert {key.path[-1] for key in job.asset_layer.executable_asset_keys} == {"model", "threshold"}


def test_a_newest_version_of_earlier_days_does_not_make_a_challenger_older_than_the_champion(
    finished_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = storage_of(table(), finished_home).models
    champion = models.champion("fleet")
    assert champion is not None
    older = {"training": {"start": str(FIRST), "end": str(FIRST + timedelta(days=5)), "known_until": str(LAST)}}
    card = type(models).card
    monkeypatch.setattr(type(models), "versions", lambda *_: [champion, "older"])
    monkeypatch.setattr(
        type(models), "card", lambda self, name, version: older if version == "older" else card(self, name, version)
    )
    result, _ = tick(table(window_days=25), finished_home)
    assert "the newest version has learned from days until 2013-05-09" in result.skip_message


def test_a_tick_without_newer_days_says_so(finished_home: Path) -> None:
    result, _ = tick(table(window_days=25), finished_home)
    assert not result.run_requests
    assert "the newest version has learned from days until 2013-05-09" in result.skip_message
    assert storage_of(table(), finished_home).models.champion("fleet") is not None


@pytest.mark.parametrize("wrong", [{"cron_schedule": "every Monday"}, {"timezone": "Mars/Olympus"}])
def test_a_schedule_that_is_none_is_named_with_its_key(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"attributes.retraining.cron_schedule is '.*', its timezone '.*'"):
        AnomalyPipeline(table(**wrong)).build_defs(None)  # type: ignore[arg-type]
