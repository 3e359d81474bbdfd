"""What each feature says of a drive, and what it never depends on."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import takewhile
from math import log, log1p
from operator import eq

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.detectors.windows import is_reading
from ae_assets.errors import ContractError
from ae_assets.features.block import LEAST_VALUES_OF_A_RANGE, features_of_block
from ae_assets.features.catalogue import feature_names
from ae_assets.features.config import FeatureConfig
from ae_assets.features.look_back import LookBack
from ae_assets.features.units import SMALLEST_RANGE
from ae_assets.schemas.durations import written
from ae_assets.schemas.periods import DAILY, PERIODS, WEEKLY, Periods
from ae_assets.schemas.records import Rhythm
from ae_assets_tests.features.frames import CONFIG, DAY, TYPES, series, valid_rows


def features_of(history: pl.DataFrame, config: FeatureConfig = CONFIG) -> dict[str, float | None]:
    return features_of_block(history, DAY, config).row(0, named=True)


def test_a_row_has_its_keys_and_every_feature_as_float32_in_the_order_of_the_config():
    frame = features_of_block(series("smart_5_raw", {0: 3}), DAY, CONFIG)
    assert frame.columns == [
        "day",
        "entity",
        "cohort",
        "label",
        *feature_names(CONFIG),
        "lost_attributes",
        "seen_days",
        "seen_records",
    ]
    assert set(frame.select(feature_names(CONFIG)).dtypes) == {pl.Float32}
    assert frame.select("day", "entity", "cohort", "label").row(0) == (DAY, "ZA1", "ST12000NM0008", 0)


def test_a_counter_has_its_logarithm_and_its_growth_over_each_span():
    row = features_of(series("smart_5_raw", {28: 1, 7: 4, 1: 10, 0: 15}))
    assert row["smart_5_level"] == pytest.approx(log1p(15))
    assert row["smart_5_growth_1d"] == pytest.approx(log1p(5))
    assert row["smart_5_growth_7d"] == pytest.approx(log1p(11))
    assert row["smart_5_growth_28d"] == pytest.approx(log1p(14))


def test_growth_starts_at_the_earliest_value_known_inside_the_span():
    row = features_of(series("smart_5_raw", {29: 0, 20: None, 5: 4, 3: 9, 0: 10}))
    assert row["smart_5_growth_28d"] == row["smart_5_growth_7d"] == pytest.approx(log1p(6))


def test_growth_is_unknown_where_no_earlier_value_lies_inside_the_span():
    row = features_of(series("smart_5_raw", {8: 4, 1: None, 0: 10}))
    assert row["smart_5_growth_1d"] is None
    assert row["smart_5_growth_7d"] is None
    assert row["smart_5_growth_28d"] == pytest.approx(log1p(6))


def test_a_counter_that_falls_has_a_negative_growth():
    assert features_of(series("smart_5_raw", {1: 8, 0: 0}))["smart_5_growth_1d"] == pytest.approx(-log1p(8))


def test_a_counter_is_rated_per_thousand_power_on_hours():
    row = features_of(series("smart_5_raw", {0: 6}, smart_9_raw=2000))
    assert row["smart_5_per_1000_hours"] == pytest.approx(log1p(3))


def test_a_new_drive_is_rated_as_if_a_day_old_and_one_of_unknown_age_not_at_all():
    assert features_of(series("smart_5_raw", {0: 6}, smart_9_raw=0))["smart_5_per_1000_hours"] == pytest.approx(
        log1p(250)
    )
    assert features_of(series("smart_5_raw", {0: 6}))["smart_5_per_1000_hours"] is None


def test_a_temperature_stands_against_the_drives_own_past():
    row = features_of(series("smart_194_raw", {29: 99, 10: 30, 4: 33, 0: 35}))
    assert row["smart_194_level"] == 35
    assert row["smart_194_deviation"] == pytest.approx(35 - 31.5)


def test_extremes_packed_above_a_temperature_are_left_out():
    assert features_of(series("smart_194_raw", {0: (45 << 16) + 31}))["smart_194_level"] == 31


def test_an_error_rate_counts_only_against_the_drives_own_past():
    row = features_of(series("smart_1_raw", {2: 100, 1: 300, 0: 1000}))
    assert row["smart_1_deviation"] == pytest.approx(log1p(1000) - log1p(200))
    assert "smart_1_level" not in row


@pytest.mark.parametrize(
    ("hours", "drift"),
    [
        ({10: 1000, 0: 1240}, 0),
        ({10: 1000, 0: 1120}, -log1p(5)),
        ({10: 1000, 5: None, 0: 1264}, log1p(1)),
        ({40: 1000, 0: 1000}, None),
    ],
)
def test_a_clock_that_departs_from_the_calendar_drifts_by_so_many_days(hours, drift):
    row = features_of(series("smart_9_raw", hours))
    assert row["smart_9_drift"] == (None if drift is None else pytest.approx(drift))


def test_a_row_says_how_long_ago_the_last_record_was_and_how_many_there_are():
    row = features_of(series("smart_5_raw", {40: 0, 9: 0, 4: None, 0: 0}))
    assert (row["gap_days"], row["history_days"]) == (4, 2)
    alone = features_of(series("smart_5_raw", {0: 0}))
    assert (alone["gap_days"], alone["history_days"]) == (None, 0)


@pytest.mark.parametrize(
    ("records", "gaps", "expected"),
    [
        # No gap: as the calendar says, 26 days without a record included.
        ((9, 4), (), (4, 2)),
        # Gaps on days 1 to 3 and, of the 25 other days, 2 with a record: 2 * 28 / 25.
        ((9, 4), (1, 2, 3), (1, 2.24)),
        # A drive that reported on each whole day has a full history.
        (range(11, 29), range(1, 11), (1, 28)),
        # A record on a day that cannot tell who was away is the previous one, and no part of the share.
        ((2, 9), (1, 2, 3), (1, 1.12)),
        # A new drive after a gap is as new as ever.
        ((), (1, 2, 3), (None, 0)),
        # In a look-back that is all gap nobody knows.
        ((), range(1, 29), (None, None)),
    ],
)
def test_a_gap_of_the_table_is_none_of_the_drive(
    records: Sequence[int], gaps: Sequence[int], expected: tuple[float | None, float | None]
) -> None:
    # Another drive reports on every day that is no gap: these are the days that the table has.
    others = [{"entity": "ZA2", "ago": ago} for ago in range(29) if ago not in gaps]
    own = [{"ago": ago} for ago in (*records, 0)]
    missing = [DAY - timedelta(days=ago) for ago in gaps]
    frame = features_of_block(valid_rows([*own, *others]), DAY, CONFIG, [*missing, DAY - timedelta(days=99)])
    gap, history = frame.filter(entity="ZA1").select("gap_days", "history_days").row(0)
    assert (gap, history) == (expected[0], None if expected[1] is None else pytest.approx(expected[1]))


def test_how_long_a_drive_has_been_there_is_no_feature_where_the_config_says_so() -> None:
    history = series("smart_5_raw", {7: 4, 0: 15})
    config = FeatureConfig.model_validate({**CONFIG.model_dump(), "presence": False})
    frame = features_of_block(history, DAY, config)
    assert set(feature_names(CONFIG)) - set(feature_names(config)) == {"gap_days", "history_days"}
    assert frame.equals(features_of_block(history, DAY, CONFIG).drop("gap_days", "history_days"))


def test_a_young_table_has_no_gap_before_its_first_day() -> None:
    row = features_of(series("smart_5_raw", {3: 0, 2: 0, 1: 0, 0: 0}))
    assert (row["gap_days"], row["history_days"]) == (1, 3)


def test_an_attribute_that_a_row_or_a_whole_year_lacks_is_missing_and_never_filled_in():
    row = features_of(series("smart_5_raw", {1: 5, 0: None}))
    absent = features_of(series("smart_5_raw", {1: 5, 0: 5}).drop("smart_194_raw", "smart_9_raw"))
    assert row["smart_5_missing"] == 1
    assert row["smart_5_level"] is row["smart_5_growth_1d"] is None
    assert (absent["smart_194_missing"], absent["smart_9_missing"], absent["smart_5_missing"]) == (1, 1, 0)
    assert absent["smart_194_level"] is absent["smart_9_drift"] is absent["smart_5_per_1000_hours"] is None


@pytest.mark.parametrize(
    ("known", "lost"),
    [
        ({28: 5, 1: None, 0: None}, ["smart_5_raw"]),
        ({29: 5, 1: None, 0: None}, None),
        ({28: 5, 0: 5}, None),
        ({5: None, 0: None}, None),
        ({0: None}, None),
    ],
)
def test_an_attribute_that_was_reported_within_the_look_back_and_not_today_is_lost(known, lost):
    assert features_of(series("smart_5_raw", known))["lost_attributes"] == lost


def test_lost_attributes_are_those_of_the_drive_itself_also_where_the_whole_day_lacks_them():
    others = series("smart_5_raw", {1: None, 0: None}).with_columns(entity=pl.lit("ZA2"))
    history = pl.concat([series("smart_5_raw", {1: 3, 0: None}, smart_9_raw=10), others])
    lost = features_of_block(history, DAY, CONFIG).select("entity", "lost_attributes")
    assert lost.rows() == [("ZA1", ["smart_5_raw"]), ("ZA2", None)]
    gone = pl.concat([history.filter(pl.col("day") < DAY), history.filter(pl.col("day") == DAY).drop("smart_9_raw")],
                     how="diagonal")  # fmt: skip
    assert features_of_block(gone, DAY, CONFIG)["lost_attributes"].to_list() == [["smart_5_raw", "smart_9_raw"], None]


def test_an_attribute_that_appears_today_has_no_growth_yet():
    yesterday = series("smart_5_raw", {1: 5}).drop("smart_194_raw")
    history = pl.concat([yesterday, series("smart_194_raw", {0: 30})], how="diagonal")
    row = features_of(history)
    assert row["smart_194_level"] == 30
    assert row["smart_194_deviation"] is None


def test_a_saturated_counter_is_capped_where_the_config_says_so():
    config = FeatureConfig.model_validate(
        {"attributes": {"smart_5_raw": {"kind": "counter", "meaning": "bad sectors", "cap": 100}}}
    )
    row = features_of(series("smart_5_raw", {1: 50, 0: 65_535}), config)
    assert row["smart_5_level"] == pytest.approx(log1p(100))
    assert row["smart_5_growth_1d"] == pytest.approx(log1p(50))


def test_a_day_without_rows_gives_an_empty_frame_of_the_same_columns():
    empty = features_of_block(series("smart_5_raw", {1: 5}), DAY, CONFIG)
    assert empty.is_empty()
    assert empty.schema == features_of_block(series("smart_5_raw", {0: 5}), DAY, CONFIG).schema


def test_a_drive_with_two_rows_on_a_day_is_refused():
    twice = series("smart_5_raw", {1: 5, 0: 5})
    with pytest.raises(ContractError, match="two records of ZA1 2024-05-17"):
        features_of_block(pl.concat([twice, twice.tail(1)]), DAY, CONFIG)
    with pytest.raises(ContractError, match="two records of ZA1 2024-05-16"):
        features_of_block(pl.concat([twice, twice.head(1)]), DAY, CONFIG)


def test_an_attribute_that_is_text_is_refused_by_name():
    with pytest.raises(ContractError, match="'smart_5_raw' of the rows is String"):
        features_of_block(
            series("smart_5_raw", {0: 5}).with_columns(pl.col("smart_5_raw").cast(pl.String)), DAY, CONFIG
        )


VALUES = st.one_of(st.none(), st.integers(0, 2**48 - 1), st.integers(0, 100))


@st.composite
def histories(draw: st.DrawFn, first_ago: int = 0, last_ago: int = 35) -> pl.DataFrame:
    """Rows of a few drives on some days, in any order, at most one per drive and day."""
    keys = draw(
        st.lists(
            st.tuples(st.sampled_from(["ZA1", "ZA2", "ZA3", "ZA4"]), st.integers(first_ago, last_ago)),
            unique=True,
            max_size=40,
        )
    )
    return valid_rows(
        [{"entity": entity, "ago": ago, **{name: draw(VALUES) for name in CONFIG.attributes}} for entity, ago in keys]
    )


def sorted_features(history: pl.DataFrame) -> pl.DataFrame:
    return features_of_block(history, DAY, CONFIG).sort("entity")


@settings(deadline=None, max_examples=40)
@given(histories(), st.integers(0, 10**6))
def test_features_do_not_depend_on_the_order_of_rows(history, seed):
    shuffled = history.sample(fraction=1, shuffle=True, seed=seed)
    assert sorted_features(history).equals(sorted_features(shuffled))


@settings(deadline=None, max_examples=40)
@given(histories(), histories(first_ago=-5, last_ago=-1))
def test_no_feature_reads_a_later_day(history, later):
    assert sorted_features(history).equals(sorted_features(pl.concat([later, history])))


@settings(deadline=None, max_examples=40)
@given(histories())
def test_no_feature_reads_another_drive_or_a_day_before_the_look_back(history):
    near = history.filter(pl.col("entity") == "ZA1", pl.col("day") >= DAY - timedelta(days=CONFIG.look_back_days))
    alone = sorted_features(near)
    assert alone.equals(sorted_features(history).filter(pl.col("entity") == "ZA1"))


@settings(deadline=None, max_examples=40)
@given(histories())
def test_features_are_finite_or_unknown_and_one_row_per_drive_of_the_day(history):
    frame = features_of_block(history, DAY, CONFIG)
    assert frame["entity"].to_list() == sorted(history.filter(pl.col("day") == DAY)["entity"].to_list())
    values = frame.select(feature_names(CONFIG))
    assert values.select(pl.all().is_finite().fill_null(value=True).all()).row(0) == (True,) * values.width


@settings(deadline=None, max_examples=40)
@given(histories())
def test_growth_is_the_difference_to_the_earliest_known_value_of_the_span(history):
    frame = sorted_features(history)
    for span in CONFIG.spans:
        for entity, today, growth in frame.select("entity", "smart_5_level", f"smart_5_growth_{span.days}d").rows():
            known = history.filter(
                pl.col("entity") == entity,
                pl.col("day").is_between(DAY - span, DAY - timedelta(days=1)),
                pl.col("smart_5_raw").is_not_null(),
            ).sort("day")
            if today is None or known.is_empty():
                assert growth is None
                continue
            now = history.filter(pl.col("entity") == entity, pl.col("day") == DAY)["smart_5_raw"].item()
            change = now - known["smart_5_raw"][0]
            assert growth == pytest.approx((-1 if change < 0 else 1) * log1p(abs(change)), rel=1e-6)


def test_the_history_may_start_today():
    types = {name: dtype for name, dtype in TYPES.items() if name != "smart_1_raw"}
    assert features_of_block(pl.DataFrame(schema=types), date(2013, 4, 10), CONFIG).is_empty()


RANGED = FeatureConfig.model_validate(
    {
        "spans": ["1d"],
        "attributes": {
            "level": {"kind": "gauge", "meaning": "level", "transforms": ["excess"], "excess_of_means": ["45m"]},
        },
    }
)


def readings(values: Sequence[float | None], entity: str = "a") -> pl.DataFrame:
    """A record each 15 minutes, the last one at noon."""
    last = datetime(2024, 5, 17, 12, tzinfo=UTC)
    times = [last - timedelta(minutes=15) * ago for ago in range(len(values))][::-1]
    return pl.DataFrame(
        {"time": times, "level": values}, schema={"time": pl.Datetime("us", "UTC"), "level": pl.Float64}
    ).with_columns(
        entity=pl.lit(entity), cohort=pl.lit("all"), label=pl.lit(None, pl.Int8), day=pl.col("time").dt.date()
    )


def excess_of(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    frame = features_of_block(readings(values), DAY, RANGED, rhythm=Rhythm(DAILY, timedelta(minutes=15)))
    return frame.select("level_excess", "level_excess_45m").row(-1)


@pytest.mark.parametrize(
    ("now", "excess"), [(4.0, 0), (9.0, 0), (10.0, 0.1), (-6.0, 6 / 15), (18.0, 0.5), (None, None), (0.0, 0)]
)
def test_excess_is_the_share_of_the_range_that_lies_outside_of_the_past_of_the_entity(now, excess):
    value, of_mean = excess_of([*range(10), *range(10), now])
    assert value == (None if excess is None else pytest.approx(excess, abs=1e-6))
    assert (of_mean is None) == (now is None)


def test_a_shift_leaves_the_range_of_the_means_though_no_reading_leaves_that_of_the_readings():
    past = [0.0, 10.0] * 20
    # Means of four readings lay between 0, that of the first alone, and 7.5; that of the last four is 10.
    assert excess_of([*past, 10.0, 10.0, 10.0]) == (0, pytest.approx(0.25))


def test_the_range_of_too_few_values_is_unknown_and_one_of_equal_values_is_left_by_any_other():
    constant = [3.0] * LEAST_VALUES_OF_A_RANGE
    assert excess_of([*constant[1:], 4.0])[0] is None
    assert excess_of([*constant, 3.0])[0] == 0
    assert excess_of([*constant, 3.001])[0] == 1


def test_values_before_the_look_back_are_no_part_of_the_range():
    day = [1.0, 2.0] * 48
    assert excess_of([100.0, *day, 3.0])[0] == pytest.approx(0.5)
    assert excess_of([100.0, *day[1:], 3.0])[0] == 0


def ranges_of(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    config = FeatureConfig.model_validate(
        {
            "spans": ["45m", "2h"],
            "attributes": {"level": {"kind": "gauge", "meaning": "level", "transforms": ["range"]}},
        }
    )
    frame = features_of_block(readings(values), DAY, config, rhythm=Rhythm(DAILY, timedelta(minutes=15)))
    return frame.select("level_range_45m", "level_range_2h").row(-1)


@pytest.mark.parametrize(
    ("values", "of_45_minutes", "of_two_hours"),
    [
        ([9.0, 1.0, 2.0, 4.0, 3.5], 3, 8),
        ([9.0, 3.0, 3.0, 3.0, 3.0], SMALLEST_RANGE, 6),
        ([9.0, None, None, None, 3.0], None, 6),
        ([9.0, None, 5.0, None, 3.0], 2, 6),
        ([9.0, 3.0, 3.0, 3.0, None], None, None),
        ([99.0, 9.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0], 2, 8),
        ([9.0, 2.0, 1.0, 3.0], 8, None),
        ([2.0, 3.0], None, None),
        ([3.0], None, None),
    ],
)
def test_range_is_the_log_of_the_highest_less_the_lowest_value_of_each_span_half_of_which_is_known(
    values, of_45_minutes, of_two_hours
):
    expected = [None if one is None else pytest.approx(log(one), abs=1e-6) for one in (of_45_minutes, of_two_hours)]
    assert list(ranges_of(values)) == expected


def test_a_range_forgets_what_is_short_beside_its_span():
    assert ranges_of([5.0, 2.0, 2.0, 99.0, 2.0, 4.0, 2.0, 4.0, 2.0])[1] == pytest.approx(log(97))
    config = FeatureConfig.model_validate(
        {"spans": ["1d"], "attributes": {"level": {"kind": "gauge", "meaning": "level", "transforms": ["range"]}}}
    )
    day = [float(number % 5) for number in range(97)]
    for faults, extent in ((4, 4), (10, 99)):
        values = [*([99.0] * faults), *day[faults:]]
        frame = features_of_block(readings(values), DAY, config, rhythm=Rhythm(DAILY, timedelta(minutes=15)))
        row = frame.row(-1, named=True)
        assert row["level_range_1d"] == pytest.approx(log(extent), abs=1e-6)


@pytest.mark.bits
def test_excess_by_blocks_and_periods_is_that_of_the_whole_bit_for_bit():
    rng, rhythm = np.random.default_rng(3), Rhythm(DAILY, timedelta(minutes=15))
    walks = [readings(np.cumsum(rng.standard_normal(400)).tolist(), entity) for entity in "abc"]
    rows = pl.concat(walks).sample(fraction=0.9, shuffle=True, seed=1)
    first, last = rows["day"].min(), rows["day"].max()
    whole = features_of_block(rows, first, RANGED, last=last, rhythm=rhythm)
    assert whole["level_excess"].null_count() == 60
    assert (whole["level_excess_45m"] > 0).sum() > 30
    by_entity = [
        features_of_block(rows.filter(entity=entity), first, RANGED, last=last, rhythm=rhythm) for entity in "abc"
    ]
    assert pl.concat(by_entity).equals(whole)
    look_back, streamed = LookBack(RANGED, rhythm), []
    for day in rows["day"].unique().sort():
        look_back.push(rows.filter(day=day))
        streamed.append(features_of_block(look_back.history(day), day, RANGED, rhythm=rhythm))
    assert pl.concat(streamed).sort("entity", "time").equals(whole)


def test_the_calendar_says_when_a_record_was_taken_in_utc():
    config = FeatureConfig.model_validate(
        {
            "spans": ["1d"],
            "attributes": {"level": {"kind": "gauge", "meaning": "level"}},
            "calendar": ["hour", "minute", "weekday", "day", "month"],
        }
    )
    frame = features_of_block(readings([1.0, 2.0]), DAY, config, rhythm=Rhythm(DAILY, timedelta(minutes=15)))
    names = [name for name in frame.columns if name.startswith("calendar_")]
    assert names == [f"calendar_{part}" for part in config.calendar]
    assert frame.select(names).rows() == [(11, 45, 5, 17, 5), (12, 0, 5, 17, 5)]
    daily = FeatureConfig.model_validate({**CONFIG.model_dump(), "calendar": ["weekday", "hour"]})
    assert features_of(series("smart_5_raw", {0: 3}), daily)["calendar_weekday"] == 5
    assert not any(is_reading(name) for name in names)


STATION = FeatureConfig.model_validate(
    {
        "spans": ["1h", "6h"],
        "attributes": {
            "level": {
                "kind": "gauge",
                "meaning": "level",
                "transforms": ["level", "growth", "deviation", "excess", "range"],
                "excess_of_means": ["1h"],
            },
            "pulses": {"kind": "counter", "meaning": "pulses", "transforms": ["level", "growth"], "spans": ["45m"]},
            "flow": {
                "kind": "gauge",
                "meaning": "flow",
                "transforms": ["level", "magnitude", "active", "flatline", "growth", "excess", "range"],
                "fill_forward": "45m",
            },
        },
    }
)
NOON = datetime(2024, 5, 16, 12, tzinfo=UTC)


@st.composite
def series_of_stations(draw: st.DrawFn) -> pl.DataFrame:
    """Records of some stations on a grid of 15 minutes, with holes, over twelve hours around a midnight."""
    keys = draw(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 60)), unique=True, min_size=1, max_size=90))
    readings = st.one_of(st.none(), st.floats(-1e6, 1e6, allow_subnormal=False))
    return pl.DataFrame(
        [
            {
                "time": NOON + number * timedelta(minutes=15),
                "entity": entity,
                "cohort": "all",
                "label": None,
                "level": draw(readings),
                "pulses": draw(st.one_of(st.none(), st.integers(0, 10**6))),
                "flow": draw(st.sampled_from([None, 0.0, 0.0, -3.0])),
            }
            for entity, number in keys
        ],
        schema={
            "time": pl.Datetime("us", "UTC"),
            "entity": pl.String,
            "cohort": pl.String,
            "label": pl.Int8,
            "level": pl.Float64,
            "pulses": pl.Int64,
            "flow": pl.Float64,
        },
    )


def in_periods(records: pl.DataFrame, periods: Periods) -> pl.DataFrame:
    return records.select(periods.of_times(pl.col("time")).alias("day"), pl.all())


def all_features(records: pl.DataFrame, periods: Periods) -> pl.DataFrame:
    rows, rhythm = in_periods(records, periods), Rhythm(periods, timedelta(minutes=15))
    first, last = rows["day"].min(), rows["day"].max()
    return features_of_block(rows, first, STATION, last=last, rhythm=rhythm)


@settings(deadline=None, max_examples=40)
@given(series_of_stations(), st.sampled_from(list(PERIODS.values())))
def test_each_of_several_records_of_a_period_is_described_from_its_own_past(
    records: pl.DataFrame, periods: Periods
) -> None:
    frame = all_features(records, periods)
    assert frame.select("entity", "time").rows() == records.select("entity", "time").sort("entity", "time").rows()
    for row in frame.iter_rows(named=True):
        own = records.filter(pl.col("entity") == row["entity"], pl.col("time") < row["time"]).sort("time")
        now = records.row(
            by_predicate=(pl.col("entity") == row["entity"]) & (pl.col("time") == row["time"]), named=True
        )
        for name, column, hours in (("level", "level", 1), ("level", "level", 6), ("pulses", "pulses", 0.75)):
            span = timedelta(hours=hours)
            known = own.filter(pl.col("time") >= row["time"] - span, pl.col(column).is_not_null())[column]
            expected = None
            if now[column] is not None and len(known):
                change = now[column] - known[0]
                expected = (-1 if change < 0 else 1) * log1p(abs(change))
            found = row[f"{name}_growth_{written(span)}"]
            assert found == (None if expected is None else pytest.approx(expected, rel=1e-6))
        before = own.filter(pl.col("flow").is_not_null())
        close = before.filter(pl.col("time") >= row["time"] - timedelta(minutes=45))["flow"]
        flow = close[-1] if now["flow"] is None and len(close) else now["flow"]
        assert row["flow_level"] == flow
        assert row["flow_missing"] == (now["flow"] is None)
        assert row["flow_active"] == (None if flow is None else flow != 0)
        assert row["flow_magnitude"] == (None if flow is None else pytest.approx(log1p(3) / 3 * flow))
        past = before.filter(pl.col("time") >= row["time"] - timedelta(hours=6))["flow"].to_list()
        unchanged = len(list(takewhile(partial(eq, flow), reversed(past))))
        assert row["flow_flatline"] == (None if flow is None else pytest.approx(log1p(unchanged)))
        recent = own.filter(pl.col("time") >= row["time"] - timedelta(hours=6))
        mean = recent["level"].mean()
        expected = None if mean is None or now["level"] is None else now["level"] - mean
        assert row["level_deviation"] == (None if expected is None else pytest.approx(expected, rel=1e-6, abs=1e-6))
        assert row["history_days"] == pytest.approx(recent.height / 96)
        gap = None if recent.is_empty() else (row["time"] - recent["time"][-1]) / timedelta(days=1)
        assert row["gap_days"] == (None if gap is None else pytest.approx(gap))
        assert row["seen_days"] == (1 if recent.height else None)


@settings(deadline=None, max_examples=40)
@given(series_of_stations(), st.sampled_from(list(PERIODS.values())), st.integers(1, 3))
@pytest.mark.bits
def test_blocks_of_some_entities_or_periods_give_what_the_whole_gives_bit_for_bit(
    records: pl.DataFrame, periods: Periods, blocks: int
) -> None:
    whole, rhythm = all_features(records, periods), Rhythm(periods, timedelta(minutes=15))
    by_entity = [
        all_features(part, periods)
        for number in range(blocks)
        if (part := records.filter(pl.col("entity").hash(seed=1) % blocks == number)).height
    ]
    assert pl.concat(by_entity).sort("entity", "time").equals(whole)
    rows = in_periods(records, periods)
    by_period = [
        features_of_block(rows.sample(fraction=1, shuffle=True, seed=1), period, STATION, rhythm=rhythm)
        for period in rows["day"].unique().sort()
    ]
    assert pl.concat(by_period).sort("entity", "time").equals(whole)
    # One period after the other, from what a run holds in memory.
    look_back, streamed = LookBack(STATION, rhythm), []
    for period in rows["day"].unique().sort():
        look_back.push(rows.filter(pl.col("day") == period))
        streamed.append(features_of_block(look_back.history(period), period, STATION, rhythm=rhythm))
    assert pl.concat(streamed).sort("entity", "time").equals(whole)


def test_a_value_may_stand_in_no_longer_than_rows_are_read_back() -> None:
    level = {"kind": "gauge", "meaning": "level", "fill_forward": "3h"}
    with pytest.raises(ValueError, match="fill_forward"):
        FeatureConfig.model_validate({"spans": ["2h"], "attributes": {"level": level}})


def test_a_value_that_stands_in_is_not_lost_and_those_of_the_past_are_as_they_were_reported() -> None:
    config = FeatureConfig.model_validate(
        {"spans": ["1h"], "attributes": {"level": {**STATION.attributes["flow"].model_dump(), "spans": None}}}
    )
    rhythm = Rhythm(DAILY, timedelta(minutes=15))
    frame = features_of_block(readings([5.0, 2.0, None, None, None, None]), DAY, config, rhythm=rhythm)
    assert frame["level_level"].to_list() == [5, 2, 2, 2, 2, None]
    assert frame["lost_attributes"].to_list() == [None, None, None, None, None, ["level"]]
    # 75 minutes after the 5 the first value of the hour is the 2 itself.
    assert frame["level_growth_1h"].to_list() == pytest.approx([None, *[-log1p(3)] * 3, -log1p(3), None])
    assert frame["level_range_1h"].to_list()[2:] == [None] * 4


def test_a_week_with_one_record_of_each_device_counts_in_weeks() -> None:
    config = FeatureConfig.model_validate(
        {"spans": [7, 28], "attributes": {"level": {"kind": "gauge", "meaning": "level", "transforms": ["growth"]}}}
    )
    monday = date(2024, 5, 6)
    weeks = [{"day": monday + timedelta(weeks=number), "entity": "a", "level": 2.0**number} for number in (0, 1, 3)]
    rows = pl.DataFrame(weeks).with_columns(cohort=pl.lit("all"), label=pl.lit(None, pl.Int8))
    last = monday + timedelta(weeks=3)
    row = features_of_block(rows, last, config, [monday + timedelta(weeks=2)], rhythm=Rhythm(WEEKLY)).row(0, named=True)
    assert row["level_growth_7d"] is None
    assert row["level_growth_28d"] == pytest.approx(log1p(7))
    # The week that the table lacks is no gap of the device: its previous record is of the last week that there was.
    assert (row["gap_days"], row["history_days"], row["seen_days"]) == (7, pytest.approx(21), 21)
