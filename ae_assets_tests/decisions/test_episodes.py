"""Episodes: when one opens and closes, that they never overlap, and that a day continues what the table holds."""

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ae_assets.decisions.config import EpisodeConfig
from ae_assets.decisions.episodes import ABSENT, STATE_COLUMNS, Episodes, first_continued, is_clear
from ae_assets.errors import ContractError
from ae_assets.schemas.durations import DAY
from ae_assets.schemas.periods import DAILY, HOURLY, Periods
from ae_assets.schemas.records import TIME_TYPE
from ae_assets_tests.decisions.histories import QUICK, day, histories, scores_of

CUT = 1.0
ABSENT_DAYS = ABSENT // DAY
DEFAULT = EpisodeConfig()
SLOW = EpisodeConfig(clear_below=0.5, clear_after_days=2)

CONFIGS = st.builds(
    lambda alarms, more, **others: EpisodeConfig(alarms=alarms, within_days=alarms + more, **others),
    alarms=st.integers(1, 3),
    more=st.integers(0, 10),
    clear_below=st.sampled_from([0.05, 0.5, 1.0]),
    clear_after_days=st.integers(1, 4),
)


def judged(scores: pl.DataFrame, config: EpisodeConfig) -> pl.DataFrame:
    return scores.with_columns(
        is_anomaly=pl.col("score") > CUT, threshold=pl.lit(CUT), severity=1 / (1 + pl.col("score"))
    ).with_columns(is_clear=is_clear(config, CUT))


def followed(
    scores: pl.DataFrame, config: EpisodeConfig, past: pl.DataFrame | None = None, gaps: Collection[date] = ()
) -> pl.DataFrame:
    """The episodes of a range, pushed day by day."""
    episodes = Episodes(config, past, gaps)
    days = judged(scores, config).sort("day", maintain_order=True).partition_by("day", maintain_order=True)
    return pl.concat([episodes.push(rows["day"][0], rows) for rows in days])


def of_one(values: Mapping[int, float | None], config: EpisodeConfig) -> list[str]:
    """The states of one entity with the given scores, by number of the day."""
    return followed(scores_of({(number, "A"): score for number, score in values.items()}), config)["episode"].to_list()


@QUICK
@given(histories(), CONFIGS)
def test_an_episode_opens_once_stays_open_and_closes_after_it_opened(
    scores: pl.DataFrame, config: EpisodeConfig
) -> None:
    for (_,), rows in followed(scores, config).sort("day").group_by("entity"):
        open_since: date | None = None
        last = date.min
        for row in rows.iter_rows(named=True):
            if row["day"] - last > timedelta(days=ABSENT_DAYS) and last != date.min:
                open_since = None
            last = row["day"]
            match row["episode"]:
                case "opened":
                    assert open_since is None
                    assert row["is_anomaly"]
                    assert row["score"] is not None
                    open_since = row["day"]
                    assert row["episode_start"] == open_since
                case "open" | "closed":
                    assert open_since is not None
                    assert row["episode_start"] == open_since < row["day"]
                    if row["episode"] == "closed":
                        assert row["score"] is not None
                        open_since = None
                case "none":
                    assert open_since is None
                    assert row["episode_start"] is None
            assert row["is_new"] == (row["episode"] == "opened")


@QUICK
@given(histories(), CONFIGS)
def test_episodes_of_an_entity_are_disjoint(scores: pl.DataFrame, config: EpisodeConfig) -> None:
    rows = followed(scores, config).filter(pl.col("episode_start").is_not_null())
    spans = rows.group_by("entity", "episode_start").agg(pl.col("day").max(), opened=pl.col("is_new").sum())
    assert spans["opened"].to_list() == [1] * spans.height
    for (_,), of_entity in spans.sort("episode_start").group_by("entity", maintain_order=True):
        for before, after in pairwise(of_entity.iter_rows(named=True)):
            assert before["day"] < after["episode_start"]


