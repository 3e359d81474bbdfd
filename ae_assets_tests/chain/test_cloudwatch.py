"""The shipped tables of CloudWatch series on the published ones: what they read of them, and how good they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from ae_assets.chain.evaluation import evaluate
from ae_assets.chain.target import intervals_in
from ae_assets.chain.unseen import latest_unseen_days
from ae_assets.chain.workspace import FEATURES, RAW, Workspace
from ae_assets.model.parse import parse_table
from ae_assets.sources import open_source
from ae_assets_tests.chain import steps
from ae_assets_tests.chain.tables import storage_of
from ae_assets_tests.conftest import REPOSITORY, real_data

pytestmark = pytest.mark.real_data

DEFS = REPOSITORY / "ae_assets" / "defs"


def filled(name: str, folder: Path) -> Workspace:
    """A shipped table with the raw rows and features of all days."""
    archive: Path = real_data("nab/realAWSCloudwatch.zip")
    text = (DEFS / name / "defs.yaml").read_text().replace("{{ env('CLOUDWATCH_LOCATION') }}", str(archive))
    space = storage_of(parse_table(yaml.safe_load(text)["attributes"], name), folder)
    steps.fill(space, list(open_source(str(archive), space.table.reading).days()))
    return space


def test_every_row_of_the_files_is_in_one_record_of_the_aligned_table(tmp_path: Path) -> None:
    space = filled("cloudwatch_metrics", tmp_path)
    days = space.days_of(RAW)
    raw = space.read(RAW, min(days), max(days)).select("timestamp", "entity", "readings", *space.table.layout.values)
    assert raw["readings"].sum() == 67_740 - 1_243  # the file of another metric is left out
    assert raw.height == raw.select("timestamp", "entity").n_unique() == sum(space.days_of(FEATURES).values())
    known = raw.select(pl.sum_horizontal(pl.col(*space.table.layout.values).is_not_null())).to_series()
    assert known.max() == 5  # the series overlap in part
    target = intervals_in(space)
    assert target.frame["entity"].n_unique() == 2
    assert [name.rpartition("/")[2] for name in target.unknown] == ["iio_us-east-1_i-a2eb1cd9_NetworkIn.csv"]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """The record of an evaluation of all its days, without other detectors."""
    space = filled("cloudwatch", tmp_path_factory.mktemp("cloudwatch"))
    days = space.days_with_rows(FEATURES)
    steps.fit(space, days[0], days[-1])
    steps.judge(space, days)
    assert latest_unseen_days(space) == (days[0], days[-1])
    record = evaluate(space, days[0], days[-1], with_comparisons=False).record
    return {**record, "rows": sum(space.days_of(RAW).values())}


def test_all_series_and_label_windows_are_read(judged: Mapping[str, Any]) -> None:
    sample = judged["sample"]
    assert (judged["rows"], sample["entities"], sample["records"]) == (67_740, 17, 57_912)
    assert (sample["intervals"], sample["unscored"], sample["unknown"]) == (28, 2, ())


def test_one_configuration_for_all_series_keeps_what_it_reaches_by_the_benchmark(judged: Mapping[str, Any]) -> None:
    figures = judged["protocols"]["excess_rule"]
    best, _ = figures["nab_at_best_cut"]["standard"]
    assert best >= 68
    assert figures["nab"]["value"] >= 66.5
    assert figures["alarms"]["events_detected"] >= 23
    assert judged["protocols"]["random"]["nab"]["value"] < 20
