"""Scores requests together: what waits when the scorer gets free is a batch; one that finds it idle goes alone."""

import asyncio
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date

import polars as pl

from ae_assets.model.devices import Question
from ae_assets.schemas.periods import Periods
from ae_assets.serving.metrics import Metrics
from ae_assets.serving.served import InUse
from ae_assets.serving.settings import Settings


@dataclass(frozen=True, eq=False)
class _Waiting:
    question: Question
    in_use: InUse
    answer: "asyncio.Future[pl.DataFrame]"


class Batches:
    """The scorer of one table: a thread, and who waits for it, of whom `Settings.requests` bounds the number."""

    def __init__(self, table: str, periods: Periods, settings: Settings, metrics: Metrics) -> None:
        self._table, self._periods, self._settings, self._metrics = table, periods, settings, metrics
        self._waiting: deque[_Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"score-{table}")
        self._working: asyncio.Task[None] | None = None

    async def decide(self, in_use: InUse, question: Question) -> pl.DataFrame:
        """The decisions on the devices of a request, whatever they are scored with."""
        own = _Waiting(question, in_use, asyncio.get_running_loop().create_future())
        self._waiting.append(own)
        self._metrics.waiting.inc()
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return await own.answer

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch = self._next()
            if not batch:
                continue
            try:
                answers = await loop.run_in_executor(self._thread, self._decided, batch)
            except Exception as error:  # noqa: BLE001 - the thread was closed
                answers = [error] * len(batch)
            for one, answer in zip(batch, answers, strict=True):
                if one.answer.done():  # its request ran out of time
                    continue
                if isinstance(answer, BaseException):
                    one.answer.set_exception(answer)
                else:
                    one.answer.set_result(answer)

    def _next(self) -> list[_Waiting]:
        """The requests that are scored next: of one model, of no more rows and periods than one request may have."""
        batch: list[_Waiting] = []
        rows, bounds = 0, (date.max, date.min)
        for _ in range(len(self._waiting)):
            one = self._waiting.popleft()
            if one.answer.done():
                self._metrics.waiting.dec()
                continue
            together = one.question.bounds if not batch else _around(bounds, one.question.bounds)
            fits = (
                (
                    len(batch) < self._settings.batch_requests
                    and one.in_use is batch[0].in_use
                    and rows + one.question.valid.height <= self._settings.rows
                    and (together[1] - together[0]) // self._periods.step < self._settings.periods
                )
                if batch
                else True
            )
            if not fits:
                self._waiting.append(one)
                continue
            batch.append(one)
            rows, bounds = rows + one.question.valid.height, together
            self._metrics.waiting.dec()
        return batch

    def _decided(self, batch: list[_Waiting]) -> list[pl.DataFrame | Exception]:
        began = time.perf_counter()
        answers = _together(batch[0].in_use, [one.question for one in batch])
        self._metrics.batch_requests.labels(self._table).observe(len(batch))
        self._metrics.batch_rows.labels(self._table).observe(sum(one.question.valid.height for one in batch))
        self._metrics.batch_seconds.labels(self._table).observe(time.perf_counter() - began)
        return answers


def _together(in_use: InUse, questions: list[Question]) -> list[pl.DataFrame | Exception]:
    """Where a batch fails, each request alone: one must not fail the others."""
    try:
        return [*in_use.decide(questions)]
    except Exception as error:  # noqa: BLE001 - it is the answer of the request that it belongs to
        if len(questions) == 1:
            return [error]
        return [_together(in_use, [question])[0] for question in questions]


def _around(one: tuple[date, date], other: tuple[date, date]) -> tuple[date, date]:
    return min(one[0], other[0]), max(one[1], other[1])
