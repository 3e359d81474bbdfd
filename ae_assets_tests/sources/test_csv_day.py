"""One daily CSV file becomes a typed frame with every line of the file in it, whatever state the file is in."""

import json
import zipfile
from collections.abc import Callable
from datetime import date
from functools import cache

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.errors import SourceError
from ae_assets.schemas.layouts.drive_stats_columns import DRIVE_STATS, IDENTITY_COLUMNS
from ae_assets.schemas.reading import Reading
from ae_assets.sources import csv_day
from ae_assets.sources.csv_day import parse_day
from ae_assets_tests.conftest import real_data
from ae_assets_tests.sources.oracle import check_rows

HEADER = b"date,serial_number,model,capacity_bytes,failure,datacenter,smart_5_normalized,smart_5_raw"
CLEAN = b"2024-01-0%d,Z%d,ST4000,4000787030016,0,ams5,100,8"


def file_of(*lines: bytes, header: bytes = HEADER, line_end: bytes = b"\n") -> bytes:
    return line_end.join([header, *lines]) + line_end


def clean_lines(count: int) -> list[bytes]:
    return [CLEAN % (number % 9 + 1, number) for number in range(count)]


def rescued(frame: pl.DataFrame) -> list[dict[str, str] | None]:
    return [json.loads(text) if text else None for text in frame["rescued"]]


def test_a_clean_file_is_typed_and_nothing_is_rescued() -> None:
    frame = parse_day(file_of(*clean_lines(3)), "a.csv")
    assert dict(frame.schema) == DRIVE_STATS.day_schema(HEADER.decode().split(","))
    assert frame.row(0) == (date(2024, 1, 1), "Z0", "ST4000", 4000787030016, 0, "ams5", 100, 8, 1, None)
    assert frame["source_row"].to_list() == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"24.0", 24),
        (b"12000138625024.0", 12000138625024),
        (b"9007199254740993.0", 9007199254740993),
        (b"9223372036854775807", 2**63 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b"24.", 24),
        (b"24.000", 24),
        (b"+5", 5),
        (b" 5 ", 5),
        (b"007", 7),
        (b"", None),
        (b'""', None),
        (b'"24.0"', 24),
        (b".0", 0),
        (b"2.40793248E8", 240793248),
        (b"4.000787030016E12", 4000787030016),
        (b"1e3", 1000),
        (b"4E0", 4),
        (b"1.5e+1", 15),
        (b"120E-1", 12),
        (b"-2.5E1", -25),
        (b"9.007199254740993E15", 2**53 + 1),
        (b"9.223372036854775807E18", 2**63 - 1),
        (b"0E999", 0),
    ],
)
def test_integers_are_read_without_loss_however_they_are_written(text: bytes, value: int | None) -> None:
    frame = parse_day(file_of(b"2024-01-01,Z1,ST4000,4000787030016.0,0.0,ams5,100.0," + text), "a.csv")
    assert frame["smart_5_raw"].to_list() == [value]
    assert (frame["capacity_bytes"].item(), frame["failure"].item()) == (4000787030016, 0)
    assert rescued(frame) == [None]


@pytest.mark.parametrize(
    "text",
    [
        *(b"24.5", b"-", b"9223372036854775808", b"1.8446744073709552E19", b"0x10", b"5_0", b".", b"1e", b"e3"),
        *(b"2.5E0", b"1e-3", b"1e-400", b"0.99999999999999999", b"9007199254740991.4", b"1E99", b"inf", b"1/2"),
    ],
)
def test_a_cell_that_is_no_integer_becomes_null_and_keeps_its_text(text: bytes) -> None:
    lines = [*clean_lines(2), b"2024-01-01,Z9,ST4000,4000787030016,0,ams5,100," + text]
    frame = parse_day(file_of(*lines), "a.csv")
    assert frame["smart_5_raw"].to_list() == [8, 8, None]
    assert rescued(frame) == [None, None, {"smart_5_raw": text.decode()}]
    assert frame["serial_number"].to_list() == ["Z0", "Z1", "Z9"]


@pytest.mark.parametrize(("text", "value"), [(b"False", 0), (b"True", 1), (b"true", 1), (b"1.0", 1)])
def test_failure_may_be_written_as_truth_or_number(text: bytes, value: int) -> None:
    frame = parse_day(file_of(b"2024-01-01,Z1,ST4000,1," + text + b",ams5,100,8"), "a.csv")
    assert (frame["failure"].to_list(), rescued(frame)) == ([value], [None])


