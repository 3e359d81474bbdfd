"""Unknown is neither an alarm nor healthy: from a day without values to episodes, thresholds, checks and evaluation."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from ae_assets.chain.anomalies import find_anomalies
from ae_assets.chain.anomaly_day import AnomalyDay
from ae_assets.chain.champion import NotJudgedRows, load_champion
from ae_assets.chain.evaluation import evaluate
from ae_assets.chain.model import TrainingRange, train
from ae_assets.chain.rates import judge_rates
from ae_assets.chain.stories import story_of_top_alarm
from ae_assets.chain.threshold import Calibrated, calibrate_latest
from ae_assets.chain.workspace import Workspace
from ae_assets.decisions.config import AggregationConfig
from ae_assets.model.judgement import NotJudged
from ae_assets.pipeline.checks import anomalies_checks
from ae_assets.pipeline.metadata import anomalies_day, anomalies_days, threshold_run
from ae_assets.schemas.anomalies import anomaly_schema
from ae_assets.schemas.periods import DAILY
from ae_assets_tests.chain.steps import fill, judge
from ae_assets_tests.chain.tables import FIRST, storage_of, watched_table, write_day
from ae_assets_tests.thresholds.scores import cut_of_day

DAYS = DAILY.range(FIRST, FIRST + timedelta(days=29))
JUDGED = DAYS[13:]
"""The days after calibration."""
SATA = [f"D{number:02}" for number in range(20)]
NVME = [f"N{number:02}" for number in range(5)]
SICK, RAISED = "D19", 41
DIES, FAILS_ON = "D18", 25
NO_VALUE, NO_SECTORS, HEALED = 20, 22, 24
"""Days on which the sick drive sends no value at all, sends all but the counter that it is sick by, and is well."""


def counter(drive: str, number: int) -> int | None:
    """Reallocated sectors of a drive on the day of that number."""
    if drive in NVME or (drive == SICK and number in (NO_VALUE, NO_SECTORS)):
        return None
    if drive == SICK and 15 <= number < HEALED:
        return RAISED
    return RAISED if drive == DIES and number >= FAILS_ON - 2 else int(drive[1:]) % 3


def source(folder: Path) -> Path:
    for number, day in enumerate(DAYS):
        drives = [drive for drive in (*SATA, *NVME) if drive != DIES or number <= FAILS_ON]
        silent = [drive == SICK and number == NO_VALUE for drive in drives]
        write_day(
            folder,
            day,
            [(drive, int(drive == DIES and number == FAILS_ON), 0) for drive in drives],
            model=["SATA" if drive in SATA else "NVME" for drive in drives],
            smart_5_raw=[counter(drive, number) for drive in drives],
            smart_197_raw=[None if drive in NVME or gone else 0 for drive, gone in zip(drives, silent, strict=True)],
            smart_194_raw=[None if gone else 25 + number % 2 for gone in silent],
            smart_9_raw=[None if gone else 1000 + 24 * number for gone in silent],
        )
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of all days and a rule, not calibrated yet."""
    folder = tmp_path_factory.mktemp("unknown")
    space = of_home(source(folder / "source").parent)
    fill(space, DAYS)
    train(space, TrainingRange.of(DAYS[0], DAYS[5], 3))
    return folder


def of_home(folder: Path, **more: Any) -> Workspace:
    settings: dict[str, Any] = {
        "training": {"horizon_days": 3, "days": 6, "max_rows": 5000},
        "calibration": {"embargo_days": 2, "days": 5},
        "detector": {"type": "counter_rule", "features": ["smart_5_level", "smart_197_level"]},
        "checks": {"window_days": 10},
        **more,
    }
    return storage_of(watched_table(str(folder / "source"), **settings), folder)


def followed(space: Workspace) -> tuple[Calibrated, dict[int, AnomalyDay]]:
    calibrated = calibrate_latest(space)
    found = find_anomalies(space, load_champion(space), JUDGED)
    return calibrated, {(facts.day - FIRST).days: facts for facts in found}


def rows_of(space: Workspace, drive: str) -> dict[int, dict[str, Any]]:
    rows = space.read("anomalies", JUDGED[0], JUDGED[-1]).filter(entity=drive).sort("day")
    return {(row["day"] - FIRST).days: row for row in rows.iter_rows(named=True)}


def test_a_day_without_values_leaves_the_ticket_open_and_is_no_record_of_health(home: Path) -> None:
    space = of_home(home)
    followed(space)
    rows = rows_of(space, SICK)
    silent = rows[NO_VALUE]
    unknown = ["score", "day_score", "severity", "is_anomaly", "top_features", "reasons"]
    assert [silent[name] for name in unknown] == [None] * len(unknown)
    assert silent["not_judged_because"] == "not reported on this day: reallocated sectors, pending sectors"
    assert (silent["episode"], silent["episode_start"]) == ("open", FIRST + timedelta(days=15))
    assert (silent["streak_days"], silent["clear_days"], silent["is_new"]) == (5, 0, False)
    after = rows[NO_VALUE + 1]
    assert (after["episode"], after["streak_days"], after["is_new"]) == ("open", 6, False)
    assert after["not_judged_because"] is None
    assert sum(row["is_new"] for row in rows.values()) == 1


