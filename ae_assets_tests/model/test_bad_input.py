"""Series as they come: channels that are constant, missing, new or gone, and clocks that jump.

Each goes the whole way, from a file through a fit to decisions; what cannot be is set aside, and the rest decided on.
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ae_assets.chain import Workspace
from ae_assets.chain.features import build_features
from ae_assets.chain.model import TrainingRange, train
from ae_assets.chain.raw import load_raw
from ae_assets.chain.threshold import calibrate_latest
from ae_assets.chain.workspace import FEATURES, QUARANTINE, RAW
from ae_assets.errors import ModelError
from ae_assets.model.model import Model, load_model
from ae_assets.model.parse import parse_table
from ae_assets.schemas.periods import DAILY
from ae_assets.sources import open_source
from ae_assets_tests.chain.tables import storage_of

FIRST = datetime(2024, 3, 25, tzinfo=UTC)
DAYS = DAILY.range(FIRST.date(), FIRST.date() + timedelta(days=7))
"""Clocks in Berlin are put forward on the last of March, the seventh of these days."""
HOUR = timedelta(hours=1)
STATIONS = 3
TRAINING = {"epochs": 300, "batch_size": 32, "learning_rate": 0.02, "patience": 3, "min_improvement": 0.01}
NETWORK = {"type": "dense_autoencoder", "units": [4], **TRAINING}


def readings() -> pl.DataFrame:
    """A reading each hour of three stations over eight days."""
    random, number = np.random.default_rng(2), np.arange(24 * len(DAYS))
    tables = [
        pl.DataFrame(
            {
                "at": [FIRST + int(hour) * HOUR for hour in number],
                "station": f"station {station}",
                "level": 50 + 5 * np.sin(number / 9 + station) + 0.2 * random.normal(size=len(number)),
                "flow": 10 + 3 * np.sin(number / 9 + station) + 0.1 * random.normal(size=len(number)),
            }
        )
        for station in range(STATIONS)
    ]
    return pl.concat(tables)


def chain_of(
    folder: Path, rows: pl.DataFrame, days: list[date] = DAYS, detector: dict[str, Any] | None = None, **time: Any
) -> Workspace:
    """The table of a file, through its fit and its threshold."""
    attributes = {
        "table": "stations",
        "source": {
            "location": str(folder / "in"),
            "days_per_file": "many",
            "columns": {
                "time": {"column": "at", "format": "%Y-%m-%d %H:%M:%S", "cadence": "1h", **time},
                "entity": "station",
                "values": {"level": {"type": "float"}, "flow": {"type": "float"}},
            },
        },
        "features": {
            "attributes": {name: {"kind": "gauge", "meaning": name} for name in ("level", "flow")},
            "spans": ["3h", "1d"],
        },
        "detector": detector or {"type": "pca"},
        "threshold": {"policy": "percentile", "percentile": 99},
        "calibration": {"embargo_days": 1, "days": 2},
        "checks": {"volume_low": 0.1, "volume_high": 10, "max_share_set_aside": 0.9},
    }
    (folder / "in").mkdir()
    written = (
        rows if rows["at"].dtype == pl.String else rows.with_columns(pl.col("at").dt.strftime("%Y-%m-%d %H:%M:%S"))
    )
    written.write_csv(folder / "in" / "all.csv")
    space = storage_of(parse_table(attributes, "defs.yaml"), folder / "home")
    list(load_raw(space, open_source(space.table.source.location, space.table.reading), days))
    build_features(space, days)
    train(space, TrainingRange.of(days[0], days[2], 0))
    calibrate_latest(space)
    return space


def model_of(space: Workspace) -> Model:
    version = space.models.champion(space.table.table)
    assert version is not None
    return load_model(space.models.path(space.table.table, version))


def decided(space: Workspace, days: list[date] = DAYS) -> pl.DataFrame:
    """What the model decides on all rows; held to be finite, and of every row that was not set aside."""
    decisions, state = model_of(space).decide(space.read(RAW, days[0], days[-1]))
    assert decisions.height + state.set_aside.height == space.read(RAW, days[0], days[-1]).height
    assert np.isfinite(decisions["score"].drop_nulls().to_numpy()).all()
    assert (decisions["score"].is_null() == decisions["not_judged_because"].is_not_null()).all()
    return decisions.sort("entity", "time")


@pytest.mark.parametrize("detector", [{"type": "pca"}, NETWORK], ids=lambda detector: detector["type"])
def test_a_constant_channel_moves_no_score_until_it_moves(tmp_path: Path, detector: dict[str, Any]) -> None:
    last = FIRST + timedelta(days=7, hours=12)
    rows = readings().with_columns(flow=pl.when(pl.col("at") >= last, station="station 1").then(20.0).otherwise(7.0))
    decisions = decided(chain_of(tmp_path, rows, detector=detector))
    assert decisions["score"].null_count() == 0
    moved = decisions.filter(pl.col("entity") == "station 1", pl.col("time") >= last)
    still = decisions.filter(pl.col("entity") != "station 1")
    assert moved["score"].min() > still["score"].quantile(0.99)
    assert {reasons[0]["name"] for reasons in moved["top_features"].to_list()} <= {"flow_level", "flow_deviation"}


@pytest.mark.parametrize("detector", [{"type": "pca"}, NETWORK], ids=lambda detector: detector["type"])
def test_a_channel_that_is_missing_in_all_rows_leaves_the_others_to_be_judged(
    tmp_path: Path, detector: dict[str, Any]
) -> None:
    rows = readings().with_columns(flow=pl.lit(None, pl.Float64))
    assert decided(chain_of(tmp_path, rows, detector=detector))["score"].null_count() == 0


def test_a_table_of_which_no_channel_is_ever_known_is_not_fitted(tmp_path: Path) -> None:
    nothing = pl.lit(None, pl.Float64)
    with pytest.raises(ModelError, match="known"):
        chain_of(tmp_path, readings().with_columns(level=nothing, flow=nothing))


def test_steps_that_are_irregular_are_decided_on_record_by_record(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    rows = readings().filter(pl.Series(random.random(readings().height) > 0.4))
    rows = rows.with_columns(pl.col("at") + pl.duration(seconds=pl.Series(random.integers(0, 1800, rows.height))))
    decisions = decided(chain_of(tmp_path, rows))
    assert decisions.height == rows.height
    assert decisions["score"].null_count() == 0


def test_of_rows_of_one_time_the_first_is_decided_on_and_the_others_are_set_aside(tmp_path: Path) -> None:
    rows = readings()
    again = rows.filter(pl.col("at").dt.hour() == 6).with_columns(pl.col("level") + 1000)
    space = chain_of(tmp_path, pl.concat([rows, again]))
    assert decided(space).height == rows.height
    aside = space.read(QUARANTINE, DAYS[0], DAYS[-1])
    assert aside["broken_rules"].unique().to_list() == ["record_is_unique"]
    assert aside.height == again.height
    assert space.read(FEATURES, DAYS[0], DAYS[-1])["level_level"].max() < 100


def test_rows_whose_time_goes_backwards_are_decided_on_as_if_they_were_in_order(tmp_path: Path) -> None:
    in_order, backwards = (chain_of(_folder(tmp_path, name), rows) for name, rows in
                           (("in order", readings()), ("backwards", readings().reverse())))  # fmt: skip
    assert decided(in_order).drop("model_version").equals(decided(backwards).drop("model_version"))


def test_a_clock_that_is_put_forward_leaves_an_hour_out(tmp_path: Path) -> None:
    local = readings().with_columns(pl.col("at").dt.convert_time_zone("Europe/Berlin"))
    space = chain_of(tmp_path, local, time_zone="Europe/Berlin")
    decisions = decided(space)
    assert decisions["time"].to_list() == readings().sort("station", "at")["at"].to_list()
    hours = local.filter(pl.col("at").dt.date() == date(2024, 3, 31))["at"].dt.hour().unique()
    assert 2 not in hours


def test_of_the_hour_that_a_clock_shows_twice_the_second_is_set_aside(tmp_path: Path) -> None:
    first = datetime(2024, 10, 22, tzinfo=UTC)
    days = DAILY.range(first.date(), first.date() + timedelta(days=6))
    shift = first - FIRST
    rows = readings().with_columns(pl.col("at") + shift).filter(pl.col("at").dt.date().is_in(days))
    local = rows.with_columns(pl.col("at").dt.convert_time_zone("Europe/Berlin"))
    space = chain_of(tmp_path, local, days, time_zone="Europe/Berlin")
    assert decided(space, days).height == rows.height - STATIONS
    aside = space.read(QUARANTINE, days[0], days[-1])
    assert aside["day"].unique().to_list() == [date(2024, 10, 27)]
    assert aside.height == STATIONS


def test_a_time_that_no_clock_showed_is_set_aside(tmp_path: Path) -> None:
    space = chain_of(tmp_path, readings(), time_zone="Europe/Berlin")  # 02:00 of the last of March is among them
    days = space.read(RAW, DAYS[0], DAYS[-1])
    assert days.height < readings().height


@pytest.mark.parametrize("gone", [False, True])
def test_a_channel_that_appears_or_vanishes_is_judged_by_the_others_where_it_is_away(
    tmp_path: Path, gone: bool
) -> None:
    there = (pl.col("at") < FIRST + timedelta(days=5)) if gone else (pl.col("at") >= FIRST + timedelta(days=5))
    decisions = decided(chain_of(tmp_path, readings().with_columns(flow=pl.when(there).then("flow"))))
    assert decisions["score"].null_count() == 0


def test_fewer_records_than_the_window_holds_are_judged_from_those_that_there_are(tmp_path: Path) -> None:
    short = readings().filter(
        (pl.col("station") != "station 2") | (pl.col("at") >= FIRST + timedelta(days=7, hours=22))
    )
    network = {"type": "convolutional_autoencoder", "window": "12h", "filters": [4], "kernel": 3, **TRAINING}
    decisions = decided(chain_of(tmp_path, short, detector=network))
    assert decisions.filter(entity="station 2")["score"].null_count() == 0


def _folder(above: Path, name: str) -> Path:
    (above / name).mkdir()
    return above / name
