"""Which records lie in a stretch of their device's life."""

import polars as pl
import pytest

from ae_assets.errors import ModelError
from ae_assets.model.life import LifeRange


def test_the_very_first_record_of_a_device_is_on_its_first_day() -> None:
    seen = pl.Series([None, 1, 2, 3], dtype=pl.Int16)
    assert LifeRange(1, 2).holds(seen).to_list() == [True, True, True, False]
    assert LifeRange(2, 3).holds(seen).to_list() == [False, False, True, True]


def test_records_that_were_never_counted_are_not_taken_for_learned_from() -> None:
    counted = LifeRange(1, 2, "records")
    assert counted.holds(pl.Series([1, 2, 3])).to_list() == [True, True, False]
    with pytest.raises(ModelError, match=r"1 of 2 records were not counted"):
        counted.holds(pl.Series([None, 5], dtype=pl.Int32))
