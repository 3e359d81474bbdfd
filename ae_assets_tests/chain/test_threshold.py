"""What the threshold may see of the calibration range, and that each day is held against its own cut."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from ae_assets.chain import evaluation as evaluation_room
from ae_assets.chain.champion import CalibrationRange, load_champion
from ae_assets.chain.evaluation import evaluate
from ae_assets.chain.model import TrainingRange
from ae_assets.chain.scoring import score_days
from ae_assets.chain.threshold import calibration_scores
from ae_assets.chain.workspace import Workspace
from ae_assets.decisions.aggregation import aggregate
from ae_assets.decisions.config import AggregationConfig
from ae_assets.detectors.config import CounterRuleConfig
from ae_assets.evaluation.compare import compare
from ae_assets.evaluation.results import Comparison
from ae_assets.model.definition import CalibrationSection
from ae_assets.schemas.periods import DAILY
from ae_assets.thresholds.config import default_policies
from ae_assets.thresholds.threshold import fit_threshold
from ae_assets_tests.chain.steps import fill, fit, judge
from ae_assets_tests.chain.tables import FIRST, LAST, fit_detector, storage_of, watched_table, write_day
from ae_assets_tests.thresholds.scores import cut_of_day

BUDGET = 3
HORIZON = 3
TRAINED = TrainingRange.of(FIRST, FIRST + timedelta(days=5), HORIZON)
CALIBRATED = (FIRST + timedelta(days=8), FIRST + timedelta(days=12))


@pytest.fixture(scope="module")
def fleet_with_failures(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """40 drives over 20 days, of which some fail before, in and after the calibration range of days 8 to 12."""
    home = tmp_path_factory.mktemp("failures")
    table = watched_table(
        str(home / "source"),
        training={"horizon_days": HORIZON, "days": 6, "max_rows": 5000},
        calibration={"embargo_days": 2, "days": 5},
        detector={"type": "counter_rule", "features": ["smart_5_level", "smart_197_level"]},
    )
    space = storage_of(table, home / "home")
    fails_on = {"D00": 4, "D01": 7, "D02": 10, "D03": 12, "D04": 13, "D05": 4}
    days = DAILY.range(FIRST, FIRST + timedelta(days=19))
    for number, day in enumerate(days):
        drives = [
            (f"D{drive:02}", int(fails_on.get(f"D{drive:02}") == number), drive * number)
            for drive in range(40)
            # D05 comes back after its failure; the others are gone.
            if number <= fails_on.get(f"D{drive:02}", 99) or drive == 5
        ]
        write_day(home / "source", day, drives)
    fill(space, days)
    return space


def scores_for_calibration(
    space: Workspace, *, earlier_failures: bool, learned: bool = False, training: TrainingRange = TRAINED
) -> pl.DataFrame:
    detector, _ = fit_detector(space, space.table.detector, TRAINED)
    if learned:
        detector.__dict__["learns_from_failures"] = True
    section = space.table.calibration
    calibration = CalibrationRange.after(training, section.embargo_days, section.days)
    return calibration_scores(
        space, detector, AggregationConfig(), training, calibration, earlier_failures=earlier_failures
    )


def failing(scores: pl.DataFrame) -> dict[str, list[tuple[int, int]]]:
    """For each entity that is known to fail: days since `FIRST` with the days to its failure."""
    marked = scores.filter(pl.col("fails_in").is_not_null()).sort("entity", "day")
    found: dict[str, list[tuple[int, int]]] = {}
    for row in marked.iter_rows(named=True):
        found.setdefault(row["entity"], []).append(((row["day"] - FIRST).days, row["fails_in"]))
    return found


def test_drives_known_to_fail_by_the_end_of_calibration_keep_only_the_days_of_their_horizon(
    fleet_with_failures: Workspace,
) -> None:
    scores = scores_for_calibration(fleet_with_failures, earlier_failures=False)
    # D04 fails on day 13, which is not known on day 12; D05 failed before and came back, which is nobody's normal.
    assert failing(scores) == {"D02": [(8, 2), (9, 1)], "D03": [(9, 3), (10, 2), (11, 1)]}
    normal = scores.filter(pl.col("fails_in").is_null())
    assert set(normal["entity"]) == {f"D{drive:02}" for drive in range(40)} - {"D00", "D01", "D02", "D03", "D05"}
    assert (normal["day"].min(), normal["day"].max()) == CALIBRATED


def test_failures_since_the_start_of_training_are_added_where_a_policy_asks_for_them(
    fleet_with_failures: Workspace,
) -> None:
    scores = scores_for_calibration(fleet_with_failures, earlier_failures=True)
    assert failing(scores) == {
        "D00": [(1, 3), (2, 2), (3, 1)],
        "D01": [(4, 3), (5, 2), (6, 1)],
        "D02": [(7, 3), (8, 2), (9, 1)],
        "D03": [(9, 3), (10, 2), (11, 1)],
        "D05": [(1, 3), (2, 2), (3, 1)],
    }
    without = scores_for_calibration(fleet_with_failures, earlier_failures=False)
    same = ["entity", "day", "score"]
    assert (
        scores.filter(pl.col("fails_in").is_null())
        .select(same)
        .sort(same)
        .equals(without.filter(pl.col("fails_in").is_null()).select(same).sort(same))
    )


def test_a_detector_that_learned_from_failures_is_not_judged_on_them(fleet_with_failures: Workspace) -> None:
    assert TRAINED.known_until < FIRST + timedelta(days=10)
    scores = scores_for_calibration(fleet_with_failures, earlier_failures=True, learned=True)
    assert failing(scores).keys() == {"D02", "D03"}


def test_a_failure_that_the_fit_knew_of_counts_for_nothing_though_it_lies_in_the_calibration_range(
    fleet_with_failures: Workspace,
) -> None:
    knowing = replace(TRAINED, known_until=FIRST + timedelta(days=10))
    learned, ignorant = (
        scores_for_calibration(fleet_with_failures, earlier_failures=False, learned=learned, training=knowing)
        for learned in (True, False)
    )
    assert failing(learned).keys() == {"D03"}
    assert failing(ignorant).keys() == {"D02", "D03"}
    assert "D02" not in set(learned["entity"])


@pytest.fixture(scope="module")
def budgeted(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A simulated fleet with a failure on its 47th day and a budget of alarms; anomalies from the 41st day on."""
    table = watched_table(
        "simulated://?drives=200&days=60&seed=14",
        # Temperatures differ from day to day, as the few counters of so small a fleet do not.
        detector={"type": "counter_rule", "features": ["smart_194_deviation"]},
        threshold={"policy": "alarm_budget", "alarms_a_day": BUDGET, "share_of_days": 0.5},
    )
    space = storage_of(table, tmp_path_factory.mktemp("budgeted"))
    days = DAILY.range(FIRST, LAST)
    fill(space, days)
    fit(space, FIRST, FIRST + timedelta(days=29))
    judge(space, days[40:])
    return space


