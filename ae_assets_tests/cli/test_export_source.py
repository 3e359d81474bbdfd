"""Files of a source read back to the rows of the source."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ae_assets.cli.export_source import as_text, export_source
from ae_assets.errors import ConfigError
from ae_assets.model.definition import SourceSection
from ae_assets.schemas.reading import Reading
from ae_assets.sources import open_source
from ae_assets_tests.cli.conftest import FLEET, LAST, Demo, Said, command

ISO = "%Y-%m-%dT%H:%M:%S%.f%z"


def reading_of(form: str | list[str], zone: str = "UTC", **section: Any) -> Reading:
    columns = {"time": {"column": "at", "format": form, "time_zone": zone}, "entity": "day", "values": {"level": {}}}
    return SourceSection.model_validate({"location": "x", "columns": columns, **section}).reading


def test_a_day_of_drives_reads_back(demo: Demo, tmp_path: Path) -> None:
    said = command(
        *(
            demo.home,
            "export-source",
            "drive_stats",
            "--start",
            str(LAST),
            "--end",
            str(LAST),
            "--output",
            str(tmp_path),
        )
    )
    assert said.code == 0
    assert "rows of 1 days" in said.out
    copy = open_source(str(tmp_path))
    read = copy.read(copy.days()[LAST])
    simulated = open_source(FLEET)
    assert_frame_equal(read, simulated.read(simulated.days()[LAST]), check_dtypes=False)


def test_days_that_the_source_lacks_are_said(run_in: Callable[..., Said], tmp_path: Path) -> None:
    said = run_in(
        "export-source",
        "drive_stats",
        *("--start", "1999-01-01", "--end", "1999-01-02", "--output", str(tmp_path / "out")),
    )
    assert said.code == 2
    assert "it holds" in said.error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("form", "zone", "written"),
    [
        ("%Y-%m-%d %H:%M", "UTC", None),
        (["%Y-%m-%d %H:%M", "%d.%m.%Y %H:%M:%S"], "Europe/Berlin", ["17.04.2024 02:30:15", "27.10.2024 02:30:00"]),
        ("%Q", "UTC", ["1713313815000.0", "1729989000000.0"]),
        (ISO, "UTC", ["2024-04-17T00:30:15+0000", "2024-10-27T00:30:00+0000"]),
    ],
)
def test_times_are_written_by_the_first_format_that_reads_them_back(
    form: str | list[str], zone: str, written: list[str] | None
) -> None:
    times = [datetime(2024, 4, 17, 0, 30, 15, tzinfo=UTC), datetime(2024, 10, 27, 0, 30, tzinfo=UTC)]
    frame = pl.DataFrame({"at": times, "file_day": ["a", "b"], "rescued": pl.Series([None, None], dtype=pl.String)})
    frame = frame.with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")))
    reading = reading_of(form, zone)
    if written is None:
        with pytest.raises(ConfigError, match=r"add a format with seconds"):
            as_text(frame, reading)
        return
    texts = as_text(frame, reading)
    assert texts["at"].to_list() == written
    assert texts.columns == ["at", "day"]


def test_what_was_rescued_is_written_as_it_was(tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.mkdir()
    lines = ["at;day;level", "17.04.2024 00:15;a;1,5", "17.04.2024 00:30;b;1.5.2", "sometime;c;"]
    (source / "2024-04-17.csv").write_text("\n".join(lines) + "\n")
    reading = reading_of("%d.%m.%Y %H:%M", "Europe/Berlin", separator=";", decimal_mark=",")
    given = open_source(str(source), reading)
    day = date(2024, 4, 17)
    assert export_source(given, reading, [day], copy) == (3, 1)
    assert sorted((copy / "2024-04-17.csv").read_text().splitlines()) == sorted(lines)
    again = open_source(str(copy), reading)
    assert_frame_equal(again.read(again.days()[day]), given.read(given.days()[day]))
