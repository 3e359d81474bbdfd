"""A service on a loopback port that keeps what it was sent and answers as a test tells it to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

HOOK = "T0AB12/B0CD34/of-nobody-elses-business"


@dataclass
class Receiver:
    """What came in, and the answers that are given before 200: a status with headers, or None to hang up."""

    port: int
    taken: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]] | None] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/{HOOK}"

    def of(self, event: str) -> list[dict[str, Any]]:
        return [alert for alert in self.taken if alert["event"] == event]


@contextmanager
def receiver(port: int = 0) -> Iterator[Receiver]:
    """Listens until the end of the block; a port of an earlier one can be taken again."""
    kept: list[Receiver] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
            is_json = self.headers["Content-Type"].startswith("application/json")
            body = json.loads(sent) if is_json else dict(parse_qsl(sent))
            kept[0].requests.append(body)
            kept[0].paths.append(self.path)
            answer = kept[0].answers.pop(0) if kept[0].answers else (200, {})
            if answer is None:
                self.connection.close()
                return
            status, headers = answer
            if status == 200 and urlsplit(self.path).path == f"/services/{HOOK}":
                kept[0].taken.append(body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    kept.append(Receiver(server.server_address[1]))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield kept[0]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