def test_the_anomaly_table_holds_the_cut_of_the_day(budgeted: Workspace) -> None:
    champion = load_champion(budgeted)
    rows = budgeted.tables.read(budgeted.name("anomalies"), FIRST + timedelta(days=40), LAST)
    by_day = rows.group_by("day").agg(
        pl.col("threshold").unique(), pl.col("score").drop_nulls(), alarms=pl.col("is_anomaly").sum()
    )
    cuts = [cut for (cut,) in by_day["threshold"]]
    assert cuts == [cut_of_day(champion.threshold, scores) for scores in by_day["score"]]
    assert min(cuts) == champion.threshold.cut < max(cuts)
    assert by_day["alarms"].max() <= BUDGET
    assert (rows["is_anomaly"] == (rows["score"] > rows["threshold"])).all()


def test_an_evaluation_judges_the_cuts_that_were_in_use_and_what_the_policies_promised(budgeted: Workspace) -> None:
    start = FIRST + timedelta(days=40)
    evaluation = evaluate(budgeted, start, LAST, with_comparisons=False)
    rows = budgeted.tables.read(budgeted.name("anomalies"), start, LAST)
    assert isinstance(evaluation.result, Comparison)
    (champion,) = evaluation.result.evaluations
    assert champion.point("in use").alarms_per_day == rows["is_anomaly"].sum() / rows["day"].n_unique()
    assert champion.point("in use").threshold == load_champion(budgeted).threshold.cut

    promises = evaluation.record["promises"]
    (in_use, *others) = promises["table"]
    assert in_use["policy"] == "alarm_budget (in use)"
    assert in_use["kept"] == "held"
    assert in_use["alarms_per_day"] == champion.point("in use").alarms_per_day
    assert in_use["detection_rate"] == champion.point("in use").detection.value
    assert {"alarm_budget", *(row["policy"] for row in others)} | set(promises["not_fitted"]) == set(default_policies())
    assert "alarm_budget (in use)" in evaluation.text
    assert "| alarm_budget (in use) | alarms a day | 3 |" in evaluation.markdown


