"""`alarms` and `show`: what a person or a script is told of a day and of a device, from what is stored."""

import json
import re
from datetime import timedelta

import polars as pl
import pytest

from ae_assets_tests.cli.conftest import FIRST, LAST, Demo, Said, command, storage_of

DAY_KEYS = {
    "table", "day", "newest_day", "simulated", "summary", "model_versions", "counts", "open", "closed", "muted",
    "not_judged",
}  # fmt: skip
DEVICE_KEYS = {
    "entity", "cohort", "since", "days_open", "is_new", "is_alarm", "score", "threshold", "severity", "reasons",
    "context", "not_judged_because", "muted_until", "mute_reason", "failed",
}  # fmt: skip
HISTORY_KEYS = {
    "table", "entity", "cohort", "simulated", "first_seen", "last_seen", "failed_on", "newest_day", "first_day",
    "last_day", "latest", "episodes", "attributes", "set_aside", "scores",
}  # fmt: skip


@pytest.fixture
def rows(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> pl.DataFrame:
    """The demo's anomalies."""
    return storage_of(demo.home, monkeypatch).tables.read("drive_stats.anomalies", FIRST, LAST)


def test_alarms_without_a_day_lists_the_newest_one(demo: Demo, rows: pl.DataFrame) -> None:
    said = command(demo.home, "alarms", "drive_stats")
    listed = rows.filter(pl.col("day") == LAST, pl.col("episode").is_in(["opened", "open"]))
    assert (said.code, said.error) == (0, "")
    assert set(re.findall(r"^SIM\d+", said.out, re.MULTILINE)) == set(listed["entity"])


def test_alarms_of_a_day_as_json_are_its_rows_and_nothing_else(demo: Demo, rows: pl.DataFrame) -> None:
    day = rows.filter(pl.col("episode") == "opened")["day"].max()
    said = command(demo.home, "alarms", "drive_stats", str(day), "--json")
    told = json.loads(said.out)
    assert (said.code, said.error, set(told)) == (0, "", DAY_KEYS)
    listed = rows.filter(pl.col("day") == day, pl.col("episode").is_in(["opened", "open"]))
    assert [one["entity"] for one in told["open"]] == listed.sort("score", descending=True)["entity"].to_list()
    assert all(set(one) == DEVICE_KEYS for one in told["open"])
    assert told["counts"]["new"] == listed.filter("is_new").height > 0
    assert (told["newest_day"], told["simulated"]) == (str(LAST), True)


def test_a_device_is_shown_with_its_life_its_scores_and_its_episodes(demo: Demo, rows: pl.DataFrame) -> None:
    drive = rows.filter("is_anomaly").sort("score", descending=True)["entity"][0]
    mine = rows.filter(entity=drive).sort("day")
    told = json.loads(command(demo.home, "show", "drive_stats", drive, "--days", "400", "--json").out)
    assert set(told) == HISTORY_KEYS
    assert [row["score"] for row in told["scores"]] == mine["score"].to_list()
    assert (told["first_seen"], told["last_seen"]) == (str(mine["day"][0]), str(mine["day"][-1]))
    assert len(told["episodes"]) == mine["episode_start"].drop_nulls().n_unique() > 0
    assert any(one["attribute"] == "smart_5_raw" for one in told["attributes"])


@pytest.mark.parametrize("columns", [None, "132"])
def test_text_keeps_to_eighty_columns_or_to_those_of_the_terminal(
    demo: Demo, rows: pl.DataFrame, monkeypatch: pytest.MonkeyPatch, columns: str | None
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    drive = rows.filter("is_anomaly")["entity"][0]
    texts = [command(demo.home, *given).out for given in (("alarms", "drive_stats"), ("show", "drive_stats", drive))]
    assert max(len(line) for text in texts for line in text.splitlines()) <= int(columns or 80)


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_what_is_not_there_is_refused_with_what_is(demo: Demo, as_json: tuple[str, ...]) -> None:
    def refused(*arguments: str) -> Said:
        said = command(demo.home, *arguments, *as_json)
        assert (said.code, said.out) == (2, "")
        return said

    late = LAST + timedelta(days=3)
    assert (
        f"no anomalies of {late}; it has those of 120 days from {FIRST} to {LAST}"
        in refused("alarms", "drive_stats", str(late)).error
    )
    assert "no device 'sim00000007'; did you mean SIM00000007?" in refused("show", "drive_stats", "sim00000007").error
    assert "no watched table 'nope'" in refused("alarms", "nope").error
    assert "received 'May'" in refused("alarms", "drive_stats", "May").error


def test_reading_makes_no_home(run_in, tmp_path) -> None:
    for arguments in (("alarms", "drive_stats"), ("show", "drive_stats", "SIM1")):
        said = run_in(*arguments)
        assert said.code == 2
        assert "holds no day yet; `ae-assets run drive_stats --start DAY --end DAY` makes some" in said.error
    assert not (tmp_path / "home" / "dagster").exists()
