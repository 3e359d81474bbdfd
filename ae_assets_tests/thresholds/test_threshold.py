"""A fitted threshold: alarms, severity as tail probability, and its JSON."""

import json
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ae_assets.errors import ContractError, ModelError
from ae_assets.schemas.records import TIME_TYPE
from ae_assets.thresholds.alarm_budget import AlarmBudgetConfig
from ae_assets.thresholds.conformal import ConformalConfig
from ae_assets.thresholds.percentile import PercentileConfig
from ae_assets.thresholds.threshold import Threshold, fit_threshold
from ae_assets_tests.thresholds.scores import calibration_of, cut_of_day, severity_of

SCORES = st.lists(st.floats(-1e4, 1e4, allow_nan=False).map(lambda score: round(score, 2)), min_size=1, max_size=300)


def fitted(scores: list[float]) -> Threshold:
    return fit_threshold(PercentileConfig(percentile=99), calibration_of(scores))


@pytest.fixture(scope="module")
def exponential() -> Threshold:
    return fitted(np.random.default_rng(7).exponential(2.0, 200_000).tolist())


def test_a_score_equal_to_the_cut_is_no_alarm() -> None:
    threshold = fitted([float(score) for score in range(1, 201)])
    day = np.array([threshold.cut, np.nextafter(threshold.cut, np.inf)])
    assert (day > cut_of_day(threshold, day)).tolist() == [False, True]


def test_each_row_is_held_against_the_cut_of_its_day() -> None:
    calibration = calibration_of([float(score) for score in range(1000)])
    threshold = fit_threshold(AlarmBudgetConfig(alarms_a_day=3), calibration)
    rows = calibration.with_columns(pl.col("score").cast(pl.Float32)).sample(fraction=1, shuffle=True, seed=1)
    cuts = rows.select("day", cut=threshold.cuts(rows, rows["score"])).unique().sort("day")
    assert cuts["day"].to_list() == sorted(set(calibration["day"]))
    for day, cut in cuts.iter_rows():
        assert cut == cut_of_day(threshold, calibration.filter(pl.col("day") == day)["score"])


def test_a_cut_that_follows_the_day_counts_an_entity_once_and_a_percentile_counts_its_records() -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    records = pl.DataFrame(
        [
            {"time": start + timedelta(days=day, hours=hour), "entity": f"E{number}", "score": float(number * hour)}
            for day in range(10)
            for number in range(20)
            for hour in range(24)
        ],
        schema={"time": TIME_TYPE, "entity": pl.String, "score": pl.Float64},
    ).select(pl.col("time").dt.date().alias("day"), "time", "entity", cohort=pl.lit("one"), score="score")
    by_day = records.group_by("day", "entity", "cohort").agg(pl.col("score").max())
    budget = AlarmBudgetConfig(alarms_a_day=3)
    threshold = fit_threshold(budget, records.sample(fraction=1, shuffle=True, seed=1))
    assert threshold == fit_threshold(budget, by_day)
    busy = records.with_columns(score=pl.col("score") * 2)
    cuts = threshold.cuts(busy, busy["score"])
    alarms = busy.filter(busy["score"] > cuts)
    assert alarms.group_by("day").agg(pl.col("entity").n_unique())["entity"].to_list() == [3] * 10
    percentile = PercentileConfig(percentile=90)
    cut = fit_threshold(percentile, records).cut
    assert (records["score"] > cut).mean() <= 0.1 < (by_day["score"] > cut).mean()


def test_a_day_without_a_judged_row_has_the_fitted_cut() -> None:
    threshold = fit_threshold(ConformalConfig(), calibration_of([float(score) for score in range(1000)]))
    keys = pl.DataFrame({"day": [date(2024, 1, 1)] * 2})
    assert threshold.cuts(keys, pl.Series([None, None], dtype=pl.Float64)).to_list() == [threshold.cut] * 2
    assert threshold.cuts(keys.clear(), pl.Series([], dtype=pl.Float64)).to_list() == []


@example(calibration=[0.0, 0.0, 0.0, -192.0, -192.0, -191.25, -191.25], asked=[0.0, -1.8e-273])
@settings(deadline=None)
@given(calibration=SCORES, asked=st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=2, max_size=50))
def test_severity_lies_in_0_to_1_and_never_rises_with_the_score(calibration: list[float], asked: list[float]) -> None:
    severity = severity_of(fitted(calibration), np.sort(asked))
    assert np.all((severity > 0) & (severity <= 1))
    assert np.all(np.diff(severity) <= 0)


@settings(deadline=None)
@given(calibration=SCORES)
def test_severity_of_a_few_scores_is_the_share_of_calibration_rows_at_least_as_high(calibration: list[float]) -> None:
    few = calibration[:60]
    expected = [(1 + sum(other >= score for other in few)) / (1 + len(few)) for score in few]
    assert severity_of(fitted(few), few) == pytest.approx(expected)


