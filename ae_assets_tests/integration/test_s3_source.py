"""Days below a prefix of a real S3 server: listed, fingerprinted, read, and what happens where the server fails."""

import http.server
import io
import logging
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ae_assets.errors import SourceError
from ae_assets.schemas.periods import HOURLY
from ae_assets.schemas.reading import Reading
from ae_assets.sources import open_source, s3
from ae_assets.sources.intervals import read_intervals
from ae_assets.sources.ranges import READ_AHEAD_BYTES, Patience
from ae_assets_tests.integration.conftest import Bucket
from ae_assets_tests.integration.faults import Proxy, answer, proxy_to, reset_after, silent_for
from ae_assets_tests.integration.seaweed import SECRET
from ae_assets_tests.sources.files import FIRST, day_csv

IMPATIENT = Patience(attempts=3, first_wait_seconds=0.01, timeout_seconds=1.0)
SECOND, THIRD = FIRST + timedelta(days=1), FIRST + timedelta(days=2)


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return content.getvalue()


def test_daily_files_and_archives_below_a_prefix_are_days(bucket: Bucket) -> None:
    bucket.put(f"fleet/2013/{FIRST}.csv", day_csv(rows=3))
    bucket.put("fleet/data_Q2.zip", zipped({f"data_Q2/{SECOND}.csv": day_csv(SECOND, rows=5)}))
    bucket.put(f"fleet2/{THIRD}.csv", day_csv(THIRD))  # another table's
    source = open_source(f"s3://{bucket.name}/fleet/")
    days = source.days()
    assert list(days) == [FIRST, SECOND]
    assert [source.read(listed).height for listed in days.values()] == [3, 5]
    assert days[FIRST].origin == f"2013/{FIRST}.csv"
    assert days[SECOND].origin == f"data_Q2.zip!data_Q2/{SECOND}.csv"
    assert source.location == f"s3://{bucket.name}/fleet"
    for whole in (f"s3://{bucket.name}", f"s3://{bucket.name}//"):
        assert list(open_source(whole).days()) == [FIRST, SECOND, THIRD]


def test_hours_are_named_by_folders_of_keys_and_other_files_are_left_out(bucket: Bucket) -> None:
    for name in ("flow.csv", "rain.csv"):
        bucket.put(f"in/date=2024-04-17/hour=05/{name}", day_csv())
    reading = Reading(periods=HOURLY, files="flow*")
    for location in (f"s3://{bucket.name}/in", f"s3://{bucket.name}/in/date=2024-04-17/hour=05/flow.csv"):
        assert list(open_source(location, reading).days()) == [datetime(2024, 4, 17, 5, tzinfo=UTC)]


def test_intervals_are_read_from_an_object(bucket: Bucket) -> None:
    bucket.put("labels/pumps.csv", b"entity,start,end\npump 07,2024-04-17,2024-04-18\n")
    assert read_intervals(f"s3://{bucket.name}/labels/pumps.csv")["entity"].to_list() == ["pump 07"]
    with pytest.raises(SourceError, match="the server answers 404"):
        read_intervals(f"s3://{bucket.name}/labels/gone.csv")


def test_a_single_archive_is_a_source_of_its_own(bucket: Bucket) -> None:
    bucket.put("in/data.zip", zipped({f"{FIRST}.csv": day_csv()}))
    source = open_source(f"s3://{bucket.name}/in/data.zip")
    assert source.read(source.days()[FIRST]).height == 3
    with pytest.raises(SourceError, match="the server answers 404"):
        open_source(f"s3://{bucket.name}/in/gone.zip").days()


def test_a_single_daily_file_is_a_source_of_its_own(bucket: Bucket) -> None:
    bucket.put(f"in/{FIRST}.csv", day_csv())
    source = open_source(f"s3://{bucket.name}/in/{FIRST}.csv")
    assert source.read(source.days()[FIRST]).height == 3
    assert source.strays() == []
    with pytest.raises(SourceError, match="the server answers 404"):
        open_source(f"s3://{bucket.name}/in/{SECOND}.csv").days()