@QUICK
@given(histories())
def test_by_default_an_episode_is_a_run_of_alarms(scores: pl.DataFrame) -> None:
    for (_,), rows in followed(scores, DEFAULT).sort("day").group_by("entity"):
        streak, last = 0, date.min
        for row in rows.iter_rows(named=True):
            streak = 0 if row["day"] - timedelta(days=ABSENT_DAYS) > last else streak
            last = row["day"]
            if row["is_anomaly"] is None:
                assert (row["is_new"], row["streak_days"]) == (False, streak)
                assert row["episode"] == ("open" if streak else "none")
                continue
            assert row["is_new"] == (row["is_anomaly"] and streak == 0)
            assert (row["episode"] == "closed") == (not row["is_anomaly"] and streak > 0)
            streak = streak + 1 if row["is_anomaly"] else 0
            assert row["streak_days"] == streak
            assert (row["episode"] in {"opened", "open"}) == row["is_anomaly"]


@QUICK
@given(histories(), CONFIGS)
def test_more_hysteresis_never_asks_for_more_tickets(scores: pl.DataFrame, config: EpisodeConfig) -> None:
    with_memory = followed(scores, config)
    assert with_memory["is_new"].sum() <= followed(scores, DEFAULT)["is_new"].sum()
    assert with_memory["is_anomaly"].equals((with_memory["score"] > CUT).alias("is_anomaly"), null_equal=True)


@QUICK
@given(histories(days=ABSENT_DAYS), CONFIGS)
def test_a_record_that_is_not_judged_changes_nothing_on_the_days_after_it(
    scores: pl.DataFrame, config: EpisodeConfig
) -> None:
    without = scores.drop_nulls("score")
    seen = followed(scores, config).drop_nulls("score")
    assert_frame_equal(seen, followed(without, config) if without.height else seen)


def test_an_unknown_record_leaves_the_episode_the_streak_and_the_clear_days_as_they_are() -> None:
    known = {0: 2.0, 1: 2.0, 2: None, 3: 2.0, 4: 0.1, 5: None, 6: 0.1, 7: None}
    rows = followed(scores_of({(number, "A"): score for number, score in known.items()}), SLOW)
    assert rows["episode"].to_list() == ["opened", "open", "open", "open", "open", "open", "closed", "none"]
    assert rows["streak_days"].to_list() == [1, 2, 2, 3, 0, 0, 0, 0]
    assert rows["clear_days"].to_list() == [0, 0, 0, 0, 1, 1, 2, 0]
    assert rows["is_new"].sum() == 1
    assert rows["episode_start"].to_list() == [day(0)] * 7 + [None]


def test_a_record_that_is_neither_an_alarm_nor_known_to_be_clear_closes_nothing() -> None:
    days = judged(scores_of({(0, "A"): 2.0, (1, "A"): 0.1, (2, "A"): 0.1}), DEFAULT)
    partly_known = days.with_columns(is_clear=pl.when(pl.col("day") != day(1)).then("is_clear"))
    episodes = Episodes(DEFAULT)
    rows = pl.concat([episodes.push(of_day["day"][0], of_day) for of_day in partly_known.partition_by("day")])
    assert rows["episode"].to_list() == ["opened", "open", "closed"]
    assert rows["streak_days"].to_list() == [1, 0, 0]


def test_an_entity_that_is_not_judged_for_longer_than_a_week_keeps_its_episode_as_it_is_not_away() -> None:
    unknown: dict[int, float | None] = dict.fromkeys(range(1, ABSENT_DAYS + 5))
    states = of_one({0: 2.0, **unknown, ABSENT_DAYS + 5: 2.0}, DEFAULT)
    assert states == ["opened"] + ["open"] * (ABSENT_DAYS + 5)


@QUICK
@given(histories(), CONFIGS)
def test_a_day_that_continues_the_stored_rows_equals_the_day_inside_a_range(
    scores: pl.DataFrame, config: EpisodeConfig
) -> None:
    in_range = followed(scores, config)
    for today in in_range["day"].unique():
        stored = in_range.filter(pl.col("day").is_between(first_continued(config, today), today - timedelta(days=1)))
        alone = followed(scores.filter(day=today), config, stored.sort("entity"))
        assert_frame_equal(alone, in_range.filter(day=today))


