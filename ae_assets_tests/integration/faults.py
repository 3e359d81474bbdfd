"""A server between client and server that breaks what passes through it, request by request."""

import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Fault = Callable[["Handler", int, list[tuple[str, str]], bytes], None]
BUSY = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"


@dataclass
class Proxy:
    """What passes: `faults` are used up one per request; `requests` holds what was asked for.

    Where there are none left, `rule` is asked for the fault of a request, by its method and path.
    """

    target: int
    port: int = 0
    faults: list[Fault | None] = field(default_factory=list)
    rule: Callable[[str, str], Fault | None] = lambda _method, _path: None
    requests: list[tuple[str, str]] = field(default_factory=list)
    served: int = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Handler(BaseHTTPRequestHandler):
    proxy: Proxy

    def _forward(self) -> None:
        proxy = self.proxy
        proxy.requests.append((self.command, self.path))
        fault = proxy.faults.pop(0) if proxy.faults else proxy.rule(self.command, self.path)
        upstream = http.client.HTTPConnection("127.0.0.1", proxy.target, timeout=30)
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():  # the Host that was signed among them
            if name.lower() != "expect":
                upstream.putheader(name, value)
        chunked = self.headers.get("Transfer-Encoding") == "chunked"
        upstream.endheaders(self._chunks() if chunked else self._body(), encode_chunked=chunked)
        answer = upstream.getresponse()
        content = answer.read()
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() != "transfer-encoding"]
        upstream.close()
        proxy.served += len(content)
        (fault or whole)(self, answer.status, headers, content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward  # noqa: N815 - names that the base class looks for

    def _body(self) -> bytes:
        if self.headers.get("Expect") == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _chunks(self) -> bytes:
        self._body()
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def head(self, status: int, headers: list[tuple[str, str]]) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def whole(handler: Handler, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
    """Everything, as it came."""
    handler.head(status, headers)
    handler.wfile.write(content)


def reset_after(part: float) -> Fault:
    """A connection that is reset after a part of the content."""

    def fault(handler: Handler, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        handler.head(status, headers)
        handler.wfile.write(content[: int(part * len(content))])
        handler.wfile.flush()
        time.sleep(0.05)  # what was sent should arrive before the reset
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()

    return fault


def silent_for(seconds: float) -> Fault:
    """A server that says nothing for a while, then breaks off."""

    def fault(handler: Handler, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        handler.head(status, headers)
        handler.wfile.write(content[: len(content) // 2])
        handler.wfile.flush()
        time.sleep(seconds)

    return fault


def answer(status: int) -> Fault:
    """Another status, as servers give that are busy or broken."""

    def fault(handler: Handler, _status: int, _headers: list[tuple[str, str]], _content: bytes) -> None:
        handler.head(status, [("Content-Length", str(len(BUSY))), ("Content-Type", "application/xml")])
        if handler.command != "HEAD":
            handler.wfile.write(BUSY)

    return fault


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """Starts a proxy and stops it."""
    proxy = Proxy(port)
    handler = type("HandlerOfProxy", (Handler,), {"proxy": proxy})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # a reset connection is what is wanted
    proxy.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