def test_a_failure_beyond_its_type_is_rescued() -> None:
    frame = parse_day(file_of(b"2024-01-01,Z1,ST4000,1,300,ams5,100,8"), "a.csv")
    assert (frame["failure"].to_list(), rescued(frame)) == ([None], [{"failure": "300"}])


MISSING = [b"NULL", b"null", rb"\N", b"NA", b"N/A", b"nan", b"NaN", b"None", b'""', b"", b" NULL ", b'"NULL"', b"Null"]


@pytest.mark.parametrize("word", MISSING)
@pytest.mark.parametrize("beside", [b"8", b"8.0", b"8.5"], ids=["clean", "doubles", "a bad cell"])
def test_words_for_an_empty_cell_are_missing_values(word: bytes, beside: bytes) -> None:
    line = b"2024-01-01,Z1,ST4000,%s,%s,ams5,%s,%s" % ((word,) * 4)
    frame = parse_day(file_of(line, b"2024-01-01,Z2,ST4000,1,0,ams5,100," + beside), "a.csv")
    assert frame.row(0)[3:] == (None, None, "ams5", None, None, 1, None)
    assert rescued(frame) == [None, {"smart_5_raw": "8.5"} if beside == b"8.5" else None]


@pytest.mark.parametrize("word", [b"NULL", b"null", rb"\N", b"NA", b"N/A", b"nan", b"NaN", b"None", b'""'])
def test_a_word_for_an_empty_cell_is_no_text_and_no_date_either(word: bytes) -> None:
    for beside in ([], [b"short"]):
        lines = [b"%s,%s,%s,1,0,%s,100,8" % ((word,) * 4), *clean_lines(1), *beside]
        frame = parse_day(file_of(*lines), "a.csv")
        assert frame.row(0)[:6] == (None, None, None, 1, 0, None)
        assert rescued(frame)[0] is None


def test_the_words_for_an_empty_cell_are_a_setting() -> None:
    data = file_of(b"2024-01-01,Z1,ST4000,1,0,none,-9999,NULL", b"2024-01-01,Z2,ST4000,1,0,ams5,-9999.0,n.d.")
    frame = parse_day(data, "a.csv", Reading(missing_markers=("-9999", "N.D.")))
    assert frame["smart_5_normalized"].to_list() == [None, None]
    assert frame["datacenter"].to_list() == ["none", "ams5"]
    assert rescued(frame) == [{"smart_5_raw": "NULL"}, None]
    clean = file_of(b"2024-01-01,Z1,ST4000,1,0,ams5,-9999,8")
    assert parse_day(clean, "a.csv", Reading(missing_markers=("-9999",)))["smart_5_normalized"].to_list() == [None]


def test_without_markers_every_word_is_kept() -> None:
    data = file_of(b"2024-01-01,Z1,NULL,1,0,,100,0")
    frame = parse_day(data, "a.csv", Reading(missing_markers=()))
    assert frame.row(0, named=True).items() >= {"model": "NULL", "datacenter": None, "smart_5_raw": 0}.items()


def test_numbers_are_whole_on_every_path(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [b"1.0", b"2.5E1", b"1.39625321563189E14", b"NULL", b"3"]
    data = file_of(*(b"2024-01-01,Z1,ST4000,4.0E12,0,ams5,100.0," + text for text in texts))
    frame = parse_day(data, "a.csv")
    assert frame["smart_5_raw"].to_list() == [1, 25, 139625321563189, None, 3]
    monkeypatch.setattr(csv_day, "_typed_at_once", lambda *_: None)
    assert parse_day(data, "a.csv").equals(frame)


def numbers() -> st.SearchStrategy[str]:
    """Numbers as programs write them, most of them whole, some a little beside a whole number."""
    digits = st.text("0123456789", min_size=1, max_size=18)
    nines = st.sampled_from(["9" * 15, "9" * 16, "9" * 17, "9007199254740991", "9007199254740993", "0" * 9 + "1"])
    mantissa = st.tuples(st.one_of(digits, nines), st.one_of(st.none(), digits, st.just("0"), nines))
    exponent = st.one_of(st.none(), st.integers(0, 20), st.integers(-20, -1), st.sampled_from([-400, 308, 400]))
    return st.one_of(
        st.integers(-(2**63), 2**63 - 1).map(str),
        st.integers(0, 2**54).map(lambda number: f"{number}.0"),
        st.integers(0, 2**54).map(lambda number: f"{number:.14E}"),
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
        st.tuples(mantissa, exponent).map(
            lambda parts: (
                parts[0][0]
                + ("" if parts[0][1] is None else f".{parts[0][1]}")
                + ("" if parts[1] is None else f"E{parts[1]}")
            )
        ),
    )


@settings(max_examples=120, deadline=None)
@given(st.lists(numbers(), min_size=1, max_size=3))
def test_a_number_is_the_same_on_the_fast_path_and_in_exact_arithmetic(texts: list[str]) -> None:
    data = file_of(*(f"2024-01-01,Z{n},ST4000,1,0,ams5,100,{text}".encode() for n, text in enumerate(texts)))
    frame = parse_day(data, "a.csv")
    check_rows(data, frame)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_day, "_typed_at_once", lambda *_: None)
        assert parse_day(data, "a.csv").equals(frame)


