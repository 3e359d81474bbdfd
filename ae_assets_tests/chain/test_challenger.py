"""Champion and challenger: what decides, on which days, and what becomes of the one that loses."""

import json
import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ae_assets.chain.challenger import Promotion, Reason, decide, window_to_judge
from ae_assets.chain.champion import load_champion
from ae_assets.chain.model import TrainingRange, train
from ae_assets.chain.threshold import calibrate_latest
from ae_assets.chain.workspace import Workspace
from ae_assets.errors import EvaluationError, ModelError
from ae_assets.evaluation.results import Difference
from ae_assets.lakehouse import ModelStore
from ae_assets.schemas.periods import DAILY
from ae_assets_tests.chain.steps import fill
from ae_assets_tests.chain.tables import FIRST, storage_of, watched_table, write_day
from ae_assets_tests.pipeline.runs import check_of, materialise

GOOD = {"type": "counter_rule", "features": ["smart_5_level"]}
BAD = {"type": "counter_rule", "features": ["smart_194_deviation"]}
FAILING = 30
DAYS = DAILY.range(FIRST, FIRST + timedelta(days=39))
TRAINED = TrainingRange.of(FIRST, FIRST + timedelta(days=9), 10)
SEEN_UNTIL = FIRST + timedelta(days=19)
JUDGED = (SEEN_UNTIL + timedelta(days=1), DAYS[-1])


def difference(value: float, low: float, high: float) -> Difference:
    return Difference("challenger", "champion", 0.01, value, low, high)


@pytest.mark.parametrize(
    ("value", "low", "high", "reason"),
    [
        (0.1, 0.02, 0.2, Reason.NOT_WORSE),
        (0.0, -0.1, 0.1, Reason.NOT_WORSE),
        (-0.05, -0.2, 0.1, Reason.NOT_WORSE),  # a loss of exactly the margin
        (-0.02, -0.03, 0.0, Reason.NOT_WORSE),
        (-0.02, -0.03, -0.001, Reason.WORSE),  # shown to be worse, however little
        (-0.06, -0.4, 0.3, Reason.LOWER),  # too few failures to show anything
        (-0.3, -0.4, -0.2, Reason.WORSE),
    ],
)
def test_a_challenger_is_rejected_where_it_is_shown_to_be_worse_or_loses_more_than_the_margin(
    value: float, low: float, high: float, reason: Reason
) -> None:
    assert decide(difference(value, low, high), margin=0.05) is reason
    assert Promotion("new", "old", reason, "").promoted == (reason is Reason.NOT_WORSE)


def test_the_latest_days_that_neither_has_seen_are_judged() -> None:
    last = date(2024, 6, 30)
    assert window_to_judge(last, date(2024, 1, 1), 30, 30) == (date(2024, 6, 1), last)
    assert window_to_judge(last, date(2024, 5, 31), 60, 30) == (date(2024, 6, 1), last)
    with pytest.raises(EvaluationError, match=r"seen days and labels until 2024-06-01, and until 2024-06-30 29 unseen"):
        window_to_judge(last, date(2024, 6, 1), 60, 30)
    with pytest.raises(EvaluationError, match="0 unseen days follow"):
        window_to_judge(last, date(2024, 7, 9), 60, 30)


def table_with(home: Path, detector: dict[str, Any], **more: Any) -> Any:
    return watched_table(str(home / "source"), detector=detector, **more)


@pytest.fixture(scope="module")
def worn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 drives over 40 days. In the last 20, 30 of them fail, after their counter of bad sectors rose for a week."""
    home = tmp_path_factory.mktemp("worn")
    fails_on = {drive: 22 + drive % 17 for drive in range(FAILING)}
    for number, day in enumerate(DAYS):
        alive = [drive for drive in range(300) if number <= fails_on.get(drive, 99)]
        rows = [
            (
                f"D{drive:03}",
                int(fails_on.get(drive) == number),
                max(0, 8 - (fails_on.get(drive, 99) - number)) * 10 + (drive % 7 == 0) * (number > 5),
            )
            for drive in alive
        ]
        temperatures = [25 + (drive * 7 + number * 3) % 11 for drive in alive]
        write_day(home / "source", day, rows, smart_194_raw=temperatures)
    space = storage_of(table_with(home, GOOD), home / "home")
    fill(space, DAYS)
    return home


@pytest.fixture
def with_champion(worn: Path, tmp_path: Path) -> Any:
    """The fleet with a champion and a model store of the test's own; gives the storage for another detector."""

    def space(detector: dict[str, Any], **more: Any) -> Workspace:
        table = table_with(worn, detector, **more)
        return Workspace(table, storage_of(table, worn / "home").tables, storage_of(table, tmp_path).models)

    return space


