"""A table with a gap: nobody was away in it, so that no device comes back as a new one or with a new ticket."""

from datetime import timedelta

import pytest

from ae_assets.chain.anomalies import find_anomalies
from ae_assets.chain.anomaly_day import AnomalyDay, stored_day
from ae_assets.chain.champion import load_champion
from ae_assets.chain.entity_history import entity_history
from ae_assets.chain.features import build_features
from ae_assets.chain.model import TrainingRange, train
from ae_assets.chain.raw import load_raw
from ae_assets.chain.threshold import calibrate_latest
from ae_assets.chain.volume import gaps_in, gaps_until
from ae_assets.chain.workspace import Workspace
from ae_assets.schemas.periods import DAILY
from ae_assets.sources import open_source
from ae_assets_tests.chain.tables import FIRST, attributes, storage_of, watched_table, write_day

DAYS = DAILY.range(FIRST, FIRST + timedelta(days=44))
LOST = range(24, 32)
"""Days that the source lacks."""
PARTIAL = range(32, 36)
"""Days on which two drives report."""
GARBLED = 38
"""A day all of whose rows are set aside."""
SICK, NEW = "D19", "NEW"
RAISED_SINCE, COMES = 20, 36
SPAN = 14


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("gaps")
    for number, day in enumerate(DAYS):
        drives = ["D00", "D01"] if number in PARTIAL else [f"D{drive:02}" for drive in range(20)]
        drives += [NEW] if number >= COMES else []
        if number in LOST:
            continue
        raised = 41 if number >= RAISED_SINCE else 0
        rows = [(drive, 0, raised if drive == SICK else int(drive[-1:] in "12")) for drive in drives]
        hours = [-1 if number == GARBLED else 24 * number] * len(drives)
        write_day(folder / "source", day, rows, smart_9_raw=hours)
    features = {**attributes()["features"], "spans": [1, 7, SPAN]}
    table = watched_table(
        str(folder / "source"),
        features=features,
        training={"horizon_days": 3, "days": 6, "max_rows": 5000},
        calibration={"embargo_days": 2, "days": 5},
        detector={"type": "counter_rule", "features": ["smart_5_level", "smart_197_level"]},
    )
    space = storage_of(table, folder / "home")
    held = [day for number, day in enumerate(DAYS) if number not in LOST]
    list(load_raw(space, open_source(table.source.location), held))
    build_features(space, DAYS)
    train(space, TrainingRange.of(DAYS[0], DAYS[5], 3))
    calibrate_latest(space)
    for facts in find_anomalies(space, load_champion(space), DAYS[13:]):
        assert isinstance(facts, AnomalyDay)
    return space


def feature(space: Workspace, drive: str, number: int, name: str) -> float | None:
    day = DAYS[number]
    value: float | None = space.read("features", day, day).filter(entity=drive)[name].item()
    return value


def rows_of(space: Workspace, drive: str) -> dict[int, dict[str, object]]:
    rows = space.read("anomalies", DAYS[13], DAYS[-1]).filter(entity=drive)
    return {(row["day"] - FIRST).days: row for row in rows.iter_rows(named=True)}


def test_missing_small_and_wholly_garbled_days_are_gaps(space: Workspace) -> None:
    lost = {DAYS[number] for number in (*LOST, *PARTIAL)}
    assert gaps_in(space, "raw", DAYS[0], DAYS[-1]) == lost
    assert gaps_until(space, DAYS[-1]) == lost | {DAYS[GARBLED]}
    assert gaps_until(space, DAYS[0] - timedelta(days=1)) == frozenset()


def test_a_drive_that_reported_on_all_days_of_the_table_is_told_from_a_new_one(space: Workspace) -> None:
    back = COMES
    assert (feature(space, "D05", back, "gap_days"), feature(space, "D05", back, "history_days")) == (1, SPAN)
    assert (feature(space, NEW, back, "gap_days"), feature(space, NEW, back, "history_days")) == (None, 0)
    # Of the two whole days in the look-back, before and after the gap, the new drive has one.
    assert feature(space, NEW, back + 1, "history_days") == SPAN / 2
    assert feature(space, "D05", back + 1, "history_days") == SPAN
    # Of the drives that report on partial days too: their records of whole days count.
    assert (feature(space, "D00", back, "gap_days"), feature(space, "D00", back, "history_days")) == (1, SPAN)


def test_a_day_that_was_set_aside_is_no_absence(space: Workspace) -> None:
    assert feature(space, "D05", GARBLED + 1, "gap_days") == 1
    assert feature(space, "D05", GARBLED + 1, "history_days") == SPAN


def test_where_the_table_has_no_gap_the_calendar_counts(space: Workspace) -> None:
    for number in (0, 3, 13, 23):
        assert feature(space, "D05", number, "gap_days") == (1 if number else None)
        assert feature(space, "D05", number, "history_days") == min(number, SPAN)


def test_a_day_alone_has_the_features_that_it_has_in_a_range(space: Workspace) -> None:
    name = space.name("features")
    for number in (23, COMES, GARBLED, GARBLED + 1, 44):
        in_range = space.tables.read(name, DAYS[number], DAYS[number])
        build_features(space, [DAYS[number]])
        assert space.tables.read(name, DAYS[number], DAYS[number]).equals(in_range, null_equal=True)


def test_a_ticket_stays_open_over_a_gap_that_is_longer_than_an_absence(space: Workspace) -> None:
    rows = rows_of(space, SICK)
    assert [number for number, row in rows.items() if row["is_new"]] == [RAISED_SINCE]
    assert rows[44]["episode_start"] == DAYS[RAISED_SINCE]
    assert rows[COMES]["streak_days"] == 24 - RAISED_SINCE + 1
    (alone,) = find_anomalies(space, load_champion(space), [DAYS[COMES]])
    assert isinstance(alone, AnomalyDay)
    assert rows_of(space, SICK) == rows
    assert alone.before == "0 on the day before"
    # The rows of the day as they are stored, and the drive's history, say the same.
    assert alone.before in stored_day(space, DAYS[COMES])["summary"]
    (episode,) = entity_history(space, SICK, 40)["episodes"]
    assert (episode["since"], episode["state"]) == (DAYS[RAISED_SINCE], "open")