def test_a_day_without_the_counter_behind_the_ticket_may_alarm_and_clears_nothing(home: Path) -> None:
    space = of_home(home)
    followed(space)
    rows = rows_of(space, SICK)
    partly = rows[NO_SECTORS]
    assert (partly["score"], partly["is_anomaly"], partly["episode"]) == (0.0, False, "open")
    assert (partly["clear_days"], partly["not_judged_because"]) == (0, None)
    healed = rows[HEALED]
    assert (healed["score"], healed["episode"], healed["clear_days"]) == (pytest.approx(0.693, abs=1e-3), "closed", 1)
    assert [row["episode"] for number, row in rows.items() if 15 <= number < HEALED] == ["opened"] + ["open"] * 8


def test_single_days_decide_as_the_range_does_where_something_is_unknown(home: Path) -> None:
    space = of_home(home, decision={"episodes": {"clear_below": 0.9, "clear_after_days": 2}})
    followed(space)
    in_range = rows_of(space, SICK)
    for day in JUDGED:
        judge(space, [day])
    assert rows_of(space, SICK) == in_range


@pytest.mark.parametrize("method", ["max", "mean", "exponential"])
def test_an_aggregate_passes_over_a_day_without_values_and_is_unknown_on_it(home: Path, method: str) -> None:
    space = of_home(home, decision={"aggregation": {"method": method, "days": 3}})
    followed(space)
    rows = rows_of(space, SICK)
    assert rows[NO_VALUE]["score"] is rows[NO_VALUE]["day_score"] is None
    assert rows[NO_VALUE + 1]["score"] == pytest.approx(rows[NO_VALUE + 1]["day_score"])
    evaluate(space, JUDGED[0], JUDGED[-1], with_comparisons=False)
    assert load_champion(space).aggregation == AggregationConfig(method=method, days=3)


def test_devices_that_never_report_what_the_score_rests_on_are_counted_and_named(home: Path) -> None:
    space = of_home(home)
    _, days = followed(space)
    never = NotJudged("NVME", "not reported: reallocated sectors, pending sectors", len(NVME))
    assert days[15].not_judged == (never,)
    assert days[NO_VALUE].not_judged == (
        never,
        NotJudged("SATA", "not reported on this day: reallocated sectors, pending sectors", 1),
    )
    assert days[NO_VALUE].devices_not_judged == len(NVME) + 1
    assert (days[NO_VALUE].alarms, days[NO_VALUE].listed) == (0, 1)
    shown = anomalies_day(space, days[NO_VALUE], load_champion(space), drawn=True, simulated=False)
    assert "| NVME | 5 |" in shown["Not judged, by kind"].value
    assert "6 devices are not judged" in shown["Summary"]
    (listed,) = shown["Devices to look at"].records
    assert (listed.data["device"], listed.data["score"]) == (SICK, "n/a")
    assert listed.data["why"].startswith("not judged: not reported on this day: reallocated sectors")
    assert "not judged: not reported on this day: reallocated sectors" in shown["Why, in full"].value
    counts = dict(anomalies_days(space, load_champion(space), [days[NO_VALUE]]))[days[NO_VALUE].day]
    assert (counts["Devices not judged"], counts["Devices judged"]) == (len(NVME) + 1, len(SATA) - 1)


def test_the_alarms_of_the_day_before_are_those_of_its_own_table_and_what_became_of_them_is_known(home: Path) -> None:
    space = of_home(home)
    _, days = followed(space)
    for number in range(14, 30):
        before = days[number].before
        assert before is not None
        assert before.startswith(f"{days[number - 1].alarms} on the day before")
        (alone,) = find_anomalies(space, load_champion(space), [days[number].day])
        assert alone.before == before
    became = [days[number].before for number in (NO_VALUE, NO_SECTORS, HEALED, FAILS_ON, FAILS_ON + 1)]
    assert became == [
        "1 on the day before, of which 1 is gone: 1 not judged",
        "1 on the day before, of which 1 is gone: 1 below the threshold but not clear",
        "2 on the day before, of which 1 is gone: 1 cleared",
        "1 on the day before",
        "1 on the day before, of which 1 is gone: 1 left",
    ]
    shown = anomalies_day(space, days[FAILS_ON + 1], load_champion(space), drawn=False, simulated=False)
    assert "1 on the day before, of which 1 is gone: 1 left." in shown["Summary"]


def test_a_muted_device_is_not_counted_among_those_that_are_not_judged(home: Path, tmp_path: Path) -> None:
    mutes = tmp_path / "mutes.csv"
    mutes.write_text("cohort,until,reason\nNVME,2013-12-31,no counters\n")
    space = of_home(home, decision={"mute_list": str(mutes)})
    _, days = followed(space)
    assert [group.cohort for group in days[NO_VALUE].not_judged] == ["SATA"]
    assert days[15].not_judged == ()


