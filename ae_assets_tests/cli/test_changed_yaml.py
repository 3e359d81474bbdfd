"""A YAML that has changed since the champion was made: `run` says so, `calibrate` and `run --retrain` apply it."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ae_assets.chain.champion import load_champion
from ae_assets.chain.model import train
from ae_assets.chain.unapplied import unapplied_settings
from ae_assets.cli import instance
from ae_assets_tests.chain.tables import attributes, watched_table
from ae_assets_tests.cli.conftest import command
from ae_assets_tests.cli.fleet import DAYS, NEWEST, RULE, TRAINED, Fleet
from ae_assets_tests.pipeline.runs import definitions_of


def capped(**more: Any) -> dict[str, Any]:
    features = attributes()["features"]
    features["attributes"]["smart_5_raw"] |= {"cap": 1}
    return {"features": features, **more}


def test_under_other_features_nothing_is_run_and_the_error_says_what_to_do(fleet: Fleet) -> None:
    assert fleet.says("run", "fleet", *NEWEST).code == 0
    before = fleet.runs()
    fleet.with_yaml(**capped())
    for arguments in (("run", "fleet", *NEWEST), ("calibrate", "fleet")):
        said = fleet.says(*arguments)
        assert said.code == 2
        assert "features.attributes.smart_5_raw.cap: the model has none, the YAML 1.0" in said.error
        assert f"`ae-assets run fleet --start {DAYS[0]} --end {DAYS[-1]} --retrain`" in said.error
    assert fleet.runs() == before


@pytest.mark.slow
def test_the_command_that_the_error_names_makes_features_and_model_again(fleet: Fleet) -> None:
    champion = fleet.space.models.champion("fleet")
    space = fleet.with_yaml(**capped())
    said = fleet.says("run", "fleet", "--start", str(DAYS[0]), "--end", str(DAYS[-1]), "--retrain")
    assert said.code == 0, said.out
    assert space.models.champion("fleet") != champion
    assert space.tables.read("fleet.anomalies", DAYS[-1], DAYS[-1])["score"].max() == pytest.approx(0.69, abs=0.01)


CHANGED: dict[str, tuple[dict[str, Any], str, str]] = {
    "parameter": (
        {"threshold": {"policy": "percentile", "percentile": 50}},
        "threshold.percentile: the champion has 99.0, the YAML 50.0",
        "`ae-assets calibrate fleet`",
    ),
    "policy": (
        {"threshold": {"policy": "iqr"}},
        "threshold.policy: the champion has percentile, the YAML iqr",
        "`ae-assets calibrate fleet`",
    ),
    "calibration": (
        {"calibration": {"embargo_days": 2, "days": 10}},
        "calibration.days: the champion has 8, the YAML 10",
        "`ae-assets calibrate fleet`",
    ),
    "aggregation": (
        {"decision": {"aggregation": {"method": "max", "days": 2}}},
        "decision.aggregation.method: the champion has none, the YAML max",
        "`ae-assets calibrate fleet`",
    ),
    "detector": (
        {"detector": {"type": "counter_rule", "features": ["smart_5_level", "smart_197_level"]}},
        "detector.features: the champion has ['smart_5_level'], the YAML ['smart_5_level', 'smart_197_level']",
        "--retrain`",
    ),
    "another detector": (
        {"detector": {"type": "growth_rule", "features": ["smart_5_growth_7d"]}},
        "detector.type: the champion has counter_rule, the YAML growth_rule",
        "--retrain`",
    ),
    "horizon": (
        {"training": {"horizon_days": 9, "days": 20, "max_rows": 5000}},
        "training.horizon_days: the champion has 10, the YAML 9",
        "--retrain`",
    ),
}


def test_each_change_is_named(fleet: Fleet) -> None:
    assert unapplied_settings(fleet.space, load_champion(fleet.space)) == []
    for sections, words, _ in CHANGED.values():
        space = fleet.with_yaml(**sections)
        assert [one.words for one in unapplied_settings(space, load_champion(space))] == [words]


@pytest.mark.parametrize("change", ["parameter", "detector"])
def test_a_run_says_which_change_waits_and_which_command_applies_it(fleet: Fleet, change: str) -> None:
    sections, words, remedy = CHANGED[change]
    fleet.with_yaml(**sections)
    said = fleet.says("run", "fleet", *NEWEST)
    assert said.code == 3
    assert "check failed: fleet/anomalies champion_follows_the_yaml" in said.out
    assert words in said.out
    assert remedy in said.out
    with dg.DagsterInstance.from_config(str(fleet.home / "dagster")) as recorded:
        (record,) = recorded.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(dg.AssetKey(["fleet", "anomalies"]), "champion_follows_the_yaml"), limit=1
        )
    assert record.event is not None
    evaluation = record.event.asset_check_evaluation
    assert evaluation is not None
    assert (evaluation.passed, evaluation.blocking, evaluation.severity.value) == (False, False, "WARN")
    assert evaluation.metadata["unapplied"].value == [words]


def test_calibrate_applies_a_changed_policy_without_training(fleet: Fleet) -> None:
    version, cut = fleet.space.models.champion("fleet"), load_champion(fleet.space).threshold.cut
    space = fleet.with_yaml(threshold={"policy": "percentile", "percentile": 50})
    said = fleet.says("calibrate", "fleet")
    assert said.code == 0, said.out
    assert space.models.versions("fleet") == [version]
    assert load_champion(space).threshold.cut < cut
    assert unapplied_settings(space, load_champion(space)) == []
    assert "check failed: fleet/anomalies champion_follows_the_yaml" not in fleet.says("run", "fleet", *NEWEST).out


def test_calibrate_takes_the_champion_unless_another_version_is_named(fleet: Fleet) -> None:
    champion = fleet.space.models.champion("fleet")
    other = train(fleet.space, TRAINED).version
    assert fleet.says("calibrate", "fleet").code == 0
    assert fleet.space.models.champion("fleet") == champion
    said = fleet.says("calibrate", "fleet", "--version", other, "--promote", "always")
    assert said.code == 0, said.out
    assert fleet.space.models.champion("fleet") == other
    wrong = fleet.says("calibrate", "fleet", "--version", "20240101T000000000Z-00000000")
    assert wrong.code == 2
    assert "has no version 20240101T000000000Z-00000000; it has" in wrong.error


def test_calibrate_without_a_model_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = watched_table(detector=RULE)
    monkeypatch.setattr(instance, "load_table", lambda _: instance.Loaded(definitions_of(table, tmp_path), table))
    said = command(tmp_path, "calibrate", "fleet")
    assert said.code == 2
    assert "fleet has no model yet" in said.error
