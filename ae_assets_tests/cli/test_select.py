"""`ae-assets select` says which detector is best, and writes it as YAML where it is better by more than chance."""

from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from ae_assets.detectors.config import DetectorConfig
from ae_assets_tests.chain.test_selection import WEAK
from ae_assets_tests.cli.conftest import command
from ae_assets_tests.cli.test_tune import RANGE, table_in


def test_a_better_detector_is_written_as_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = table_in(tmp_path, monkeypatch, detector=WEAK)
    said = command(home, "select", "stations", *RANGE)
    assert said.code == 0, said.error
    assert "more than chance" in said.out
    written = home / "select" / "stations" / "detector.yaml"
    config = TypeAdapter[DetectorConfig](DetectorConfig).validate_python(
        yaml.safe_load(written.read_text())["detector"]
    )
    assert f"{config.type} is better" in said.out
    assert [line for line in said.out.splitlines() if line.startswith("isolation_forest ") and "in use" in line]


def test_where_none_is_better_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = table_in(tmp_path, monkeypatch, detector={"type": "pca", "explained_variance": 0.9})
    said = command(home, "select", "stations", *RANGE, "--output", str(tmp_path / "best.yaml"))
    assert said.code == 0, said.error
    assert "No candidate is better than pca" in said.out
    assert not (tmp_path / "best.yaml").exists()


def test_without_labels_nothing_is_ranked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = table_in(tmp_path, monkeypatch, labels=False)
    said = command(home, "select", "stations", *RANGE)
    assert said.code == 0, said.error
    assert "nothing says which detector finds more" in said.out
    assert "gain" not in said.out
    assert "fitted on the days before" in said.out
    told = [line for line in said.out.splitlines() if line.startswith("pca ") and line.endswith("KiB")]
    assert told
    assert all(any(f" {kept}" in line for kept in ("held", "not held", "too few to judge")) for line in told)