@pytest.mark.parametrize(
    "text",
    [
        "2013-04-10 00:00:00",
        "2013-04-10T00:00:00",
        "2013-04-10T00:00:00Z",
        "2013-04-10T23:59:59.999+00:00",
        "2013-04-10 05:07",
        "20130410",
        "2013/04/10",
        "2013.04.10",
        "20130410T000000Z",
    ],
)
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_date_form_that_a_file_shares_and_that_can_be_one_day_only_is_read(text: str, quote: str) -> None:
    lines = [f"{quote}{text}{quote},Z{number},ST4000,1,0,ams5,100,8".encode() for number in range(3)]
    frame = parse_day(file_of(*lines), "a.csv")
    assert frame["date"].to_list() == [date(2013, 4, 10)] * 3
    assert rescued(frame) == [None] * 3


@pytest.mark.parametrize(
    "text", ["4/17/24", "04/17/2024", "17.04.2024", "10-04-2013", "10042013", "17-Apr-2024", "2024-4-7", "1713312000"]
)
@pytest.mark.parametrize("quote", ["", '"'])
def test_dates_of_which_day_and_month_could_be_exchanged_are_read_in_no_row(text: str, quote: str) -> None:
    lines = [f"{quote}{text}{quote},Z{number},ST4000,1,0,ams5,100,8".encode() for number in range(3)]
    frame = parse_day(file_of(*lines, b"NULL,Z9,ST4000,1,0,ams5,100,8"), "a.csv")
    assert frame["date"].to_list() == [None] * 4
    assert rescued(frame) == [{"date": text}] * 3 + [None]


@pytest.mark.parametrize(
    "text", ["10-04-2013", "2013-02-30", "yesterday", "20130410", "2013-04-10T00:00:00", "2013-04-10T25:00", "4/17/24"]
)
def test_a_single_date_of_another_form_is_a_matter_of_its_row(text: str) -> None:
    lines = [*clean_lines(2), text.encode() + b",Z1,ST4000,1,0,ams5,100,hot"]
    frame = parse_day(file_of(*lines), "a.csv")
    assert frame["date"].to_list() == [date(2024, 1, 1), date(2024, 1, 2), None]
    assert rescued(frame) == [None, None, {"date": text, "smart_5_raw": "hot"}]


def test_one_garbled_date_does_not_change_the_form_of_the_others() -> None:
    dates = ["2013-04-10 00:00:00", "2013-04-10 00:00:00.5", "2013-04-1O 00:00:00", "20130410"]
    lines = [f"{text},Z1,ST4000,1,0,ams5,100,8".encode() for text in dates]
    frame = parse_day(file_of(*lines[:3]), "a.csv")
    assert frame["date"].to_list() == [date(2013, 4, 10)] * 2 + [None]
    assert parse_day(file_of(*lines), "a.csv")["date"].null_count() == 4, "of two such forms none is the file's"


def test_the_form_of_the_dates_is_that_of_the_file_not_of_a_stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [b"20130410" + line[10:] for line in clean_lines(100)]
    lines[50] = b"2013-04-10" + lines[50][8:]
    monkeypatch.setattr(csv_day, "STRETCH_BYTES", 300)
    frame = parse_day(file_of(*lines), "a.csv")
    assert frame["date"].drop_nulls().to_list() == [date(2013, 4, 10)]
    assert rescued(frame)[49:52] == [{"date": "20130410"}, None, {"date": "20130410"}]


