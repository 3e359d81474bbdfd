from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from ae_assets.chain import Workspace, reproduction
from ae_assets.chain.lives import lives_in
from ae_assets.chain.reproduction import DENSE, LSTM, NEVER, RANDOM, reproduce, scaled_by, split_of
from ae_assets.chain.workspace import FEATURES
from ae_assets.errors import EvaluationError
from ae_assets.evaluation.reproduction import Reproduction
from ae_assets.reports.reproduction import reproduction_text
from ae_assets.schemas.periods import DAILY
from ae_assets_tests.chain import steps
from ae_assets_tests.chain.gauges import gauges
from ae_assets_tests.chain.tables import FIRST, storage_of, watched_table

HORIZON = 10
LOCATION = "simulated://?drives=250&days=60&seed=3"


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    table = watched_table(LOCATION)
    filled = storage_of(table, tmp_path_factory.mktemp("reproduction"))
    steps.fill(filled, table.periods.range(FIRST, FIRST + timedelta(days=54)))
    return filled


@pytest.fixture(scope="module")
def told(space: Workspace) -> Iterator[Reproduction]:
    few = {"epochs": 3, "max_windows": 1000, "batch_size": 64}
    layers = {DENSE: {"units": (64, 8, 64)}, LSTM: {"encoder_units": (8,), "decoder_units": (8,)}}
    with pytest.MonkeyPatch.context() as patch:
        small = {name: config.model_copy(update=few | layers[name]) for name, config in reproduction.NETWORKS.items()}
        patch.setattr(reproduction, "NETWORKS", small)
        yield reproduce(space)


def test_days_that_are_judged_begin_a_horizon_after_the_fit(told: Reproduction) -> None:
    split = told.split
    assert split.training == tuple(FIRST + timedelta(days=day) for day in range(3))
    assert split.judged[0] == split.training[-1] + timedelta(days=HORIZON + 1)
    assert split.judged[0] <= split.day <= split.judged[1]


def test_what_finds_every_failure_finds_as_many_healthy_drives(told: Reproduction, space: Workspace) -> None:
    padded = next(one for one in told.constructions if one.prepared == "zeros before each")
    assert padded.found == padded.failures == told.failures > 0
    assert padded.flagged <= padded.healthy * 0.01
    assert set(padded.controls) == {padded.failures}
    as_trained = next(one for one in told.constructions if one.prepared == "rows of the day before each")
    assert max(as_trained.controls) == 0
    for one in told.constructions:
        assert one.failures + one.healthy == told.rows == space.read(FEATURES, told.split.day, told.split.day).height


def test_the_accuracies_of_whoever_looks_at_nothing_are_beside_them(told: Reproduction) -> None:
    by_name = {one.detector: one for one in told.accuracies}
    assert list(by_name) == [DENSE, LSTM, RANDOM, NEVER]
    assert by_name[NEVER].right == 1 - told.failures / told.rows
    assert by_name[RANDOM].below == pytest.approx(0.85, abs=0.08)


def test_networks_are_judged_beside_random_numbers_on_failures_ahead(told: Reproduction) -> None:
    assert list(told.honest.detection) == [DENSE, LSTM, RANDOM]
    sample = told.honest.of_reference.sample
    assert (sample.start, sample.end) == told.split.judged
    assert sample.failed > 0 < sample.healthy_windows
    text = reproduction_text(told)
    assert f"{told.failures} of {told.failures}" in text
    assert NEVER in text


def test_a_feature_is_scaled_by_the_rows_that_are_named() -> None:
    by = pl.DataFrame({"a": [1.0, 3.0], "b": [2.0, 2.0]})
    scaled = scaled_by(pl.DataFrame({"a": [2.0, None], "b": [5.0, 2.0]}), by, ["a", "b"])
    assert scaled.to_dict(as_series=False) == {"a": [0.0, 0.0], "b": [3.0, 0.0]}


def test_a_day_whose_failures_have_no_record_is_refused_before_a_fit(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = split_of(space, None)
    failed_on = lives_in(space).frame["failed_on"]
    quiet = next(day for day in space.table.periods.range(*found.judged) if day not in set(failed_on))
    monkeypatch.setattr(reproduction, "split_of", lambda *_: replace(found, day=quiet))
    monkeypatch.setattr(reproduction, "fit", None)

    with pytest.raises(EvaluationError, match=f"no device that fails on {quiet}"):
        reproduce(space)


def test_days_without_what_is_needed_are_refused(space: Workspace, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"has 25 days from 2013-05-10 on, and 3 to fit on, 10 of embargo and 30"):
        split_of(space, FIRST + timedelta(days=30))
    with pytest.raises(EvaluationError, match="has no failures by day"):
        split_of(storage_of(gauges(tmp_path, DAILY), tmp_path), None)
