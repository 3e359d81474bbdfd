"""`ae-assets tune` writes settings to commit and figures, and says what they are worth."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from ae_assets.cli import instance
from ae_assets.detectors.config import DetectorConfig
from ae_assets.reports.tuning import setting_importance, tuning_history
from ae_assets_tests.chain.test_tuning import DAYS, USED, readings, space_in
from ae_assets_tests.cli.conftest import Said, command
from ae_assets_tests.pipeline.runs import definitions_of

RANGE = ("--train-start", str(USED[0]), "--train-end", str(USED[1]))
PNG = b"\x89PNG"


def table_in(folder: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Path:
    """The home of a table with features, which the commands find."""
    space, home = space_in(folder, readings(), **more), folder / "home"
    monkeypatch.setattr(
        instance, "load_table", lambda _: instance.Loaded(definitions_of(space.table, home), space.table)
    )
    return home


def tuned(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str, **more: Any) -> Said:
    return command(table_in(folder, monkeypatch, **more), "tune", "stations", *arguments)


def test_the_best_settings_are_a_yaml_and_figures_that_stand_in_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tuned(tmp_path, monkeypatch, *RANGE, "--trials", "3")
    assert said.code == 0, said.error
    written = tmp_path / "home" / "tuning" / "stations"
    assert {"trials.log", "detector.yaml", "history.png"} <= {path.name for path in written.iterdir()}
    assert (written / "history.png").read_bytes().startswith(PNG)
    text = (written / "detector.yaml").read_text()
    config = TypeAdapter[DetectorConfig](DetectorConfig).validate_python(yaml.safe_load(text)["detector"])
    assert config.type == "pca"
    assert said.out.count("trial ") >= 3
    assert any(verdict in said.out for verdict in ("more than chance", "within chance", "none has a higher"))
    elsewhere = tmp_path / "elsewhere"
    again = command(tmp_path / "home", "tune", "stations", *RANGE, "--trials", "3", "--output", str(elsewhere))
    assert again.code == 0
    assert "trial 1:" not in again.out
    assert (elsewhere / "detector.yaml").read_text() == text


def test_without_a_range_the_days_are_those_that_a_model_would_learn_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {"training": {"days": 10}, "calibration": {"embargo_days": 1, "days": 3}}
    said = tuned(tmp_path, monkeypatch, "--trials", "1", **more)
    assert said.code == 0, said.error
    text = (tmp_path / "home" / "tuning" / "stations" / "detector.yaml").read_text()
    assert f"{DAYS[4]} to {DAYS[13]}" in text


def test_what_cannot_be_tuned_is_wrong_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = {"type": "counter_rule", "features": ["a_level"]}
    said = tuned(tmp_path, monkeypatch, *RANGE, detector=rule)
    assert said.code == 2
    assert "counter_rule" in said.error


@pytest.mark.parametrize("figures", [[], [None], [0.5], [0.2, None, 0.4, 0.3]])
def test_a_history_of_any_length_is_drawn(figures: list[float | None]) -> None:
    assert tuning_history(figures, 0.2, "average precision").startswith(PNG)
    assert tuning_history(figures, None, "average precision").startswith(PNG)


@pytest.mark.parametrize("importance", [{}, {"units": 0.0}, {"units": 0.7, "learning_rate": 0.3}])
def test_importances_are_drawn(importance: dict[str, float]) -> None:
    assert setting_importance(importance).startswith(PNG)
