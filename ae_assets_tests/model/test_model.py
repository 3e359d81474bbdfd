"""A model decides on raw rows as the daily assets do, wherever the rows come from."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import ae_assets
from ae_assets.chain import Workspace
from ae_assets.chain.anomalies import find_anomalies
from ae_assets.chain.champion import load_champion
from ae_assets.chain.features import build_features
from ae_assets.chain.model import TrainingRange, train
from ae_assets.chain.raw import load_raw
from ae_assets.chain.threshold import calibrate_latest
from ae_assets.chain.workspace import ANOMALIES, QUARANTINE, RAW, FailedPeriod
from ae_assets.errors import ContractError, ModelError
from ae_assets.model.model import Model, load_model
from ae_assets_tests.chain.tables import storage_of, watched_table
from ae_assets_tests.model.looking_back import DAYS, LOCATION, SECTIONS


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A simulated fleet through the whole chain, with a window, an aggregation and episodes that look back."""
    table = watched_table(LOCATION, **SECTIONS)
    space = storage_of(table, tmp_path_factory.mktemp("model"))
    from ae_assets.sources import open_source

    list(load_raw(space, open_source(LOCATION), DAYS))
    build_features(space, DAYS)
    train(space, TrainingRange.of(DAYS[0], DAYS[19], 10))
    calibrate_latest(space)
    assert not [day for day in find_anomalies(space, load_champion(space), DAYS) if isinstance(day, FailedPeriod)]
    return space


@pytest.fixture(scope="module")
def stored(fleet: Workspace) -> pl.DataFrame:
    return by_row(fleet.read(ANOMALIES, DAYS[0], DAYS[-1]))


@pytest.fixture(scope="module")
def model(fleet: Workspace) -> Model:
    version = fleet.models.champion(fleet.table.table)
    assert version is not None
    return load_model(fleet.models.path(fleet.table.table, version))


def by_row(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort("day", "entity")


def raw_of(fleet: Workspace, first: date, last: date) -> pl.DataFrame:
    return fleet.read(RAW, first, last)


def test_rows_that_a_loaded_model_decides_on_give_the_anomalies_of_the_chain(
    fleet: Workspace, stored: pl.DataFrame, model: Model
) -> None:
    decisions, state = model.decide(raw_of(fleet, DAYS[0], DAYS[-1]).sample(fraction=1.0, shuffle=True, seed=1))
    assert_frame_equal(by_row(decisions), stored, check_exact=True)
    assert stored["is_anomaly"].sum() > 0
    assert stored["reasons"].count() > 0
    assert {"none", "opened", "open", "closed"} <= set(stored["episode"])
    assert state.set_aside.is_empty()


@pytest.mark.bits
def test_rows_in_several_calls_give_what_one_call_gives(fleet: Workspace, stored: pl.DataFrame, model: Model) -> None:
    first, state = model.decide(raw_of(fleet, DAYS[0], DAYS[30]))
    second, _ = model.decide(raw_of(fleet, DAYS[31], DAYS[-1]), state)
    assert_frame_equal(by_row(pl.concat([first, second])), stored, check_exact=True)


def test_the_days_that_a_day_looks_back_on_are_enough_for_all_but_old_episodes(
    fleet: Workspace, stored: pl.DataFrame, model: Model
) -> None:
    last = DAYS[-1]
    decisions, _ = model.decide(raw_of(fleet, last - model.look_back, last))
    of_day = by_row(decisions.filter(day=last))
    told = ["day", "entity", "score", "day_score", "is_anomaly", "severity", "threshold", "top_features"]
    assert_frame_equal(of_day.select(told), stored.filter(day=last).select(told), check_exact=True)


def test_rows_that_cannot_be_true_are_set_aside_with_their_reason(fleet: Workspace, model: Model) -> None:
    rows = raw_of(fleet, DAYS[0], DAYS[1])
    broken = rows.with_columns(failure=pl.when(pl.int_range(pl.len()) == 3).then(7).otherwise("failure").cast(pl.Int8))
    decisions, state = model.decide(broken)
    assert decisions.height + state.set_aside.height == rows.height
    assert state.set_aside.height == 1
    assert state.set_aside.columns == fleet.schema(QUARANTINE).names()


def test_nothing_is_decided_on_a_day_of_which_many_rows_are_set_aside(fleet: Workspace, model: Model) -> None:
    rows = raw_of(fleet, DAYS[0], DAYS[2])
    number = pl.int_range(pl.len()).over("day")
    broken = (pl.col("day") == DAYS[1]) & (number < 0.1 * pl.len().over("day"))
    decisions, state = model.decide(
        rows.with_columns(failure=pl.when(broken).then(7).otherwise("failure").cast(pl.Int8))
    )
    assert list(state.held_back) == [DAYS[1]]
    assert decisions["day"].unique().sort().to_list() == [DAYS[0], DAYS[2]]
    assert decisions.filter(day=DAYS[2])["score"].null_count() == 0


def test_rows_without_a_day_and_days_in_the_wrong_order_are_refused(fleet: Workspace, model: Model) -> None:
    rows = raw_of(fleet, DAYS[1], DAYS[1])
    with pytest.raises(ContractError, match="no column 'date' of dates"):
        model.decide(rows.drop("date"))
    with pytest.raises(ContractError, match=r"1 of \d+ rows have no date"):
        model.decide(rows.with_columns(date=pl.when(pl.int_range(pl.len()) > 0).then("date")))
    _, state = model.decide(rows)
    with pytest.raises(ContractError, match="rising order"):
        model.decide(raw_of(fleet, DAYS[0], DAYS[0]), state)


def test_the_package_loads_a_model_without_dagster(fleet: Workspace, model: Model) -> None:
    version = fleet.models.champion(fleet.table.table)
    assert version is not None
    assert ae_assets.load_model(fleet.models.path(fleet.table.table, version)).version == model.version == version


def test_a_folder_without_a_model_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="expected the folder of a version"):
        load_model(tmp_path)
    (tmp_path / "version.json").write_text('{"version": "v", "card": {}}')
    (tmp_path / "threshold.json").write_text("{}")
    with pytest.raises(ModelError, match="an earlier release made it"):
        load_model(tmp_path)
