"""Other settings are tried on days that are neither calibrated nor judged, and a gain is told from chance."""

import itertools
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ae_assets.chain import Workspace
from ae_assets.chain.features import build_features
from ae_assets.chain.folds import Stretch, folds_of
from ae_assets.chain.raw import load_raw
from ae_assets.chain.tuning import Tried, tune
from ae_assets.detectors.config import DETECTOR_KINDS
from ae_assets.detectors.search import Between, OneOf
from ae_assets.detectors.settings import DetectorSettings
from ae_assets.errors import ModelError
from ae_assets.model.life import LifeRange
from ae_assets.model.parse import parse_table
from ae_assets.schemas.periods import DAILY, HOURLY, WEEKLY, Periods
from ae_assets.sources import open_source
from ae_assets_tests.chain.tables import storage_of

FIRST = datetime(2024, 3, 4, tzinfo=UTC)
DAYS = DAILY.range(FIRST.date(), FIRST.date() + timedelta(days=17))
USED = (DAYS[0], DAYS[11])


def readings() -> pl.DataFrame:
    """Four stations that a technician marks on every other evening, when their level and flow part."""
    random, number = np.random.default_rng(2), np.arange(24 * len(DAYS))
    tables = []
    for station in range(4):
        marked = (number // 24 % 2 == station % 2) & (number % 24 >= 21)
        tide = np.sin(number / 9 + station) + 0.05 * random.normal(size=len(number))
        columns = {
            f"{name}": (rank + 1) * tide + 0.05 * random.normal(size=len(number)) for rank, name in enumerate("abcd")
        }
        columns["a"] += 1.5 * marked
        at = [f"{FIRST + timedelta(hours=int(hour)):%Y-%m-%d %H:%M}" for hour in number]
        mark = [("bad" if one else None) for one in marked]
        tables.append(pl.DataFrame({"at": at, "station": f"S{station}", **columns, "mark": mark}))
    return pl.concat(tables)


def space_in(folder: Path, rows: pl.DataFrame, *, labels: bool = True, **more: Any) -> Workspace:
    """The table of a file with its features."""
    attributes = {
        "table": "stations",
        "source": {
            "location": str(folder / "in"),
            "days_per_file": "many",
            "columns": {
                "time": {"column": "at", "format": "%Y-%m-%d %H:%M", "cadence": "1h"},
                "entity": "station",
                **({"label": {"columns": ["mark"]}} if labels else {}),
                "values": {name: {"type": "float"} for name in "abcd"},
            },
        },
        "features": {
            "attributes": {name: {"kind": "gauge", "meaning": name} for name in "abcd"},
            "spans": ["6h"],
        },
        "detector": {"type": "pca", "explained_variance": 0.2},
        **more,
    }
    (folder / "in").mkdir(exist_ok=True, parents=True)
    rows.write_csv(folder / "in" / "all.csv", null_value="NULL")
    space = storage_of(parse_table(attributes, "defs.yaml"), folder / "home")
    list(load_raw(space, open_source(space.table.source.location, space.table.reading), DAYS))
    build_features(space, DAYS)
    return space


STAGGERED: dict[str, Any] = {
    "training": {"days": 3, "counted_from": "entity"},
    "calibration": {"embargo_days": 0, "days": 2},
    "features": {
        "attributes": {name: {"kind": "gauge", "meaning": name, "spans": ["6h"]} for name in "ab"},
        "spans": ["6h", "12d"],
    },
}
"""Days of each station counted from its first."""


def staggered() -> pl.DataFrame:
    """The same stations, each of which begins some days after the one before."""
    at, late = pl.col("at").str.to_datetime("%Y-%m-%d %H:%M"), pl.col("station").str.tail(1).cast(pl.Int64)
    kept = at.dt.date() >= pl.lit(DAYS[0]) + pl.duration(days=2 * late)
    return readings().filter(kept)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return space_in(tmp_path_factory.mktemp("tuning"), readings())


def test_the_yamls_own_settings_are_tried_first_and_the_best_is_confirmed(tmp_path: Path) -> None:
    told: list[Tried] = []
    weak = {"type": "isolation_forest", "trees": 2, "windows_per_tree": 4}
    space = space_in(tmp_path, readings(), detector=weak)
    tuned = tune(space, USED, tmp_path / "trials.log", trials=12, on_trial=told.append)
    assert told == list(tuned.tried)
    assert [one.number for one in tuned.tried] == list(range(12))
    assert tuned.tried[0].changes == {}
    assert tuned.before == space.table.detector
    figures = [one.figure for one in tuned.tried if one.figure is not None]
    assert all(0 < figure <= 1 for figure in figures)
    best = max(tuned.tried, key=lambda one: one.figure or 0)
    assert {name: getattr(tuned.best, name) for name in best.changes} == dict(best.changes)
    assert tuned.gain is not None
    assert tuned.gain.is_beyond_chance
    assert set(tuned.importance) <= set(space.table.detector.searched)


def test_a_tuning_goes_on_where_it_was_and_another_yaml_begins_its_own(space: Workspace, tmp_path: Path) -> None:
    storage = tmp_path / "trials.log"
    first = tune(space, USED, storage, trials=3)
    again: list[Tried] = []
    longer = tune(space, USED, storage, trials=5, on_trial=again.append)
    assert longer.tried[:3] == first.tried
    assert [one.number for one in again] == [3, 4]
    assert tune(space, USED, storage, trials=5).tried == longer.tried
    assert len(tune(space, (DAYS[0], DAYS[10]), storage, trials=1).tried) == 1


def test_the_same_seed_tries_the_same_settings(space: Workspace, tmp_path: Path) -> None:
    first, second = (tune(space, USED, tmp_path / name, trials=4).tried for name in ("one", "two"))
    assert [(one.changes, one.figure) for one in first] == [(one.changes, one.figure) for one in second]


def test_days_after_those_that_are_named_change_nothing(space: Workspace, tmp_path: Path) -> None:
    late = pl.col("at").str.slice(0, 10) > str(USED[1])
    changed = readings().with_columns(a=pl.when(late).then(-100.0).otherwise("a"), mark=pl.when(~late).then("mark"))
    other = space_in(tmp_path / "changed", changed)
    first, second = (tune(one, USED, tmp_path / name, trials=3) for one, name in ((space, "one"), (other, "two")))
    assert [one.figure for one in first.tried] == [one.figure for one in second.tried]
    assert first.gain == second.gain


@pytest.mark.parametrize("periods", [HOURLY, DAILY, WEEKLY])
@pytest.mark.parametrize("count", [5, 13, 60])
def test_folds_are_cut_in_time_and_the_last_ends_with_the_range(periods: Periods, count: int) -> None:
    start = periods.of(FIRST.date())
    end = periods.shifted(start, count - 1)
    folds = folds_of(periods, Stretch(start, end), 3)
    assert len(folds) == 3
    for fold in folds:
        assert start <= fold.training.start <= fold.training.end == fold.training.known_until < fold.judged[0]
        assert periods.shifted(fold.training.end, 1) == fold.judged[0] <= fold.judged[1] <= end
    for before, after in itertools.pairwise(folds):
        assert before.judged[1] < after.judged[0]
    assert folds[-1].judged[1] == end


def test_a_range_that_is_too_short_says_how_long_it_must_be() -> None:
    with pytest.raises(ModelError, match="5 or more"):
        folds_of(DAILY, Stretch(DAYS[0], DAYS[3]), 3)


def test_folds_of_each_devices_own_days_end_where_those_to_judge_by_begin() -> None:
    folds = folds_of(DAILY, Stretch(DAYS[0], DAYS[-1], LifeRange(1, 7)), 3)
    assert [fold.training.learned for fold in folds] == [LifeRange(1, last) for last in (3, 4, 5)]
    assert [fold.of_life for fold in folds] == [LifeRange(4, 4), LifeRange(5, 5), LifeRange(6, 7)]
    with pytest.raises(ModelError, match="5 or more"):
        folds_of(DAILY, Stretch(DAYS[0], DAYS[-1], LifeRange(1, 4)), 3)


def test_where_days_are_counted_from_each_devices_first_later_ones_change_nothing(
    space: Workspace, tmp_path: Path
) -> None:
    days, rows = (DAYS[0], DAYS[-1]), staggered()
    at, late = pl.col("at").str.to_datetime("%Y-%m-%d %H:%M"), pl.col("station").str.tail(1).cast(pl.Int64)
    later = at.dt.date() >= pl.lit(DAYS[0]) + pl.duration(days=2 * late + 7)
    changed = rows.with_columns(a=pl.when(later).then(-100.0).otherwise("a"), mark=pl.when(~later).then("mark"))
    tables = [space_in(tmp_path / name, one, **STAGGERED) for name, one in (("one", rows), ("two", changed))]
    first, second = (tune(one, days, tmp_path / f"{i}.log", trials=3, first=6) for i, one in enumerate(tables))
    assert [one.figure for one in first.tried] == [one.figure for one in second.tried]
    assert first.gain == second.gain
    assert all(one.figure is not None and one.figure > 0 for one in first.tried[:1])
    assert first.used.in_words == "the first 6 days of each device"
    with pytest.raises(ModelError, match="look-back"):
        tune(tables[0], days, tmp_path / "log", trials=1, first=12)
    unmarked = space_in(tmp_path / "unmarked", rows.with_columns(mark=pl.when(later).then("mark")), **STAGGERED)
    with pytest.raises(ModelError, match="nothing is known to have gone wrong"):
        tune(unmarked, days, tmp_path / "log", trials=1, first=6)
    with pytest.raises(ModelError, match="of the calendar"):
        tune(space, days, tmp_path / "log", trials=1, first=6)


def test_no_trial_begins_after_the_time_that_is_given(space: Workspace, tmp_path: Path) -> None:
    assert len(tune(space, USED, tmp_path / "trials.log", trials=50, seconds=1e-3).tried) <= 1


@pytest.mark.slow
def test_without_labels_a_network_is_chosen_by_its_loss(tmp_path: Path) -> None:
    network = {"type": "dense_autoencoder", "units": [2], "epochs": 4, "batch_size": 64, "learning_rate": 0.003}
    space = space_in(tmp_path, readings(), labels=False, detector=network)
    tuned = tune(space, USED, tmp_path / "trials.log", trials=2)
    assert tuned.aim == "loss"
    assert [one.figure is None or one.figure < 1 for one in tuned.tried] == [True, True]
    if tuned.gain is not None:
        assert tuned.gain.low <= tuned.gain.difference <= tuned.gain.high


def test_what_cannot_be_tuned_is_said(space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = tmp_path / "trials.log"
    for detector, said in (
        ({"type": "counter_rule", "features": ["a_level"]}, "no settings"),
        ({"type": "pca"}, "no loss"),
    ):
        without = space_in(tmp_path / said, readings(), labels=False, detector=detector)
        with pytest.raises(ModelError, match=said):
            tune(without, USED, storage, trials=1)
    unmarked = readings().with_columns(mark=pl.when(pl.col("at") < f"{DAYS[7]}").then("mark"))
    with pytest.raises(ModelError, match="nothing is known to have gone wrong"):
        tune(space_in(tmp_path / "unmarked", unmarked), USED, storage, trials=1)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ModelError, match=r"pip install 'ae_assets\[tune\]'"):
        tune(space, USED, storage, trials=1)


REQUIRED: dict[str, dict[str, Any]] = {
    "ordinal": {"counters": ["wear"], "judged": ["wear"]},
    "estimator": {"class": "pyod.models.iforest.IForest"},
    "ensemble": {"members": [{"type": "pca"}, {"type": "ecod"}]},
}


@pytest.mark.parametrize("name", DETECTOR_KINDS.own)
def test_what_is_searched_are_settings_and_values_that_a_config_takes(name: str) -> None:
    kind: type[DetectorSettings] = DETECTOR_KINDS.own_kinds()[name]
    given = {"type": name, **REQUIRED.get(name, {})}
    for setting, values in kind.searched.items():
        assert setting in kind.model_fields
        worth = values.values if isinstance(values, OneOf) else (values.low, values.high)
        for value in worth:
            kind.model_validate({**given, setting: value})
        if isinstance(values, Between):
            assert values.low < values.high
            assert not values.log or values.low > 0


def test_a_search_holds_the_settings_own_value() -> None:
    assert Between(1, 5).holding(9) == Between(1, 9)
    assert Between(0.1, 0.5, log=True).holding(0.0) == Between(0.1, 0.5, log=True)
    assert not Between(0.1, 0.5).holding(None).holds(None)
    assert OneOf((1, 2)).holding(3).values == (3, 1, 2)
