"""The shipped table `cloudwatch` on the published series: what it reads of them, and how good it is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ae_assets.chain.evaluation import evaluate
from ae_assets.chain.unseen import latest_unseen_days
from ae_assets.chain.workspace import FEATURES, RAW
from ae_assets.model.parse import parse_table
from ae_assets.sources import open_source
from ae_assets_tests.chain import steps
from ae_assets_tests.chain.tables import storage_of
from ae_assets_tests.conftest import REPOSITORY, real_data

pytestmark = pytest.mark.real_data

DEFS = REPOSITORY / "ae_assets" / "defs" / "cloudwatch" / "defs.yaml"


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """The record of an evaluation of all its days, without other detectors."""
    archive: Path = real_data("nab/realAWSCloudwatch.zip")
    text = DEFS.read_text().replace("{{ env('CLOUDWATCH_LOCATION') }}", str(archive))
    space = storage_of(
        parse_table(yaml.safe_load(text)["attributes"], str(DEFS)), tmp_path_factory.mktemp("cloudwatch")
    )
    steps.fill(space, list(open_source(str(archive), space.table.reading).days()))
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
