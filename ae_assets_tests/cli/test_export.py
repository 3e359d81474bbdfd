import json
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ae_assets.lakehouse import Lakehouse
from ae_assets_tests.cli.conftest import LAST, Demo, Said, command

SINCE = LAST - timedelta(days=4)


def exported(demo: Demo, output: Path, asset: str = "anomalies", since: date = SINCE) -> Said:
    return command(
        demo.home, "export", "drive_stats", asset, "--start", str(since), "--end", str(LAST), "--output", str(output)
    )


@pytest.mark.parametrize("asset", ["raw", "features", "anomalies"])
def test_a_parquet_file_equals_the_table(demo: Demo, tmp_path: Path, asset: str) -> None:
    said = exported(demo, tmp_path / "out.parquet", asset)
    stored = Lakehouse.open(demo.home).read(f"drive_stats.{asset}", SINCE, LAST)
    assert said.code == 0
    assert_frame_equal(pl.read_parquet(tmp_path / "out.parquet"), stored)


def test_a_csv_file_equals_the_table_and_its_nested_columns_are_json(demo: Demo, tmp_path: Path) -> None:
    assert exported(demo, tmp_path / "new folder" / "out.csv").code == 0
    stored = Lakehouse.open(demo.home).read("drive_stats.anomalies", SINCE, LAST)
    nested = ["top_features", "reasons"]
    flat = stored.drop(nested)
    read = pl.read_csv(tmp_path / "new folder" / "out.csv", schema_overrides=dict(flat.schema), try_parse_dates=True)
    assert_frame_equal(read.drop(nested), flat)
    for name in nested:
        assert [text and json.loads(text) for text in read[name]] == stored[name].to_list()


def test_an_output_with_another_ending_is_refused(demo: Demo, tmp_path: Path) -> None:
    said = exported(demo, tmp_path / "out.xlsx")
    assert said.code == 2
    assert not list(tmp_path.iterdir())


def test_tables_are_opened_with_the_s3_settings_of_the_environment(
    run_in: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[Any, ...]] = []
    open_tables = Lakehouse.open

    def remembered(*arguments: Any) -> Lakehouse:
        opened.append(arguments)
        return open_tables(*arguments)

    monkeypatch.setattr(Lakehouse, "open", staticmethod(remembered))
    monkeypatch.setenv("AE_ASSETS_S3_REGION_NAME", "eu-test-1")
    days = ("--start", str(LAST), "--end", str(LAST))
    assert run_in("export", "drive_stats", "raw", *days, "--output", str(tmp_path / "out.csv")).code == 2
    assert [arguments[2:] for arguments in opened] == [({"s3.region": "eu-test-1"},)]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_quarantine_of_clean_days_is_a_file_without_rows(demo: Demo, tmp_path: Path, ending: str) -> None:
    said = exported(demo, tmp_path / f"out.{ending}", "quarantine")
    assert said.code == 0
    read = pl.read_csv(tmp_path / "out.csv") if ending == "csv" else pl.read_parquet(tmp_path / "out.parquet")
    assert (read.height, read.columns[:3]) == (0, ["day", "entity", "rule"])


def test_days_that_are_not_there_say_how_to_make_them(demo: Demo, tmp_path: Path) -> None:
    later = ("--start", "2014-01-01", "--end", "2014-01-02")
    said = command(demo.home, "export", "drive_stats", "raw", *later, "--output", str(tmp_path / "out.csv"))
    assert said.code == 2
    assert "`ae-assets run drive_stats --start 2014-01-01 --end 2014-01-02` makes them" in said.error
    assert not list(tmp_path.iterdir())