def trained(space: Workspace, training: TrainingRange = TRAINED) -> str:
    return train(space, training).version


def test_the_first_model_becomes_the_champion_and_says_so(with_champion: Any) -> None:
    space = with_champion(BAD)
    version = trained(space)
    promotion = calibrate_latest(space).promotion
    assert (promotion.reason, promotion.champion_before) == (Reason.FIRST, None)
    assert space.models.champion("fleet") == version


def test_a_worse_challenger_is_kept_but_not_promoted_and_says_how_to_promote_it(with_champion: Any) -> None:
    champion = trained(with_champion(GOOD))
    calibrate_latest(with_champion(GOOD))
    space = with_champion(BAD)
    challenger = trained(space)
    promotion = calibrate_latest(space).promotion
    assert promotion.reason is Reason.WORSE
    assert space.models.champion("fleet") == champion
    assert space.models.versions("fleet") == [champion, challenger]
    assert f"`ae-assets promote fleet {challenger}`" in promotion.words
    assert f"{champion} stays the champion: from {JUDGED[0]} to {JUDGED[1]}, at FAR 1% per 10 days" in promotion.words
    kept = json.loads(space.models.read_threshold("fleet", challenger))["promotion"]
    assert kept == promotion.record
    assert kept["window"] == [str(day) for day in JUDGED]
    assert kept["failed"] == FAILING
    assert kept["detection"]["champion"]["value"] == 1.0
    assert kept["detection"]["challenger"]["value"] < 0.3
    assert kept["difference"]["high"] < 0
    # The same version again, as asked.
    assert calibrate_latest(space, "always").promotion.reason is Reason.ASKED
    assert space.models.champion("fleet") == challenger


