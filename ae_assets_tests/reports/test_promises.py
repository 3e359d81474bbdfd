"""The table of promises as people read it."""

import numpy as np
import polars as pl
import pytest

from ae_assets.evaluation.promises import CalibrationTable, calibration_table
from ae_assets.evaluation.protocol import Protocol
from ae_assets.reports.parts import percent
from ae_assets.reports.promises import promises_figures, promises_markdown, promises_table, promises_text, reliabilities
from ae_assets.thresholds.config import default_policies
from ae_assets.thresholds.threshold import fit_threshold
from ae_assets_tests.evaluation.fleet import day, fleet, lives_of


@pytest.fixture(scope="module")
def promises() -> CalibrationTable:
    records = fleet(healthy=3000, failing=40, days=60, seed=3)
    drawn = pl.Series("score", np.random.default_rng(4).exponential(size=records.height))
    scores = records.select("day", "entity", "cohort", drawn)
    calibration = scores.filter(pl.col("day") < day(30), pl.col("entity").str.starts_with("healthy"))
    fitted = {
        name: fit_threshold(policy, calibration) for name, policy in default_policies().items() if name != "labelled"
    }
    return calibration_table(
        fitted,
        scores.filter(pl.col("day") >= day(30)),
        lives_of(records),
        Protocol(day(30), day(59), follow_up="none"),
        not_fitted={"labelled": "0 failed entities are known"},
    )


def test_each_row_says_promise_limit_observation_and_verdict(promises: CalibrationTable) -> None:
    rows = {row["policy"]: row for row in promises_table(promises).iter_rows(named=True)}
    percentile = promises.results[0]
    assert rows["percentile"]["promise"] == "row rate"
    assert rows["percentile"]["at most"] == "0.10%"
    assert rows["percentile"]["observed"].startswith(f"{percentile.observed:.2%} [{percentile.low:.2%}, ")
    assert rows["percentile"]["verdict"] == percentile.kept.value
    assert (rows["alarm_budget"]["at most"], rows["alarm_budget"]["observed"]) == ("20", "20")
    assert (rows["iqr"]["promise"], rows["iqr"]["at most"], rows["iqr"]["observed"]) == ("none", "n/a", "n/a")
    assert rows["conformal"]["promise"] == "false share"


def test_each_row_says_what_is_detected_at_which_price(promises: CalibrationTable) -> None:
    rows = {row["policy"]: row for row in promises_table(promises).iter_rows(named=True)}
    assert len({rows["percentile"][name] for name in ("detected", "FAR", "alarms a day")}) == 3
    for result in promises.results:
        row = rows[result.policy]
        assert row["detected"] == percent(result.detection.value)
        assert row["FAR"] == percent(result.false_alarm.value)
        assert float(row["alarms a day"].replace(",", "")) == pytest.approx(result.alarms_per_day, abs=0.051)


def test_the_terminal_table_fits_eighty_columns(promises: CalibrationTable) -> None:
    text = promises_text(promises)
    table = [
        line for line in text.splitlines() if line.startswith(tuple(f"{result.policy} " for result in promises.results))
    ]
    assert len(table) >= 2 * len(promises.results)
    assert max(map(len, table)) <= 80
    assert "labelled could not be fitted: 0 failed entities are known" in text
    assert "share of healthy devices with an alarm within 30 days" in text


def test_markdown_gives_the_reason_of_every_verdict(promises: CalibrationTable) -> None:
    text = promises_markdown(promises)
    assert "| policy | promise | at most | observed | verdict | detected | FAR | alarms a day |" in text
    for result in promises.results:
        assert f"- `{result.policy}`: {result.explanation}" in text
    assert "- `labelled` could not be fitted" in text


def test_a_multiple_is_what_was_observed_over_what_was_promised(promises: CalibrationTable) -> None:
    rows = {row.policy: row for row in reliabilities(promises)}
    assert list(rows) == [result.policy for result in promises.results]
    for result in promises.results:
        row = rows[result.policy]
        assert row.kept == {"held": True, "not held": False}.get(result.kept.value)
        if result.observed is None or result.at_most is None:
            assert row.multiple is None
        else:
            assert row.multiple == pytest.approx(result.observed / result.at_most)
        if row.multiple is not None and row.low is not None and row.high is not None:
            assert row.low <= row.multiple <= row.high
    assert rows["alarm_budget"].multiple == 1
    assert rows["iqr"].promise == "no promise"
    assert set(promises_figures(promises)) == {"reliability"}
