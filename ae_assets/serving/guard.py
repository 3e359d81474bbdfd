"""Around every request: who asks, how much is in work, for how long; what is logged and counted. No value is logged."""

import asyncio
import hashlib
import hmac
import json
import logging
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from datetime import UTC, datetime
from typing import Any

from ae_assets.serving.metrics import Metrics
from ae_assets.serving.refusals import Refusal
from ae_assets.serving.settings import Settings

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

OPEN = frozenset({"/health", "/ready"})
METRICS_PATH = "/metrics"
RETRY_AFTER = "1"
"""Seconds after which one who was shed may come again: by then another batch was scored."""
UNKNOWN_ROUTE = "(none)"
LOG = logging.getLogger("ae_assets.serving")


class Tokens:
    """The bearer tokens that are taken. Digests are compared, so that no time tells how much of one is right."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._digests = [hashlib.sha256(token.encode()).digest() for token in tokens]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def take(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether the headers of a request name one of them, in a time that does not depend on which."""
        given = [value for name, value in headers if name == b"authorization"]
        scheme, _, token = (given[0] if len(given) == 1 else b"").partition(b" ")
        digest = hashlib.sha256(token.strip()).digest()
        found = [hmac.compare_digest(digest, own) for own in self._digests]
        return any(found) and scheme.lower() == b"bearer"


class Guard:
    """An ASGI app around another."""

    def __init__(self, app: App, settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._tokens = Tokens(settings.tokens)
        self._in_work = 0

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, number = time.perf_counter(), uuid.uuid4().hex
        scope["state"]["request_id"] = number
        said: dict[str, Any] = {"status": 500, "started": False}

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                said.update(status=message["status"], started=True)
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", number.encode())]
            await send(message)

        shed: str | None = None
        try:
            self._admit(scope)
            async with asyncio.timeout(self._settings.seconds):
                await self._counted(scope, receive, sending)
        except Refusal as refusal:
            shed = refusal.shed
            await refuse(sending, refusal, number)
        except TimeoutError:
            shed = "time"
            if said["started"]:
                raise
            await refuse(sending, Refusal.busy("the answer took too long", "time"), number)
        except Exception as error:  # noqa: BLE001 - whatever it is, its text may hold values of rows and is not told
            _log_failure(number, error)
            if not said["started"]:
                await refuse(sending, Refusal(500, "the request failed; the log of the server says where"), number)
        finally:
            shed = shed or scope["state"].get("shed")
            if shed:
                self._metrics.shed.labels(shed).inc()
            self._told(scope, number, int(said["status"]), time.perf_counter() - began, shed)

    def _admit(self, scope: Message) -> None:
        path = scope["path"]
        is_open = path in OPEN or (path == METRICS_PATH and self._settings.open_metrics)
        if self._tokens and not is_open and not self._tokens.take(scope["headers"]):
            raise Refusal(401, "a bearer token is asked for: Authorization: Bearer TOKEN")

    async def _counted(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["path"] in OPEN or scope["path"] == METRICS_PATH:
            await self._app(scope, receive, send)
            return
        if self._in_work >= self._settings.requests:
            raise Refusal.busy(f"{self._settings.requests} requests are in work", "requests")
        self._in_work += 1
        self._metrics.in_work.set(self._in_work)
        try:
            await self._app(scope, receive, send)
        finally:
            self._in_work -= 1
            self._metrics.in_work.set(self._in_work)

    def _told(self, scope: Message, number: str, status: int, seconds: float, shed: str | None) -> None:
        # Not the path as it was sent: it names devices, and may hold anything.
        route = getattr(scope.get("route"), "path", UNKNOWN_ROUTE)
        self._metrics.requests.labels(route, status).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        if scope["path"] in OPEN and status == 200:
            return
        more = {name: scope["state"][name] for name in ("rows", "model_version") if name in scope["state"]}
        facts = {
            "request": number,
            "method": scope["method"],
            "route": route,
            "status": status,
            "ms": round(seconds * 1e3, 1),
        }
        log("request", **facts, **({"shed": shed} if shed else {}), **more)


async def refuse(send: Callable[[Message], Awaitable[None]], refusal: Refusal, number: str) -> None:
    """Answers with a refusal."""
    body = json.dumps({"error": refusal.reason, "request_id": number}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if refusal.status == 503:
        headers.append((b"retry-after", RETRY_AFTER.encode()))
    if refusal.status in {401, 408, 413, 503}:
        headers.append((b"connection", b"close"))  # the rest of a body is not waited for
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def log(event: str, **facts: Any) -> None:
    """One line of JSON."""
    LOG.info(json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **facts}))


def _log_failure(number: str, error: Exception) -> None:
    """Where it happened and of which class it is."""
    places = [
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
    ]
    log("failure", request=number, error=type(error).__name__, where=places[-4:])
