"""Which record a row is: by its time where it has one, else by its period."""

from datetime import UTC, date, datetime

import polars as pl

from ae_assets.schemas.records import key_of, keys_of, time_of

DAILY = pl.DataFrame({"day": [date(2024, 4, 17)], "entity": ["a"]})
TIMED = DAILY.with_columns(time=pl.lit(datetime(2024, 4, 17, 5, 15, tzinfo=UTC)))


def test_rows_with_a_time_are_told_apart_by_it() -> None:
    assert key_of(TIMED.columns) == ("time", "entity")
    assert keys_of(TIMED.columns) == ("day", "time", "entity")
    assert TIMED.select(time_of(TIMED.columns)).item() == datetime(2024, 4, 17, 5, 15, tzinfo=UTC)


def test_rows_without_a_time_are_told_apart_by_their_period() -> None:
    assert key_of(DAILY.columns) == ("day", "entity")
    assert keys_of(DAILY.columns) == ("day", "entity")
    assert DAILY.select(time_of(DAILY.columns)).item() == datetime(2024, 4, 17, tzinfo=UTC)
