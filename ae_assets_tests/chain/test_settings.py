"""A model version and the days of features keep their settings; under others nothing is trained, scored or judged."""

import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ae_assets.chain.anomalies import find_anomalies
from ae_assets.chain.challenger import Reason
from ae_assets.chain.champion import load_champion, load_version
from ae_assets.chain.evaluation import evaluate
from ae_assets.chain.features import build_features
from ae_assets.chain.model import TrainingRange, train
from ae_assets.chain.threshold import calibrate_latest
from ae_assets.chain.workspace import FailedPeriod, Workspace
from ae_assets.errors import ModelError
from ae_assets.features.schema import SETTINGS
from ae_assets.model.parse import parse_table
from ae_assets.pipeline.checks import features_checks
from ae_assets.schemas.periods import DAILY
from ae_assets_tests.chain.steps import fill
from ae_assets_tests.chain.tables import FIRST, attributes, storage_of, write_day

RULE = {"type": "counter_rule", "features": ["smart_5_level"]}
DAYS = DAILY.range(FIRST, FIRST + timedelta(days=24))
TRAINED = TrainingRange.of(FIRST, FIRST + timedelta(days=5), 10)
NEWEST = DAYS[-1]
SCORE = 3.6


def space(home: Path, changed: dict[str, Any] | None = None, **sections: Any) -> Workspace:
    """The small table, with keys of some attributes changed; `None` takes an attribute out."""
    keys = attributes(str(home / "source"), detector=RULE, **sections)
    named = keys["features"]["attributes"]
    for column, more in (changed or {}).items():
        named[column] = {**named.get(column, {}), **more}
    return storage_of(parse_table(keys, "defs.yaml"), home / "home")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 drives, a champion trained and calibrated on the first days, no anomalies yet."""
    home = tmp_path_factory.mktemp("settings")
    for day in DAYS:
        write_day(home / "source", day, [(f"D{drive:02}", 0, drive) for drive in range(30)])
    held = space(home)
    fill(held, DAYS)
    train(held, TRAINED)
    calibrate_latest(held)
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    """A home of the test's own; its tables are those of the module's, which no test here writes to."""
    shutil.copytree(made / "home" / "models", tmp_path / "home" / "models")
    return tmp_path


def with_models_of(home: Path, held: Workspace) -> Workspace:
    return replace(held, models=storage_of(held.table, home / "home").models)


CHANGED = {
    "cap": ({"smart_5_raw": {"cap": 1}}, "features.attributes.smart_5_raw.cap: the model has none, the YAML 1.0"),
    "low_bits": (
        {"smart_197_raw": {"low_bits": 16}},
        "features.attributes.smart_197_raw.low_bits: the model has none, the YAML 16",
    ),
    "kind": (
        {"smart_194_raw": {"kind": "rate", "transforms": ["level", "deviation"]}},
        "features.attributes.smart_194_raw.kind: the model has gauge, the YAML rate",
    ),
}


@pytest.mark.parametrize("change", CHANGED)
def test_a_champion_of_other_features_is_not_loaded_calibrated_or_judged(made: Path, home: Path, change: str) -> None:
    changed, words = CHANGED[change]
    other = with_models_of(home, space(made, changed))
    version = other.models.champion("fleet")
    assert version is not None
    for use in (
        load_champion,
        lambda held: load_version(held, version),
        lambda held: calibrate_latest(held, version=version),
        lambda held: evaluate(held, DAYS[15], DAYS[-1], with_comparisons=False),
    ):
        with pytest.raises(ModelError) as error:
            use(other)
        assert words in str(error.value)
        assert f"`ae-assets run fleet --start {DAYS[0]} --end {DAYS[-1]} --retrain`" in str(error.value)
    assert load_champion(with_models_of(home, space(made))).version == version


def test_words_and_attributes_that_came_later_leave_a_champion_in_use(made: Path) -> None:
    more = {
        "smart_5_raw": {"meaning": "sectors that were replaced"},
        "smart_7_raw": {"kind": "rate", "meaning": "seek errors"},
    }
    held = space(made, more, description="other words")
    scored = next(iter(find_anomalies_without_writing(held, [NEWEST])))
    assert scored["score"].max() == pytest.approx(3.4, abs=0.1)


def find_anomalies_without_writing(held: Workspace, days: list[date]) -> list[pl.DataFrame]:
    from ae_assets.chain.scoring import score_days

    champion = load_champion(held)
    return [day.scores for day in score_days(held, champion.detector, champion.aggregation, days, "anomalies")]


def test_a_champion_from_before_settings_were_kept_is_used_as_it_is(
    made: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = with_models_of(home, space(made, CHANGED["cap"][0]))
    card = type(other.models).card
    monkeypatch.setattr(
        type(other.models),
        "card",
        lambda *asked: {key: value for key, value in card(*asked).items() if key != "feature_settings"},
    )
    assert load_champion(other).version == other.models.champion("fleet")


@pytest.fixture
def own(made: Path, tmp_path: Path) -> Path:
    """A home of the test's own with the first days of the fleet, whose tables it may write to."""
    shutil.copytree(made / "source", tmp_path / "source")
    held = space(tmp_path)
    fill(held, DAYS)
    train(held, TRAINED)
    calibrate_latest(held)
    return tmp_path