def test_comparisons_are_fitted_calibrated_and_aggregated_as_the_champion_was(
    budgeted: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = load_champion(budgeted)
    aggregation = AggregationConfig(method="mean", days=2)
    monkeypatch.setattr(evaluation_room, "load_champion", lambda _: replace(champion, aggregation=aggregation))
    monkeypatch.setattr(evaluation_room, "_require_aggregated", lambda *_: None)
    judged: list[Mapping[str, pl.DataFrame]] = []

    def remember(scores: Mapping[str, pl.DataFrame], *rest: Any, **more: Any) -> Any:
        judged.append(scores)
        return compare(scores, *rest, **more)

    monkeypatch.setattr(evaluation_room, "compare", remember)
    # Another calibration range in the YAML than the champion's would reach into the judged days.
    other = {"calibration": CalibrationSection(embargo_days=2, days=20)}
    rule = CounterRuleConfig(features=("smart_5_level", "smart_194_deviation"))
    table = budgeted.table.model_copy(update={"comparisons": (rule,), **other})
    seen: list[pl.DataFrame] = []

    def fit_on(policy: Any, scores: pl.DataFrame) -> Any:
        seen.append(scores)
        return fit_threshold(policy, scores)

    monkeypatch.setattr(evaluation_room, "fit_threshold", fit_on)
    evaluate(replace(budgeted, table=table), FIRST + timedelta(days=40), LAST, with_comparisons=True)
    assert len(seen) > 3
    for scores in seen:
        days = scores.filter(pl.col("fails_in").is_null())["day"]
        assert (days.min(), days.max()) == (champion.calibration.start, champion.calibration.end)
    (scores,) = judged
    (name,) = scores.keys() - {"counter_rule"}
    detector, _ = fit_detector(budgeted, rule, champion.training)
    of_days = score_days(
        budgeted, detector, AggregationConfig(), DAILY.range(FIRST + timedelta(days=39), LAST), "again"
    )
    expected = aggregate(pl.concat([day.scores for day in of_days]), aggregation)
    both = scores[name].join(expected, on=["day", "entity"], suffix="_expected")
    assert both.height == scores[name].height > 1000
    assert both["score"].to_numpy() == pytest.approx(both["score_expected"].to_numpy())


def test_an_evaluation_after_the_features_of_calibration_are_gone_still_judges_the_threshold_in_use(
    budgeted: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Workspace.days_of
    start = FIRST + timedelta(days=40)
    monkeypatch.setattr(
        Workspace, "days_of", lambda self, asset: {day: rows for day, rows in held(self, asset).items() if day >= start}
    )
    evaluation = evaluate(budgeted, start, LAST, with_comparisons=False)
    promises = evaluation.record["promises"]
    assert [row["policy"] for row in promises["table"]] == ["alarm_budget (in use)"]
    assert "there are no features between" in promises["not_fitted"]["percentile"]
