"""The alarms of the day before: as many as its own table counts, and what became of each."""

from datetime import date, timedelta

import polars as pl
import pytest

from ae_assets.chain.day_before import DayBefore

TODAY = date(2013, 6, 4)
YESTERDAY = TODAY - timedelta(days=1)
ROWS = {
    "day": pl.Date,
    "entity": pl.String,
    "is_anomaly": pl.Boolean,
    "muted_until": pl.Date,
    "episode": pl.String,
    "label": pl.Int8,
}


def rows_of(
    day: date, alarms: dict[str, bool | None], muted: tuple[str, ...] = (), still_open: tuple[str, ...] = ()
) -> pl.DataFrame:
    """Rows of a day: whether each device has an alarm, None = not judged."""
    until = {entity: date(2013, 12, 31) for entity in muted}
    rows = [
        (day, entity, alarm, until.get(entity), "open" if alarm is not False or entity in still_open else "closed", 0)
        for entity, alarm in alarms.items()
    ]
    return pl.DataFrame(rows, schema=ROWS, orient="row")


def test_each_alarm_of_the_day_before_is_counted_where_it_is_now() -> None:
    before = rows_of(YESTERDAY, dict.fromkeys("ABCDEFGW", True) | {"H": False, "I": None}, muted=("G",))
    today = rows_of(
        TODAY,
        {"A": True, "B": True, "C": False, "D": None, "E": True, "G": True, "H": True, "W": False},
        ("E",),
        ("W",),
    )
    yesterday = DayBefore.of(before)
    assert yesterday is not None
    assert yesterday.in_words(TODAY, today) == (
        "7 on the day before, of which 5 are gone: 1 cleared, 1 below the threshold but not clear, 1 not judged, "
        "1 muted, 1 left"
    )


def test_only_the_last_day_counts_however_lately_a_device_had_an_alarm() -> None:
    earlier = rows_of(YESTERDAY - timedelta(days=1), dict.fromkeys("XYZ", True))
    yesterday = DayBefore.of(pl.concat([rows_of(YESTERDAY, {"A": True}), earlier]))
    assert yesterday is not None
    assert (yesterday.day, yesterday.alarms.to_list()) == (YESTERDAY, ["A"])


def test_without_rows_nothing_is_known_of_the_day_before() -> None:
    assert DayBefore.of(pl.DataFrame(schema=ROWS)) is None


@pytest.mark.parametrize(
    ("day", "today", "words"),
    [
        (YESTERDAY, {"A": True, "B": True}, "2 on the day before"),
        (YESTERDAY, {}, "2 on the day before, of which 2 are gone: 2 left"),
        (
            YESTERDAY - timedelta(days=1),
            {"A": True, "B": None},
            "2 on 2013-06-02, the last day before, of which 1 is gone: 1 not judged",
        ),
    ],
)
def test_the_sentence_says_how_many_are_gone_and_where(day: date, today: dict[str, bool | None], words: str) -> None:
    before = DayBefore.of(rows_of(day, {"A": True, "B": True}))
    assert before is not None
    assert before.in_words(TODAY, rows_of(TODAY, today)) == words
