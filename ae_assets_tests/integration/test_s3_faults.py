"""S3 under the warehouse breaks what passes: tried again, then one clear error, and a re-run that completes."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyarrow.fs import AwsStandardS3RetryStrategy
from pyiceberg.exceptions import CommitStateUnknownException

from ae_assets.errors import LakehouseError, ModelError
from ae_assets.lakehouse import Lakehouse, ModelStore
from ae_assets.lakehouse.servers import with_patience
from ae_assets_tests.integration.conftest import Bucket
from ae_assets_tests.integration.faults import Fault, Proxy, answer, proxy_to, reset_after, silent_for
from ae_assets_tests.integration.seaweed import KEY, SECRET, Seaweed
from ae_assets_tests.lakehouse.conftest import FIRST, day_after, frame_of

KINDS = (".parquet", ".avro", ".metadata.json")


class TwoTries(AwsStandardS3RetryStrategy):
    """A setting of one's own: the least that still tries again."""

    def __init__(self) -> None:
        super().__init__(max_attempts=2)


@dataclass
class Broken:
    """A lakehouse whose S3 is reached through the proxy; its catalog is a local file."""

    lakehouse: Lakehouse
    proxy: Proxy
    bucket: Bucket

    def write(self, value: int) -> None:
        with self.lakehouse.writer("t.raw") as writer:
            for number in range(2):
                writer.write(day_after(number), frame_of(day_after(number), value=value))

    def values(self) -> list[int]:
        return self.lakehouse.read("t.raw", FIRST, day_after(5))["value"].to_list()

    def files(self, ending: str) -> set[str]:
        listed = self.bucket.client.list_objects_v2(Bucket=self.bucket.name).get("Contents", [])
        return {found["Key"] for found in listed if found["Key"].endswith(ending)}


@pytest.fixture(scope="module")
def proxy(seaweed: Seaweed) -> Iterator[Proxy]:
    with proxy_to(seaweed.s3_port) as opened:
        yield opened


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> dict[str, str]:
    return dict(getattr(request, "param", {}))


@pytest.fixture
def broken(proxy: Proxy, bucket: Bucket, tmp_path: Path, settings: dict[str, str]) -> Iterator[Broken]:
    catalog = {
        "type": "sql",
        "uri": f"sqlite:///{tmp_path / 'catalog.db'}",
        "warehouse": f"s3://{bucket.name}/warehouse",
        "s3.endpoint": proxy.endpoint,
        "s3.access-key-id": KEY,
        "s3.secret-access-key": SECRET,
        "s3.region": "us-east-1",
        **settings,
    }
    one = Broken(Lakehouse.open(None, catalog), proxy, bucket)
    one.write(0)
    yield one
    proxy.rule = lambda _method, _path: None
    one.lakehouse.close()


def first_of_each(fault: Fault, seen: Counter[tuple[str, str]]) -> Any:
    """Breaks the first request of each method for each kind of file."""

    def rule(method: str, path: str) -> Fault | None:
        kind = next((kind for kind in KINDS if kind in path), "")
        seen[method, kind] += 1
        return fault if kind and seen[method, kind] == 1 else None

    return rule


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [answer(500), answer(503), answer(429), reset_after(0.5)],
    ids=["500", "503", "429", "reset"],
)
def test_what_fails_once_at_every_kind_of_request_is_tried_again(broken: Broken, fault: Fault) -> None:
    seen: Counter[tuple[str, str]] = Counter()
    broken.proxy.rule = first_of_each(fault, seen)
    broken.write(1)
    assert broken.values() == [1] * 6
    # A file is written by POST (begin), PUT, POST (end), and looked for by HEAD.
    assert {(method, kind) for method in ("POST", "PUT", "GET") for kind in KINDS} <= seen.keys()


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"s3.request-timeout": "1"}], indirect=True)
def test_a_silent_server_is_not_waited_for_without_end(broken: Broken) -> None:
    left = [silent_for(600), silent_for(600)]

    def rule(method: str, path: str) -> Fault | None:
        wanted = {2: "PUT", 1: "GET"}.get(len(left))
        return left.pop() if method == wanted and ".parquet" in path and "?list" not in path else None

    broken.proxy.rule = rule
    broken.write(1)
    assert broken.values() == [1] * 6
    assert not left


