"""One daily CSV file becomes a typed frame with every line of the file in it, whatever state the file is in."""

import json
import zipfile
from datetime import date
from functools import cache

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.errors import SourceError
from ae_assets.sources import csv_day
from ae_assets.sources.csv_day import parse_day
from ae_assets.sources.layout import IDENTITY_COLUMNS, day_schema
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
    assert dict(frame.schema) == day_schema(HEADER.decode().split(","))
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
    ],
)
def test_integers_are_read_without_loss_however_they_are_written(text: bytes, value: int | None) -> None:
    frame = parse_day(file_of(b"2024-01-01,Z1,ST4000,4000787030016.0,0.0,ams5,100.0," + text), "a.csv")
    assert frame["smart_5_raw"].to_list() == [value]
    assert (frame["capacity_bytes"].item(), frame["failure"].item()) == (4000787030016, 0)
    assert rescued(frame) == [None]


@pytest.mark.parametrize(
    "text", [b"24.5", b"1e3", b"nan", b"NULL", b"-", b"9223372036854775808", b"0x10", b"5_0", b".0"]
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


@pytest.mark.parametrize("text", ["10-04-2013", "2013-02-30", "yesterday", "20130410", "2013-04-10T00:00:00"])
def test_a_date_that_is_not_iso_is_rescued_and_never_guessed(text: str) -> None:
    frame = parse_day(file_of(text.encode() + b",Z1,ST4000,1,0,ams5,100,8"), "a.csv")
    assert (frame["date"].to_list(), rescued(frame)) == ([None], [{"date": text}])


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
    frame = parse_day(file_of(short, long), "a.csv")
    assert rescued(frame) == [{"line": short.decode()}, {"line": long.decode()}]


def test_an_incomplete_last_line_is_kept_as_its_text() -> None:
    frame = parse_day(file_of(*clean_lines(3))[:-28], "a.csv")
    assert rescued(frame) == [None, None, {"line": "2024-01-03,Z2,ST4000"}]


def test_a_last_line_without_line_end_is_a_row() -> None:
    frame = parse_day(file_of(*clean_lines(3)).removesuffix(b"\n"), "a.csv")
    assert (frame.height, rescued(frame)) == (3, [None] * 3)


def test_bytes_that_are_not_utf8_spoil_their_cell_only_and_are_kept() -> None:
    lines = [*clean_lines(1), b"2024-01-01,Z9,caf\xe9,1,0,ams5,10\xff,8", "2024-01-01,Z8,Größe,1,0,ams5,100,8".encode()]
    frame = parse_day(file_of(*lines), "a.csv")
    assert frame["model"].to_list() == ["ST4000", None, "Größe"]
    assert frame["smart_5_raw"].to_list() == [8, 8, 8]
    assert rescued(frame) == [None, {"model": "caf\\xe9", "smart_5_normalized": "10\\xff"}, None]


def test_a_line_that_is_too_short_and_not_utf8_is_kept_readably() -> None:
    assert rescued(parse_day(file_of(b"2024-01-01,\xe9"), "a.csv")) == [{"line": "2024-01-01,\\xe9"}]


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
    assert parse_day(data, "a.csv").equals(whole)
    assert whole.height == 199
    assert whole["source_row"][-1] == 200


def test_the_rescue_path_agrees_with_the_fast_path_on_clean_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    data = file_of(*clean_lines(50))
    fast = parse_day(data, "a.csv")
    monkeypatch.setattr(csv_day, "_typed_at_once", lambda *_: None)
    assert parse_day(data, "a.csv").equals(fast)


@pytest.mark.parametrize("line_end", [b"", b"\n", b"\r\n"])
def test_a_file_with_only_a_header_is_an_empty_typed_frame(line_end: bytes) -> None:
    frame = parse_day(HEADER + line_end, "a.csv")
    assert frame.is_empty()
    assert dict(frame.schema) == day_schema(HEADER.decode().split(","))


def test_an_empty_file_is_an_error() -> None:
    with pytest.raises(SourceError, match=r"a\.csv: the file is empty \(0 bytes\)"):
        parse_day(b"", "a.csv")


def test_a_file_cut_within_its_header_is_an_error() -> None:
    with pytest.raises(SourceError, match="ends within its header line"):
        parse_day(HEADER[:-3], "a.csv")


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


@settings(max_examples=300, deadline=None)
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
