"""Runs the app until it is told to stop: connections that are slow are cut off, what is in work is finished first."""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

import h11
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from ae_assets.errors import ConfigError
from ae_assets.serving.guard import LOG, App, log
from ae_assets.serving.settings import Settings

BACKLOG = 512
LARGEST_HEADERS = 32 * 1024


class BoundedProtocol(H11Protocol):
    """Uvicorn's HTTP/1.1, which waits for headers and for readers as long as they like, with an end to both."""

    slow_seconds: float
    _headers: asyncio.TimerHandle | None = None
    _reader: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, slow_seconds: float) -> type["BoundedProtocol"]:
        """The protocol with its time; uvicorn makes one for each connection."""
        return type(cls.__name__, (cls,), {"slow_seconds": slow_seconds})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for timer in (self._headers, self._reader):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._wait_for_headers()
        elif self._headers is not None:
            self._headers.cancel()
            self._headers = None

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reader is None:
            self._reader = self.loop.call_later(self.slow_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    def _wait_for_headers(self) -> None:
        if self._headers is None:
            self._headers = self.loop.call_later(self.slow_seconds, self.transport.abort)


def listening(settings: Settings) -> socket.socket:
    """The socket, bound before anything is loaded.

    Raises:
        ConfigError: the address cannot be listened at.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    own = socket.socket(family, socket.SOCK_STREAM)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        own.bind((settings.host, settings.port))
    except OSError as error:
        own.close()
        raise ConfigError(
            f"{settings.host}:{settings.port} cannot be listened at ({error.strerror}); name another --host or --port"
        ) from None
    return own


def serve(app: App, settings: Settings, own: socket.socket, started: Callable[[str], None]) -> None:
    """Answers until SIGTERM or Ctrl-C; requests in work are finished then, as long as `Settings.stop_seconds`.

    Args:
        app: the ASGI app.
        settings: how it listens.
        own: the socket of `listening`.
        started: is told the address once requests are answered.

    Raises:
        ConfigError: certificate and key cannot be used.
    """
    _log_lines()
    config = Config(
        app,
        http=BoundedProtocol.of(settings.slow_seconds),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        limit_concurrency=settings.connections,
        timeout_keep_alive=int(max(settings.slow_seconds, 1)),
        timeout_graceful_shutdown=int(max(settings.stop_seconds, 1)),
        h11_max_incomplete_event_size=LARGEST_HEADERS,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    try:
        config.load()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--tls-cert and --tls-key cannot be used ({type(error).__name__}): expected PEM files"
        ) from None
    host, port = own.getsockname()[:2]
    scheme = "http" if settings.tls_cert is None else "https"

    class Told(Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}")

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # uvicorn sends itself once more what it was stopped by
    Told(config).run(sockets=[own])
    log("stopped")


def _log_lines() -> None:
    """Lines of JSON on standard error; uvicorn's own say their class alone: they may hold what was sent."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    LOG.handlers, LOG.propagate = [handler], False
    LOG.setLevel(logging.INFO)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi"):
        own: Any = logging.getLogger(name)
        own.handlers, own.propagate = [_Quiet()], False
        own.setLevel(logging.ERROR)


class _Quiet(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else record.levelname
        log("server", error=kind)
