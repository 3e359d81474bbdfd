"""An archive on a web server is read by ranges: a day costs its member and the directory, and failures are clear."""

import http.server
import io
import re
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from email.message import Message
from pathlib import Path

import numpy as np
import pytest

from ae_assets.errors import SourceError
from ae_assets.sources import Source, https, open_source, ranges
from ae_assets.sources.archives import ArchiveSource
from ae_assets.sources.https import HttpArchive
from ae_assets.sources.ranges import READ_AHEAD_BYTES, Patience
from ae_assets_tests.sources.files import FIRST, HEADER, day_csv, write_zip

IMPATIENT = Patience(attempts=4, first_wait_seconds=0.01, timeout_seconds=10)


@dataclass
class Server:
    """What a test server holds, how it misbehaves and what it was asked."""

    content: bytes
    etag: str = '"1"'
    ranges: bool = True
    refuse: Callable[[int], int | None] = lambda request: None
    cut: Callable[[int], int | None] = lambda request: None
    hang: Callable[[int], bool] = lambda request: False
    redirect: str | None = None
    index: bytes | None = None
    requests: list[dict[str, str]] = field(default_factory=list)
    served: int = 0
    address: str = ""


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    release = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.requests.append(dict(self.headers) | {"path": self.path})
            number = len(server.requests)
            if server.index is not None and self.path.endswith("/"):
                self._answer(200, {"Content-Length": str(len(server.index))}, server.index)
            elif server.redirect and not self.path.startswith("/moved"):
                self._answer(302, {"Location": server.redirect})
            elif status := server.refuse(number):
                self._answer(status, {"Content-Length": "0"})
            elif server.hang(number):
                release.wait(5)
            elif not server.ranges:
                self._answer(200, {"Content-Length": str(len(server.content))}, server.content)
            else:
                start, end = (int(text) for text in re.findall(r"\d+", self.headers["Range"]))
                part = server.content[start : end + 1]
                span = f"bytes {start}-{start + len(part) - 1}/{len(server.content)}"
                headers = {"Content-Length": str(len(part)), "Content-Range": span, "ETag": server.etag}
                self._answer(206, headers, part[: server.cut(number)])

        def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            server.served += len(body)
            with suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        server.address = f"http://127.0.0.1:{listener.server_port}/data/data_Q2.zip"
        try:
            yield server
        finally:
            release.set()
            listener.shutdown()


def noisy_day(day: date) -> bytes:
    """A day that hardly compresses, about 100 KB."""
    numbers = np.random.default_rng(day.toordinal()).integers(0, 2**62, 4000)
    lines = [f"{day},Z{index},ST4000,4000787030016,0,{number}" for index, number in enumerate(numbers)]
    return ("\n".join([HEADER, *lines]) + "\n").encode()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    days = [FIRST + timedelta(days=offset) for offset in range(30)]
    path = tmp_path_factory.mktemp("archive") / "a.zip"
    return write_zip(path, {f"q2/{day}.csv": noisy_day(day) for day in days}).read_bytes()


def impatient(server: Server) -> Source:
    archive = HttpArchive(server.address, IMPATIENT)
    return ArchiveSource(archive.location, archive)


def test_a_day_costs_its_member_and_the_directory(archive: bytes) -> None:
    with serving(Server(archive)) as server:
        source = open_source(server.address)
        days = source.days()
        assert len(days) == 30
        assert server.served < 2 * READ_AHEAD_BYTES
        listing_cost = server.served
        assert source.read(days[FIRST]).height == 4000
        one_member = len(archive) / 30
        assert server.served - listing_cost < 1.2 * one_member
        assert days[FIRST].origin == "data_Q2.zip!q2/2013-04-10.csv"


def test_the_rows_and_fingerprints_are_those_of_the_local_archive(archive: bytes, tmp_path: Path) -> None:
    (tmp_path / "data_Q2.zip").write_bytes(archive)
    local = open_source(str(tmp_path / "data_Q2.zip"))
    with serving(Server(archive)) as server:
        remote = open_source(server.address)
        assert remote.days() == local.days()
        day = remote.days()[FIRST]
        assert remote.read(day).equals(local.read(day))


def test_an_unchanged_archive_is_listed_again_by_asking_for_one_byte(archive: bytes) -> None:
    with serving(Server(archive)) as server:
        source = open_source(server.address)
        first = source.days()
        before = server.served
        assert source.days() == first
        assert server.served == before + 1


def test_an_archive_that_has_grown_is_listed_anew(archive: bytes, tmp_path: Path) -> None:
    with serving(Server(archive)) as server:
        source = open_source(server.address)
        source.days()
        server.content = write_zip(tmp_path / "b.zip", {"2013-04-10.csv": day_csv()}).read_bytes()
        server.etag = '"2"'
        assert list(source.days()) == [FIRST]


def test_a_server_without_ranges_is_an_error_that_says_what_to_do(archive: bytes) -> None:
    with (
        serving(Server(archive, ranges=False)) as server,
        pytest.raises(SourceError, match=r"range requests. Download"),
    ):
        impatient(server).days()