@settings(deadline=None)
@given(calibration=SCORES)
def test_severity_is_continuous_at_the_largest_calibration_score_and_falls_beyond_it(calibration: list[float]) -> None:
    threshold = fitted(calibration)
    largest = max(calibration)
    scale = threshold.calibration.tail_scale
    at, just_beyond, far = severity_of(threshold, [largest, largest + 1e-6 * scale, largest + 3 * scale])
    assert just_beyond == pytest.approx(at, rel=1e-4)
    assert far == pytest.approx(at * np.exp(-3), rel=1e-4)


def test_severity_follows_a_known_distribution_within_and_beyond_calibration(exponential: Threshold) -> None:
    within = np.array([0.1, 1.0, 4.0, 10.0, 16.0])
    assert severity_of(exponential, within) == pytest.approx(np.exp(-within / 2), rel=0.1)
    # Beyond 200,000 rows of an exponential distribution its tail is known only through the fitted scale.
    assert np.log(severity_of(exponential, 40.0)) == pytest.approx(-20.0, abs=2.5)


def test_a_curve_keeps_a_few_hundred_points_most_of_them_in_the_tail(exponential: Threshold) -> None:
    levels = np.array(exponential.calibration.tail_probabilities)
    assert 200 <= len(levels) <= 400
    assert (levels < 0.1).sum() > len(levels) / 2
    assert exponential.calibration.rows == 200_000
    assert exponential.calibration.entities == 20_000
    assert exponential.calibration.first_day == date(2024, 1, 1)


def test_an_absurdly_high_score_still_has_a_severity_above_0(exponential: Threshold) -> None:
    assert 0 < severity_of(exponential, [1e300, np.inf]).max() < 1e-300


def test_equal_calibration_scores_give_a_usable_severity() -> None:
    severity = severity_of(fitted([4.0] * 100), [3.0, 4.0, 5.0, 50.0])
    assert severity[0] == severity[1] == 1.0
    assert severity[3] < severity[2] < 1.0


def test_a_threshold_survives_json_unchanged(exponential: Threshold) -> None:
    again = Threshold.from_json(exponential.to_json())
    assert again == exponential
    assert json.loads(exponential.to_json())["policy"] == {"policy": "percentile", "percentile": 99.0}


def test_a_threshold_of_another_format_version_is_refused(exponential: Threshold) -> None:
    content = json.loads(exponential.to_json()) | {"format_version": 99}
    with pytest.raises(ModelError, match=r"format version 99.*reads 2.*fit the threshold again"):
        Threshold.from_json(json.dumps(content))


def test_a_threshold_of_a_policy_that_is_gone_is_refused(exponential: Threshold) -> None:
    content = json.loads(exponential.to_json()) | {"policy": {"policy": "oracle"}}
    with pytest.raises(ModelError, match=r"policy that this release does not have.*oracle.*fit the threshold again"):
        Threshold.from_json(json.dumps(content))


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"format_version": 2, "cut": 3}'])
def test_text_that_is_no_threshold_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="fit the threshold again"):
        Threshold.from_json(text)


def test_empty_calibration_is_refused_with_advice() -> None:
    with pytest.raises(ModelError, match="choose a calibration range"):
        fitted([])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_calibration_score_that_is_not_a_number_is_refused_and_located(bad: float) -> None:
    calibration = calibration_of([1.0, 2.0]).with_columns(pl.Series("score", [1.0, bad], dtype=pl.Float64))
    with pytest.raises(ContractError, match=r"1 of 2 calibration scores.*drive-0 on 2024-01-02"):
        fit_threshold(PercentileConfig(), calibration)


def test_rows_that_were_not_judged_change_no_threshold() -> None:
    calibration = calibration_of([1.0, 2.0, 3.0])
    unknown = calibration.with_columns(pl.lit(None, pl.Float64).alias("score"), pl.col("entity") + "-nvme")
    config = PercentileConfig(percentile=50)
    assert fit_threshold(config, pl.concat([calibration, unknown])) == fit_threshold(config, calibration)
    threshold, both = fit_threshold(config, calibration), pl.concat([calibration, unknown])
    assert threshold.cuts(both, both["score"])[:3].equals(threshold.cuts(calibration, calibration["score"]))
    assert threshold.severity(both["score"]).is_null().to_list() == [False] * 3 + [True] * 3
    with pytest.raises(ModelError, match="none of the 3 calibration rows was judged"):
        fit_threshold(config, unknown)


def test_calibration_without_a_score_column_is_refused() -> None:
    with pytest.raises(ContractError, match="score"):
        fit_threshold(PercentileConfig(), calibration_of([1.0]).drop("score"))


def test_a_score_that_is_nan_is_neither_normal_nor_anomalous() -> None:
    threshold = fitted([1.0, 2.0])
    with pytest.raises(ContractError, match="1 of 2 scores are NaN"):
        cut_of_day(threshold, [1.0, float("nan")])
    with pytest.raises(ContractError, match="NaN"):
        severity_of(threshold, float("nan"))
