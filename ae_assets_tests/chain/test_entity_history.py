"""One device as a person asks for it: when it was seen, its episodes, scores, and what of it moved."""

import json
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from ae_assets.chain.entity_history import entity_history
from ae_assets.chain.workspace import Workspace
from ae_assets.errors import ConfigError
from ae_assets.lakehouse import Lakehouse
from ae_assets_tests.chain import sick_fleet
from ae_assets_tests.chain.sick_fleet import (
    DAYS,
    DYING,
    FAILED_ON,
    HEALED,
    HEALED_ON,
    LAST,
    LAST_OF_LOST,
    LOST,
    MUTED,
    RAISED,
    SICK,
    SICK_SINCE,
    SILENT,
    TWISTED,
    TWISTED_ON,
)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return sick_fleet.fill(tmp_path_factory.mktemp("sick"))


def test_a_device_with_an_open_episode_says_when_it_was_seen_and_how_it_stands(space: Workspace) -> None:
    told = entity_history(space, SICK, 60)
    assert (told["cohort"], told["first_seen"], told["last_seen"], told["failed_on"]) == ("SATA", DAYS[0], LAST, None)
    latest = told["latest"]
    assert (latest["day"], latest["is_alarm"], latest["since"], latest["episode"]) == (LAST, True, SICK_SINCE, "open")
    (episode,) = told["episodes"]
    assert (episode["since"], episode["until"], episode["state"]) == (SICK_SINCE, LAST, "open")
    assert episode["alarms"] == (LAST - SICK_SINCE).days + 1
    assert episode["highest_score"] == max(row["score"] for row in told["scores"])
    assert len(told["scores"]) == len(DAYS[5:])


def test_what_moved_is_told_in_the_attributes_own_unit(space: Workspace) -> None:
    (moved,) = [one for one in entity_history(space, SICK, 10)["attributes"] if one["attribute"] == "smart_5_raw"]
    first_day = LAST - timedelta(days=9)
    assert (moved["first_day"], moved["last_day"]) == (first_day, LAST)
    assert (moved["first"], moved["last"]) == (sick_fleet.raised(SICK, first_day), RAISED + (LAST - SICK_SINCE).days)
    assert moved["meaning"] == "reallocated sectors (SMART 5)"
    calm = entity_history(space, sick_fleet.HEALTHY[0], 10)
    assert (calm["attributes"], calm["episodes"]) == ([], [])


@pytest.mark.parametrize(
    ("drive", "state", "until"),
    [(HEALED, "closed", HEALED_ON), (DYING, "open", FAILED_ON), (LOST, "left", LAST_OF_LOST), (MUTED, "open", LAST)],
)
def test_an_episode_is_open_until_its_device_is_clear_or_gone_for_long(
    space: Workspace, drive: str, state: str, until: object
) -> None:
    (episode,) = entity_history(space, drive, 60)["episodes"]
    assert (episode["state"], episode["until"]) == (state, until)


def test_a_device_that_failed_is_told_up_to_the_day_on_which_it_was_last_seen(space: Workspace) -> None:
    told = entity_history(space, DYING, 5)
    assert (told["failed_on"], told["last_seen"], told["newest_day"]) == (FAILED_ON, FAILED_ON, LAST)
    assert (told["first_day"], told["last_day"]) == (DAYS[13], FAILED_ON)


def test_a_muted_device_and_one_that_is_not_judged_say_so(space: Workspace) -> None:
    muted = entity_history(space, MUTED, 5)["latest"]
    assert muted is not None
    assert muted["mute_reason"] == "being replaced"
    silent = entity_history(space, SILENT, 5)
    assert silent["latest"]["score"] is None
    assert "reallocated sectors" in silent["latest"]["not_judged_because"]
    assert {row["is_alarm"] for row in silent["scores"]} == {None}


def test_records_that_were_set_aside_are_named_with_their_rule(space: Workspace) -> None:
    told = entity_history(space, TWISTED, 60)
    (row,) = told["set_aside"]
    assert (row["day"], row["rule"]) == (TWISTED_ON, "raw_value_fits_six_bytes")
    assert TWISTED_ON not in [score["day"] for score in told["scores"]]
    json.dumps(told, default=str, allow_nan=False)


def test_an_unknown_device_is_refused_with_names_like_it(space: Workspace) -> None:
    with pytest.raises(ConfigError, match=r"no device 's1'; did you mean S1\?"):
        entity_history(space, "s1", 60)
    with pytest.raises(ConfigError, match=r"did you mean .*H14"):
        entity_history(space, "H014", 60)
    with pytest.raises(ConfigError, match=r"no device 'xyz'; it has 22, e\.g\. F1"):
        entity_history(space, "xyz", 60)


def test_of_the_big_tables_only_the_rows_of_the_device_are_read(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Lakehouse.read
    rows: dict[str, int] = {}

    def counted(tables: Lakehouse, table: str, *given: object, **named: object) -> pl.DataFrame:
        frame = read(tables, table, *given, **named)  # type: ignore[arg-type]
        rows[table] = rows.get(table, 0) + frame.height
        return frame

    monkeypatch.setattr(Lakehouse, "read", counted)
    entity_history(space, SICK, 60)
    assert rows["fleet.anomalies"] == len(DAYS[5:])
    assert rows["fleet.features"] == len(DAYS)
    assert rows.get("fleet.quarantine", 0) == 0
    assert rows["fleet.lives"] == 1


def test_without_anomalies_there_is_no_history(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no day yet"):
        entity_history(sick_fleet.storage_in(tmp_path), SICK, 60)