def test_a_change_in_mid_read_is_an_error(archive: bytes) -> None:
    with serving(Server(archive)) as server:
        source = impatient(server)
        day = source.days()[FIRST]
        asked = len(server.requests)

        def replaced(number: int) -> None:
            server.etag = '"2"' if number > asked + 1 else '"1"'

        server.refuse = replaced
        with pytest.raises(SourceError, match=r"was replaced while it was read"):
            source.read(day)


def test_transient_failures_and_broken_connections_are_overcome(archive: bytes) -> None:
    with serving(Server(archive)) as server:
        source = impatient(server)
        server.refuse = lambda number: 503 if number in (1, 2, 5) else None
        server.cut = lambda number: 40_000 if number in (4, 8, 9) else None
        assert source.read(source.days()[FIRST]).height == 4000
        assert len(server.requests) > 8


def test_a_broken_transfer_is_continued_and_not_begun_again(archive: bytes) -> None:
    with serving(Server(archive)) as server:
        source = impatient(server)
        day = source.days()[FIRST]
        before, asked = server.served, len(server.requests)
        server.cut = lambda number: 30_000 if number == asked + 2 else None
        assert source.read(day).height == 4000
        assert server.served - before < 1.2 * len(archive) / 30


def test_a_silent_server_is_given_up_after_the_timeout(archive: bytes) -> None:
    with serving(Server(archive, hang=lambda number: True)) as server:
        source = HttpArchive(server.address, Patience(attempts=2, first_wait_seconds=0.01, timeout_seconds=0.2))
        with pytest.raises(SourceError, match=r"no complete answer after 2 attempts.*timed out"):
            source.version()


def test_lasting_failures_are_given_up_with_the_last_reason(archive: bytes) -> None:
    with serving(Server(archive, refuse=lambda number: 503)) as server:
        with pytest.raises(SourceError, match=r"no complete answer after 4 attempts.*503"):
            impatient(server).days()
        assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("status", "advice"), [(404, "Check the address"), (403, "signed address"), (401, "user:password")]
)
def test_refusals_are_reported_at_once(archive: bytes, status: int, advice: str) -> None:
    with serving(Server(archive, refuse=lambda number: status)) as server:
        with pytest.raises(SourceError, match=f"the server answers {status} .*{advice}"):
            impatient(server).days()
        assert len(server.requests) == 1


def test_no_server_at_all_is_an_error() -> None:
    with pytest.raises(SourceError, match=r"no complete answer after 2 attempts"):
        HttpArchive("http://127.0.0.1:9/a.zip", Patience(attempts=2, first_wait_seconds=0.01)).version()


def test_a_file_that_is_no_archive_is_an_error() -> None:
    with serving(Server(b"<html>" * 1000)) as server, pytest.raises(SourceError, match=r"data_Q2\.zip: not readable"):
        impatient(server).days()


def test_password_and_token_are_used_and_never_printed(archive: bytes) -> None:
    with serving(Server(archive)) as server:
        address = server.address.replace("http://", "http://ann:s3cret@") + "?token=t0ken"
        source = open_source(address)
        source.days()
        assert source.location == server.address
        assert server.requests[0]["Authorization"] == "Basic YW5uOnMzY3JldA=="
        assert server.requests[0]["path"].endswith("?token=t0ken")
        server.refuse = lambda number: 404
        with pytest.raises(SourceError) as failure:
            source.days()
        assert "s3cret" not in str(failure.value)
        assert "t0ken" not in str(failure.value)


def test_a_redirect_is_followed_without_handing_on_the_password(archive: bytes) -> None:
    with serving(Server(archive)) as target, serving(Server(archive)) as server:
        server.redirect = target.address
        source = open_source(server.address.replace("http://", "http://ann:s3cret@"))
        assert len(source.days()) == 30
        assert all("Authorization" not in request for request in target.requests)


@pytest.mark.parametrize(
    "address", ["https:///a.zip", "https://host/folder", "https://host:port/a.zip", "http://h/a b.zip"]
)
def test_an_address_that_is_no_archive_is_an_error_when_it_is_opened(address: str) -> None:
    with pytest.raises(SourceError, match=r"[Ee]xpected"):
        open_source(address)


def test_a_redirect_from_https_to_http_is_refused() -> None:
    request = urllib.request.Request("https://host.example/a.zip")
    with pytest.raises(SourceError, match=r"host\.example: redirects from https to the unprotected http; refused"):
        https._NoDowngrade().redirect_request(request, io.BytesIO(), 302, "", Message(), "http://host.example/a.zip")


def test_a_file_that_claims_an_endless_directory_is_refused(archive: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "MAX_REQUEST_BYTES", 100_000)
    with serving(Server(archive)) as server:
        file = HttpArchive(server.address, IMPATIENT).open(None)
        with file, pytest.raises(OSError, match=r"asks for \d{3},\d{3} bytes at once, more than 100,000"):
            file.read(500_000)