def test_rows_without_a_score_stand_in_the_table_after_all_others_and_keep_its_contract(home: Path) -> None:
    space = of_home(home)
    followed(space)
    rows = space.read("anomalies", DAYS[NO_VALUE], DAYS[NO_VALUE])
    assert anomaly_schema().validate(rows).columns[-1] == "alarm_score"
    assert rows["entity"].to_list()[-6:] == [SICK, *NVME]
    assert rows["score"].is_null().equals(rows["not_judged_because"].is_not_null().alias("score"))
    assert rows["threshold"].n_unique() == 1


def test_rows_without_a_score_choose_no_threshold_and_are_counted_beside_it(home: Path) -> None:
    space = of_home(home)
    calibrated, _ = followed(space)
    assert set(calibrated.scores["entity"]) == set(SATA)
    assert calibrated.threshold.calibration.rows == 5 * len(SATA)
    assert calibrated.not_judged == NotJudgedRows(5 * len(NVME), len(NVME))
    shown = threshold_run(calibrated, DAILY)
    assert shown["Calibration rows not judged"] == 5 * len(NVME)
    assert shown["Devices never judged in calibration"] == len(NVME)


def test_the_cut_of_a_day_follows_the_judged_devices_alone(home: Path) -> None:
    space = of_home(home, threshold={"policy": "alarm_budget", "alarms_a_day": 1, "share_of_days": 0.5})
    _, days = followed(space)
    for number in (NO_VALUE - 1, NO_VALUE):
        frame = days[number].frame
        cut = cut_of_day(load_champion(space).threshold, frame["score"].drop_nulls())
        assert frame["threshold"].unique().to_list() == [cut]


def test_an_evaluation_leaves_out_what_was_not_judged_and_says_how_much(home: Path) -> None:
    space = of_home(home, comparisons=[{"type": "growth_rule", "features": ["smart_5_growth_7d"]}, {"type": "ecod"}])
    followed(space)
    judged = evaluate(space, JUDGED[0], JUDGED[-1], with_comparisons=True)
    sample = judged.result.evaluations[0].sample
    assert sample.not_judged == len(NVME) * len(JUDGED) + 1
    assert sample.never_judged == len(NVME)
    assert sample.rows == len(SATA) * len(JUDGED) - 1 - (len(DAYS) - 1 - FAILS_ON)
    assert "were not judged" in judged.markdown
    points = {one.detector: one.point("in use") for one in judged.result.evaluations}
    assert points["counter_rule"].detection.count == 1
    assert points["growth_rule"].false_alarm.total == points["ecod"].false_alarm.total
    assert judge_rates(space)["false_alarm_rate_is_acceptable"].facts["total"] == 19


def test_the_rate_of_alarms_is_one_of_judged_devices(home: Path) -> None:
    space = of_home(home, checks={"window_days": 10, "max_alarm_share": 0.045})
    followed(space)
    day = DAYS[NO_VALUE - 1]  # 1 alarm among 20 judged devices, 25 in all
    checks = anomalies_checks(space, load_champion(space), [day])
    verdict = next(check for check in checks if check.check_name == "alarm_rate_is_plausible")
    assert not verdict.passed
    assert isinstance(verdict, dg.AssetCheckResult)


def checked(space: Workspace, numbers: list[int]) -> dg.AssetCheckResult:
    checks = anomalies_checks(space, load_champion(space), [DAYS[number] for number in numbers])
    return next(check for check in checks if check.check_name == "devices_are_judged")


def test_too_many_devices_that_are_not_judged_are_warned_of_with_their_cohorts_and_what_they_lack(home: Path) -> None:
    space = of_home(home)
    followed(space)
    verdict = checked(space, [NO_VALUE - 1, NO_VALUE])
    assert (verdict.passed, verdict.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert verdict.metadata["devices_not_judged"].value == len(NVME) + 1
    assert verdict.metadata["cohorts_not_judged"].value == ["NVME", "SATA"]
    assert verdict.metadata["failed_days"].value == [DAYS[NO_VALUE - 1].isoformat(), DAYS[NO_VALUE].isoformat()]
    assert "5 of NVME (not reported: reallocated sectors, pending sectors)" in str(verdict.description)
    # 5 of 25 devices on the day before.
    allowed = of_home(home, checks={"window_days": 10, "max_share_not_judged": 0.2})
    assert checked(allowed, [NO_VALUE - 1]).passed
    assert not checked(allowed, [NO_VALUE - 1, NO_VALUE]).passed


def test_a_muted_cohort_need_not_be_judged(home: Path, tmp_path: Path) -> None:
    mutes = tmp_path / "mutes.csv"
    mutes.write_text("cohort,until,reason\nNVME,2013-12-31,no counters\n")
    space = of_home(home, decision={"mute_list": str(mutes)})
    followed(space)
    assert checked(space, [NO_VALUE - 1]).passed


def test_a_story_shows_the_day_without_values_as_a_gap(home: Path) -> None:
    space = of_home(home)
    followed(space)
    day: date = DAYS[NO_VALUE + 1]
    story = story_of_top_alarm(space, load_champion(space), day)
    assert story is not None
    assert story.entity == SICK
    assert story.history.filter(pl.col("day") == DAYS[NO_VALUE])["score"].to_list() == [None]
