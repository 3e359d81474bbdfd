"""Days without rows: every table says so, and they are told from days that nobody made."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from ae_assets.chain.empty_days import empty_days, no_rows_of
from ae_assets.chain.maintenance import maintain
from ae_assets.chain.workspace import DAILY, DAILY_INPUT
from ae_assets_tests.pipeline.runs import failure_of
from ae_assets_tests.pipeline.short_fleet import ALSO_GOOD, BAD, DAYS, GOOD, ShortFleet, materialised


def header_only(path: Path) -> None:
    path.write_text(path.read_text().splitlines(keepends=True)[0])


def empty_of(fleet: ShortFleet) -> dict[str, tuple[date, ...]]:
    return {asset: tuple(empty_days(fleet.space, asset, GOOD, ALSO_GOOD)) for asset in DAILY}


def test_a_day_that_is_replaced_by_an_empty_one_is_empty_in_every_table(short_fleet: ShortFleet) -> None:
    assert short_fleet.run(DAILY, GOOD, ALSO_GOOD).success
    header_only(short_fleet.source / f"{BAD}.csv")
    result = short_fleet.run(DAILY, GOOD, ALSO_GOOD)
    assert result.success, failure_of(result)
    assert materialised(result) == dict.fromkeys(DAILY, (GOOD, BAD, ALSO_GOOD))
    counts = {
        event.asset_key.path[-1]: event.materialization.metadata["dagster/partition_row_count"].value
        for event in result.get_asset_materialization_events()
        if event.partition == str(BAD) and event.asset_key
    }
    assert counts == dict.fromkeys(DAILY, 0)
    assert [BAD in short_fleet.space.days_of(asset) for asset in DAILY] == [False] * 4
    assert empty_of(short_fleet) == {
        **dict.fromkeys(DAILY, (BAD,)),
        "quarantine": (GOOD, BAD, ALSO_GOOD),
    }
    maintain(short_fleet.space)
    assert [BAD in short_fleet.space.days_of(asset) for asset in DAILY] == [False] * 4


def test_a_day_that_nobody_made_is_not_taken_for_an_empty_one(short_fleet: ShortFleet) -> None:
    assert empty_of(short_fleet) == dict.fromkeys(DAILY, ())
    assert short_fleet.run(("raw",), GOOD, GOOD).success
    assert empty_of(short_fleet) == dict.fromkeys(DAILY, ())
    assert short_fleet.run(DAILY_INPUT, GOOD, GOOD).success
    assert empty_of(short_fleet) == {**dict.fromkeys(DAILY, ()), "quarantine": (GOOD,)}


@pytest.mark.parametrize("asset", ["raw", "features", "quarantine"])
def test_a_frame_without_rows_has_the_columns_of_the_table(short_fleet: ShortFleet, asset: str) -> None:
    frame = no_rows_of(short_fleet.space, asset)
    assert frame.is_empty()
    assert frame.schema["day"] == pl.Date
    stored = short_fleet.space.tables.read(f"fleet.{asset}", DAYS[0], DAYS[0]) if asset != "quarantine" else frame
    assert frame.columns == stored.columns
