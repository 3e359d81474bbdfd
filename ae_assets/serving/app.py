"""The routes of the REST app and what OpenAPI says of them; one set for each table that is served."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from enum import Enum
from functools import partial
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from ae_assets.errors import AeAssetsError
from ae_assets.model.model import no_decisions
from ae_assets.schemas.anomalies import anomaly_types
from ae_assets.serving.answers import ARROW, JSON, History, answer, asked
from ae_assets.serving.batching import Batches
from ae_assets.serving.bodies import Inflated
from ae_assets.serving.contract_schema import decision_schema, row_schema
from ae_assets.serving.guard import RETRY_AFTER, App, Guard, log
from ae_assets.serving.metrics import Metrics
from ae_assets.serving.refusals import Refusal
from ae_assets.serving.served import ServedTable
from ae_assets.serving.settings import Settings

WORKERS = 4
"""Threads that read and write bodies and look into the lakehouse, beside one for each table that scores."""

_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": what,
        "content": {JSON: {"schema": {"type": "object", "required": ["error", "request_id"], "properties": {}}}},
    }
    for status, what in {
        401: "A bearer token is asked for.",
        408: "The body came too slowly.",
        413: "More than a request may hold.",
        415: "A type or an encoding of the body that is not known.",
        422: "The request as a whole cannot be read.",
        503: "Too much to do, or no model yet; Retry-After says when to come again.",
    }.items()
}


class Server:
    """The tables that are served and what they share."""

    def __init__(self, tables: Sequence[ServedTable], settings: Settings) -> None:
        self.tables = {table.name: table for table in tables}
        self.settings = settings
        self.metrics = Metrics()
        self.bodies = 0
        """Bytes of the bodies of all requests in work."""
        self.threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="serve")
        self.batches = {
            name: Batches(name, table.space.table.periods, settings, self.metrics)
            for name, table in self.tables.items()
        }
        for table in tables:
            self._say_version(table)

    def app(self) -> App:
        """The whole as an ASGI app."""

        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            watching = asyncio.create_task(self._watch())
            yield
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            for batches in self.batches.values():
                batches.close()
            self.threads.shutdown(wait=False, cancel_futures=True)

        app = FastAPI(
            title="ae_assets",
            version="1",
            description="Decisions on rows of devices.",
            docs_url=None,  # its page is fetched from elsewhere
            redoc_url=None,
            lifespan=lifespan,
        )
        for kind in (RequestValidationError, HTTPException, Refusal):
            app.add_exception_handler(kind, _refused)
        self._add_pages(app)
        for table in self.tables.values():
            self._add_table(app, table)
        return Guard(app, self.settings, self.metrics)

    async def in_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.threads, work)

    async def _watch(self) -> None:
        """Takes up other champions."""
        while True:
            await asyncio.sleep(self.settings.poll_seconds)
            for table in self.tables.values():
                try:
                    await self._look(table)
                except Exception as error:  # noqa: BLE001 - whatever it is, the next look may find better
                    why = str(error) if isinstance(error, AeAssetsError) else ""
                    log("look failed", table=table.name, error=type(error).__name__, why=why)

    async def _look(self, table: ServedTable) -> None:
        before = table.in_use.model.version
        version = await self.in_thread(table.look)
        if version is None:
            return
        if table.refused is not None:
            self.metrics.refused.labels(table.name).inc()
            log("model refused", table=table.name, kept=before, refused=table.refused[0], why=table.refused[1])
            return
        self.metrics.loaded.labels(table.name).inc()
        with suppress(KeyError):
            self.metrics.model.remove(table.name, before)
        self._say_version(table)
        log("model taken up", table=table.name, version=version, before=before)

    def _say_version(self, table: ServedTable) -> None:
        self.metrics.model.labels(table.name, table.in_use.model.version).set(1)

    def _add_pages(self, app: FastAPI) -> None:
        async def health() -> dict[str, str]:
            return {"status": "up"}

        async def ready() -> dict[str, Any]:
            return {
                "status": "ready",
                "tables": {
                    name: {
                        "model_version": table.in_use.model.version,
                        "champion_refused": table.refused is not None,
                    }
                    for name, table in self.tables.items()
                },
            }

        async def metrics() -> Response:
            return Response(self.metrics.page(), media_type="text/plain; version=0.0.4")

        app.get("/health", summary="Whether the process answers")(health)
        app.get("/ready", summary="Which models are in use")(ready)
        app.get("/metrics", summary="Figures for Prometheus", response_class=Response, responses=_refusals(401))(
            metrics
        )

    def _add_table(self, app: FastAPI, table: ServedTable) -> None:
        model = table.in_use.model
        rows = row_schema(table.space.table, model.contract)
        decisions = decision_schema(anomaly_types(model.rhythm))

        async def decide(
            request: Request,
            since: Annotated[str | None, Query(alias="from", max_length=40)] = None,
            history: History = "body",
        ) -> Response:
            return await self._decide(table, request, since, history)

        async def stored(entity: str) -> dict[str, Any]:
            try:
                told = await self.in_thread(partial(table.stored, entity))
            except AeAssetsError:
                raise Refusal.busy("the tables cannot be read now", "lakehouse") from None
            if told is None:
                raise Refusal(404, "no such device has a stored decision of the newest 30 days")
            return dict(told)

        async def card() -> dict[str, Any]:
            return self._card(table, rows)

        path = f"/v1/tables/{table.name}"
        tags: list[str | Enum] = [table.name]
        body = {
            "required": True,
            "content": {
                JSON: {"schema": _body_schema(rows)},
                ARROW: {"schema": {"type": "string", "format": "binary"}},
            },
        }
        app.post(
            f"{path}/decide",
            tags=tags,
            summary="Decisions on rows",
            description="Decides on rows of devices, which come with their history: on those of the newest period, or "
            "of all from `from` on. With `history=lakehouse` they are new rows, and those before are looked up. Rows "
            "that cannot be true are answered beside the decisions, each with the reason.",
            operation_id=f"decide_{table.name}",
            response_class=Response,
            responses={200: _decided(decisions), **_refusals(401, 408, 413, 415, 422, 503)},
            openapi_extra={"requestBody": body},
        )(decide)
        app.get(
            f"{path}/entities/{{entity}}",
            tags=tags,
            summary="The newest stored decision on a device",
            operation_id=f"entity_{table.name}",
            responses={404: {"description": "There is none."}, **_refusals(401, 422, 503)},
        )(stored)
        app.get(
            f"{path}/model",
            tags=tags,
            summary="The model in use and the contract of rows",
            operation_id=f"model_{table.name}",
            responses=_refusals(401),
        )(card)

    async def _decide(self, table: ServedTable, request: Request, since: str | None, history: History) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in {JSON, ARROW}:
            raise Refusal(415, f"the Content-Type is not known, expected {JSON} or {ARROW}")
        wanted = ARROW if ARROW in request.headers.get("accept", "") else JSON
        held = _Held(self)
        try:
            body = await self._body(request, held)
            in_use = table.in_use
            question = await self.in_thread(partial(asked, table, in_use, self.settings, body, kind, since, history))
            if question.question is None:
                decided = no_decisions(in_use.model.rhythm)
            else:
                decided = await self.batches[table.name].decide(in_use, question.question)
            content, counts = await self.in_thread(partial(answer, table.name, in_use, question, decided, wanted))
        finally:
            held.release()
        for outcome in ("decided", "history", "set_aside"):
            self.metrics.rows.labels(table.name, outcome).inc(counts[outcome])
        request.state.rows, request.state.model_version = counts["received"], in_use.model.version
        return Response(content, media_type=wanted)

    async def _body(self, request: Request, held: "_Held") -> bytes:
        """All of it, unless it is too large, or takes too long to come."""
        settings = self.settings
        body = Inflated(request.headers.get("content-encoding", "").strip().lower(), settings)
        try:
            async with asyncio.timeout(settings.slow_seconds):
                async for part in request.stream():
                    body.add(part)
                    held.grow_to(body.size)
        except TimeoutError:
            raise Refusal(408, f"the body did not come within {settings.slow_seconds:g} seconds") from None
        return body.whole()

    def _card(self, table: ServedTable, rows: Mapping[str, Any]) -> dict[str, Any]:
        in_use = table.in_use
        model = in_use.model
        card = {}
        with suppress(AeAssetsError):
            card = table.space.models.card(table.name, model.version)
        return {
            "table": table.name,
            "version": model.version,
            "champion_refused": table.refused is not None,
            "detector": model.detector.config.model_dump(mode="json").get("type"),
            "features": list(model.detector.feature_names),
            "training": card.get("training"),
            "threshold": {
                "policy": model.threshold.policy.name,
                "cut": model.threshold.cut,
                "promise": model.threshold.promise.words,
                "follows_the_day": model.threshold.policy.follows_the_day,
            },
            "look_back_days": model.look_back.total_seconds() / 86_400,
            "row": rows,
        }


class _Held:
    """The bytes that a request takes of those that all may take."""

    def __init__(self, server: Server) -> None:
        self._server, self._bytes = server, 0

    def grow_to(self, size: int) -> None:
        self._server.bodies += size - self._bytes
        self._bytes = size
        if self._server.bodies > self._server.settings.memory_bytes:
            raise Refusal.busy("the bodies of all requests in work take too much memory", "memory")

    def release(self) -> None:
        self._server.bodies -= self._bytes
        self._bytes = 0


async def _refused(request: Request, error: Exception) -> JSONResponse:
    """One form for all that is refused; what was sent is not repeated."""
    if isinstance(error, Refusal):
        status, reason = error.status, error.reason
        if error.shed:
            request.state.shed = error.shed
    elif isinstance(error, RequestValidationError):
        places = sorted({".".join(map(str, one["loc"][1:])) for one in error.errors()})
        status, reason = 422, f"not as the OpenAPI document says: {', '.join(places)}"
    else:
        status = error.status_code if isinstance(error, HTTPException) else 500
        reason = {404: "there is no such page; /openapi.json lists them", 405: "not by this method"}.get(
            status, "refused"
        )
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if status == 503:
        headers["retry-after"] = RETRY_AFTER
    if status in {408, 413}:
        headers["connection"] = "close"
    return JSONResponse({"error": reason, "request_id": request.state.request_id}, status, headers)


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: _REFUSALS[status] for status in statuses}


def _body_schema(rows: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["rows"],
        "properties": {"rows": {"type": "array", "minItems": 1, "items": rows}},
    }


def _decided(decisions: Mapping[str, Any]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["table", "model_version", "rows", "set_aside", "decisions"],
        "properties": {
            "model_version": {"type": "string"},
            "rows": {"type": "object", "description": "received = decided + history + set_aside"},
            "set_aside": {"type": "array", "description": "each row by its index in the body, with rule and reason"},
            "decisions": {"type": "array", "items": decisions},
        },
    }
    content = {JSON: {"schema": schema}, ARROW: {"schema": {"type": "string", "format": "binary"}}}
    return {"description": "The decisions, by period and falling score.", "content": content}
