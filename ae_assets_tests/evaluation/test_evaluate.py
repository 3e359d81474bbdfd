"""Rates, intervals and lead times of detectors whose figures are known beforehand."""

import json
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.errors import ContractError, EvaluationError
from ae_assets.evaluation.bootstrap import cuts_at
from ae_assets.evaluation.compare import compare, judge_threshold
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.spells import Lives
from ae_assets_tests.conftest import real_data
from ae_assets_tests.evaluation.fleet import day, evaluate, fleet, in_use, lives_of, records_of, scored

RANGE = Protocol(day(0), day(29), follow_up="none")


@pytest.fixture(scope="module")
def records() -> pl.DataFrame:
    return fleet(healthy=1_000, failing=60, days=60, seed=1)


@pytest.fixture(scope="module")
def lives(records: pl.DataFrame) -> Lives:
    return lives_of(records)


TWO_WINDOWS = Protocol(day(0), day(59), follow_up="none")


def scores_by(records: pl.DataFrame, score: pl.Expr | pl.Series) -> pl.DataFrame:
    return records.with_columns(score.alias("score")).select("day", "entity", "cohort", "score")


def per_entity(records: pl.DataFrame, seed: int) -> pl.DataFrame:
    """A score per entity that knows nothing of failure, the same on all its days."""
    entities = records["entity"].unique().sort()
    drawn = pl.DataFrame({"entity": entities, "score": np.random.default_rng(seed).random(len(entities))})
    return records.join(drawn, on="entity", how="left", maintain_order="left").select(
        "day", "entity", "cohort", "score"
    )


def test_a_perfect_scorer_detects_every_failure_at_every_false_alarm_rate(records: pl.DataFrame, lives: Lives) -> None:
    perfect = scores_by(records, pl.col("entity").str.starts_with("failing").cast(pl.Float64))
    result = evaluate(perfect, lives, TWO_WINDOWS, resamples=50)
    for point in result.points:
        assert point.detection.value == 1.0
        assert point.false_alarm.count == 0
        assert point.precision == 1.0
        assert point.missed == ()
    assert set(result.curve.detection_rate) == {1.0}


def test_an_inverted_perfect_scorer_detects_nothing(records: pl.DataFrame, lives: Lives) -> None:
    inverted = scores_by(records, (~pl.col("entity").str.starts_with("failing")).cast(pl.Float64))
    result = evaluate(inverted, lives, TWO_WINDOWS, resamples=50)
    assert [point.detection.count for point in result.points] == [0] * 5
    assert result.points[0].precision is None


def test_a_constant_scorer_raises_no_alarm_because_ties_never_break_the_false_alarm_rate(
    records: pl.DataFrame, lives: Lives
) -> None:
    result = evaluate(scores_by(records, pl.lit(3.0)), lives, TWO_WINDOWS, resamples=50)
    assert [(p.detection.count, p.false_alarm.count) for p in result.points] == [(0, 0)] * 5


def test_a_random_score_per_entity_detects_as_many_failures_as_it_raises_false_alarms() -> None:
    records = fleet(healthy=1_500, failing=1_500, days=30, seed=2)
    protocol = Protocol(day(0), day(29), follow_up="none", false_alarm_rates=(0.01, 0.05, 0.2, 0.5))
    result = evaluate(per_entity(records, 3), lives_of(records), protocol, resamples=50)
    for point in result.points:
        assert point.target_false_alarm_rate is not None
        assert point.detection.value == pytest.approx(point.target_false_alarm_rate, abs=0.045)
        assert point.detection.low <= point.target_false_alarm_rate <= point.detection.high


def test_random_scores_per_row_detect_by_the_number_of_days_they_have() -> None:
    # With independent rows an entity of m days passes a cut of row rate q with 1 - (1 - q)^m.
    records = records_of({f"h{n}": (0, 29, None) for n in range(1_500)} | {f"f{n}": (0, 10, 10) for n in range(1_500)})
    drawn = pl.Series(np.random.default_rng(4).random(records.height))
    protocol = Protocol(day(0), day(29), follow_up="none", false_alarm_rates=(0.2,))
    point = evaluate(scores_by(records, drawn), lives_of(records), protocol, resamples=50).points[0]
    row_rate = 1 - 0.8 ** (1 / 30)
    assert point.row_false_positive.value == pytest.approx(row_rate, rel=0.15)
    assert point.detection.value == pytest.approx(1 - (1 - row_rate) ** 10, abs=0.02)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_permuting_rows_changes_nothing(seed: int) -> None:
    records = fleet(healthy=30, failing=8, days=60, seed=5)
    scores = scores_by(records, pl.Series(np.random.default_rng(6).random(records.height).round(2)))
    shuffled = scores.sample(fraction=1, shuffle=True, seed=seed)
    known = lives_of(records.sample(fraction=1, shuffle=True, seed=seed))
    assert evaluate(scores, lives_of(records), TWO_WINDOWS, resamples=20) == evaluate(
        shuffled, known, TWO_WINDOWS, resamples=20
    )


