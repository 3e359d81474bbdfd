"""Commands on tables by hours and weeks: what a person may write, and what is run, listed and exported for it."""

import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
import yaml
from click.testing import CliRunner, Result

from ae_assets.cli import main
from ae_assets.cli.exit_codes import DONE, WRONG_USE
from ae_assets.errors import ConfigError
from ae_assets.pipeline.ranges import range_of
from ae_assets.schemas.periods import DAILY, HOURLY, WEEKLY, Periods
from ae_assets_tests.chain.gauges import attributes_of, numbered, write_period

FIVE = datetime(2024, 4, 17, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("periods", "start", "end", "first", "last"),
    [
        (HOURLY, "2024-04-17T05", "2024-04-17 07:30", FIVE, FIVE.replace(hour=7)),
        (HOURLY, "2024-04-17", "2024-04-17", FIVE.replace(hour=0), FIVE.replace(hour=23)),
        (HOURLY, "2024-04-17-05:00", "2024-04-18", FIVE, FIVE.replace(day=18, hour=23)),
        (DAILY, "2024-04-17", "2024-04-18", date(2024, 4, 17), date(2024, 4, 18)),
        (WEEKLY, "2024-04-17", "2024-04-17", date(2024, 4, 15), date(2024, 4, 15)),
        (WEEKLY, "2024-04-21", "2024-04-22", date(2024, 4, 15), date(2024, 4, 22)),
    ],
)
def test_a_range_holds_the_periods_of_both_its_ends(
    periods: Periods, start: str, end: str, first: date, last: date
) -> None:
    assert range_of(periods, start, end) == (first, last)


@pytest.mark.parametrize(
    ("periods", "start", "end", "says"),
    [
        (HOURLY, "2024-04-17T05", "2024-04-17T04", "give the earlier hour first"),
        (DAILY, "2024-04-17T05", "2024-04-18", "--start: expected a day such as"),
        (WEEKLY, "2024-04-22", "2024-04-21", "give the earlier week first"),
    ],
)
def test_a_range_that_the_table_cannot_have_is_refused(periods: Periods, start: str, end: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        range_of(periods, start, end)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with a table of each kind, whose sources hold three periods: too few for a model."""
    module = f"own_{abs(hash(tmp_path))}"
    folder = tmp_path / "project"
    for periods in (HOURLY, WEEKLY):
        defs = folder / module / "defs" / periods.partitions
        defs.mkdir(parents=True)
        source = tmp_path / periods.partitions
        table = attributes_of(source, periods, table=f"gauges_{periods.partitions}", training={"days": 90})
        content = {"type": "ae_assets.AnomalyPipeline", "attributes": table}
        (defs / "defs.yaml").write_text(yaml.safe_dump(content))
        for period in numbered(periods, 0, 2):
            write_period(source, periods, period)
    (folder / module / "__init__.py").touch()
    (folder / "pyproject.toml").write_text(f'[tool.dg.project]\nroot_module = "{module}"\n')
    monkeypatch.setenv("AE_ASSETS_PROJECT", str(folder))
    monkeypatch.setenv("AE_ASSETS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home" / "dagster"))
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path


def ae_assets(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_hours_are_run_and_exported_by_what_a_person_writes(project: Path) -> None:
    run = ae_assets("run", "gauges_hourly", "--start", "2024-04-15T00", "--end", "2024-04-15 02:00")
    assert run.exit_code == DONE, run.output
    assert "3 hours, 2024-04-15-00:00 to 2024-04-15-02:00" in run.output
    output = project / "hour.parquet"
    days = ("--start", "2024-04-15T01", "--end", "2024-04-15T01", "--output", output)
    exported = ae_assets("export", "gauges_hourly", "features", *days)
    assert exported.exit_code == DONE, exported.output
    assert "12 rows of 1 hours" in exported.output
    assert pl.read_parquet(output)["day"].unique().to_list() == [datetime(2024, 4, 15, 1, tzinfo=UTC)]
    late = ae_assets("run", "gauges_hourly", "--start", "2024-04-15", "--end", "2090-04-15")
    assert (late.exit_code, "the hours of gauges_hourly are from 2024-04-15-00:00" in late.output) == (WRONG_USE, True)


def test_weeks_are_run_by_any_of_their_days_and_hours_are_none_of_them(project: Path) -> None:
    run = ae_assets("run", "gauges_weekly", "--start", "2024-04-17", "--end", "2024-04-30")
    assert run.exit_code == DONE, run.output
    assert "3 weeks, 2024-04-15 to 2024-04-29" in run.output
    wrong = ae_assets("run", "gauges_weekly", "--start", "2024-04-17T05", "--end", "2024-04-30")
    assert (wrong.exit_code, "expected a week such as 2024-04-17" in wrong.output) == (WRONG_USE, True)
    checked = ae_assets("check", "gauges_weekly", "--day", "2024-04-24")
    assert (checked.exit_code, "2024-04-22, 2024-04-22.csv: 42 rows" in checked.output) == (DONE, True), checked.output