def test_a_remote_file_reads_like_the_local_one(archive: bytes) -> None:
    with serving(Server(archive)) as server, HttpArchive(server.address, IMPATIENT).open((5, 500)) as file:
        for place, size in (
            (0, 10),
            (400, 1000),
            (len(archive) - 5, 100),
            (len(archive) + 5, 1),
            (100, READ_AHEAD_BYTES * 3),
        ):
            file.seek(place)
            assert file.read(size) == archive[place : place + size]
        assert file.seek(-3, io.SEEK_END) == len(archive) - 3
        assert file.read() == archive[-3:]


def test_an_index_page_is_a_source_of_all_its_archives(archive: bytes) -> None:
    links = [
        "../",
        "?C=N",
        "data%5FQ2.zip",
        "readme.txt",
        ".old.zip",
        "http://other.example/x.zip",
        "/x.zip",
        "sub/y.zip",
        "http://[/",
    ]
    page = "".join(f'<a href="{link}">x</a>' for link in links)
    with serving(Server(archive, index=page.encode())) as server:
        source = open_source(server.address.removesuffix("data_Q2.zip"))
        days = source.days()
        assert len(days) == 30
        assert source.read(days[FIRST]).height == 4000
        assert source.strays() == [
            ".old.zip: a hidden file",
            "readme.txt: not a zip archive; over http(s) only archives are read",
        ]


def test_an_index_page_that_is_not_there_is_an_error(archive: bytes) -> None:
    with (
        serving(Server(archive, refuse=lambda number: 404)) as server,
        pytest.raises(SourceError, match=r"answers 404"),
    ):
        open_source(server.address.removesuffix("data_Q2.zip")).days()


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("<![x[" + '<a href="data_Q2.zip">', ["data_Q2.zip"]),
        ("<!-- " * 200_000 + "<a href='data_Q2.zip'>", ["data_Q2.zip"]),
        ("<a " * 1_000_000, []),
        ("<a href=" * 500_000, []),
        ('<a href="' * 500_000, []),
        ("<a " + "href " * 500_000, []),
        ("<A class=x HREF = data_Q2.zip>", ["data_Q2.zip"]),
        ('<a href="&#100;ata&#95;Q2.zip">', ["data_Q2.zip"]),
        ('<a href="../data_Q2.zip"><a href="http://[/x.zip"><a href="x:y.zip"><a href="//other/x.zip">', []),
    ],
    ids=["section", "comments", "tags", "links", "open quotes", "attributes", "no quotes", "entities", "elsewhere"],
)
def test_a_page_that_is_made_to_be_slow_or_wrong_is_read_for_its_links(page: str, names: list[str]) -> None:
    folder = "http://host.example/data/"
    assert [target.removeprefix(folder) for target in https._links_into(folder, page)] == names


def test_names_of_an_index_page_that_would_break_a_log_are_escaped(archive: bytes) -> None:
    page = b'<a href="%0aERROR%20lost.txt"><a href="%1b%5b2J.zip">'
    with serving(Server(archive, index=page)) as server:
        source = open_source(server.address.removesuffix("data_Q2.zip"))
        assert len(source.days()) == 30
        assert source.strays() == ["\\nERROR lost.txt: not a zip archive; over http(s) only archives are read"]
        assert {day.origin.partition("!")[0] for day in source.days().values()} == {"\\x1b[2J.zip"}


def test_more_archives_than_a_look_can_ask_for_are_refused(archive: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(https, "MOST_ARCHIVES", 1)
    with serving(Server(archive, index=b'<a href="a.zip"><a href="b.zip">')) as server:
        with pytest.raises(SourceError, match="links to more than 1 archives"):
            open_source(server.address.removesuffix("data_Q2.zip")).days()
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "target",
    [
        "http://[/a.zip?t0ken",
        "http://h:x/a.zip?t0ken",
        "ftp://127.0.0.1/t0ken",
        "file:///etc/passwd",
        "http://a..b/t0ken",
    ],
)
def test_a_redirect_to_no_web_address_is_refused_without_showing_it(archive: bytes, target: str) -> None:
    with serving(Server(archive, redirect=target)) as server, pytest.raises(SourceError) as refused:
        impatient(server).days()
    assert "t0ken" not in str(refused.value)
    assert str(refused.value).isprintable()


def test_a_host_that_no_name_service_takes_is_an_error() -> None:
    with pytest.raises(SourceError, match=r"https://a\.\.b/a\.zip: cannot be asked for"):
        open_source("https://a..b/a.zip").days()


@pytest.mark.parametrize("size", ["9" * 5_000, "\u00b2", "-1", "9223372036854775808000"])
def test_a_size_that_is_no_size_is_refused(archive: bytes, size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Message()
    answer["Content-Range"] = f"bytes 0-0/{size}"
    assert https._CONTENT_RANGE.fullmatch(answer["Content-Range"]) is None
