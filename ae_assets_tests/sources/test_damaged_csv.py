"""Whatever a daily file holds: it is refused in words, or each line is a row that says what the line says."""

import csv
import gzip
import io
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_assets.errors import SourceError
from ae_assets.schemas.layouts.drive_stats_columns import MODERN_COLUMNS
from ae_assets.schemas.reading import Reading
from ae_assets.sources import csv_day
from ae_assets.sources.csv_day import parse_day
from ae_assets.sources.header import MAX_COLUMNS
from ae_assets_tests.sources.files import HEADER, day_csv
from ae_assets_tests.sources.oracle import check_rows

LINE = b"2013-04-10,Z1,ST4000,4000787030016,0,8"
REORDERED = b"room,smart_5_raw,serial_number,failure,capacity_bytes,model,date,is_legacy_format"
CELLS = [
    *(
        "",
        " ",
        "\t",
        "nan",
        "NaN",
        "NULL",
        " null\t",
        r"\N",
        "1e5",
        "1.5E0",
        "2.40793248E8",
        "9.007199254740993E15",
        "1E-400",
        ".0",
        "0.99999999999999999",
        "9999999999999999e-1",
        "1,000",
        "24.0",
        "24.",
        ".5",
        "24.5",
        "-0",
        "+5",
        " 5 ",
        "007",
        "0x1f",
    ),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775808", "1" * 400, "٣", "5\u00a0", "1_000"),
    *("true", "False", "300", "2013-04-11", "2013-4-1", "13-04-10", "+2013-04-10", "-2013-04-10", "0000-01-01"),
    *(
        "2013-04-\t1",
        "10/04/2013",
        "20130410",
        "2013-04-10 00:00:00",
        "2013-04-10T10:00Z",
        "x" * 200_000,
        "a\rb",
        "a\0b",
        "\ufeffx",
        '"',
        '""',
        '"a"',
        'a"b',
        '"a',
        "#",
        "'",
    ),
    *("\u2028", "\x85", "\x1a", "größe", "\U0001f4be", "date", "line"),
]
SIGNS = [
    b'"',
    b",",
    b"\n",
    b"\r",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xc3",
    b"\xed\xa0\x80",
    b" ",
    b"\n\n",
    b'","',
]


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    """A file in the official layout or with reordered columns, damaged in a few places."""
    header = draw(st.sampled_from([HEADER.encode(), REORDERED]))
    width = header.count(b",") + 1
    good = dict(zip(HEADER.split(","), LINE.decode().split(","), strict=True))
    lines = [header]
    for _ in range(draw(st.integers(0, 6))):
        cells = [good.get(name, "x") for name in header.decode().split(",")]
        for _ in range(draw(st.integers(0, 2))):
            cells[draw(st.integers(0, width - 1))] = draw(st.sampled_from(CELLS))
        lines.append(",".join(cells).encode())
    ends = [draw(st.sampled_from([b"\n", b"\r\n"])) for _ in lines]
    data = bytearray(b"".join(line + end for line, end in zip(lines, ends, strict=True)))
    for _ in range(draw(st.integers(0, 4))):
        first = 0 if draw(st.integers(0, 9)) == 0 else min(len(header) + 1, len(data))
        place = draw(st.integers(first, len(data)))
        match draw(st.sampled_from(["insert", "delete", "replace", "cut"])):
            case "insert":
                data[place:place] = draw(st.sampled_from(SIGNS))
            case "delete":
                del data[place : place + draw(st.integers(1, 4))]
            case "replace":
                data[place : place + 1] = bytes([draw(st.integers(0, 255))])
            case "cut":
                del data[place:]
    return bytes(data)


