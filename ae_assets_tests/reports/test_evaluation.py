"""An evaluation as people read it, from a real comparison of two detectors."""

import numpy as np
import polars as pl
import pytest

from ae_assets.evaluation.compare import compare
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.results import Comparison
from ae_assets.reports.evaluation import comparison_figures, comparison_markdown, comparison_text
from ae_assets.reports.parts import plain_table
from ae_assets_tests.evaluation.fleet import day, fleet, in_use, lives_of


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    records = fleet(healthy=300, failing=40, days=60, seed=3)
    drawn = pl.Series(np.random.default_rng(4).normal(size=records.height))
    sick = pl.col("entity").str.starts_with("failing")
    scores = {
        name: records.with_columns((drawn + signal * sick).alias("score")).select("day", "entity", "cohort", "score")
        for name, signal in {"autoencoder": 3.0, "rule": 1.0}.items()
    }
    protocol = Protocol(day(0), day(59))
    fitted = {"autoencoder": in_use(scores["autoencoder"], 3.5)}
    return compare(scores, lives_of(records), protocol, in_use=fitted, resamples=30)


def test_markdown_holds_the_sample_rates_differences_points_and_cohorts(comparison: Comparison) -> None:
    text = comparison_markdown(comparison)
    assert text.startswith("2024-01-01 to 2024-02-29: 40 failed entities with a score in the 30 days before failure")
    assert "| detector | FAR 0.1% | FAR 0.5% | FAR 1% | FAR 2% | FAR 5% |" in text
    assert "Difference of the detection rate to autoencoder" in text
    assert "| in use | 3.5 |" in text
    assert "autoencoder per cohort at the threshold of FAR 1%" in text
    assert "Labels end on 2024-02-29: 300 of the windows are not followed through their horizon" in text


def test_terminal_text_holds_the_same_rates_in_aligned_columns(comparison: Comparison) -> None:
    text = comparison_text(comparison)
    detected = comparison.evaluations[0].point("FAR 1%").detection
    assert f"{detected.count} of {detected.total}" in text
    assert "|" not in text


def test_one_detector_alone_has_no_differences(comparison: Comparison) -> None:
    alone = Comparison(comparison.evaluations[:1], "autoencoder", ())
    assert "Difference" not in comparison_markdown(alone)
    assert "Difference" not in comparison_text(alone)


def test_figures_show_detection_lead_times_and_cohorts(comparison: Comparison) -> None:
    figures = comparison_figures(comparison)
    assert set(figures) == {"detection_and_false_alarms", "lead_time", "cohorts"}
    assert all(png.startswith(b"\x89PNG") for png in figures.values())


def test_a_plain_table_is_as_wide_as_its_widest_cell() -> None:
    assert plain_table(pl.DataFrame({"a": ["long text", None], "b": [1.23456, 2.0]})) == (
        "a          b\n---------  -----\nlong text  1.235\nn/a        2"
    )
