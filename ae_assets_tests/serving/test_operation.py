"""A server under load sheds and recovers, takes up another champion without a failed request, and may be killed."""

import asyncio
import json
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ae_assets.chain import Workspace
from ae_assets.serving.guard import Guard
from ae_assets.serving.metrics import Metrics
from ae_assets.serving.settings import Settings
from ae_assets_tests.chain.tables import storage_of, watched_table
from ae_assets_tests.serving import server
from ae_assets_tests.serving.server import DAYS, LOCATION, SECTIONS, Running


@pytest.fixture
def space_of_its_own(own_project: Path) -> Workspace:
    return storage_of(watched_table(LOCATION, **SECTIONS), own_project / "home")


@contextmanager
def under_load(running: Running, rows: pl.DataFrame, clients: int) -> Iterator[Counter[int]]:
    """Clients that ask all the time; how often which status was answered."""
    statuses: Counter[int] = Counter()
    done = threading.Event()

    def asking() -> None:
        while not done.is_set():
            statuses[running.decide(rows).status] += 1

    threads = [threading.Thread(target=asking) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        done.set()
        for thread in threads:
            thread.join()


def wait_for(what: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.1)


def version_of(running: Running) -> str:
    return str(running.ask("GET", "/ready").json["tables"]["fleet"]["model_version"])


@pytest.mark.slow
def test_too_many_requests_are_shed_at_once_and_those_in_work_are_finished_before_the_end(
    project: Path, raw: pl.DataFrame
) -> None:
    running = server.started(project, requests="4", seconds="20", connections="100")
    began = time.monotonic()
    with ThreadPoolExecutor(40) as pool:
        answers = [*pool.map(lambda _: running.decide(raw, f"?from={DAYS[0]}"), range(40))]
    statuses = Counter(answer.status for answer in answers)
    assert statuses.keys() == {200, 503}
    assert all(answer.headers["retry-after"] for answer in answers if answer.status == 503)
    assert time.monotonic() - began < 30
    assert running.decide(raw).status == 200
    metrics = running.ask("GET", "/metrics").body.decode()
    assert f'ae_assets_serve_shed_total{{reason="requests"}} {statuses[503]}.0' in metrics
    assert "ae_assets_serve_requests_in_work 0.0" in metrics
    with ThreadPoolExecutor(2) as pool:
        last = pool.submit(running.decide, raw, f"?from={DAYS[0]}")
        wait_for(lambda: "requests_in_work 1.0" in running.ask("GET", "/metrics").body.decode() or last.done())
        assert running.stop() == 0
        assert last.result().status == 200
    assert json.loads(running.log.splitlines()[-2])["event"] == "stopped"


def test_a_request_that_takes_too_long_is_shed() -> None:
    async def sleeping(*_: object) -> None:
        await asyncio.sleep(60)

    sent: list[Any] = []

    async def keep(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/v1", "method": "GET", "headers": [], "state": {}}
    metrics = Metrics()
    asyncio.run(Guard(sleeping, Settings(seconds=0.05), metrics)(scope, keep, keep))  # type: ignore[arg-type]
    assert sent[0]["status"] == 503
    assert (b"retry-after", b"1") in sent[0]["headers"]
    assert b'shed_total{reason="time"} 1.0' in metrics.page()


@pytest.mark.slow
def test_a_champion_is_taken_up_under_load_and_a_bad_one_is_not(
    own_project: Path, space_of_its_own: Workspace, raw: pl.DataFrame
) -> None:
    models = space_of_its_own.models
    before, after = models.versions("fleet")
    rows = raw.filter(serial_number=raw["serial_number"][0])
    running = server.started(own_project)
    assert version_of(running) == before
    with under_load(running, rows, 3) as statuses:
        models.promote("fleet", after)
        wait_for(lambda: version_of(running) == after)
        whole = models.path("fleet", after)
        broken = models.new_version(
            "fleet",
            lambda folder: shutil.copytree(whole, folder, dirs_exist_ok=True, ignore=broken_parts),  # type: ignore[arg-type,return-value]
            models.card("fleet", after),
        )
        threshold = models.read_threshold("fleet", after)
        models.write_threshold("fleet", broken, threshold)
        models.promote("fleet", broken)
        wait_for(lambda: is_refused(running))
        assert version_of(running) == after
        models.promote("fleet", after)
        wait_for(lambda: not is_refused(running))
        models.write_threshold("fleet", after, json.dumps({**json.loads(threshold), "cut": 0.25}))
        wait_for(lambda: running.decide(rows).json["threshold"] == 0.25)
    assert statuses.keys() == {200}
    assert statuses[200] > 10
    events = [json.loads(line) for line in running.log.splitlines() if line.startswith("{")]
    assert {"model taken up", "model refused"} <= {event["event"] for event in events}
    assert 'models_refused_total{table="fleet"} 1.0' in running.ask("GET", "/metrics").body.decode()
    said = running.decide(rows).json
    assert running.stop(signal.SIGKILL) == -signal.SIGKILL
    again = server.started(own_project)
    assert again.decide(rows).json == said
    assert again.stop() == 0


def is_refused(running: Running) -> bool:
    return bool(running.ask("GET", "/ready").json["tables"]["fleet"]["champion_refused"])


def broken_parts(_: str, names: list[str]) -> set[str]:
    """Weights are gone, and what a store writes itself."""
    return {name for name in names if name.endswith(".keras") or name in {"version.json", "threshold.json"}}
