"""Several detectors side by side on the same split."""

import json
import time
from dataclasses import asdict, replace

import numpy as np
import polars as pl
import pytest

from ae_assets.errors import EvaluationError
from ae_assets.evaluation.compare import compare
from ae_assets.evaluation.protocol import Protocol
from ae_assets_tests.evaluation.fleet import day, evaluate, fleet, in_use, lives_of

TWO_WINDOWS = Protocol(day(0), day(59), follow_up="none")


@pytest.fixture(scope="module")
def records() -> pl.DataFrame:
    return fleet(healthy=400, failing=60, days=60, seed=21)


def noisy(records: pl.DataFrame, signal: float, seed: int) -> pl.DataFrame:
    drawn = pl.Series(np.random.default_rng(seed).normal(size=records.height))
    score = (drawn + signal * pl.col("entity").str.starts_with("failing")).alias("score")
    return records.with_columns(score).select("day", "entity", "cohort", "score")


def test_a_comparison_gives_each_detector_the_figures_it_has_alone(records: pl.DataFrame) -> None:
    scores = {"weak": noisy(records, 0.5, 1), "strong": noisy(records, 3.0, 2)}
    result = compare(scores, lives_of(records), TWO_WINDOWS, resamples=50)
    for evaluation in result.evaluations:
        alone = evaluate(scores[evaluation.detector], lives_of(records), TWO_WINDOWS, resamples=50)
        assert replace(evaluation, detector="d") == alone


def test_row_order_may_differ_between_detectors(records: pl.DataFrame) -> None:
    scores = {"weak": noisy(records, 0.5, 1), "strong": noisy(records, 3.0, 2)}
    shuffled = {name: frame.sample(fraction=1, shuffle=True, seed=4) for name, frame in scores.items()}
    known = lives_of(records)
    assert compare(scores, known, TWO_WINDOWS, resamples=20) == compare(shuffled, known, TWO_WINDOWS, resamples=20)


def test_a_better_detector_is_ahead_of_the_reference_beyond_its_interval(records: pl.DataFrame) -> None:
    scores = {"strong": noisy(records, 3.0, 2), "weak": noisy(records, 0.5, 1), "same": noisy(records, 0.5, 1)}
    result = compare(scores, lives_of(records), TWO_WINDOWS, reference="weak", resamples=200)
    differences = {(d.detector, d.target_false_alarm_rate): d for d in result.differences}
    assert differences["strong", 0.01].low > 0.3
    equal = differences["same", 0.01]
    assert (equal.value, equal.low, equal.high) == (0, 0, 0)
    assert ("weak", 0.01) not in differences


def test_the_tables_hold_rates_intervals_and_sample_sizes(records: pl.DataFrame) -> None:
    scores = {"strong": noisy(records, 3.0, 2), "weak": noisy(records, 0.5, 1)}
    result = compare(scores, lives_of(records), TWO_WINDOWS, resamples=20)
    table = result.to_table()
    assert table["detector"].to_list() == ["strong", "weak"]
    assert {"detection at FAR 1%", "FAR 1% low", "FAR 1% high", "failed", "healthy_windows"} <= set(table.columns)
    assert table["failed"].to_list() == [60, 60]
    assert [one.target_false_alarm_rate for one in result.differences] == [0.001, 0.005, 0.01, 0.02, 0.05]
    assert compare({"one": scores["weak"]}, lives_of(records), TWO_WINDOWS).differences == ()


def test_a_comparison_is_told_as_json(records: pl.DataFrame) -> None:
    scores = {"strong": noisy(records, 3.0, 2), "weak": noisy(records, 0.5, 1)}
    result = compare(scores, lives_of(records), TWO_WINDOWS, in_use={"weak": in_use(scores["weak"], 2.0)}, resamples=20)
    record = json.loads(result.to_json())
    assert (record["format_version"], record["reference"]) == (1, "strong")
    assert record["differences"] == [asdict(one) for one in result.differences]
    for told, evaluation in zip(record["evaluations"], result.evaluations, strict=True):
        assert told["sample"]["start"] == str(day(0))
        assert [point["name"] for point in told["points"]] == [point.name for point in evaluation.points]
        assert told["points"][-1]["detection"] == asdict(evaluation.points[-1].detection)
        assert told["curve"]["detection_rate"] == list(evaluation.curve.detection_rate)


def test_detectors_that_score_other_rows_are_not_compared(records: pl.DataFrame) -> None:
    scores = {"all": noisy(records, 1.0, 1), "fewer": noisy(records, 1.0, 1)[:-1]}
    with pytest.raises(EvaluationError, match=r"fewer has .* same rows only"):
        compare(scores, lives_of(records), TWO_WINDOWS)
    renamed = scores["all"].with_columns(pl.col("entity").str.replace("healthy", "other"))
    with pytest.raises(EvaluationError, match="or other ones"):
        compare({"all": scores["all"], "renamed": renamed}, lives_of(records), TWO_WINDOWS)


def test_rows_that_the_reference_does_not_judge_count_for_nobody_and_no_score_raises_no_alarm(
    records: pl.DataFrame,
) -> None:
    full = {"reference": noisy(records, 1.0, 1), "other": noisy(records, 1.0, 2)}
    unknown = pl.col("entity").hash(3) % 4 == 0
    entities, lives = records["entity"].unique(), lives_of(records)
    without = {name: frame.filter(~unknown) for name, frame in full.items()}
    partly = {**full, "reference": full["reference"].with_columns(score=pl.when(~unknown).then("score"))}
    kept, all_rows = compare(without, lives, TWO_WINDOWS), compare(partly, lives, TWO_WINDOWS)
    assert [evaluation.points for evaluation in all_rows.evaluations] == [
        evaluation.points for evaluation in kept.evaluations
    ]
    sample = all_rows.evaluations[0].sample
    assert sample.rows == kept.evaluations[0].sample.rows
    assert sample.not_judged + sample.rows == compare(full, lives, TWO_WINDOWS).evaluations[0].sample.rows
    never = entities.filter(pl.DataFrame({"entity": entities}).select(unknown).to_series())
    assert sample.never_judged == full["reference"].filter(pl.col("entity").is_in(never.implode()))["entity"].n_unique()
    assert "were not judged" in sample.in_words()

    silent = {**full, "other": full["other"].with_columns(score=pl.when(~unknown).then("score"))}
    lowest = {**full, "other": full["other"].with_columns(score=pl.when(unknown).then(-9.0).otherwise("score"))}
    first, second = (compare(scores, lives, TWO_WINDOWS).evaluations[1] for scores in (silent, lowest))
    assert first.points == second.points
    assert first.sample.not_judged == 0


def test_no_detector_or_an_unknown_reference_is_refused(records: pl.DataFrame) -> None:
    with pytest.raises(EvaluationError, match="no detector"):
        compare({}, lives_of(records), TWO_WINDOWS)
    with pytest.raises(EvaluationError, match="'best'"):
        compare({"a": noisy(records, 1.0, 1)}, lives_of(records), TWO_WINDOWS, reference="best")


@pytest.mark.slow
def test_five_detectors_on_800_000_rows_are_compared_in_seconds() -> None:
    records = fleet(healthy=23_000, failing=100, days=35, seed=22)
    scores = {f"detector {number}": noisy(records, 1.0, number) for number in range(5)}
    known = lives_of(records)
    protocol = Protocol(day(0), day(34), follow_up="none")
    begin = time.process_time()
    compare(scores, known, protocol)
    assert records.height > 800_000
    assert time.process_time() - begin < 20