@pytest.mark.parametrize("key", ["in/fleet.csv", "elsewhere"])
def test_a_prefix_below_which_nothing_lies_says_so(bucket: Bucket, key: str) -> None:
    bucket.put("in/fleet.csv", day_csv())
    source = open_source(f"s3://{bucket.name}/{key}")
    assert source.days() == {}
    (stray,) = source.strays()
    assert stray.startswith(f"s3://{bucket.name}/{key}: no object lies below this prefix; expected YYYY-MM-DD.csv")


def test_recycle_bins_and_hidden_folders_are_left_out_and_named_once(bucket: Bucket) -> None:
    for key in ("#recycle/2013-04-10.csv", "#recycle/2013-04-12.csv", "a/.Trash/q2.zip", "@eaDir/x", ".2013-04-12.csv"):
        bucket.put(f"raw/{key}", day_csv(rows=1))
    bucket.put(f"raw/{FIRST}.csv", day_csv())
    source = open_source(f"s3://{bucket.name}/raw")
    assert [source.read(day).height for day in source.days().values()] == [3]
    assert [stray.partition(":")[0] for stray in source.strays()] == [
        "#recycle/",
        ".2013-04-12.csv",
        "@eaDir/",
        "a/.Trash/",
    ]


def test_what_is_no_day_is_named_and_left_out(bucket: Bucket) -> None:
    bucket.put("raw/", b"")
    bucket.put("raw/notes.txt", b"hello")
    bucket.put("raw/2013-02-30.csv", b"")
    bucket.put("raw/broken.zip", b"PK no archive")
    bucket.put(f"raw/{FIRST}.csv", day_csv())
    source = open_source(f"s3://{bucket.name}/raw")
    assert FIRST in source.days()
    strays = "\n".join(source.strays())
    assert "notes.txt: not named YYYY-MM-DD.csv" in strays
    assert "2013-02-30.csv: not named YYYY-MM-DD.csv after a day of the calendar" in strays
    assert "broken.zip: not readable as a zip archive" in strays
    assert len(source.strays()) == 3


def test_a_replaced_object_has_another_fingerprint_and_the_old_listing_is_refused(bucket: Bucket) -> None:
    key = f"raw/{FIRST}.csv"
    bucket.put(key, day_csv(counter=1))
    source, other = (open_source(f"s3://{bucket.name}/raw") for _ in range(2))
    before = source.days()[FIRST]
    assert other.days()[FIRST] == before
    bucket.put(key, day_csv(counter=2))  # of the same size
    with pytest.raises(SourceError, match="replaced since it was listed"):
        source.read(before)
    after = other.days()[FIRST]
    assert after.fingerprint != before.fingerprint
    assert other.read(after)["smart_5_raw"].to_list() == [2, 2, 2]
    with pytest.raises(SourceError, match="has changed since it was listed"):
        other.read(before)
    bucket.delete(key)
    assert other.days() == {}
    with pytest.raises(SourceError, match="there is no file for 2013-04-10"):
        other.read(after)


def test_a_replaced_archive_changes_the_days_that_changed_and_no_others(bucket: Bucket) -> None:
    members = {f"{FIRST}.csv": day_csv(), f"{SECOND}.csv": day_csv(SECOND)}
    bucket.put("raw/data.zip", zipped(members))
    source = open_source(f"s3://{bucket.name}/raw")
    before = source.days()
    bucket.put("raw/data.zip", zipped({**members, f"{SECOND}.csv": day_csv(SECOND, rows=9)}))
    after = source.days()
    assert after[FIRST] == before[FIRST]
    assert after[SECOND] != before[SECOND]
    assert source.read(after[SECOND]).height == 9


def test_thousands_of_keys_are_listed_within_a_look_of_the_sensor(bucket: Bucket) -> None:
    days = [FIRST + timedelta(days=number) for number in range(2500)]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda day: bucket.put(f"raw/{day}.csv", day_csv(day, rows=1)), days))
    source = open_source(f"s3://{bucket.name}/raw")
    began = time.monotonic()
    assert list(source.days()) == days
    assert time.monotonic() - began < 60  # what a sensor has; this takes about one