def test_a_day_after_those_that_rest_on_other_settings_is_judged_as_alone(own: Path) -> None:
    aggregated = {"aggregation": {"method": "mean", "span": 3}}
    held = space(own, decision=aggregated)
    write_day(own / "source", DAYS[19], [(f"D{drive:02}", 0, 2 * drive) for drive in range(30)])
    fill(held, [DAYS[19]])
    train(held, TRAINED)
    calibrate_latest(held)
    build_features(space(own, CHANGED["cap"][0]), [DAYS[18]])
    champion = load_champion(held)
    in_range = list(find_anomalies(held, champion, DAYS[17:22]))
    assert {day.day for day in in_range if isinstance(day, FailedPeriod)} == set(DAYS[18:21])
    rows = held.read("anomalies", DAYS[21], DAYS[21])
    assert (rows["score"] != rows["day_score"]).any(), "the days before it that failed count"
    list(find_anomalies(held, champion, [DAYS[21]]))
    assert held.read("anomalies", DAYS[21], DAYS[21]).equals(rows)


def test_days_that_were_made_by_other_settings_are_neither_scored_nor_trained_on(own: Path) -> None:
    build_features(space(own, CHANGED["cap"][0]), [NEWEST])
    held = space(own)
    champion = load_champion(held)
    scored, failed = find_anomalies(held, champion, DAYS[-2:])
    assert (scored.day, scored.rows) == (DAYS[-2], 30)
    assert (failed.day, failed.asset) == (NEWEST, "anomalies")
    assert f"the features of {NEWEST} were made by other settings" in failed.reason
    assert "features.attributes.smart_5_raw.cap: the day has 1.0, the YAML none" in failed.reason
    assert f"`ae-assets run fleet --start {NEWEST} --end DAY`" in failed.reason
    assert NEWEST not in held.days_of("anomalies")
    with pytest.raises(ModelError, match=rf"the features of {NEWEST} were made by other settings"):
        train(held, TrainingRange.of(DAYS[10], NEWEST, 10))
    build_features(held, [NEWEST])
    (scored,) = find_anomalies(held, champion, [NEWEST])
    assert scored.rows == 30


def checks_pass(held: Workspace, days: list[date]) -> bool:
    """Whether days of features, made now, pass every check."""
    built = [facts for facts in build_features(held, days) if not isinstance(facts, FailedPeriod)]
    return all(check.passed for check in features_checks(held, built))


def test_a_new_attribute_needs_days_that_have_it_before_it_is_trained_on(own: Path) -> None:
    more = {"smart_7_raw": {"kind": "rate", "meaning": "seek errors"}}
    held = space(own, more)
    with pytest.raises(ModelError, match=r"no day of fleet\.features has the features smart_7_deviation"):
        train(held, TRAINED)
    build_features(held, DAYS[5:])
    with pytest.raises(ModelError, match=r"attributes\.smart_7_raw: the day has absent, the YAML present"):
        train(held, TRAINED)
    assert checks_pass(held, DAYS), "whatever order the columns have now"
    version = train(held, TRAINED).version
    promotion = calibrate_latest(held).promotion
    assert (promotion.version, promotion.reason) == (version, Reason.NOT_COMPARED)
    # And out of the YAML again: the column stays, the check does not mind, the champion that reads it is refused.
    assert checks_pass(space(own), [NEWEST])
    with pytest.raises(ModelError, match=r"attributes\.smart_7_raw: the model has present, the YAML absent"):
        load_champion(space(own))


def test_each_day_names_its_settings_and_the_table_spells_them_out(own: Path) -> None:
    held = space(own)
    capped = space(own, CHANGED["cap"][0])
    build_features(capped, [NEWEST])
    rows = held.tables.read("fleet.features", DAYS[-2], NEWEST, ["day", SETTINGS])
    by_day = dict(rows.unique().iter_rows())
    assert by_day == {DAYS[-2]: held.table.feature_settings.digest, NEWEST: capped.table.feature_settings.digest}
    properties = held.tables.properties("fleet.features")
    assert '"cap": 1.0' in properties[f"ae_assets.settings.{by_day[NEWEST]}"]
    assert '"cap": 1.0' not in properties[f"ae_assets.settings.{by_day[DAYS[-2]]}"]


def test_days_from_before_settings_were_kept_are_taken_as_they_are(own: Path) -> None:
    held = space(own)
    rows = held.tables.read("fleet.features", NEWEST, NEWEST)
    with held.tables.writer("fleet.features") as writer:
        writer.write(NEWEST, rows.drop(SETTINGS))
    (scored,) = find_anomalies(held, load_champion(held), [NEWEST])
    assert scored.rows == 30
    with held.tables.writer("fleet.features") as writer:
        writer.write(NEWEST, held.no_rows)
    assert [facts.rows for facts in find_anomalies(held, load_champion(held), [NEWEST])] == [0]
