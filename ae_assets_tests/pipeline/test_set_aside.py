"""Rows that were set aside: what is said of them, and days of which too many were."""

import polars as pl
import pytest

from ae_assets.chain.set_aside import BrokenRule, GoneCohort, broken_rules, gone_cohorts
from ae_assets.chain.volume import days_left_out
from ae_assets.chain.workspace import DAILY, DAILY_INPUT
from ae_assets.features.volume import are_many
from ae_assets.model.definition import WatchedTable
from ae_assets_tests.chain.tables import write_day
from ae_assets_tests.pipeline.runs import check_of, failure_of, materialise
from ae_assets_tests.pipeline.short_fleet import ALSO_GOOD, BAD, GOOD, ShortFleet, materialised


def test_rules_are_named_by_their_rows_with_the_first_value_that_broke_them() -> None:
    quarantine = pl.DataFrame(
        {
            "rule": ["hours", "dates", "dates"],
            "column": ["smart_9_raw", "date", "date"],
            "value": ["-4", None, "2013-04-11"],
            "reason": ["no hours", "no such day", "no such day"],
        }
    )
    rules = broken_rules(quarantine)
    assert rules == (
        BrokenRule("dates", 2, "date", None, "no such day"),
        BrokenRule("hours", 1, "smart_9_raw", "-4", "no hours"),
    )
    assert [rule.in_words for rule in rules] == ["2 by dates (date empty)", "1 by hours (smart_9_raw '-4')"]
    assert broken_rules(quarantine.clear()) == ()


def test_what_is_quoted_of_a_file_is_short_and_printable() -> None:
    garbled = "a\x1b[31m" + "x" * 5_000
    for words in (BrokenRule("r", 1, "model", garbled, "").in_words, GoneCohort(garbled, 2, set_aside=True).in_words):
        assert words.isprintable()
        assert len(words) < 1_200


def test_a_cohort_is_gone_that_is_in_the_file_or_was_there_before_and_has_no_features() -> None:
    gone = gone_cohorts({"A": 3, "B": 9}, {"A": 2}, {"A": 3, "B": 9, "C": 20})
    assert gone == (GoneCohort("C", 20, set_aside=False), GoneCohort("B", 9, set_aside=True))
    assert gone_cohorts({"A": 1}, {"A": 1}, {}) == ()


@pytest.mark.parametrize(
    ("set_aside", "rows", "many"), [(0, 0, False), (1, 1, True), (1, 2, False), (2, 40, False), (2, 39, True)]
)
def test_so_many_rows_are_many(set_aside: int, rows: int, many: bool) -> None:
    assert are_many(set_aside, rows, 0.05) is many


def of_another_day(fleet: ShortFleet, rows: int) -> None:
    """The bad day's file with so many of its eight rows dated as the day after."""
    fleet.write(BAD, date=[ALSO_GOOD] * rows + [BAD] * (8 - rows))


@pytest.mark.parametrize("rows", [8, 2])
def test_a_day_with_many_rows_set_aside_is_not_scored_and_keeps_no_anomalies(
    short_fleet: ShortFleet, rows: int
) -> None:
    assert short_fleet.run(DAILY, GOOD, ALSO_GOOD).success
    of_another_day(short_fleet, rows)
    result = short_fleet.run(DAILY, GOOD, ALSO_GOOD)
    assert not result.success
    assert materialised(result)["features"] == (GOOD, BAD, ALSO_GOOD)
    assert materialised(result)["anomalies"] == (GOOD, ALSO_GOOD)
    check = check_of(result, "features", "rows_set_aside_are_few")
    assert not check.passed
    assert check.metadata["failed_days"].value == [str(BAD)]
    assert check.metadata["rows_set_aside"].value == rows
    reason = check.metadata["reasons"].value[str(BAD)]  # type: ignore[index]
    assert f"{rows} of 8 rows ({rows / 8:.1%}) are set aside" in reason
    assert f"{rows} by date_is_the_partition_day (date '{ALSO_GOOD}')" in reason
    assert check_of(result, "features", "cohorts_are_there").passed
    assert f"{BAD} at features: rows_set_aside_are_few: {rows} of 8 rows" in failure_of(result)
    space = short_fleet.space
    assert (space.days_of("features").get(BAD, 0), space.days_of("quarantine")[BAD]) == (8 - rows, rows)
    assert BAD not in space.days_of("anomalies"), "those that were there rest on other rows"
    assert check_of(result, "features", "rows_are_conserved").passed
    assert days_left_out(space) == {BAD}, "nor is anything learned from it"