@settings(max_examples=150, deadline=None)
@given(data=damaged_files(), stretch=st.sampled_from([250, 4 * 2**20]))
def test_a_damaged_file_is_refused_in_words_or_every_line_is_accounted_for(data: bytes, stretch: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_day, "STRETCH_BYTES", stretch)
        try:
            frame = parse_day(data, "in/a.csv")
        except SourceError as refusal:
            frame, refused = None, str(refusal)
        else:
            refused = ""
    if frame is None:
        assert refused.startswith("in/a.csv: ")
        assert len(refused) < 2_500
        assert refused.isprintable()
    else:
        check_rows(data, frame)


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes_behind_a_header_are_rows(data: bytes) -> None:
    data = b"\n".join([HEADER.encode(), LINE, data]) + b"\n"
    check_rows(data, parse_day(data, "a.csv"))


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes_at_all_are_refused_in_words(data: bytes) -> None:
    with pytest.raises(SourceError, match=r"^in/a\.csv: ") as refusal:
        parse_day(data, "in/a.csv")
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    "lines",
    [
        "2013-04-10,Z\u00a01\u009b2J,ST4000\n",
        "2013-04-10,Z1,ST4000,4000787030016,0,8\n2013-04-10,Z\u00a01",
    ],
    ids=["too few fields", "cut"],
)
def test_what_a_refusal_quotes_is_printable(lines: str) -> None:
    with pytest.raises(SourceError) as refusal:
        parse_day(f"{HEADER}\n{lines}".encode(), "a.csv")
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("odd", [b"", b"too short\n"], ids=["beside a good line", "beside a bad line"])
@pytest.mark.parametrize("column", range(6))
def test_a_cell_is_read_alike_whatever_stands_beside_it(odd: bytes, column: int) -> None:
    beside = LINE + b"\n" + odd
    for cell in CELLS:
        cells = LINE.split(b",")
        cells[column] = cell.encode()
        line = b",".join(cells) + b"\n"
        data = HEADER.encode() + b"\n" + line + beside
        before, after = parse_day(data, "a.csv"), parse_day(HEADER.encode() + b"\n" + beside + line, "a.csv")
        check_rows(data, before)
        assert before.head(1).drop("source_row").equals(after.tail(1).drop("source_row")), cell


@pytest.mark.parametrize("quoted", [csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
def test_what_a_csv_writer_quotes_comes_back(quoted: int) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=quoted, lineterminator="\n")  # type: ignore[arg-type]
    cells = [cell for cell in CELLS if not {"\r", "\n"} & set(cell) and cell and not Reading().is_missing(cell)]
    writer.writerow([*HEADER.split(","), "room"])
    for cell in cells:
        writer.writerow([*LINE.decode().split(","), cell])
    frame = parse_day(text.getvalue().encode(), "a.csv")
    assert frame["room"].to_list() == cells
    assert frame["rescued"].null_count() == len(cells)


@pytest.mark.parametrize(
    "date",
    [
        "13-04-10",
        "-2013-04-10",
        "+2013-04-10",
        "2013-04-\t1",
        "2013-04- 1",
        "0000-01-01",
        " 2013-04-10",
        "02013-04-10",
        "\uff12\uff10\uff11\uff13-04-10",
    ],
)
def test_a_date_that_polars_would_take_and_iso_would_not_is_kept_as_text(date: str) -> None:
    data = b"\n".join([HEADER.encode(), LINE, date.encode() + LINE[10:]]) + b"\n"
    frame = parse_day(data, "a.csv")
    assert frame["date"].is_null().to_list() == [False, True]
    assert frame["rescued"].str.contains("date").to_list() == [None, True]


def whole_files() -> dict[str, bytes]:
    """Good days that something happened to as a whole."""
    good = day_csv(rows=5)
    header, rest = good.split(b"\n", 1)
    return {
        "UTF-16": good.decode().encode("utf-16"),
        "UTF-16 without its mark": good.decode().encode("utf-16-le"),
        "UTF-32": good.decode().encode("utf-32"),
        "compressed": gzip.compress(good),
        "line ends of old Macs": good.replace(b"\n", b"\r"),
        "NUL bytes": bytes(len(good)),
        "semicolons": good.replace(b",", b";"),
        "tabs": good.replace(b",", b"\t"),
        "no header": rest,
        "a misspelt column": good.replace(b"serial_number", b"serial-number"),
        "a column twice": good.replace(b"smart_5_raw", b"model"),
        "a column twice but for its case": good.replace(b"smart_5_raw", b"Model"),
        "a reserved name but for its case": good.replace(b"smart_5_raw", b"Source_Row"),
        "a NUL in a name": good.replace(b"smart_5_raw", b"smart_5\0raw"),
        "an invisible sign in a name": good.replace(b"smart_5_raw", "smart_5\u200braw".encode()),
        "a name without end": good.replace(b"smart_5_raw", b"x" * 200),
        "too many columns": header + b"," + b",".join(b"c%d" % number for number in range(MAX_COLUMNS)) + b"\n",
        "a header without end": header + b"," * csv_day.MAX_HEADER_BYTES + b"\n" + rest,
        "two files in one": good + good,
        "two files with a mark between": good + b"\xef\xbb\xbf" + good,
        "two files without a line end between": good[:-1] + good,
        "cut within a line": good[:-12],
        "cut within its last cell": good[:-1],
        "space behind the last line": good + b"  ",
        "NUL bytes behind the last line": good + bytes(100),
        "a line without end": good + b"0" * (csv_day.STRETCH_BYTES + 1),
        "a quoted header over two lines": good.replace(b"smart_5_raw", b'"smart_5\nraw"'),
        "a page of a web server": b"<!DOCTYPE html>\n<html>503</html>\n",
    }


@pytest.mark.parametrize("what", whole_files())
def test_a_file_of_another_kind_is_refused_with_its_name_and_the_reason(what: str) -> None:
    with pytest.raises(SourceError, match=r"^in/a\.csv: .{20}") as refused:
        parse_day(whole_files()[what], "in/a.csv")
    assert len(str(refused.value)) < 2_000
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("change", "rows", "kept"),
    [
        (lambda good: good.replace(b"\n", b"\r\n", 3), 5, 0),
        (lambda good: good.replace(b"Z2,", "Größe,".encode("latin-1")), 5, 1),
        (lambda good: good.replace(b"Z2,ST", b'"Z2\n3",ST'), 6, 2),
        (lambda good: good.replace(b"Z2,", b"Z2;"), 5, 1),
        (lambda good: good.replace(b"\n", b"\n\n"), 5, 0),
        (lambda good: b"\xef\xbb\xbf" + good, 5, 0),
    ],
    ids=[
        "mixed line ends", "latin-1", "a line end in quotes", "a lost comma", "blank lines", "a byte order mark",
    ],
)  # fmt: skip
def test_a_file_with_odd_lines_keeps_them_and_reads_the_others(
    change: Callable[[bytes], bytes], rows: int, kept: int
) -> None:
    data = change(day_csv(rows=5))
    frame = parse_day(data, "a.csv")
    check_rows(data, frame)
    assert (frame.height, frame["rescued"].count()) == (rows, kept)


