"""The demonstration of streams: two servers, from an empty home to the alarms, and nothing left of them."""

from pathlib import Path

import dagster as dg
import psutil
import pytest

from ae_assets.chain.workspace import RAW, STREAM
from ae_assets.cli import demo_stream
from ae_assets.cli.exit_codes import CHECK_FAILED, DONE
from ae_assets.cli.instance import open_workspace


def test_channels_go_through_cassandra_and_kafka_to_their_alarms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AE_ASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home" / "dagster"))
    monkeypatch.setenv(demo_stream.VARIABLE, "replaced by the demo")
    monkeypatch.setattr(demo_stream, "INVENTED", "simulated://?entities=2&days=34&seed=7")
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    assert demo_stream.run_stream_demo() in {DONE, CHECK_FAILED}
    said = capsys.readouterr().out
    count = 34 * 2 * 288
    assert f"landed: {count:,} records in 34 days, 0 dead letters" in said
    assert "alarms" in said
    assert f"{demo_stream.VARIABLE}=kafka://127.0.0.1:" in said.rpartition("Open the UI")[2]
    space = open_workspace(demo_stream.TABLE)
    for asset in (STREAM, RAW):
        assert sum(space.tables.day_rows(f"flow_channels.{asset}").values()) == count
    with dg.DagsterInstance.get() as instance:
        assert instance.get_latest_materialization_event(dg.AssetKey([demo_stream.TABLE, STREAM])) is not None
    left = [one for one in psutil.Process().children(recursive=True) if one.pid not in before and "java" in one.name()]
    assert left == []
