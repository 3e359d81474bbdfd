"""Features of several days at once are those of one day after the other, whatever days the table lacks."""

from collections.abc import Collection
from datetime import date, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ae_assets.model.preparation import Preparation
from ae_assets.schemas.contracts import contract_of
from ae_assets.schemas.periods import DAILY
from ae_assets.sources import open_source
from ae_assets_tests.chain.tables import FIRST, watched_table

LOCATION = f"simulated://?drives=20&days=45&seed=3&start={FIRST}"
DAYS = DAILY.range(FIRST, FIRST + timedelta(days=44))
MISSING = {DAYS[0], DAYS[1], DAYS[12], DAYS[13], DAYS[33]}
WITHOUT_VALID_ROWS = DAYS[20]


@pytest.fixture(scope="module")
def raw() -> dict[date, pl.DataFrame]:
    source = open_source(LOCATION)
    rows = {day: source.read(source.days()[day]) for day in DAYS if day not in MISSING}
    wrong = rows[WITHOUT_VALID_ROWS].with_columns(date=pl.lit(FIRST))
    return {**rows, WITHOUT_VALID_ROWS: wrong}


@pytest.mark.bits
@pytest.mark.parametrize("gaps", [(), MISSING], ids=["nothing is known of the missing days", "they are gaps"])
@pytest.mark.parametrize("at_once", [3, 45])
def test_days_at_once_have_the_features_of_one_after_the_other(
    raw: dict[date, pl.DataFrame], gaps: Collection[date], at_once: int
) -> None:
    table = watched_table(LOCATION)
    contract = contract_of(table.layout, tuple(table.features.attributes))
    one, several = (Preparation(contract, table.features, gaps) for _ in range(2))
    alone = [one.prepare(rows, day).features for day, rows in raw.items()]
    days, together = list(raw), []
    for start in range(0, len(days), at_once):
        stretch = days[start : start + at_once]
        for day in stretch:
            several.validate(raw[day], day)
        together.append(several.features(stretch[0], stretch[-1]))
    assert not pl.concat(together).filter(day=WITHOUT_VALID_ROWS).height
    assert_frame_equal(*(pl.concat(frames).sort("day", "entity") for frames in (alone, together)), check_exact=True)