def test_more_lines_or_cells_than_a_day_has_are_refused_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_day, "MAX_DAY_ROWS", 10)
    assert parse_day(day_csv(rows=10), "a.csv").height == 10
    with pytest.raises(SourceError, match=r"a\.csv: 11 lines of 6 columns are more than the 10 lines"):
        parse_day(day_csv(rows=11), "a.csv")
    monkeypatch.setattr(csv_day, "MAX_DAY_CELLS", 30)
    with pytest.raises(SourceError, match="more than the 5 lines"):
        parse_day(day_csv(rows=6), "a.csv")


def test_a_file_most_of_which_fits_nowhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = day_csv() + b"x\n" * 100
    assert parse_day(data, "a.csv").height == 103
    monkeypatch.setattr(csv_day, "MAX_RESCUED_BYTES", 1000)
    with pytest.raises(SourceError, match=r"a\.csv: more than 1,000 bytes .* fit none of the 6 columns"):
        parse_day(data, "a.csv")


def test_the_limits_leave_room_for_the_largest_official_days() -> None:
    rows, columns = 320_000, len(MODERN_COLUMNS)
    assert 5 * rows < csv_day.MAX_DAY_ROWS
    assert 5 * rows * columns < csv_day.MAX_DAY_CELLS
    assert 5 * columns < MAX_COLUMNS + 5
    assert 5 * len(",".join(MODERN_COLUMNS)) < csv_day.MAX_HEADER_BYTES


def test_marks_and_returns_that_polars_drops_stay_in_their_cells() -> None:
    lines = [b"\xef\xbb\xbfx,8,Z1,0,1,ST4000,2013-04-10,a", b"x,8,Z1,0,1,ST4000\r,2013-04-10,a"]
    for chosen in (lines[:1], lines[1:], lines):
        data = b"\n".join([REORDERED, *chosen]) + b"\n"
        check_rows(data, parse_day(data, "a.csv"))
    assert parse_day(REORDERED + b"\n" + lines[0] + b"\n", "a.csv")["room"].to_list() == ["\ufeffx"]
    assert parse_day(REORDERED + b"\n" + lines[1] + b"\n", "a.csv")["model"].to_list() == ["ST4000\r"]