def test_more_keys_than_a_look_can_list_are_refused(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "MOST_OBJECTS", 2)
    for number in range(3):
        bucket.put(f"raw/{FIRST + timedelta(days=number)}.csv", day_csv())
    with pytest.raises(SourceError, match="more than 2 objects"):
        open_source(f"s3://{bucket.name}/raw").days()


@pytest.fixture
def proxy(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with proxy_to(bucket.server.s3_port) as between:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", between.endpoint)
        yield between


def noise(size: int) -> bytes:
    import numpy as np

    return np.random.default_rng(1).bytes(size)


def test_a_day_of_an_archive_costs_its_member_and_the_directory(bucket: Bucket, proxy: Proxy) -> None:
    bulk = {f"other/{number}.bin": noise(2**20) for number in range(8)}
    bucket.put("raw/data.zip", zipped({**bulk, f"{FIRST}.csv": day_csv()}, zipfile.ZIP_STORED))
    source = open_source(f"s3://{bucket.name}/raw")
    listed = source.days()[FIRST]
    assert source.read(listed).height == 3
    assert proxy.served < 4 * READ_AHEAD_BYTES
    proxy.requests.clear()
    assert source.days()[FIRST] == listed
    assert [method for method, _ in proxy.requests] == ["GET"]  # the listing; the directory is known


@pytest.mark.parametrize(
    "faults",
    [
        [answer(503), answer(500)],
        [reset_after(0.0), reset_after(0.3)],
        [reset_after(0.9)],
        [silent_for(1.5)],
        [answer(429), reset_after(0.5), answer(502), reset_after(0.5), reset_after(0.5)],
    ],
    ids=["busy", "reset", "cut off", "silent", "all of it"],
)
def test_failures_that_pass_are_waited_for_and_what_arrived_is_kept(
    bucket: Bucket, proxy: Proxy, faults: list[Any]
) -> None:
    rows = 40_000
    bucket.put(f"raw/{FIRST}.csv", day_csv(rows=rows))
    source = s3.s3_source(f"s3://{bucket.name}/raw", patience=IMPATIENT)
    proxy.faults = [*faults[:1], None]  # the listing meets the first one too
    listed = source.days()[FIRST]
    proxy.faults, proxy.served = list(faults), 0
    assert source.read(listed).height == rows
    assert not proxy.faults


@pytest.mark.parametrize("fault", [answer(503), reset_after(0.0), silent_for(1.5)], ids=["busy", "reset", "silent"])
def test_a_server_that_keeps_failing_is_given_up_in_words(bucket: Bucket, proxy: Proxy, fault: Any) -> None:
    bucket.put(f"raw/{FIRST}.csv", day_csv(rows=1000))
    source = s3.s3_source(f"s3://{bucket.name}/raw", patience=IMPATIENT)
    listed = source.days()[FIRST]
    proxy.faults = [fault] * 20
    with pytest.raises(SourceError, match=r"no complete answer after 3 attempts.*Check AWS_ENDPOINT_URL_S3"):
        source.read(listed)
    with pytest.raises(SourceError, match="no complete answer after 3 attempts"):
        source.days()
    proxy.faults = []
    assert source.read(source.days()[FIRST]).height == 1000


def test_nobody_listening_is_said(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with pytest.raises(SourceError, match=r"s3://some-bucket/: no complete answer after 3 attempts"):
        s3.s3_source("s3://some-bucket", patience=IMPATIENT).days()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (
            {"AWS_SECRET_ACCESS_KEY": "another-secret"},
            "403 SignatureDoesNotMatch. Check the credentials and their rights",
        ),
        ({"AWS_ACCESS_KEY_ID": "stranger"}, "403 InvalidAccessKeyId"),
    ],
)
def test_wrong_credentials_are_refused_without_being_told(
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    wrong: Mapping[str, str],
    says: str,
) -> None:
    caplog.set_level(logging.INFO)
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SourceError) as refused:
        open_source(f"s3://{bucket.name}/raw").days()
    assert says in str(refused.value)
    for said in (str(refused.value), caplog.text):
        assert not {SECRET, "another-secret", "stranger"} & set(said.split())
        assert "another-secret" not in said


