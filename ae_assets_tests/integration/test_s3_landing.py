"""New objects on S3 start the chain: the sensor's looks, and a run from the bucket to the tables."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest

from ae_assets.pipeline.resources import LakehouseResource
from ae_assets_tests.chain.tables import FIRST, storage_of, watched_table, write_day
from ae_assets_tests.integration.conftest import Bucket
from ae_assets_tests.integration.faults import answer, proxy_to
from ae_assets_tests.pipeline.runs import PipelineAlone, materialise

DAYS = [FIRST + timedelta(days=number) for number in range(6)]
DRIVES = [(f"D{number}", 0, number) for number in range(3)]
Look = Callable[..., dg.SensorResult]


def day_file(folder: Path, day: date, drives: int = 3) -> bytes:
    write_day(folder, day, [(f"D{number}", 0, number) for number in range(drives)])
    return (folder / f"{day}.csv").read_bytes()


@pytest.fixture
def look(bucket: Bucket, tmp_path: Path) -> Look:
    """Ticks the sensor as the daemon does; ``forget`` loses the cursor first."""
    table = watched_table(f"s3://{bucket.name}/raw", sensor={"max_runs_per_tick": 2}, end="2013-12-31")
    home = LakehouseResource(home=str(tmp_path / "home"))
    definitions = dg.Definitions.merge(
        PipelineAlone(table).build_defs(None),
        dg.Definitions(resources={"lakehouse": home}, executor=dg.in_process_executor),
    )
    cursor: list[str | None] = [None]

    def tick(*, forget: bool = False) -> dg.SensorResult:
        with (
            dg.DagsterInstance.ephemeral() as instance,
            dg.build_sensor_context(
                instance=instance,
                cursor=None if forget else cursor[0],
                definitions=definitions,
                sensor_name="fleet_landing",
                resources={"lakehouse": home},
            ) as context,
        ):
            result = definitions.resolve_sensor_def("fleet_landing").evaluate_tick(context)
        cursor[0] = result.cursor or cursor[0]
        return result

    return tick


def requested(result: dg.SensorResult) -> list[str]:
    return [str(request.partition_key) for request in result.run_requests or []]


def keys(result: dg.SensorResult) -> set[str | None]:
    return {request.run_key for request in result.run_requests or []}


def test_objects_are_asked_for_once_in_order_and_the_newest_first_where_days_wait(
    look: Look, bucket: Bucket, tmp_path: Path
) -> None:
    for day in (DAYS[4], DAYS[1], DAYS[2]):
        bucket.put(f"raw/{day}.csv", day_file(tmp_path, day))
    first = look()
    assert requested(first) == [str(DAYS[4]), str(DAYS[1])]
    assert requested(look()) == [str(DAYS[2])]
    assert requested(look()) == []
    bucket.put(f"raw/{DAYS[0]}.csv", day_file(tmp_path, DAYS[0]))  # late
    bucket.put(f"raw/{DAYS[2]}.csv", day_file(tmp_path, DAYS[2], drives=5))  # replaced
    bucket.put("raw/readme.txt", b"no day")
    bucket.delete(f"raw/{DAYS[4]}.csv")
    fourth = look()
    assert requested(fourth) == [str(DAYS[0]), str(DAYS[2])]
    assert not keys(fourth) & keys(first)
    assert requested(look()) == []
    bucket.put(f"raw/{DAYS[4]}.csv", day_file(tmp_path, DAYS[4]))  # deleted and back as it was
    assert requested(look()) == []


def test_a_lost_cursor_asks_again_under_the_same_run_keys(look: Look, bucket: Bucket, tmp_path: Path) -> None:
    for day in DAYS[:2]:
        bucket.put(f"raw/{day}.csv", day_file(tmp_path, day))
    assert keys(look()) == keys(look(forget=True)) != set()


def test_a_server_that_is_away_is_a_skipped_look_and_loses_nothing(
    look: Look, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put(f"raw/{DAYS[0]}.csv", day_file(tmp_path, DAYS[0]))
    with proxy_to(bucket.server.s3_port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        proxy.faults = [answer(403)] * 10
        skipped = look()
        assert requested(skipped) == []
        assert "the source cannot be listed now" in str(skipped.skip_message)
        proxy.faults = []
        assert requested(look()) == [str(DAYS[0])]


def test_days_go_from_the_bucket_to_features(bucket: Bucket, tmp_path: Path) -> None:
    for day in DAYS:
        bucket.put(f"raw/{day:%Y/%m}/{day}.csv", day_file(tmp_path, day))
    table = watched_table(f"s3://{bucket.name}/raw")
    home = tmp_path / "home"
    assert materialise(table, home, ("raw", "features", "quarantine"), (DAYS[0], DAYS[-1])).success
    space = storage_of(table, home)
    assert space.days_of("features") == dict.fromkeys(DAYS, 3)
    files = space.tables.read("fleet.raw", DAYS[0], DAYS[0], ["source_file"])
    assert set(files["source_file"]) == {f"{DAYS[0]:%Y/%m}/{DAYS[0]}.csv"}