@settings(max_examples=25, deadline=None)
@given(steepness=st.floats(0.1, 5), shift=st.floats(-10, 10))
def test_a_monotone_change_of_the_score_changes_no_rate(steepness: float, shift: float) -> None:
    records = fleet(healthy=30, failing=8, days=60, seed=5)
    scores = scores_by(records, pl.Series(np.random.default_rng(6).integers(0, 50, records.height)))
    changed = scores.with_columns((pl.col("score") * steepness + shift).exp())
    first = evaluate(scores, lives_of(records), TWO_WINDOWS, resamples=20)
    second = evaluate(changed, lives_of(records), TWO_WINDOWS, resamples=20)
    assert [(p.detection, p.false_alarm, p.lead_days) for p in first.points] == [
        (p.detection, p.false_alarm, p.lead_days) for p in second.points
    ]
    assert first.curve == second.curve


@settings(deadline=None)
@given(
    scores=st.lists(st.integers(0, 8), min_size=1, max_size=300),
    rate=st.floats(0.001, 0.5),
)
def test_a_cut_never_exceeds_its_false_alarm_rate_and_the_next_lower_score_would(
    scores: list[int], rate: float
) -> None:
    pairs = np.asarray(scores, dtype=np.float64)
    cut = cuts_at(pairs, np.array([rate]))[0]
    assert (pairs > cut).mean() <= rate + 1e-9
    lower = pairs[pairs < cut]
    if len(lower):
        assert (pairs > lower.max()).mean() > rate


def test_detection_grows_with_the_false_alarm_rate_and_stays_inside_its_band(
    records: pl.DataFrame, lives: Lives
) -> None:
    drawn = pl.Series(np.random.default_rng(8).random(records.height))
    noisy = scores_by(records, drawn + 0.1 * pl.col("entity").str.starts_with("failing"))
    curve = evaluate(noisy, lives, TWO_WINDOWS, resamples=100).curve
    rate, low, high = (np.array(values) for values in (curve.detection_rate, curve.low, curve.high))
    assert np.all(np.diff(rate) >= 0)
    assert np.all((low <= rate) & (rate <= high))


def test_an_alarm_on_the_failure_day_alone_is_no_detection_and_is_reported_apart() -> None:
    records = records_of({"h": (0, 29, None), "f": (0, 20, 20)})
    point = judge_threshold(scored(records, {"f": [20]}), lives_of(records), RANGE, 0.5)
    assert (point.detection.count, point.detection.total) == (0, 1)
    assert (point.failure_day.count, point.failure_day.total) == (1, 1)
    assert point.missed == ("f",)


@pytest.mark.parametrize("offset", [1, 12, 28])
def test_moving_a_label_by_a_day_moves_the_lead_time_by_a_day(offset: int) -> None:
    leads = []
    for failed in (offset, offset + 1):
        records = records_of({"h": (0, 29, None), "f": (0, failed, failed)})
        point = judge_threshold(scored(records, {"f": [0]}), lives_of(records), RANGE, 0.5)
        leads.append(point.lead_days)
    assert leads == [(offset,), (offset + 1,)]


def test_moving_a_label_so_that_the_alarm_falls_out_of_the_horizon_loses_the_detection() -> None:
    protocol = Protocol(day(0), day(59), follow_up="none")
    found = []
    for failed in (30, 31):
        records = records_of({"h": (0, 59, None), "f": (0, failed, failed)})
        found.append(judge_threshold(scored(records, {"f": [0]}), lives_of(records), protocol, 0.5).detection.count)
    assert found == [1, 0]


def test_lead_time_counts_from_the_first_alarm_in_the_horizon() -> None:
    records = records_of({"h": (0, 59, None), "f": (0, 50, 50), "g": (0, 40, 40)})
    protocol = Protocol(day(0), day(59), follow_up="none")
    point = judge_threshold(scored(records, {"f": [2, 45, 49], "g": [30, 39]}), lives_of(records), protocol, 0.5)
    assert point.lead_days == (5, 10)
    assert point.median_lead_days == 7.5


def test_alarms_are_counted_per_day_and_new_ones_once_per_run_of_days() -> None:
    records = records_of({"a": (0, 29, None), "b": (0, 29, None), "f": (0, 29, 29)})
    point = judge_threshold(scored(records, {"a": [3, 4, 5, 9], "b": [0]}), lives_of(records), RANGE, 0.5)
    assert point.alarms_per_day == pytest.approx(5 / 30)
    assert point.new_alarms_per_day == pytest.approx(3 / 30)
    assert (point.row_false_positive.count, point.row_false_positive.total) == (5, 60)
    assert (point.false_alarm.count, point.false_alarm.total) == (2, 2)


