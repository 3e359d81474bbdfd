"""Everything a person can get wrong is answered before anything runs: exit code 2, no traceback, what to do."""

import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from ae_assets.cli import project
from ae_assets_tests.chain.tables import write_day
from ae_assets_tests.cli.conftest import FIRST, LAST, Demo, Said, command
from ae_assets_tests.sources.files import day_csv, write_zip

RunIn = Callable[..., Said]
DAYS = ("--start", "2013-04-10", "--end", "2013-04-12")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "nope", *DAYS), "there is no watched table 'nope'; the tables are: drive_stats"),
        (("evaluate", "nope", *DAYS), "there is no watched table 'nope'"),
        (("export", "nope", "raw", *DAYS, "--output", "x.csv"), "there is no watched table 'nope'"),
        (
            ("run", "drive_stats", "--start", "May", "--end", "2013-04-12"),
            "received 'May'; a day is written YYYY-MM-DD",
        ),
        (
            ("run", "drive_stats", "--start", "2013-04-12", "--end", "2013-04-10"),
            "--end 2013-04-10 lies before --start",
        ),
        (("run", "drive_stats", *DAYS, "--train-end", "2013-04-11"), "--train-start and --train-end go together"),
        (("run", "drive_stats", "--start", "2013-04-10"), "Missing option '--end'"),
        (("evaluate", "drive_stats", *DAYS, "--compare", "some"), "'some' is not one of"),
        (("evaluate", "drive_stats", *DAYS), "are 3 days, and a false alarm rate needs a window of 30"),
        (("evaluate", "drive_stats", *DAYS, "--origins", "2"), "judge 30 days or more"),
        (("evaluate", "drive_stats", *DAYS, "--origins", "0"), "0 is not in the range x>=1"),
        (("export", "drive_stats", "model", *DAYS, "--output", "x.csv"), "'model' is not one of"),
        (("run", "drive_stats", "--start", "2012-01-01", "--end", "2012-01-02"), f"from {FIRST} to {LAST}; received"),
    ],
)
def test_wrong_arguments_are_named_and_leave_no_home(
    run_in: RunIn, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    said = run_in(*arguments)
    assert said.code == 2
    assert says in said.error
    assert not (tmp_path / "home" / "catalog.db").exists()


def test_a_location_where_nothing_is_says_what_was_expected(run_in: RunIn, tmp_path: Path) -> None:
    said = run_in("run", "drive_stats", *DAYS, location=str(tmp_path / "absent"))
    assert said.code == 2
    assert f"{tmp_path / 'absent'}: expected a folder of YYYY-MM-DD.csv files" in said.error


def test_a_location_of_an_unknown_kind_says_which_kinds_there_are(run_in: RunIn) -> None:
    said = run_in("run", "drive_stats", *DAYS, location="ftp://somewhere/data.zip")
    assert said.code == 2
    assert "ftp:// is not known" in said.error
    assert "simulated://" in said.error


def test_a_truncated_archive_is_named(run_in: RunIn, tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "data.zip", {"2013-04-10.csv": day_csv()})
    archive.write_bytes(archive.read_bytes()[:-40])
    said = run_in("run", "drive_stats", *DAYS, location=str(archive))
    assert said.code == 2
    assert "data.zip: not readable as a zip archive" in said.error


def test_a_member_whose_name_points_outside_its_archive_is_named(run_in: RunIn, tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "data.zip", {"../2013-04-10.csv": day_csv(), f"{LAST}.csv": day_csv()})
    said = run_in("run", "drive_stats", *DAYS, location=str(archive))
    assert said.code == 2
    assert "../2013-04-10.csv" in said.error
    assert "points outside the archive" in said.error


def test_a_source_without_any_of_the_days_says_which_it_has(run_in: RunIn, tmp_path: Path) -> None:
    write_day(tmp_path / "source", LAST, [("A1", 0, 0)])
    (tmp_path / "source" / "notes.txt").write_text("stray")
    said = run_in("run", "drive_stats", *DAYS, location=str(tmp_path / "source"))
    assert said.code == 2
    assert f"holds no day from 2013-04-10 to 2013-04-12, but 1 days from {LAST} to {LAST}" in said.error
    assert "left out: notes.txt" in said.error


@pytest.mark.parametrize(
    ("yaml", "says"),
    [
        (
            "type: ae_assets.AnomalyPipeline\nattributes:\n  table: t\n  start: 2013-04-10\n  colour: red\n",
            ["attributes.colour (line 5): received 'red'", "allowed here", "detector", "attributes.source"],
        ),
        ("type: ae_assets.AnomalyPipeline\nattributes:\n  table: [t\n", ["defs.yaml", "line 3", "dg check defs"]),
        ("type: ae_assets.Nope\nattributes: {}\n", ["`ae_assets` has no attribute `Nope`"]),
        ("just words\n", ["defs.yaml", "'just words'"]),
        ('type: ae_assets.AnomalyPipeline\nattributes:\n  table: "{{ nope }}"\n', ["'nope' not found"]),
    ],
)
def test_a_broken_yaml_is_answered_with_its_own_reason(
    run_in: RunIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, yaml: str, says: list[str]
) -> None:
    package = tmp_path / "some_defs"
    (package / "t").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "t" / "defs.yaml").write_text(yaml)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "some_defs", raising=False)
    import some_defs  # type: ignore[import-not-found]

    monkeypatch.setattr(
        project, "component_tree", lambda: dg.ComponentTree.from_module(some_defs, project_root=tmp_path)
    )
    said = run_in("run", "t", *DAYS)
    assert said.code == 2
    for words in says:
        assert words in said.error


@pytest.mark.parametrize("arguments", [("run", "drive_stats", *DAYS), ("demo",)])
def test_a_home_that_cannot_be_written_is_named(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "file").touch()
    said = command(tmp_path / "file" / "home", *arguments)
    assert said.code == 2
    assert f"the home {tmp_path / 'file' / 'home'} cannot be written (Not a directory)" in said.error
    assert "AE_ASSETS_HOME" in said.error


def test_the_demo_leaves_a_home_in_use_alone(demo: Demo) -> None:
    said = command(demo.home, "demo")
    assert said.code == 2
    assert "wants a fresh home" in said.error
    assert "set AE_ASSETS_HOME to a new folder" in said.error


def test_the_demo_wants_enough_days(run_in: RunIn) -> None:
    said = run_in("demo", location="simulated://?drives=5&days=60")
    assert said.code == 2
    assert "holds 60 days and the demo needs 62 or more" in said.error