def test_a_day_whose_dates_could_be_of_two_days_is_held_back_and_says_how_to_write_them(
    short_fleet: ShortFleet,
) -> None:
    assert short_fleet.run(DAILY, GOOD, ALSO_GOOD).success
    short_fleet.write(BAD, date=[f"{BAD:%m/%d/%y}"] * 8)
    result = short_fleet.run(DAILY, GOOD, ALSO_GOOD)
    check = check_of(result, "features", "rows_set_aside_are_few")
    reason = check.metadata["reasons"].value[str(BAD)]  # type: ignore[index]
    assert f"8 of 8 rows (100.0%) are set aside, 8 by date_is_certain (date '{BAD:%m/%d/%y}')" in reason
    assert "write all dates of the file as YYYY-MM-DD and load the day again" in reason
    space = short_fleet.space
    assert (space.days_of("raw")[BAD], space.days_of("quarantine")[BAD]) == (8, 8)
    assert [BAD in space.days_of(asset) for asset in ("features", "anomalies")] == [False, False]


def test_a_single_row_holds_nothing_back(short_fleet: ShortFleet) -> None:
    of_another_day(short_fleet, 1)
    result = short_fleet.run(DAILY, GOOD, ALSO_GOOD)
    assert result.success, failure_of(result)
    verdict = check_of(result, "features", "rows_set_aside_are_few")
    assert verdict.passed
    assert "1 of 24 rows are set aside; on 2013-04-17 1 of 8 rows (12.5%)" in (verdict.description or "")
    assert short_fleet.space.days_of("anomalies")[BAD] == 7


def test_the_yaml_says_how_many_rows_may_be_set_aside(short_fleet: ShortFleet) -> None:
    of_another_day(short_fleet, 4)

    def run(table: WatchedTable) -> bool:
        return materialise(table, short_fleet.home, DAILY_INPUT, (BAD, BAD), None, short_fleet.instance).success

    checks = short_fleet.table.checks
    with_limit = [
        short_fleet.table.model_copy(update={"checks": checks.model_copy(update={"max_share_set_aside": share})})
        for share in (0.49, 0.5)
    ]
    assert [run(table) for table in with_limit] == [False, True]


def test_a_cohort_that_no_row_is_left_of_is_named_but_a_small_one_is_not_missed(short_fleet: ShortFleet) -> None:
    drives = [(f"D{number}", 0, 0) for number in range(26)]
    models = {GOOD: ["M1"] * 8 + ["M2"] * 6 + ["M3"] * 4 + ["M1"] * 8}
    models[BAD] = [model if model == "M1" else "M9" for model in models[GOOD]]
    for day in (GOOD, BAD):
        write_day(short_fleet.source, day, drives, model=models[day])
    result = short_fleet.run(DAILY_INPUT, GOOD, BAD)
    assert result.success, failure_of(result)
    check = check_of(result, "features", "cohorts_are_there")
    assert not check.passed
    assert (check.metadata["failed_days"].value, check.metadata["cohorts"].value) == ([str(BAD)], ["M2"])
    assert "M2 (6 devices the day before)" in (check.description or "")


def test_a_cohort_whose_rows_are_all_set_aside_is_named_though_they_are_few_of_the_day(
    short_fleet: ShortFleet,
) -> None:
    drives = [(f"D{number}", 0, 0) for number in range(200)]
    write_day(
        short_fleet.source,
        BAD,
        drives,
        model=["M2"] * 5 + ["M1"] * 195,
        smart_9_raw=[2_000_000] * 5 + [1000] * 195,
    )
    result = short_fleet.run(DAILY, BAD, BAD)
    assert result.success, failure_of(result)
    check = check_of(result, "features", "cohorts_are_there")
    assert not check.passed
    assert "M2 (all 5 rows set aside)" in (check.description or "")
    assert check_of(result, "features", "rows_set_aside_are_few").passed
    assert short_fleet.space.days_of("anomalies")[BAD] == 195