def test_precision_is_taken_at_the_base_rate_of_the_fleet() -> None:
    records = records_of({f"h{n}": (0, 29, None) for n in range(98)} | {"f": (0, 29, 29), "g": (0, 29, 29)})
    point = judge_threshold(scored(records, {"f": [9], "h1": [4]}), lives_of(records), RANGE, 0.5)
    # Two failures in 3,000 drive-days are 0.02 per drive and 30 days; half of them are found, one in 98 others flagged.
    assert point.precision == pytest.approx(0.5 * 0.02 / (0.5 * 0.02 + (1 / 98) * 0.98))


def test_cohorts_share_the_threshold_and_add_up_to_the_whole() -> None:
    records = pl.concat(
        [
            records_of({f"a{n}": (0, 29, None) for n in range(150)} | {f"fa{n}": (0, 20, 20) for n in range(9)}, "A"),
            records_of({f"b{n}": (0, 29, None) for n in range(50)} | {f"fb{n}": (0, 20, 20) for n in range(3)}, "B"),
        ]
    )
    scores = scores_by(records, pl.Series(np.random.default_rng(9).random(records.height)))
    result = evaluate(scores, lives_of(records), RANGE, resamples=20)
    whole = result.point(result.cohorts_at)
    assert [cohort.cohort for cohort in result.cohorts] == ["A", "B"]
    assert [cohort.detection.total for cohort in result.cohorts] == [9, 3]
    assert sum(cohort.detection.count for cohort in result.cohorts) == whole.detection.count
    assert sum(cohort.false_alarm.count for cohort in result.cohorts) == whole.false_alarm.count


def test_a_given_threshold_is_judged_beside_the_false_alarm_rates(records: pl.DataFrame, lives: Lives) -> None:
    scores = per_entity(records, 10)
    result = evaluate(scores, lives, TWO_WINDOWS, in_use={"d": in_use(scores, 0.9)}, resamples=20)
    point = result.point("in use")
    assert [p.name for p in result.points] == ["FAR 0.1%", "FAR 0.5%", "FAR 1%", "FAR 2%", "FAR 5%", "in use"]
    assert (point.threshold, point.target_false_alarm_rate) == (0.9, None)
    judged = judge_threshold(scores, lives, TWO_WINDOWS, 0.9)
    assert judged == point
    assert result.point("unknown", "FAR 1%") == result.points[2]
    assert result.point("unknown") == result.points[0]


def test_equal_seeds_give_equal_intervals_and_other_seeds_similar_ones(records: pl.DataFrame, lives: Lives) -> None:
    scores = per_entity(records, 11)
    first, again, other = (
        evaluate(scores, lives, TWO_WINDOWS, resamples=300, seed=seed).points[-1].detection for seed in (1, 1, 2)
    )
    assert first == again
    assert (other.low, other.high) == pytest.approx((first.low, first.high), abs=0.05)


def test_the_interval_covers_what_detection_would_be_in_other_fleets_of_the_same_kind() -> None:
    """The true rate at FAR 10% lies in the stated 95% interval in nearly all fleets, though each chose its own cut."""
    generator = np.random.default_rng(12)
    protocol = Protocol(day(0), day(29), window_days=30, follow_up="none", false_alarm_rates=(0.1,))
    records = records_of({f"h{n}": (28, 29, None) for n in range(150)} | {f"f{n}": (19, 20, 20) for n in range(25)})
    entities = records["entity"].unique(maintain_order=True)
    shifted = entities.str.starts_with("f").to_numpy() * 1.5
    from scipy.stats import norm

    truth = norm.sf(norm.isf(0.1) - 1.5)
    known = lives_of(records)
    covered = 0
    for _ in range(60):
        drawn = pl.DataFrame({"entity": entities, "score": generator.normal(size=len(entities)) + shifted})
        scores = records.join(drawn, on="entity").select("day", "entity", "cohort", "score")
        detection = evaluate(scores, known, protocol, resamples=150).points[0].detection
        covered += detection.low <= truth <= detection.high
    assert covered >= 55


def test_the_table_has_a_row_per_operating_point_with_counts_and_intervals(records: pl.DataFrame, lives: Lives) -> None:
    table = evaluate(per_entity(records, 14), lives, TWO_WINDOWS, resamples=20).to_table()
    assert table["point"].to_list() == ["FAR 0.1%", "FAR 0.5%", "FAR 1%", "FAR 2%", "FAR 5%"]
    assert table["detection_total"].unique().to_list() == [60]
    assert (table["detection_low"] <= table["detection_rate"]).all()


