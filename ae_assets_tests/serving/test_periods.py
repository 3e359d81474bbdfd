"""Tables of hours, days and weeks with several records in each: a request is answered as the table decides."""

import json
from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ae_assets.chain.features import build_features
from ae_assets.chain.raw import load_raw
from ae_assets.chain.workspace import ANOMALIES, RAW
from ae_assets.schemas.periods import HOURLY, PERIODS, WEEKLY, Periods
from ae_assets.serving.answers import Asked, answer, asked
from ae_assets.serving.bodies import JSON
from ae_assets.serving.served import InUse, ServedTable
from ae_assets.serving.settings import Settings
from ae_assets.sources import open_source
from ae_assets_tests.chain import steps
from ae_assets_tests.chain.gauges import GAUGES, gauges, numbered, write_period
from ae_assets_tests.chain.tables import storage_of

pytestmark = pytest.mark.slow
SETTINGS = Settings()
COUNT = {HOURLY: 24 * 4, WEEKLY: 14}
TOLD = [
    "day",
    "time",
    "entity",
    "score",
    "is_anomaly",
    "severity",
    "episode",
    "episode_start",
    "streak_days",
    "reasons",
]


def moments(rows: pl.DataFrame) -> pl.DataFrame:
    """As an answer writes them."""
    return rows.with_columns(
        pl.col(name).dt.to_string("iso:strict") for name, dtype in rows.schema.items() if dtype.is_temporal()
    )


@pytest.fixture(scope="module", params=PERIODS.values(), ids=PERIODS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ServedTable:
    """Gauges of which one goes up before the end, with a period that the table lacks."""
    periods: Periods = request.param
    folder = tmp_path_factory.mktemp("gauges")
    window = {"hourly": "3h", "daily": "1d", "weekly": "7d"}[periods.partitions]
    sections = {
        "detector": {"type": "pca"},
        "threshold": {"policy": "percentile", "percentile": 98},
        "decision": {"aggregation": {"method": "mean", "span": window}, "episodes": {"hold": window}},
    }
    if periods == WEEKLY:
        sections |= {"training": {"horizon_days": 7, "days": 30, "max_rows": 5000}}
        sections |= {"calibration": {"embargo_days": 10, "days": 15}, "checks": {"window_days": 14}}
    space = storage_of(gauges(folder / "in", periods, **sections), folder / "home")
    count = COUNT.get(periods, 10)
    days = [day for day in numbered(periods, 0, count - 1) if day != numbered(periods, count - 4, count - 4)[0]]
    for day in days:
        write_period(folder / "in", periods, day, 2.6 if day in days[-2:] else 2.0)
    list(load_raw(space, open_source(space.table.source.location, space.table.reading), days))
    build_features(space, days)
    steps.fit(space, days[0], numbered(periods, 0, {HOURLY: 29, WEEKLY: 5}.get(periods, 2))[-1])
    steps.judge(space, days)
    table = ServedTable(space)
    table.open()
    return table


def rows_of(served: ServedTable, names: list[str], first: date | None = None) -> list[dict[str, object]]:
    """Rows as their owner writes them."""
    space = served.space
    days = space.days_with_rows(RAW)
    rows = space.read(RAW, first or days[0], days[-1]).filter(pl.col("gauge").is_in(names))
    written = rows.select(pl.col("at").dt.strftime("%Y-%m-%d %H:%M"), "gauge", "level", "flow")
    return list(json.loads(written.sample(fraction=1.0, shuffle=True, seed=2).write_json()))


def ask(served: ServedTable, rows: list[dict[str, object]], first: str | None, history: str) -> tuple[InUse, Asked]:
    body = json.dumps({"rows": rows}).encode()
    in_use = served.in_use
    return in_use, asked(served, in_use, SETTINGS, body, JSON, first, history)  # type: ignore[arg-type]


def decisions(served: ServedTable, in_use: InUse, request: Asked, like: pl.DataFrame) -> pl.DataFrame:
    assert request.question is not None
    (decided,) = in_use.decide([request.question])
    content, counts = answer(served.name, in_use, request, decided, JSON)
    told = json.loads(content)
    assert counts["received"] >= counts["decided"] > 0
    return pl.DataFrame(told["decisions"], moments(like).schema, orient="row").select(TOLD).sort("time", "entity")


def test_devices_with_their_history_are_decided_on_as_the_table_decides(served: ServedTable) -> None:
    days = served.space.days_with_rows(ANOMALIES)
    stored = served.space.read(ANOMALIES, days[0], days[-1])
    expected = moments(stored).select(TOLD).sort("time", "entity")
    for names in ([GAUGES[0]], list(GAUGES)):
        in_use, request = ask(served, rows_of(served, names), served.space.table.periods.key(days[0]), "body")
        own = expected.filter(pl.col("entity").is_in(names))
        assert_frame_equal(decisions(served, in_use, request, stored), own, check_exact=True)
    assert stored["is_anomaly"].sum() > 0
    assert {"opened", "open"} <= set(stored["episode"])


def test_new_rows_go_on_from_what_the_lakehouse_holds(served: ServedTable) -> None:
    days = served.space.days_with_rows(ANOMALIES)
    stored = served.space.read(ANOMALIES, days[-2], days[-1])
    in_use, request = ask(served, rows_of(served, [GAUGES[1]], days[-2]), None, "lakehouse")
    own = moments(stored).select(TOLD).filter(entity=GAUGES[1]).sort("time", "entity")
    assert_frame_equal(decisions(served, in_use, request, stored), own, check_exact=True)


def test_the_newest_stored_decision_is_of_the_last_record(served: ServedTable) -> None:
    days = served.space.days_with_rows(ANOMALIES)
    told = served.stored(GAUGES[2])
    assert told is not None
    assert told["time"] == served.space.read(ANOMALIES, days[-1], days[-1])["time"].max()
    assert served.stored("nobody") is None