def test_a_column_that_changes_type_half_way_keeps_the_cells_that_fit() -> None:
    lines = [b"2024-01-01,Z%d,ST4000,1,0,ams5,100,%s" % (n, b"8" if n < 50 else b"warm") for n in range(100)]
    frame = parse_day(file_of(*lines), "a.csv")
    assert frame["smart_5_raw"].to_list() == [8] * 50 + [None] * 50
    assert rescued(frame) == [None] * 50 + [{"smart_5_raw": "warm"}] * 50


@pytest.mark.parametrize(
    "line", [b"2024-01-01,Z9,ST4000,1,0", b"2024-01-01,Z9,ST4000,1,0,ams5,100,8,9", b"Z", b",,,,,,,,,", b'"', b" "]
)
def test_a_line_with_a_wrong_number_of_fields_is_kept_as_its_text(line: bytes) -> None:
    clean = clean_lines(2)
    frame = parse_day(file_of(clean[0], line, clean[1]), "a.csv")
    assert frame["serial_number"].to_list() == ["Z0", None, "Z1"]
    assert rescued(frame) == [None, {"line": line.decode()}, None]
    assert frame["source_row"].to_list() == [1, 2, 3]


def test_a_long_and_a_short_line_do_not_make_up_for_each_other() -> None:
    short, long = b"2024-01-01,Z8,ST4000,1,0,ams5,100", b"2024-01-01,Z9,ST4000,1,0,ams5,100,8,9"
    frame = parse_day(file_of(short, long, *clean_lines(1)), "a.csv")
    assert rescued(frame) == [{"line": short.decode()}, {"line": long.decode()}, None]


def test_a_file_no_line_of_which_has_the_fields_of_its_header_is_refused_with_the_first() -> None:
    lines = [line.replace(b",", b";") for line in clean_lines(3)]
    with pytest.raises(SourceError, match=r"a\.csv: none of its 3 lines has the 8 fields .*2024-01-01;Z0;ST4000"):
        parse_day(file_of(*lines), "a.csv")


@pytest.mark.parametrize("reading", [Reading(), Reading(last_line_end="optional")])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_file_that_ends_within_a_line_is_refused_with_its_size_and_the_fields_of_that_line(
    reading: Reading, line_end: bytes
) -> None:
    data = file_of(*clean_lines(3), line_end=line_end)
    for cut in range(len(line_end) + 2, len(line_end) + len(clean_lines(1)[0])):
        with pytest.raises(
            SourceError, match=rf"a\.csv: the file ends within a line: .*{len(data) - cut}.*line 3 .* of 8"
        ):
            parse_day(data[:-cut], "a.csv", reading)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_last_line_with_all_its_fields_and_no_line_end_is_refused_unless_the_source_writes_none(
    line_end: bytes,
) -> None:
    data = file_of(*clean_lines(3), line_end=line_end)
    for whole in (data.removesuffix(b"\n"), data.removesuffix(line_end)):
        with pytest.raises(
            SourceError, match=r"line 3 .*end it with a line feed, or set source\.last_line_end: optional"
        ):
            parse_day(whole, "a.csv")
        assert parse_day(whole, "a.csv", Reading(last_line_end="optional")).equals(parse_day(data, "a.csv"))


def test_quotes_in_the_last_line_do_not_hide_that_it_is_cut() -> None:
    data = file_of(b'"2024-01-01","Z,1","ST4000","1","0","ams5","100","8"')
    assert parse_day(data[:-1], "a.csv", Reading(last_line_end="optional")).height == 1
    for cut in range(2, 40):
        with pytest.raises(SourceError):
            parse_day(data[:-cut], "a.csv")


def test_bytes_that_are_not_utf8_spoil_their_cell_only_and_are_kept() -> None:
    lines = [*clean_lines(1), b"2024-01-01,Z9,caf\xe9,1,0,ams5,10\xff,8", "2024-01-01,Z8,Größe,1,0,ams5,100,8".encode()]
    frame = parse_day(file_of(*lines), "a.csv")
    assert frame["model"].to_list() == ["ST4000", None, "Größe"]
    assert frame["smart_5_raw"].to_list() == [8, 8, 8]
    assert rescued(frame) == [None, {"model": "caf\\xe9", "smart_5_normalized": "10\\xff"}, None]


def test_a_line_that_is_too_short_and_not_utf8_is_kept_readably() -> None:
    frame = parse_day(file_of(b"2024-01-01,\xe9", *clean_lines(1)), "a.csv")
    assert rescued(frame) == [{"line": "2024-01-01,\\xe9"}, None]


