"""A table of one's own, from its YAML alone: raw, features, model, threshold, anomalies, and what the checks say."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from ae_assets.chain.champion import load_champion
from ae_assets.chain.ledger import ledger_of
from ae_assets.chain.lives import failures_in
from ae_assets.chain.rates import judge_rates
from ae_assets.model.definition import WatchedTable
from ae_assets.model.parse import parse_table
from ae_assets.pipeline.checks import DRIFT_CHECKS, RATE_CHECKS, build_pooled_checks
from ae_assets.schemas.periods import DAILY
from ae_assets.sources import open_source
from ae_assets.sources.landing import plan as landing_plan
from ae_assets_tests.chain import pumps, steps
from ae_assets_tests.chain.tables import storage_of
from ae_assets_tests.pipeline.runs import failure_of, materialise

LAST = pumps.FIRST + timedelta(days=pumps.DAYS - 1)
TRAINED_TO = pumps.FIRST + timedelta(days=24)


def run_chain(table: WatchedTable, home: Path) -> None:
    training = {"train_start": pumps.FIRST.isoformat(), "train_end": TRAINED_TO.isoformat()}
    for assets, days, config in (
        (("raw", "features", "quarantine"), (pumps.FIRST, LAST), None),
        (("model", "threshold"), None, {"model": training}),
        (("anomalies",), (pumps.FIRST, LAST), None),
    ):
        result = materialise(table, home, assets, days, config)
        assert result.success, failure_of(result)


@pytest.fixture(scope="module")
def csv_home(tmp_path_factory: pytest.TempPathFactory) -> tuple[WatchedTable, Path]:
    folder = tmp_path_factory.mktemp("pumps")
    pumps.write_csv(folder / "in")
    names = ("Druck (bar)", "Schwingung", "Stunden")
    table = parse_table(
        pumps.attributes(folder / "in", {"separator": ";", "columns": pumps.COLUMNS}, names), "defs.yaml"
    )
    run_chain(table, folder / "home")
    return table, folder / "home"


def test_the_worn_pump_is_flagged_and_the_others_are_not(csv_home: tuple[WatchedTable, Path]) -> None:
    space = storage_of(*csv_home)
    anomalies = space.read("anomalies", LAST, LAST)
    assert anomalies.height == pumps.PUMPS
    assert anomalies.row(0, named=True)["entity"] == pumps.WORN
    assert space.read("anomalies", LAST - timedelta(days=5), LAST).filter(entity=pumps.WORN)["is_anomaly"].all()
    assert anomalies["cohort"].unique().sort().to_list() == ["A 1", "B"]
    assert anomalies["label"].null_count() == pumps.PUMPS
    assert any("vibration" in reason for reason in anomalies.row(0, named=True)["reasons"])


def test_what_a_pump_did_not_say_is_unknown_and_its_row_is_kept(csv_home: tuple[WatchedTable, Path]) -> None:
    space = storage_of(*csv_home)
    raw, features = space.read("raw", pumps.FIRST, LAST), space.read("features", pumps.FIRST, LAST)
    assert raw.schema["Datum"] == pl.Date
    assert raw.schema["Druck (bar)"] == pl.Float64
    assert raw["Schwingung"].null_count() == features["Schwingung_missing"].sum() == 21
    assert features.height == raw.height == pumps.PUMPS * pumps.DAYS
    assert space.days_of("quarantine") == {}


def test_without_a_label_no_rate_is_checked(csv_home: tuple[WatchedTable, Path]) -> None:
    table, _ = csv_home
    specs = {key.name for key in build_pooled_checks(table).check_keys}
    assert specs == set(DRIFT_CHECKS)


@pytest.fixture(scope="module")
def parquet_home(tmp_path_factory: pytest.TempPathFactory) -> tuple[WatchedTable, Path]:
    folder = tmp_path_factory.mktemp("labelled")
    pumps.write_parquet(folder / "in" / "pumps.parquet")
    source = {"columns": pumps.LABELLED, "days_per_file": "many"}
    table = parse_table(pumps.attributes(folder / "in", source, ("pressure", "vibration", "hours")), "defs.yaml")
    space, days = storage_of(table, folder / "home"), DAILY.range(pumps.FIRST, LAST)
    steps.fill(space, days)
    steps.fit(space, pumps.FIRST, TRAINED_TO)
    steps.judge(space, days)
    return table, folder / "home"


def test_one_parquet_file_of_all_days_with_labels_is_judged_by_them(parquet_home: tuple[WatchedTable, Path]) -> None:
    table, _ = parquet_home
    space = storage_of(*parquet_home)
    anomalies = space.read("anomalies", LAST, LAST)
    assert anomalies.row(0, named=True)["entity"] == pumps.WORN
    assert anomalies.filter(label=1)["entity"].to_list() == [pumps.WORN]
    assert anomalies["cohort"].unique().to_list() == ["all"]
    assert failures_in(space).rows() == [(pumps.WORN, LAST)]
    assert set(RATE_CHECKS) < {key.name for key in build_pooled_checks(table).check_keys}
    verdict = judge_rates(space)["detection_rate_is_acceptable"]
    assert (verdict.facts["count"], verdict.facts["total"]) == (1, 1)


def test_a_file_that_grows_loads_its_new_day_and_renews_no_other(parquet_home: tuple[WatchedTable, Path]) -> None:
    table, home = parquet_home
    space, file = storage_of(table, home), Path(table.source.location) / "pumps.parquet"
    held = ledger_of(space).select("period", "fingerprint")
    rows = pl.read_parquet(file)
    newest = rows.filter(date=LAST).with_columns(pl.col("date") + timedelta(days=1), broken=False)
    pl.concat([rows, newest]).write_parquet(file)
    listed = open_source(table.source.location, table.source.reading).days()
    plan = landing_plan(listed, dict(held.iter_rows()), {}, 10)
    assert [day.day for day in plan.requests] == [LAST + timedelta(days=1)]


def test_a_model_decides_on_rows_of_ones_own_table(parquet_home: tuple[WatchedTable, Path]) -> None:
    table, home = parquet_home
    space = storage_of(table, home)
    stored = space.read("anomalies", LAST, LAST)
    source = open_source(table.source.location, table.source.reading)
    days = source.days()
    rows = pl.concat(source.read(days[LAST - timedelta(days=ago)]) for ago in range(10, -1, -1))
    decisions, _ = load_champion(space).decide(rows)
    judged = ["entity", "score", "is_anomaly", "reasons"]
    assert decisions.filter(day=LAST).select(judged).equals(stored.select(judged))