def test_alarms_count_over_their_days_although_the_drive_was_calm_or_away_in_between() -> None:
    config = EpisodeConfig(alarms=2, within_days=12)
    scores = scores_of({(0, "A"): 2.0, (8, "A"): 0.1, (11, "A"): 2.0, (0, "B"): 2.0, (11, "B"): 2.0})
    in_range = followed(scores, config)
    assert in_range.filter(day=day(11))["episode"].to_list() == ["opened", "opened"]
    stored = in_range.filter(pl.col("day").is_between(first_continued(config, day(11)), day(10)))
    assert_frame_equal(followed(scores.filter(day=day(11)), config, stored), in_range.filter(day=day(11)))


@pytest.mark.parametrize(("clear_below", "clear"), [(1.0, [False, True, True]), (0.5, [False, False, True])])
def test_a_day_that_raises_its_cut_clears_no_entity_over_the_fitted_one(clear_below: float, clear: list[bool]) -> None:
    busy = pl.DataFrame({"score": [1.2, 0.9, 0.4], "threshold": 3.0, "is_anomaly": False, "severity": 0.1})
    config = EpisodeConfig(clear_below=clear_below)
    assert busy.select(is_clear(config, 1.0)).to_series().to_list() == clear
    lowered = busy.with_columns(threshold=pl.lit(0.3))
    assert lowered.select(is_clear(config, 1.0)).to_series().to_list() == [False, False, False]


def test_a_flapping_score_asks_for_one_ticket() -> None:
    flapping = dict(enumerate([0.0, 1.5, 0.9, 1.5, 0.9, 1.5, 0.4, 0.9, 0.4, 0.4, 0.0, 1.5]))
    assert of_one(flapping, DEFAULT).count("opened") == 4
    assert of_one(flapping, SLOW) == [
        "none", "opened", "open", "open", "open", "open", "open", "open", "open", "closed", "none", "opened"
    ]  # fmt: skip


def test_a_day_that_is_not_clear_starts_the_count_of_clear_days_again() -> None:
    rows = followed(scores_of({(n, "A"): s for n, s in enumerate([2.0, 0.2, 0.8, 0.2, 0.2, 0.2])}), SLOW)
    assert rows["clear_days"].to_list() == [0, 1, 0, 1, 2, 0]
    assert rows["episode"].to_list() == ["opened", "open", "open", "open", "closed", "none"]


def test_clear_days_are_days_with_a_record() -> None:
    assert of_one({0: 2.0, 1: 0.1, 4: 0.1, 5: 0.1}, SLOW) == ["opened", "open", "closed", "none"]


def test_an_episode_may_want_several_alarms_within_some_calendar_days() -> None:
    config = EpisodeConfig(alarms=2, within_days=4)
    assert of_one({0: 2.0, 1: 0.0, 4: 2.0, 7: 2.0}, config) == ["none", "none", "none", "opened"]
    assert of_one({0: 2.0, 1: 0.0, 3: 2.0, 4: 2.0, 5: 0.0}, config) == ["none", "none", "opened", "open", "closed"]


def test_an_entity_may_clear_by_its_tail_probability() -> None:
    config = EpisodeConfig(clear_severity=0.6)
    rows = followed(scores_of({(0, "A"): 3.0, (1, "A"): 0.9, (2, "A"): 0.5}), config)
    assert rows["severity"].to_list() == pytest.approx([0.25, 0.526, 0.667], abs=0.001)
    assert rows["episode"].to_list() == ["opened", "open", "closed"]


def test_a_cut_of_zero_can_still_be_cleared() -> None:
    rows = pl.DataFrame({"score": [0.0, 0.1], "threshold": [0.0, 0.0], "severity": [1.0, 0.5]})
    cleared = rows.with_columns(is_anomaly=pl.col("score") > 0).select(is_clear(SLOW, 0.0))
    assert cleared.to_series().to_list() == [True, False]


def test_an_entity_that_was_away_for_longer_than_a_week_begins_anew() -> None:
    back_in_time, too_late = ABSENT_DAYS, ABSENT_DAYS + 1
    assert of_one({0: 2.0, back_in_time: 2.0}, SLOW) == ["opened", "open"]
    assert of_one({0: 2.0, too_late: 2.0}, SLOW) == ["opened", "opened"]
    assert of_one({0: 2.0, too_late: 0.1}, SLOW) == ["opened", "none"]