def test_quoted_fields_with_separators_and_quotes_inside_are_understood() -> None:
    frame = parse_day(file_of(b'"2024-01-01","Z,1","ST ""4000""","1","0","ams5","100.0","8"', *clean_lines(1)), "a.csv")
    assert frame.row(0)[:8] == (date(2024, 1, 1), "Z,1", 'ST "4000"', 1, 0, "ams5", 100, 8)
    assert rescued(frame) == [None, None]


@pytest.mark.parametrize(
    ("model", "read"),
    [(b'3.5" disk', '3.5" disk'), (b'"open', '"open'), (b'a""b', 'a""b'), (b'""""', '"'), (b'"a" b', "a b")],
)
def test_a_stray_quote_stays_within_its_line(model: bytes, read: str) -> None:
    frame = parse_day(file_of(b"2024-01-01,Z9," + model + b",1,0,ams5,100,8", *clean_lines(2)), "a.csv")
    assert frame["model"].to_list() == [read, "ST4000", "ST4000"]
    assert rescued(frame) == [None] * 3


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_line_ends_and_a_byte_order_mark_do_not_matter(mark: bytes, line_end: bytes) -> None:
    for lines in (clean_lines(4), [*clean_lines(3), b"2024-01-04,Z3,ST4000,4000787030016,0.0,ams5,100,8"]):
        data = mark + file_of(*lines, line_end=line_end)
        assert parse_day(data, "a.csv").equals(parse_day(file_of(*clean_lines(4)), "a.csv"))


def test_blank_lines_are_no_rows_but_count_as_lines() -> None:
    clean = clean_lines(3)
    frame = parse_day(file_of(b"", clean[0], b"\r", clean[1], b"", clean[2], b""), "a.csv")
    assert frame["serial_number"].to_list() == ["Z0", "Z1", "Z2"]
    assert frame["source_row"].to_list() == [2, 4, 6]


def test_many_stretches_give_the_same_frame_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = clean_lines(200)
    lines[50], lines[120], lines[121] = b"short", b"", lines[121].replace(b"8", b"8.5")
    data = file_of(*lines)
    whole = parse_day(data, "a.csv")
    monkeypatch.setattr(csv_day, "STRETCH_BYTES", 300)
    of_stretches = parse_day(data, "a.csv")
    assert of_stretches.equals(whole)
    assert set(of_stretches.n_chunks("all")) == {1}  # else Polars puts a copy of all of it together when it is written
    assert whole.height == 199
    assert whole["source_row"][-1] == 200


def test_the_rescue_path_agrees_with_the_fast_path_on_clean_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    data = file_of(*clean_lines(50))
    fast = parse_day(data, "a.csv")
    monkeypatch.setattr(csv_day, "_typed_at_once", lambda *_: None)
    assert parse_day(data, "a.csv").equals(fast)


@pytest.mark.parametrize("line_end", [b"", b"\n", b"\r\n"])
def test_a_file_with_only_a_header_is_an_empty_typed_frame(line_end: bytes) -> None:
    frame = parse_day(HEADER + line_end, "a.csv", Reading(last_line_end="optional"))
    assert frame.is_empty()
    assert dict(frame.schema) == DRIVE_STATS.day_schema(HEADER.decode().split(","))


def test_an_empty_file_is_an_error() -> None:
    with pytest.raises(SourceError, match=r"a\.csv: the file is empty \(0 bytes\)"):
        parse_day(b"", "a.csv")


def test_a_file_cut_within_its_header_is_an_error() -> None:
    for reading in (Reading(), Reading(last_line_end="optional")):
        with pytest.raises(SourceError, match="ends within its header line"):
            parse_day(HEADER[:-3], "a.csv", reading)
    with pytest.raises(SourceError, match="without a line end behind its header line"):
        parse_day(HEADER.removesuffix(b",smart_5_raw"), "a.csv")