def test_a_score_that_is_nan_is_refused_and_one_that_is_unknown_is_left_out(
    records: pl.DataFrame, lives: Lives
) -> None:
    scores = per_entity(records, 15)
    eighth = pl.int_range(pl.len()) == 7
    broken = scores.with_columns(score=pl.when(eighth).then(float("nan")).otherwise("score"))
    with pytest.raises(EvaluationError, match=r"1 of .* scores of d are NaN"):
        evaluate(broken, lives, TWO_WINDOWS)
    unknown, whole = (
        scores.with_columns(score=pl.when(~eighth).then("score")),
        evaluate(scores, lives, TWO_WINDOWS),
    )
    sample = evaluate(unknown, lives, TWO_WINDOWS).sample
    assert (sample.rows, sample.not_judged, sample.never_judged) == (whole.sample.rows - 1, 1, 0)
    with pytest.raises(ContractError, match="score"):
        evaluate(scores.drop("score"), lives, TWO_WINDOWS)


def test_of_a_range_without_failures_false_alarms_are_judged_and_nothing_is_said_of_detection() -> None:
    records = records_of({"a": (0, 29, None), "b": (0, 29, None)})
    lives = lives_of(records)
    scores = {"d": scored(records, {"a": [3]}), "e": scored(records)}
    compared = compare(scores, lives, RANGE, reference="d")
    assert compared.differences == ()
    for evaluation, false_alarms in zip(compared.evaluations, (0.5, 0.0), strict=True):
        assert all(
            (point.detection.value, point.detection.low, point.detection.high) == (None, 0, 1)
            for point in evaluation.points
        )
        assert evaluation.curve.detection_rate == ()
        judged = evaluate(
            scores[evaluation.detector], lives, RANGE, in_use={"d": in_use(scores[evaluation.detector], 0.5)}
        ).point("in use")
        assert judged.false_alarm.value == false_alarms
        assert "nothing is known of detection" in evaluation.sample.in_words()
    assert json.loads(compared.to_json())["differences"] == []
    point = judge_threshold(scored(records, {"a": [3]}), lives_of(records), RANGE, 0.5)
    assert (point.detection.value, point.detection.low, point.detection.high) == (None, 0, 1)
    assert point.false_alarm.value == 0.5


def test_a_range_in_which_no_healthy_entity_was_followed_cannot_be_evaluated() -> None:
    records = records_of({"gone": (0, 20, None), "f": (0, 25, 25), "after": (58, 60, None)})
    with pytest.raises(EvaluationError, match="1 were lost from sight"):
        evaluate(scored(records), lives_of(records), Protocol(day(0), day(29)))


@pytest.mark.real_data
@pytest.mark.slow
def test_the_sum_of_log_counters_reaches_its_published_rates_on_the_2013_fleet() -> None:
    records = _records_of_2013(first_full_day="2013-07-16")
    counters = pl.sum_horizontal(pl.col("^smart_.*$").cast(pl.Float64).log1p())
    scores = records.filter(pl.col("day") >= date(2013, 7, 16)).select("day", "entity", "cohort", score=counters)
    protocol = Protocol(date(2013, 7, 16), date(2013, 8, 19))
    result = evaluate(scores, lives_of(records), protocol, resamples=100)

    assert (result.sample.rows, result.sample.failed) == (826_729, 91)
    assert (result.sample.healthy_windows, result.sample.censored_windows) == (23_526, 623)
    assert result.point("FAR 1%").detection.count == 35
    assert result.point("FAR 0.1%").detection.count == 13


def _records_of_2013(first_full_day: str) -> pl.DataFrame:
    """All rows from a day on; of earlier days the failures only, which is all that lives need of them here."""
    import re
    import zipfile

    columns = ["date", "serial_number", "model", "failure", "smart_5_raw", "smart_197_raw"]
    failure = re.compile(rb"^[^,]*,[^,]*,[^,]*,[^,]*,1,.*$", re.MULTILINE)
    frames = []
    with zipfile.ZipFile(real_data("drive_stats/data_2013.zip")) as archive:
        for name in sorted(name for name in archive.namelist() if name.endswith(".csv")):
            text = archive.read(name)
            if name[-14:-4] < first_full_day:
                text = b"\n".join([text.splitlines()[0], *failure.findall(text)])
            frames.append(pl.read_csv(text, columns=columns, infer_schema=False))
    return pl.concat(frames).select(
        pl.col("date").str.to_date().alias("day"),
        pl.col("serial_number").alias("entity"),
        pl.col("model").alias("cohort"),
        pl.col("failure").cast(pl.Int8).alias("label"),
        pl.col("smart_5_raw", "smart_197_raw"),
    )
