"""The mute list: what a file may say, what is wrong with a malformed one, and which rows it marks."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ae_assets.decisions.mutes import Mute, expired_mutes, read_mutes, unknown_mutes, with_mutes
from ae_assets.errors import ConfigError
from ae_assets_tests.decisions.histories import QUICK

TODAY = date(2024, 5, 17)
ROWS = pl.DataFrame(
    {
        "entity": ["ZA1", "ZA2", "ZB1"],
        "cohort": ["A", "A", "B"],
        "score": [3.0, 1.0, 2.0],
    }
)

CSV = """entity,cohort,since,until,reason
ZA1,,,2024-06-30,"being replaced, ticket 12"

,B,2024-05-01,2024-05-31,firmware with noisy counters
"""

YAML = """
- entity: ZA1
  until: 2024-06-30
  reason: being replaced, ticket 12
- {cohort: B, since: "2024-05-01", until: 2024-05-31, reason: firmware with noisy counters}
"""


def written(folder: Path, text: str, name: str = "mutes.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str, name: str = "mutes.csv") -> str:
    with pytest.raises(ConfigError) as error:
        read_mutes(written(folder, text, name))
    assert str(folder / name) in str(error.value)
    return str(error.value)


def mute(name: str, until: date = TODAY, *, kind: str = "entity", since: date | None = None, why: str = "x") -> Mute:
    return Mute("cohort" if kind == "cohort" else "entity", name, until, why, since, 2)


@pytest.mark.parametrize(("name", "text", "lines"), [("m.csv", CSV, [2, 4]), ("m.yaml", YAML, [2, 5])])
def test_a_list_is_read_with_the_line_of_each_entry(tmp_path: Path, name: str, text: str, lines: list[int]) -> None:
    first, second = read_mutes(written(tmp_path, text, name))
    assert first == Mute("entity", "ZA1", date(2024, 6, 30), "being replaced, ticket 12", None, lines[0])
    assert second == Mute("cohort", "B", date(2024, 5, 31), "firmware with noisy counters", date(2024, 5, 1), lines[1])


def test_a_list_as_spreadsheets_write_it_is_read(tmp_path: Path) -> None:
    text = "\ufeffentity , until,reason\r\n ZA1 ,2024-06-30, old \r\n,,\r\n"
    (entry,) = read_mutes(written(tmp_path, text))
    assert (entry.name, entry.reason) == ("ZA1", "old")


def test_a_list_without_entries_mutes_nothing(tmp_path: Path) -> None:
    assert read_mutes(written(tmp_path, "cohort,until,reason\n")) == ()
    assert read_mutes(written(tmp_path, "# nothing is muted\n", "mutes.yml")) == ()


def test_a_serial_number_of_digits_keeps_its_zeros(tmp_path: Path) -> None:
    (entry,) = read_mutes(written(tmp_path, "- {entity: 0042, until: 2024-06-30, reason: x}", "mutes.yaml"))
    assert entry.name == "0042"


HEADER = "entity,cohort,since,until,reason\n"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("ZA1,,,soon,x\n", ["line 2, column until", "'soon'", "YYYY-MM-DD"]),
        ("ZA1,,,2024-02-30,x\n", ["line 2, column until", "'2024-02-30'"]),
        ("ZA1,,,2024-W01-1,x\n", ["line 2, column until"]),
        ("ZA1,,,,x\n", ["line 2, column until", "received nothing"]),
        ("ZA1,,,2024-06-30,\n", ["line 2, column reason", "received nothing"]),
        (",,,2024-06-30,x\n", ["line 2, column entity", "neither an entity nor a cohort"]),
        ("ZA1,A,,2024-06-30,x\n", ["line 2, column cohort", "'ZA1'", "'A'", "two lines"]),
        ("ZA1,,2024-07-01,2024-06-30,x\n", ["line 2, column since", "after until 2024-06-30"]),
        ("ZA1,,,2024-06-30,x,y\n", ["line 2, column 6", "no such column"]),
        ('ZA1,,,2024-06-30,"two\nlines"\nZA2,,,soon,x\n', ["line 4, column until"]),
        ('ZA1,,,2024-06-30,"no end\n', ["line 2", "quotes"]),
        ("ZA1,,,soon,x\n\nZA2,,,,\n", ["line 2, column until", "line 4, column until", "line 4, column reason"]),
    ],
)
def test_a_malformed_line_is_named_with_its_column(tmp_path: Path, lines: str, says: list[str]) -> None:
    message = refusal(tmp_path, HEADER + lines)
    for words in says:
        assert words in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ["is empty", "entity,cohort,until,reason"]),
        ("entity,until\n", ["line 1", "missing: 'reason'"]),
        ("until,reason\n", ["line 1", "missing: 'entity or cohort'"]),
        ("entity,until,reason,who\n", ["line 1", "no such column: 'who'"]),
        ("entity,entity,until,reason\n", ["line 1", "twice: 'entity'"]),
        ("entity;until;reason\nZA1;2024-06-30;x\n", ["line 1", "'entity;until;reason'", "expected"]),
    ],
)
def test_a_header_that_is_not_one_is_named(tmp_path: Path, text: str, says: list[str]) -> None:
    message = refusal(tmp_path, text)
    for words in says:
        assert words in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- {entity: ZA1, until: 2024-06-31, reason: x}", ["line 1, column until", "'2024-06-31'"]),
        ("- {entity: ZA1, until: 2024-06-30}", ["line 1, column reason", "received nothing"]),
        ("- {entity: ~, until: 2024-06-30, reason: x}", ["line 1, column entity"]),
        ("-\n  entity: ZA1\n  until: 2024-06-30\n  reason: x\n  who: me", ["line 2, column who", "no such column"]),
        ("- {entity: [ZA1, ZA2], until: 2024-06-30, reason: x}", ["line 1", "plain value"]),
        ("- ZA1", ["line 1", "entity, cohort, since, until, reason"]),
        ("entity: ZA1", ["line 1", "expected a list"]),
        ("- {entity: ZA1, entity: ZA2, until: 2024-06-30, reason: x}", ["line 1", "twice"]),
        ("- {entity: ZA1\n", ["line 2"]),
        ("\x00", ["malformed"]),
    ],
)
def test_a_malformed_entry_of_a_yaml_is_named_with_its_line(tmp_path: Path, text: str, says: list[str]) -> None:
    message = refusal(tmp_path, text, "mutes.yaml")
    for words in says:
        assert words in message


def test_a_long_list_of_problems_is_cut(tmp_path: Path) -> None:
    message = refusal(tmp_path, HEADER + "ZA1,,,soon,x\n" * 30)
    assert message.count("column until") == 20
    assert "and 10 more" in message


def test_a_list_that_is_not_there_or_of_another_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mutes.csv does not exist; create it"):
        read_mutes(tmp_path / "mutes.csv")
    with pytest.raises(ConfigError, match=r"neither a .csv nor a .yaml"):
        read_mutes(tmp_path / "mutes.xlsx")
    (tmp_path / "latin.csv").write_bytes("entity,until,reason\nZA1,2024-06-30,für Tests\n".encode("latin-1"))
    with pytest.raises(ConfigError, match="UTF-8"):
        read_mutes(tmp_path / "latin.csv")


@pytest.mark.parametrize(
    ("mutes", "expected"),
    [
        ([], [None, None, None]),
        ([mute("ZA1", date(2024, 6, 1), why="a")], ["a", None, None]),
        ([mute("A", kind="cohort", why="a")], ["a", "a", None]),
        ([mute("ZA1", date(2024, 5, 16))], [None, None, None]),
        ([mute("ZA1", since=date(2024, 5, 18))], [None, None, None]),
        ([mute("ZA1", since=TODAY, why="a")], ["a", None, None]),
        ([mute("ZA1", date(2024, 6, 1), why="a"), mute("A", date(2024, 7, 2), kind="cohort")], ["x", "x", None]),
        ([mute("ZA1", why="a"), mute("A", kind="cohort", why="b")], ["a", "b", None]),
        ([mute("ZA1", date(2024, 7, 1), why="long"), mute("ZA1", date(2024, 6, 1), why="short")], ["long", None, None]),
        ([mute("B"), mute("ZA1", kind="cohort")], [None, None, None]),
    ],
)  # fmt: skip
def test_a_row_is_muted_by_the_entry_that_holds_longest(mutes: Sequence[Mute], expected: list[str | None]) -> None:
    assert with_mutes(ROWS, mutes, TODAY)["mute_reason"].to_list() == expected


MUTES = st.lists(
    st.builds(
        mute,
        st.sampled_from(["ZA1", "ZA2", "ZB1", "A", "B", "elsewhere"]),
        st.dates(date(2024, 5, 10), date(2024, 5, 25)),
        kind=st.sampled_from(["entity", "cohort"]),
        since=st.none() | st.dates(date(2024, 5, 1), date(2024, 5, 20)),
    )
)


@QUICK
@given(MUTES)
def test_muting_marks_rows_and_changes_nothing_else(mutes: list[Mute]) -> None:
    marked = with_mutes(ROWS, mutes, TODAY)
    assert_frame_equal(marked.drop("muted_until", "mute_reason"), ROWS)
    assert (marked["muted_until"].is_null() == marked["mute_reason"].is_null()).all()
    for row in marked.iter_rows(named=True):
        held = [m.until for m in mutes if m.holds_on(TODAY) and m.name == row[m.kind]]
        assert row["muted_until"] == max(held, default=None)


@QUICK
@given(MUTES)
def test_an_entry_is_expired_unknown_not_yet_in_force_or_marks_a_row(mutes: list[Mute]) -> None:
    over, strange = expired_mutes(mutes, TODAY), unknown_mutes(mutes, ROWS, TODAY)
    for entry in mutes:
        later = entry.since is not None and entry.since > TODAY and entry.until >= TODAY
        marks = with_mutes(ROWS, [entry], TODAY)["muted_until"].is_not_null().any()
        assert [entry in over, entry in strange, later, marks].count(True) == 1


@pytest.mark.parametrize(("hour", "muted"), [(23, True), (24, False)])
def test_an_entry_holds_through_all_hours_of_its_last_day(hour: int, muted: bool) -> None:
    at = datetime(2024, 5, 17, tzinfo=UTC) + timedelta(hours=hour)
    entry = mute("ZA1", TODAY, since=TODAY)
    assert (with_mutes(ROWS, [entry], at)["muted_until"].count() == 1) is muted
    assert expired_mutes([entry], at) == (() if muted else (entry,))


def test_an_entry_says_in_words_what_it_mutes() -> None:
    said = mute("A", kind="cohort", why="noisy firmware").in_words()
    assert said == "cohort A until 2024-05-17 (line 2): noisy firmware"