@pytest.mark.parametrize(
    "settings", [{"s3.retry-strategy-impl": f"{__name__}.TwoTries"}], indirect=True, ids=["own tries"]
)
@pytest.mark.parametrize(
    ("methods", "kind", "says"),
    [
        ({"PUT", "POST"}, ".parquet", "writing 2013-04-10 of t.raw to s3://"),
        ({"PUT", "POST"}, ".avro", "Committing 2 days from 2013-04-10 to 2013-04-11 of t.raw failed"),
        ({"PUT", "POST"}, ".metadata.json", "Committing 2 days from 2013-04-10 to 2013-04-11 of t.raw failed"),
        ({"GET"}, ".metadata.json", "Opening t.raw failed"),
    ],
    ids=["data file", "manifest", "metadata", "reading metadata"],
)
def test_a_write_that_S3_refuses_for_good_says_so_and_a_rerun_completes_it(  # noqa: N802 - S3 is a name
    broken: Broken, methods: set[str], kind: str, says: str
) -> None:
    before = broken.files(".parquet")
    broken.proxy.requests.clear()
    broken.proxy.rule = lambda method, path: answer(503) if method in methods and kind in path else None
    with pytest.raises(LakehouseError) as refused:
        broken.write(1)
    assert says.lower() in str(refused.value).lower()
    assert "Check that the storage can be reached" in str(refused.value)
    assert SECRET not in str(refused.value)
    broken.proxy.rule = lambda _method, _path: None
    assert broken.values() == [0] * 6, "what was there before is unchanged"
    assert broken.files(".parquet") == before, "data files of a failed write are removed"
    broken.write(1)
    assert broken.values() == [1] * 6


@pytest.mark.parametrize(
    "settings", [{"s3.retry-strategy-impl": f"{__name__}.TwoTries"}], indirect=True, ids=["own tries"]
)
def test_files_of_a_commit_whose_answer_was_lost_stay_when_S3_goes_away(  # noqa: N802
    broken: Broken, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = broken.lakehouse._access._opened()
    commit = catalog.commit_table

    def lost(*arguments: Any) -> None:
        commit(*arguments)
        broken.proxy.rule = lambda method, path: answer(503) if method == "GET" and KINDS[2] in path else None
        raise CommitStateUnknownException("the answer was lost")

    with monkeypatch.context() as patched:
        patched.setattr(catalog, "commit_table", lost)
        with pytest.raises(LakehouseError, match=r"Opening t\.raw failed"):
            broken.write(1)
    broken.proxy.rule = lambda _method, _path: None
    assert broken.values() == [1] * 6


@pytest.mark.parametrize(
    "settings", [{"s3.retry-strategy-impl": f"{__name__}.TwoTries"}], indirect=True, ids=["own tries"]
)
@pytest.mark.parametrize(
    ("kind", "says"), [(".parquet", "cannot be read"), (".avro", "Planning a read of t.raw failed")]
)
def test_a_read_that_S3_refuses_for_good_says_so(broken: Broken, kind: str, says: str) -> None:  # noqa: N802
    broken.proxy.rule = lambda method, path: answer(503) if method == "GET" and kind in path else None
    with pytest.raises(LakehouseError, match=says):
        broken.values()
    broken.proxy.rule = lambda _method, _path: None
    assert broken.values() == [0] * 6


def test_models_on_S3_are_written_and_read_through_faults(  # noqa: N802
    proxy: Proxy, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
    store = ModelStore.open(tmp_path, f"s3://{bucket.name}/models?scheme=http")
    # Where pyarrow opens a file system by its address, it tries some thirty times in six seconds.
    left = dict.fromkeys(("POST", "PUT", "GET", "HEAD"), 4)

    def rule(method: str, _path: str) -> Fault | None:
        left[method] -= 1
        return answer(503) if left[method] >= 0 else None

    proxy.rule = rule
    version = store.new_version("t", lambda folder: (folder / "weights").write_text("w") and None, {})
    store.write_threshold("t", version, "{}")
    store.promote("t", version)
    assert store.champion("t") == version
    assert store.versions("t") == [version]
    assert (store.path("t", version) / "weights").read_text() == "w"
    assert max(left.values()) < 0
    proxy.rule = lambda _method, _path: answer(503)
    with pytest.raises(ModelError, match="Check that the storage can be reached"):
        store.champion("t")
    proxy.rule = lambda _method, _path: None
    assert store.champion("t") == version


def test_timeouts_of_ones_own_win() -> None:
    settings = with_patience({"uri": "postgresql+psycopg2://me@db/x?connect_timeout=3", "s3.request-timeout": "60"})
    assert settings["s3.request-timeout"] == "60"
    assert "connect_timeout=3&" in settings["uri"]
    assert "tcp_user_timeout=60000" in settings["uri"]
    assert "py-catalog-impl" not in settings
    assert (
        with_patience({"type": "rest", "uri": "http://x", "py-catalog-impl": "mine.Own"})["py-catalog-impl"]
        == "mine.Own"
    )
