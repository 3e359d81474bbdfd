"""Whom to tell of changes: each change once it was taken, by an address of which nothing is said."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from ae_assets.errors import ConfigError
from ae_assets.one_server.states import standings
from ae_assets.one_server.webhook import DeliveryError, changes, deliver, require_address
from ae_assets_tests.one_server.outputs import NOW, content, nvme, report_of

PLACE = "channel-of-the-team"  # stands where services have their key


class Service:
    """A server on loopback that answers as it is told, and keeps what it was sent."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.received: list[dict[str, Any]] = []
        self.requests = 0
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                service.requests += 1
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = service.answers.pop(0) if service.answers else 204
                if status < 300:
                    service.received.append(json.loads(body))
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", service.url)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/{PLACE}"
        Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.server.shutdown()
    made.server.server_close()


def of(*values: Any) -> list[Any]:
    return standings([report_of(value) for value in values], [])[0]


def test_a_change_is_told_and_what_stays_as_it_was_told_is_not() -> None:
    sound, sick = of(nvme()), of(nvme(media_errors=2))
    failed, drive = of(nvme(critical_warning=8)), str(sound[0].report.drive)
    events = [
        [change["event"] for change in changes(stands, told)]
        for stands, told in (
            (sound, {}), (sick, {}), (sick, {drive: "watch"}), (failed, {drive: "watch"}),
            (sound, {drive: "failing"}), (sound, {drive: "healthy"}),
            (of(content("standby")), {drive: "watch"}),
        )
    ]  # fmt: skip
    assert events == [[], ["opened"], [], ["changed"], ["closed"], [], []]


def test_one_message_holds_all_changes(service: Service) -> None:
    found = changes(of(nvme(media_errors=2), content("hitachi_failed"), content("wd_red")), {})
    deliver(service.url, found, NOW)
    [message] = service.received
    assert [(one["event"], one["serial"], one["state"], one["was"]) for one in message["drives"]] == [
        ("opened", "EXAMPLE0011", "watch", "healthy"), ("opened", "EXAMPLE0007", "failing", "healthy"),
    ]  # fmt: skip
    assert message["at"] == NOW.isoformat()


@pytest.mark.parametrize(("answers", "requests"), [([500, 503], 3), ([429], 2), ([], 1)])
def test_what_may_help_is_tried_again(service: Service, answers: list[int], requests: int) -> None:
    service.answers = answers
    deliver(service.url, [{"event": "opened"}], NOW, wait_seconds=0.0)
    assert (service.requests, len(service.received)) == (requests, 1)


@pytest.mark.parametrize(("answers", "requests"), [([500] * 9, 3), ([404] * 9, 1), ([302] * 9, 1)])
def test_what_is_not_taken_is_said_without_the_address(service: Service, answers: list[int], requests: int) -> None:
    service.answers = answers
    with pytest.raises(DeliveryError, match=str(answers[0])) as refused:
        deliver(service.url, [{"event": "opened"}], NOW, wait_seconds=0.0)
    assert service.requests == requests
    assert PLACE not in str(refused.value)
    assert "127.0.0.1" not in str(refused.value)


def test_an_address_that_nobody_answers_is_not_said() -> None:
    with pytest.raises(DeliveryError, match="ConnectionError") as refused:
        deliver(f"http://127.0.0.1:9/{PLACE}", [{"event": "opened"}], NOW, wait_seconds=0.0)
    assert PLACE not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [f"http://example.com/{PLACE}", f"ftp://127.0.0.1/{PLACE}", PLACE, "https://", "http://[::1", f"file:///{PLACE}",
     f"http://127.0.0.1.example.com/{PLACE}", f"http://127.0.0.1@example.com/{PLACE}", f"https://a:99999/{PLACE}"],
)  # fmt: skip
def test_only_https_and_this_machine_are_told_anything(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        require_address(url)
    assert PLACE not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["https://example.com/x", "http://127.0.0.1:8080/x", "http://[::1]/x", "http://localhost"]
)
def test_these_are(url: str) -> None:
    require_address(url)