def test_a_bucket_that_is_not_there_is_named(aws: Any) -> None:
    with pytest.raises(SourceError, match=r"s3://no-such-bucket/raw/: the server answers 404 NoSuchBucket"):
        open_source("s3://no-such-bucket/raw").days()


def test_without_credentials_the_ways_to_give_them_are_named(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    with pytest.raises(SourceError, match=r"no complete AWS credentials\. Set AWS_ACCESS_KEY_ID"):
        open_source("s3://some-bucket/raw").days()


@pytest.mark.parametrize("location", ["s3://", "s3:///raw", "s3://Bucket_/raw", "s3://a/b"])
def test_a_location_without_the_name_of_a_bucket_is_refused(location: str) -> None:
    with pytest.raises(SourceError, match="is no name of a bucket"):
        open_source(location)


def test_without_boto3_the_install_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(SourceError, match=r"pip install 'ae_assets\[aws\]'"):
        open_source("s3://some-bucket/raw")


def test_days_of_a_year_come_in_order_however_they_landed(bucket: Bucket) -> None:
    for day in (date(2013, 12, 31), date(2013, 1, 1), date(2013, 6, 1)):
        bucket.put(f"{day.year}/{day.month}/{day}.csv", day_csv(day))
    assert [day.month for day in open_source(f"s3://{bucket.name}").days()] == [1, 6, 12]


def test_keys_that_would_leave_a_folder_or_break_a_log_are_only_printed(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keys = [
        "raw/in\nERROR lost/{}.csv",
        "raw/\x1b[2J/{}.csv",
        "raw/C:/{}.csv",
        "raw/CON/{}.csv",
        "raw/%2e%2e%2f/{}.csv",
    ]
    days = [FIRST + timedelta(days=number) for number in range(len(keys))]
    for key, day in zip(keys, days, strict=True):
        bucket.put(key.format(day), day_csv(day))
    bucket.put(
        "raw/a\nb.zip", zipped({f"../../{FIRST}.csv": day_csv(), f"{days[-1] + timedelta(days=1)}.csv": day_csv()})
    )
    source = open_source(f"s3://{bucket.name}/raw")
    listed = source.days()
    texts = [listed_day.origin for listed_day in listed.values()] + source.strays()
    assert all(text.isprintable() for text in texts)
    assert f"in\\nERROR lost/{FIRST}.csv" in texts
    assert f"\\x1b[2J/{days[1]}.csv" in texts
    assert f"a\\nb.zip!../../{FIRST}.csv: refused, its name points outside the archive" in texts
    assert {source.read(listed_day).height for listed_day in listed.values()} == {3}
    assert len(listed) == 6
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("listing", "says"),
    [
        ("<IsTruncated>true</IsTruncated><KeyCount>0</KeyCount>", "list of objects breaks off"),
        ("<IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken>", "more than 1,000 objects"),
        ("<Contents><Key>raw/2013-04-10.csv</Key></Contents>", "lists objects without size or ETag"),
        ("<Contents><Key>raw/2013-04-10.csv</Key><Size>many</Size></Contents>", "no complete answer"),
        ("<Contents>", "no complete answer"),
    ],
    ids=["no token", "without end", "no size", "no number", "no XML"],
)
def test_a_server_that_lists_nonsense_is_given_up_in_words(
    aws: Any, monkeypatch: pytest.MonkeyPatch, listing: str, says: str
) -> None:
    monkeypatch.setattr(s3, "MOST_OBJECTS", 1_000)
    root = "" if listing == "<Contents>" else "</ListBucketResult>"
    body = f'<?xml version="1.0"?><ListBucketResult>{listing}{root}'.encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_port}")
        try:
            with pytest.raises(SourceError, match=says):
                s3.s3_source("s3://some-bucket/raw", patience=IMPATIENT).days()
        finally:
            server.shutdown()