def test_nobody_was_away_while_the_table_could_not_tell() -> None:
    silence = [day(number) for number in range(1, 40)]
    scores = scores_of({(0, "A"): 2.0, (40, "A"): 2.0, (0, "B"): 2.0, (3, "B"): 2.0, (40, "B"): 0.1})
    by_calendar = followed(scores, DEFAULT).sort("entity", "day")
    assert by_calendar["episode"].to_list() == ["opened", "opened", "opened", "open", "none"]
    rows = followed(scores, DEFAULT, gaps=silence).sort("entity", "day")
    assert rows["episode"].to_list() == ["opened", "open", "opened", "open", "closed"]
    assert rows["streak_days"].to_list() == [1, 2, 1, 2, 0]
    # Days after the silence count: one of them less than an absence.
    later = scores_of({(0, "A"): 2.0, (40 + ABSENT_DAYS - 1, "A"): 2.0, (0, "B"): 2.0, (40 + ABSENT_DAYS, "B"): 2.0})
    assert followed(later, DEFAULT, gaps=silence).sort("entity", "day")["is_new"].to_list() == [True, False, True, True]


@QUICK
@given(histories(), CONFIGS, st.sets(st.integers(0, 24)))
def test_a_day_is_continued_over_gaps_as_in_a_range(
    scores: pl.DataFrame, config: EpisodeConfig, silent: set[int]
) -> None:
    gaps = [day(number) for number in silent]
    in_range = followed(scores, config, gaps=gaps)
    for today in in_range["day"].unique():
        first = first_continued(config, today, gaps)
        stored = in_range.filter(pl.col("day").is_between(first, today - timedelta(days=1)))
        alone = followed(scores.filter(day=today), config, stored, gaps)
        assert_frame_equal(alone, in_range.filter(day=today))


def test_rows_from_before_there_were_episodes_are_continued() -> None:
    stored = pl.DataFrame(
        {
            "day": [day(4), day(4)],
            "entity": ["A", "B"],
            "is_anomaly": [True, False],
            "streak_days": [3, 0],
            "episode": [None, None],
            "episode_start": [None, None],
            "clear_days": [None, None],
        },
        schema={"day": pl.Date, "entity": pl.String, "is_anomaly": pl.Boolean, "streak_days": pl.Int32,
                "episode": pl.String, "episode_start": pl.Date, "clear_days": pl.Int32},
    )  # fmt: skip
    assert set(stored.columns) == {"day", "entity", *STATE_COLUMNS}
    rows = followed(scores_of({(5, "A"): 2.0, (5, "B"): 2.0}), DEFAULT, stored)
    assert rows["episode"].to_list() == ["open", "opened"]
    assert rows["episode_start"].to_list() == [day(2), day(5)]
    assert rows["streak_days"].to_list() == [4, 1]


def test_memory_holds_one_record_of_each_entity_and_the_alarms_that_may_count() -> None:
    episodes = Episodes(EpisodeConfig(alarms=2, within_days=5))
    for number in range(60):
        rows = scores_of({(number, f"D{number}"): 2.0, (number, "A"): 2.0})
        episodes.push(day(number), judged(rows, DEFAULT))
    assert len(episodes._courses) <= ABSENT_DAYS + 2
    assert sum(map(len, episodes._alarms.values())) <= 2 * 5


QUARTER = timedelta(minutes=15)
INSTANTS = Periods("hourly", QUARTER, "instant", TIME_TYPE)
"""Each record a period of its own."""

TIMED_CONFIGS = st.builds(
    EpisodeConfig,
    alarms=st.integers(1, 4),
    within=st.integers(1, 30).map(lambda quarters: quarters * QUARTER),
    clear_below=st.sampled_from([0.05, 0.5, 1.0]),
    clear_after=st.integers(1, 4),
)


