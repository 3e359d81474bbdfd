"""What is logged of a training and of the verdict on a challenger."""

from datetime import date

import polars as pl

from ae_assets.chain.logged_facts import threshold_facts, training_facts
from ae_assets.thresholds.percentile import PercentileConfig
from ae_assets.thresholds.threshold import fit_threshold


def test_settings_are_params_one_by_one_and_losses_have_a_value_each_epoch() -> None:
    history = {
        "train_loss": [2.0, 1.0],
        "validation_loss": [3.0, 2.0],
        "best_epoch": 1,
        "seconds": 4.0,
        "converged": True,
    }
    card = {
        "detector": {"type": "pca", "units": [16, 4], "preprocessing": {"clip": 3.0, "center": None}},
        "training": {"start": "2013-04-10", "end": "2013-04-20"},
        "horizon_days": 10,
        "features": ["a", "b"],
        "data": {"rows_for_training": 7},
        "features_snapshot": None,
        "history": history,
    }
    facts = training_facts("v1", card)
    assert facts.params == {
        "detector.type": "pca",
        "detector.units": "[16, 4]",
        "detector.preprocessing.clip": "3.0",
        "training.start": "2013-04-10",
        "training.end": "2013-04-20",
        "horizon_days": "10",
        "features": "2",
    }
    assert facts.series == {"train_loss": [2.0, 1.0], "validation_loss": [3.0, 2.0]}
    assert facts.metrics["rows_for_training"] == 7
    assert facts.tags["ae_assets.features_snapshot"] == "none"


def test_both_sides_of_a_comparison_and_their_difference_are_figures() -> None:
    days = [date(2013, 5, 1), date(2013, 5, 2)] * 50
    scores = pl.DataFrame(
        {"day": days, "entity": "A", "cohort": "M", "score": [float(number) for number in range(100)]}
    )
    threshold = fit_threshold(PercentileConfig(percentile=90), scores.with_columns(fails_in=pl.lit(None, pl.Int64)))
    record = {
        "promoted": False,
        "reason": "rejected",
        "words": "it is worse",
        "detection": {"champion": {"value": 0.5, "low": 0.4}, "challenger": {"value": None, "low": None}},
        "difference": {"value": -0.1, "low": -0.2, "high": 0.0},
        "false_alarm_rate": 0.01,
    }
    facts = threshold_facts(threshold, record)
    assert facts.metrics == {
        "threshold": threshold.cut,
        "calibration_rows": 100.0,
        "champion_detection": 0.5,
        "detection_difference_value": -0.1,
        "detection_difference_low": -0.2,
        "detection_difference_high": 0.0,
        "compared_at_false_alarm_rate": 0.01,
    }
    assert facts.tags["ae_assets.promoted"] == "false"
    assert facts.tags["ae_assets.calibrated_on"] == "2013-05-01 to 2013-05-02"