@pytest.mark.parametrize("missing", IDENTITY_COLUMNS)
def test_a_header_without_an_identity_column_is_an_error_that_names_expected_and_received(missing: str) -> None:
    with pytest.raises(SourceError, match=rf"lacks {missing}\. Expected the columns date, .* received .*'datacenter'"):
        parse_day(file_of(*clean_lines(1), header=HEADER.replace(missing.encode(), b"other")), "a.csv")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (HEADER + b",smart_5_raw", "'smart_5_raw' more than once"),
        (HEADER + b",", "column 9 of 9 has no name"),
        (HEADER + b",source_row", "source_row are kept for the raw table"),
        (b"caf\xe9," + HEADER, "no CSV header in UTF-8"),
        (b"", "received nothing"),
        ((HEADER + b"\n").decode().encode("utf-16"), "no CSV header in UTF-8"),
    ],
)
def test_an_unusable_header_is_an_error(header: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        parse_day(file_of(*clean_lines(1), header=header), "a.csv")


@pytest.mark.parametrize("change", [str.upper, str.title, str.swapcase])
def test_published_columns_are_known_in_any_case_and_take_the_published_spelling(
    change: Callable[[str], str],
) -> None:
    header = change(HEADER.decode()) + ",Room"
    frame = parse_day(file_of(CLEAN % (1, 0) + b",x", header=header.encode()), "a.csv")
    assert frame.columns[:-2] == [*HEADER.decode().split(","), "Room"]
    assert frame.row(0)[:9] == (date(2024, 1, 1), "Z0", "ST4000", 4000787030016, 0, "ams5", 100, 8, "x")


@pytest.mark.parametrize("name", ["smart_health", "smart_5", "smart_5_raw_value", "smart_raw", "SMART_x_raw"])
def test_only_numbered_attributes_are_numbers(name: str) -> None:
    header = HEADER + b"," + name.encode()
    frame = parse_day(file_of(CLEAN % (1, 0) + b",PASSED", header=header), "a.csv")
    assert (frame[name].to_list(), rescued(frame)) == (["PASSED"], [None])


@pytest.mark.parametrize(("separator", "shown"), [(b";", "';'"), (b"\t", r"'\\t'"), (b"|", r"'\|'")])
def test_other_separators_are_named(separator: bytes, shown: str) -> None:
    with pytest.raises(SourceError, match=rf"a\.csv: .* separated by {shown}, expected commas"):
        parse_day(file_of(*clean_lines(2)).replace(b",", separator), "a.csv")


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(
    "other", [HEADER, HEADER.upper(), HEADER + b",smart_9_raw", b'"' + HEADER.replace(b",", b'","') + b'"']
)
def test_files_that_were_joined_are_refused_with_the_line_of_the_second_header(mark: bytes, other: bytes) -> None:
    data = file_of(*clean_lines(4)) + mark + file_of(*clean_lines(2), header=other)
    with pytest.raises(SourceError, match=r"a\.csv: line 5 after the header is a header again"):
        parse_day(data, "a.csv")


def test_unknown_columns_are_kept_as_text_in_their_place() -> None:
    header = HEADER.replace(b"datacenter", b"room")
    frame = parse_day(file_of(*clean_lines(1), header=header), "a.csv")
    assert frame.columns[5] == "room"
    assert frame["room"].to_list() == ["ams5"]


@cache
def _small_real_file(name: str, lines: int) -> bytes:
    with zipfile.ZipFile(real_data(f"drive_stats/{name}")) as archive:
        content = archive.read(archive.namelist()[0])
    return b"\n".join(content.split(b"\n")[: lines + 1]) + b"\n"


@settings(max_examples=120, deadline=None)
@given(
    name=st.sampled_from(["data_2013.zip", "data_Q1_2024_failed_drives_only.zip"]),
    cut=st.one_of(st.none(), st.integers(0, 10_000)),
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8),
    signs=st.lists(
        st.tuples(st.integers(0, 10_000), st.sampled_from([b'"', b",", b"\n", b"\r", b"\0", b"\xff"])), max_size=5
    ),
    dropped=st.lists(st.integers(0, 2_000), max_size=4),
)
def test_a_damaged_file_is_refused_or_keeps_every_line(
    name: str, cut: int | None, flips: list[tuple[int, int]], signs: list[tuple[int, bytes]], dropped: list[int]
) -> None:
    data = bytearray(_small_real_file(name, 12))
    for place, value in flips:
        data[place % len(data)] = value
    for place, sign in signs:
        data[place % len(data) : place % len(data)] = sign
    for which in dropped:
        commas = [place for place, value in enumerate(data) if value == ord(",")]
        del data[commas[which % len(commas)]]
    damaged = bytes(data if cut is None else data[: cut % len(data)])
    try:
        frame = parse_day(damaged, "a.csv")
    except SourceError:
        return
    check_rows(damaged, frame)