def test_an_output_that_cannot_be_written_is_named(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = exported(demo, tmp_path / "file" / "out.csv")
    assert said.code == 2
    assert "out.csv: the file cannot be written" in said.error


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_an_export_that_breaks_off_leaves_the_file_as_it_was(
    demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    whole = Lakehouse.iter_days
    output = tmp_path / f"out.{ending}"
    output.write_text("the last export")

    def breaking(*given: Any) -> Any:
        yield next(whole(*given))
        assert len(list(tmp_path.iterdir())) == 2, "the rows so far lie beside the file"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Lakehouse, "iter_days", breaking)
    said = exported(demo, output)
    assert said.code == 2
    assert "No space left on device" in said.error
    assert output.read_text() == "the last export"
    assert list(tmp_path.iterdir()) == [output]


def test_rows_are_exported_as_they_were_at_a_time(tmp_path: Path) -> None:
    home, day, output = tmp_path / "home", date(2024, 5, 1), tmp_path / "out.parquet"
    tables = Lakehouse.open(home)
    moments = []
    for score in (0.25, 0.75):
        with tables.writer("drive_stats.anomalies") as writer:
            writer.write(day, pl.DataFrame({"day": [day], "score": [score]}))
        time.sleep(0.01)
        moments.append(datetime.now(UTC))
        time.sleep(0.01)
    arguments = ("export", "drive_stats", "anomalies", "--start", str(day), "--end", str(day), "--output", str(output))
    for score, moment in zip((0.25, 0.75), moments, strict=True):
        said = command(home, *arguments, "--as-of", moment.isoformat())
        assert said.code == 0, said.error
        assert pl.read_parquet(output)["score"].to_list() == [score]
    assert command(home, *arguments, "--as-of", moments[0].replace(tzinfo=None).isoformat()).code == 0
    assert pl.read_parquet(output)["score"].to_list() == [0.25], "a time without a zone is UTC"

    too_early = command(home, *arguments, "--as-of", "2024-05-01T06:00")
    assert too_early.code == 2
    assert "cannot be read as it was at 2024-05-01T06:00:00Z: the oldest state held is of" in too_early.error
    no_time = command(home, *arguments, "--as-of", "yesterday")
    assert no_time.code == 2
    assert "received 'yesterday'; a time is written YYYY-MM-DDTHH:MM" in no_time.error
    elsewhen = (
        "--start",
        "2024-06-01",
        "--end",
        "2024-06-02",
        "--output",
        str(output),
        "--as-of",
        moments[0].isoformat(),
    )
    nothing = command(home, "export", "drive_stats", "anomalies", *elsewhen)
    assert nothing.code == 2
    assert "drive_stats.anomalies then held no rows between 2024-06-01 and 2024-06-02" in nothing.error


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "ZA1"]


def test_texts_that_a_spreadsheet_would_run_are_written_as_they_are_unless_it_is_asked_to_mark_them(
    tmp_path: Path,
) -> None:
    rows = pl.DataFrame({"day": [LAST] * 6, "serial_number": FORMULAS, "=model": FORMULAS, "smart_5_raw": range(-3, 3)})
    with Lakehouse.open(tmp_path).writer("drive_stats.raw") as writer:
        writer.write(LAST, rows)
    days = ("--start", str(LAST), "--end", str(LAST))
    for option, marked in (((), ""), (("--spreadsheet-safe",), "'")):
        output = tmp_path / f"out{len(option)}.csv"
        said = command(tmp_path, "export", "drive_stats", "raw", *days, "--output", str(output), *option)
        assert said.code == 0, said.error
        read = pl.read_csv(output, schema_overrides={"serial_number": pl.String})
        assert read["serial_number"].to_list() == [*(marked + text for text in FORMULAS[:-1]), "ZA1"]
        assert read[f"{marked}=model"].to_list() == read["serial_number"].to_list()
        assert read["smart_5_raw"].to_list() == list(range(-3, 3)), "numbers are no texts"
    refused = command(
        tmp_path, "export", "drive_stats", "raw", *days, "--output", str(tmp_path / "out.parquet"), "--spreadsheet-safe"
    )
    assert refused.code == 2
    assert "leave one of them out" in refused.error