def test_a_better_challenger_replaces_the_champion_and_an_equal_one_too(with_champion: Any) -> None:
    trained(with_champion(BAD))
    calibrate_latest(with_champion(BAD))
    space = with_champion(GOOD)
    for _ in range(2):
        version = trained(space)
        promotion = calibrate_latest(space).promotion
        assert promotion.reason is Reason.NOT_WORSE
        assert space.models.champion("fleet") == version
    assert promotion.record["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_days_that_the_champion_has_seen_are_not_compared_on(with_champion: Any) -> None:
    trained(with_champion(GOOD), TrainingRange.of(FIRST, FIRST + timedelta(days=21), 10))
    calibrate_latest(with_champion(GOOD))
    space = with_champion(BAD)
    version = trained(space)
    promotion = calibrate_latest(space).promotion
    assert promotion.reason is Reason.NOT_COMPARED
    assert f"seen days and labels until {FIRST + timedelta(days=31)}, and until {DAYS[-1]} 8 unseen" in promotion.words
    assert space.models.champion("fleet") == version


def test_days_that_the_challenger_has_seen_are_not_compared_on(with_champion: Any) -> None:
    trained(with_champion(GOOD))
    calibrate_latest(with_champion(GOOD))
    space = with_champion(BAD)
    trained(space, TrainingRange.of(FIRST, FIRST + timedelta(days=21), 10))
    promotion = calibrate_latest(space).promotion
    assert promotion.reason is Reason.NOT_COMPARED
    assert f"seen days and labels until {FIRST + timedelta(days=31)}, and until {DAYS[-1]} 8 unseen" in promotion.words


def test_what_a_champion_has_seen_does_not_change_with_the_yaml(with_champion: Any) -> None:
    trained(with_champion(GOOD))
    calibrate_latest(with_champion(GOOD))
    calibrated = load_champion(with_champion(GOOD)).calibration
    longer = load_champion(with_champion(GOOD, calibration={"embargo_days": 2, "days": 20}))
    assert longer.calibration == calibrated
    assert longer.seen_until == SEEN_UNTIL


def test_the_days_of_a_long_calibration_range_are_seen_though_the_last_of_them_are_absent(
    with_champion: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Workspace.days_of
    until = FIRST + timedelta(days=15)
    space = with_champion(GOOD, calibration={"embargo_days": 2, "days": 20})
    trained(space)
    with monkeypatch.context() as patch:
        patch.setattr(
            Workspace, "days_of", lambda self, asset: {d: rows for d, rows in held(self, asset).items() if d <= until}
        )
        calibrate_latest(space)
    assert load_champion(space).seen_until == FIRST + timedelta(days=31)


def test_a_threshold_without_the_days_it_was_chosen_on_says_how_to_choose_it_again(
    with_champion: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = with_champion(GOOD)
    version = trained(space)
    calibrate_latest(space)
    content = json.loads(space.models.read_threshold("fleet", version))
    del content["calibrated_on"]
    monkeypatch.setattr(type(space.models), "read_threshold", lambda *_: json.dumps(content))
    with pytest.raises(ModelError, match=f"choose it again: materialise fleet/threshold with `version: {version}`"):
        load_champion(space)


def test_a_champion_of_features_that_are_gone_is_replaced(with_champion: Any) -> None:
    trained(with_champion(GOOD))
    calibrate_latest(with_champion(GOOD))
    attributes = {"smart_194_raw": {"kind": "gauge", "meaning": "temperature", "low_bits": 8}}
    space = with_champion(BAD, features={"spans": [1, 7], "attributes": attributes})
    trained(space)
    promotion = calibrate_latest(space).promotion
    assert promotion.reason is Reason.NOT_COMPARED
    assert "features.attributes.smart_197_raw: the champion has present, the YAML absent" in promotion.words


def test_the_champion_can_be_calibrated_again_though_a_rejected_version_is_newer(with_champion: Any) -> None:
    champion = trained(with_champion(GOOD))
    calibrate_latest(with_champion(GOOD))
    trained(with_champion(BAD))
    calibrate_latest(with_champion(BAD))
    stricter = with_champion(GOOD, threshold={"policy": "percentile", "percentile": 50})
    before = load_champion(stricter).threshold.cut
    again = calibrate_latest(stricter, version=champion)
    assert again.promotion.reason is Reason.SAME
    assert load_champion(stricter).version == champion
    assert load_champion(stricter).threshold.cut < before
    with pytest.raises(ModelError, match="has no version 20240101T000000000Z-00000000; it has"):
        calibrate_latest(stricter, version="20240101T000000000Z-00000000")


def test_a_run_with_a_rejected_challenger_succeeds_and_its_check_warns(
    finished_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison inside Dagster; the small fleet has too few failures, so the verdict is made up."""
    home, models = finished_home, tmp_path / "models"
    shutil.copytree(home / "models", models)
    monkeypatch.setenv("AE_ASSETS_MODELS", str(models))
    table = watched_table()
    space = replace(storage_of(table, home), models=ModelStore.open(home, str(models)))
    champion = space.models.champion("fleet")
    calibrated = materialise(table, home, ("threshold",))
    assert calibrated.success
    assert check_of(calibrated, "threshold", "challenger_is_not_worse").passed
    train(space, TrainingRange.of(FIRST, FIRST + timedelta(days=24), 10))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "ae_assets.chain.threshold.judge_challenger",
            lambda _, version, rule: Promotion(version.version, champion, Reason.LOWER, f"rule {rule}"),
        )
        result = materialise(table, home, ("threshold",))
    assert result.success
    check = check_of(result, "threshold", "challenger_is_not_worse")
    assert (check.passed, check.blocking, check.severity.value) == (False, False, "WARN")
    assert check.metadata["verdict"].value == "rule if_not_worse"
    assert space.models.champion("fleet") == champion
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["Champion"].value == champion
    assert event.materialization.metadata["Verdict"].value == "rejected, finds fewer than the margin allows"
    asked = materialise(table, home, ("threshold",), None, {"threshold": {"promote": "always"}})
    assert check_of(asked, "threshold", "challenger_is_not_worse").passed
    assert space.models.champion("fleet") == space.models.versions("fleet")[-1] != champion


def test_the_reference_beside_the_threshold_has_one_row_of_each_device_of_the_calibration_range(
    with_champion: Any,
) -> None:
    space = with_champion(GOOD)
    trained(space)
    calibrate_latest(space)
    reference = load_champion(space).reference
    assert reference.entities == 300
    assert (reference.first_day, reference.last_day) == (FIRST + timedelta(days=12), FIRST + timedelta(days=19))
    rows = space.tables.read("fleet.features", reference.first_day, reference.last_day, ["smart_194_level"])
    bins = reference.features["smart_194_level"]
    shares = [
        counts / total for counts, total in ((np.array(bins.counts), 300), (bins.count(rows.to_series()), rows.height))
    ]
    assert shares[0] == pytest.approx(shares[1], abs=0.06)
    assert sum(reference.scores.counts) == 300
