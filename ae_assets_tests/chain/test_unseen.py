"""Which days an evaluation judges where nobody names any."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from ae_assets.chain.anomalies import find_anomalies
from ae_assets.chain.champion import load_champion
from ae_assets.chain.model import TrainingRange, train
from ae_assets.chain.threshold import calibrate_latest
from ae_assets.chain.unseen import latest_days, latest_unseen_days
from ae_assets.chain.workspace import Workspace
from ae_assets.schemas.periods import DAILY
from ae_assets_tests.chain.steps import fill, judge
from ae_assets_tests.chain.tables import FIRST, storage_of, watched_table, write_day
from ae_assets_tests.standing import StandingFolder

DAYS = DAILY.range(FIRST, FIRST + timedelta(days=44))
SEEN_UNTIL = DAYS[17]
"""Training ends on the 8th day, its labels ten days later; a window is ten days long."""

Score = Callable[[int, int], Workspace]


def space_in(folder: Path) -> Workspace:
    rule = {"type": "counter_rule", "features": ["smart_5_level"]}
    return storage_of(watched_table(str(folder / "source"), detector=rule), folder / "home")


def make(folder: Path) -> None:
    """A small fleet with features and a champion."""
    for day in DAYS:
        write_day(folder / "source", day, [(f"D{drive}", 0, drive) for drive in range(12)])
    space = space_in(folder)
    fill(space, DAYS)
    train(space, TrainingRange.of(DAYS[0], DAYS[7], 10))
    calibrate_latest(space)


@pytest.fixture(scope="module")
def unscored(tmp_path_factory: pytest.TempPathFactory) -> StandingFolder:
    return StandingFolder(tmp_path_factory.mktemp("unseen") / "fleet", make)


@pytest.fixture
def score(unscored: StandingFolder) -> Score:
    """Scores days of a small fleet with the champion, by their numbers."""
    space = space_in(unscored.stand())

    def scored(first: int, last: int) -> Workspace:
        if days := DAYS[first : last + 1]:
            judge(space, days)
        return space

    return scored


def test_they_are_the_latest_whole_windows_after_what_the_champion_has_seen(score: Score) -> None:
    space = score(0, 44)
    assert load_champion(space).seen_until == SEEN_UNTIL
    assert latest_unseen_days(space) == (DAYS[25], DAYS[44])


@pytest.mark.parametrize(("last", "days"), [(27, (DAYS[18], DAYS[27])), (36, (DAYS[27], DAYS[36]))])
def test_days_before_the_last_whole_window_are_left_aside(score: Score, last: int, days: tuple[date, date]) -> None:
    assert latest_unseen_days(score(0, last)) == days


def test_too_few_days_say_until_when_days_are_needed(score: Score) -> None:
    for first, last in ((0, 3), (0, 17), (0, 26)):
        told = latest_unseen_days(score(first, last))
        assert isinstance(told, str)
        assert f"it has scored {max(0, last - 17)} days since then" in told
        assert f"anomalies of all days until {DAYS[27]}" in told


def test_without_anomalies_there_are_none(score: Score) -> None:
    assert "it has scored 0 days" in str(latest_unseen_days(score(1, 0)))


def test_they_begin_after_a_day_without_anomalies_and_after_one_that_another_model_has_scored(score: Score) -> None:
    space = score(0, 44)
    with space.tables.writer("fleet.anomalies") as writer:
        writer.write(DAYS[26], space.no_rows)
    assert latest_unseen_days(space) == (DAYS[35], DAYS[44])
    score(26, 26)
    other = replace(load_champion(space), version="20130101T000000000Z-00000000")
    list(find_anomalies(space, other, DAYS[34:35]))
    assert latest_unseen_days(space) == (DAYS[35], DAYS[44])
    list(find_anomalies(space, other, DAYS[35:36]))
    assert "it has scored 9 days" in str(latest_unseen_days(space))


def test_for_fits_of_their_own_the_latest_window_with_features_is_taken(score: Score) -> None:
    space = score(1, 0)
    assert latest_days(space) == (DAYS[35], DAYS[44])
    short = replace(space, table=space.table.model_copy(update={"table": "another"}))
    assert "0 have features" in str(latest_days(short))
