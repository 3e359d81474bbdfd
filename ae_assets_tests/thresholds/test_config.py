"""What holds for every policy of the union."""

import subprocess
import sys
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from pydantic import TypeAdapter, ValidationError

from ae_assets.errors import ModelError
from ae_assets.thresholds.config import ThresholdConfig, default_policies
from ae_assets.thresholds.policy import ThresholdPolicy
from ae_assets.thresholds.threshold import Threshold, fit_threshold
from ae_assets_tests.conftest import REPOSITORY
from ae_assets_tests.thresholds.scores import (
    START,
    autoregressive,
    calibration_of,
    cut_of_day,
    failing_of,
    panel_of,
    with_failures,
)

POLICIES = default_policies()
DAY = 30


@pytest.fixture(scope="module")
def calibration() -> pl.DataFrame:
    healthy = np.exp(autoregressive(4000, DAY, 5, memory=0.8, spread=0.5))
    failing = np.exp(autoregressive(40, DAY, 6, memory=0.8, spread=0.5) + 3)
    last = START + timedelta(days=DAY - 1)
    early, late = failing_of(failing[:20], last - timedelta(days=DAY), "early"), failing_of(failing[20:], last, "late")
    return with_failures(panel_of(healthy), pl.concat([early, late]))


def test_the_union_holds_the_policies_that_the_documents_ask_for() -> None:
    assert list(POLICIES) == [
        "percentile",
        "iqr",
        "alarm_budget",
        "target_far",
        "peaks_over_threshold",
        "conformal",
        "labelled",
    ]


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_is_chosen_by_its_name_alone_and_survives_json(name: str, calibration: pl.DataFrame) -> None:
    policy = TypeAdapter(ThresholdConfig).validate_python({"policy": name})
    assert policy == POLICIES[name]
    threshold = fit_threshold(policy, calibration)
    assert Threshold.from_json(threshold.to_json()) == threshold


def test_an_unknown_policy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValidationError, match=r"'percentile', 'iqr'.*'median'"):
        TypeAdapter(ThresholdConfig).validate_python({"policy": "median"})


@pytest.mark.parametrize("name", POLICIES)
def test_the_order_of_rows_is_irrelevant(name: str, calibration: pl.DataFrame) -> None:
    shuffled = calibration.sample(fraction=1, shuffle=True, seed=2)
    assert fit_threshold(POLICIES[name], shuffled).cut == pytest.approx(
        fit_threshold(POLICIES[name], calibration).cut, rel=1e-9
    )


@pytest.mark.parametrize("name", POLICIES)
def test_a_score_in_other_units_moves_the_cut_by_the_same_factor(name: str, calibration: pl.DataFrame) -> None:
    scaled = calibration.with_columns(pl.col("score") * 1024)
    cut, cut_of_scaled = (fit_threshold(POLICIES[name], scores).cut for scores in (calibration, scaled))
    assert cut_of_scaled == pytest.approx(1024 * cut, rel=1e-4)


@pytest.mark.parametrize("name", [name for name, policy in POLICIES.items() if not policy.sees_failures])
def test_a_policy_without_labels_never_sees_entities_that_are_known_to_fail(
    name: str, calibration: pl.DataFrame
) -> None:
    healthy = calibration.filter(pl.col("fails_in").is_null()).drop("fails_in")
    assert fit_threshold(POLICIES[name], calibration) == fit_threshold(POLICIES[name], healthy)


@pytest.mark.parametrize("name", POLICIES)
def test_the_calibration_curve_is_that_of_entities_that_are_not_known_to_fail(
    name: str, calibration: pl.DataFrame
) -> None:
    assert fit_threshold(POLICIES[name], calibration).calibration.entities == 4000


def test_calibration_in_which_every_entity_fails_is_refused() -> None:
    failing = failing_of(np.ones((3, 2)), START)
    with pytest.raises(ModelError, match=r"all 3 entities of calibration are known to fail"):
        fit_threshold(POLICIES["percentile"], failing)


@pytest.mark.parametrize("policy", POLICIES.values())
def test_a_promise_has_a_limit_or_says_that_there_is_none(policy: ThresholdPolicy) -> None:
    promise = policy.promise()
    assert (promise.at_most is None) == (promise.quantity == "nothing")
    assert (promise.window_days is not None) == (promise.quantity == "false_alarm_rate")
    assert ("promises no rate" in promise.words) == (promise.quantity == "nothing")


def test_the_cut_of_a_day_is_the_fitted_one_unless_the_policy_follows_the_day(calibration: pl.DataFrame) -> None:
    wild_day = np.full(100, 1e9)
    following = {
        name
        for name, policy in POLICIES.items()
        if cut_of_day(t := fit_threshold(policy, calibration), wild_day) != t.cut
    }
    assert following == {"alarm_budget", "conformal"}


def test_reading_the_policies_imports_nothing_that_computes() -> None:
    code = "import sys, ae_assets.thresholds.config; print([m for m in ('numpy', 'scipy') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_too_few_entities_are_refused_by_the_policies_that_promise_a_rate_per_entity() -> None:
    few = calibration_of([float(score) for score in range(300)])
    for name in ("target_far", "peaks_over_threshold"):
        with pytest.raises(ModelError, match="calibrat"):
            fit_threshold(POLICIES[name], few)