@st.composite
def records(draw: st.DrawFn) -> pl.DataFrame:
    """Scores of three entities, quarters of hours apart, around midnight; some records are missing or not judged."""
    keys = st.tuples(st.integers(0, 40), st.sampled_from("ABC"))
    values = st.sampled_from([0.0, 0.1, 0.9, 2.0, 3.0, None])
    found = draw(st.dictionaries(keys, values, min_size=1, max_size=100))
    start = datetime(2024, 1, 1, 20, tzinfo=UTC)
    frame = pl.DataFrame(
        {
            "time": [start + place * QUARTER for place, _ in found],
            "entity": [entity for _, entity in found],
            "score": list(found.values()),
        },
        schema={"time": TIME_TYPE, "entity": pl.String, "score": pl.Float64},
    )
    return frame.sample(fraction=1, shuffle=True, seed=draw(st.integers(0, 9)))


def in_periods(scores: pl.DataFrame, config: EpisodeConfig, periods: Periods) -> pl.DataFrame:
    """The episodes of records, pushed by such periods."""
    episodes = Episodes(config, periods=periods)
    dated = judged(scores, config).with_columns(day=periods.of_times(pl.col("time"))).sort("day", maintain_order=True)
    pushed = [episodes.push(rows["day"][0], rows) for rows in dated.partition_by("day", maintain_order=True)]
    return pl.concat(pushed).drop("day").sort("entity", "time")


@QUICK
@given(records(), TIMED_CONFIGS)
def test_records_of_a_day_or_of_an_hour_at_once_are_what_they_are_one_by_one(
    scores: pl.DataFrame, config: EpisodeConfig
) -> None:
    episodes = Episodes(config, periods=INSTANTS)
    one_by_one = []
    for (at,), rows in judged(scores, config).sort("time").group_by("time", maintain_order=True):
        one_by_one.append(episodes.push(at, rows.drop("time")).with_columns(time=pl.lit(at, TIME_TYPE)))
    expected = pl.concat(one_by_one).sort("entity", "time")
    for periods in (DAILY, HOURLY):
        assert_frame_equal(in_periods(scores, config, periods), expected, check_column_order=False)


@QUICK
@given(records(), TIMED_CONFIGS)
def test_a_day_of_records_continues_the_stored_ones(scores: pl.DataFrame, config: EpisodeConfig) -> None:
    in_range = in_periods(scores, config, DAILY).with_columns(day=pl.col("time").dt.date())
    today = in_range["day"].max()
    stored = in_range.filter(pl.col("day") < today)
    of_today = judged(scores, config).filter(pl.col("time").dt.date() == today)
    alone = Episodes(config, stored.sample(fraction=1, shuffle=True, seed=1)).push(today, of_today)
    expected = in_range.filter(pl.col("day") == today).drop("day")
    assert_frame_equal(alone.sort("entity", "time"), expected, check_column_order=False)


def test_an_episode_of_records_begins_at_a_time_and_clears_after_so_many_of_them() -> None:
    config = EpisodeConfig(alarms=2, within="30m", clear_after=2)
    values = [2.0, 0.1, 2.0, 2.0, 0.1, 2.0, 0.1, 0.1, 0.1]
    start = datetime(2024, 1, 1, 23, tzinfo=UTC)
    frame = pl.DataFrame({"time": [start + place * QUARTER for place in range(9)], "entity": "A", "score": values},
                         schema={"time": TIME_TYPE, "entity": pl.String, "score": pl.Float64})  # fmt: skip
    rows = in_periods(frame, config, DAILY)
    assert rows["episode"].to_list() == ["none"] * 3 + ["opened", "open", "open", "open", "closed", "none"]
    assert rows["episode_start"].to_list() == [None] * 3 + [start + 3 * QUARTER] * 5 + [None]
    assert rows["streak_days"].to_list() == [1, 0, 1, 2, 0, 1, 0, 0, 0]
    assert rows["clear_days"].to_list() == [0, 0, 0, 0, 1, 0, 1, 2, 0]


def test_days_that_do_not_rise_are_refused() -> None:
    stored = followed(scores_of({(4, "A"): 2.0}), DEFAULT)
    episodes = Episodes(DEFAULT, stored)
    with pytest.raises(ContractError, match="2024-01-05 were pushed after those of 2024-01-05"):
        episodes.push(day(4), judged(scores_of({(4, "A"): 2.0}), DEFAULT))
