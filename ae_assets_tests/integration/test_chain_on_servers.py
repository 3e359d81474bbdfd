"""The whole chain with nothing on the machine's disk: days, tables and models on S3, the catalog in a server."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from ae_assets.pipeline.resources import LakehouseResource
from ae_assets_tests.chain.tables import FIRST, SIMULATED, watched_table
from ae_assets_tests.integration.conftest import Bucket
from ae_assets_tests.integration.seaweed import SECRET
from ae_assets_tests.pipeline.runs import failure_of, materialise

LAST = FIRST + timedelta(days=45)
RULE = {"type": "counter_rule", "features": ["smart_5_level", "smart_197_level"]}


@pytest.fixture
def configured(
    catalog: dict[str, str], bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> dict[str, str]:
    """The settings as a deployment gives them: environment variables of pyiceberg and of the project."""
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    for name, value in catalog.items():
        key = name.upper().replace(".", "__").replace("-", "_")
        monkeypatch.setenv(f"PYICEBERG_CATALOG__AE_ASSETS__{key}", value)
    monkeypatch.setenv("AE_ASSETS_MODELS", f"s3://{bucket.name}/models?scheme=http")
    return catalog


def test_a_chain_runs_on_servers_and_another_machine_goes_on(
    configured: dict[str, str], bucket: Bucket, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    table = watched_table(SIMULATED, detector=RULE)
    training = {"train_start": str(FIRST), "train_end": str(FIRST + timedelta(days=29))}
    runs: list[tuple[tuple[str, ...], tuple[date, date] | None, dict[str, object] | None]] = [
        (("raw", "features", "quarantine"), (FIRST, LAST), None),
        (("model", "threshold"), None, {"model": training}),
        (("anomalies",), (FIRST, LAST), None),
    ]
    homes = [tmp_path / "first machine", tmp_path / "second machine", tmp_path / "third machine"]
    for home, (assets, days, config) in zip(homes, runs, strict=True):
        result = materialise(table, home, assets, days, config)
        assert result.success, failure_of(result)
        assert not (home / "catalog.db").exists()
        assert not (home / "warehouse").exists()
    lakehouse = LakehouseResource(home=str(tmp_path / "fourth machine"))
    days = [FIRST + timedelta(days=number) for number in range(46)]
    assert list(lakehouse.tables.day_rows("fleet.anomalies")) == days
    assert lakehouse.tables.day_rows("fleet.raw") == lakehouse.tables.day_rows("fleet.anomalies")
    assert lakehouse.models.champion("fleet") is not None
    said = "".join(capfd.readouterr())
    assert SECRET not in said
