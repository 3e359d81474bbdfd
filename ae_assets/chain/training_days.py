"""Which days a model learns from, so that enough days after them are left to calibrate and to judge it.

Days of implausible volume are left out of each of the three, and each reaches further back for as many others.
"""

from collections.abc import Collection
from datetime import date, timedelta
from math import ceil

from ae_assets.chain.volume import LEAST_SHARE, day_before, days_left_out
from ae_assets.chain.workspace import FEATURES, Workspace
from ae_assets.model.definition import WatchedTable
from ae_assets.schemas.periods import named

NONE_LEFT_OUT: frozenset[date] = frozenset()


def latest_training_days(
    table: WatchedTable, last: date, *, judged: bool, left_out: Collection[date] = NONE_LEFT_OUT
) -> tuple[date, date]:
    """First and last of the latest days that a model can learn from.

    A model that is to be judged against a champion keeps the last `retraining.window_days` days for that. Before them
    lie the days whose labels the fit knows (the horizon after training) or those of embargo and calibration, whichever
    are more. A first model is not judged and needs only embargo and calibration.

    Args:
        table: the table's settings.
        last: last day with features.
        judged: whether there is a champion to be compared with.
        left_out: days that count neither to learn from nor to calibrate or judge on.
    """
    periods = table.periods

    def before(day: date, days: int) -> date:
        return day_before(day, _count(table, days), left_out, periods)

    known = before(last, table.retraining.window_days) if judged else last
    end = periods.shifted(before(known, table.calibration.days), -_count(table, table.calibration.embargo_days))
    if judged:
        end = min(end, periods.shifted(known, -_count(table, table.horizon_days)))
    return periods.shifted(before(end, table.training.days), 1), end


def default_training_days(space: Workspace) -> tuple[date, date] | str:
    """The days to learn from for who did not name any, as `plan_training` finds them in a table's features."""
    table = space.table
    held = [day for day, rows in space.days_of(FEATURES).items() if rows]
    if not held:
        return f"{space.name(FEATURES)} holds no day yet; materialise raw and features for some days first"
    judged = space.models.champion(table.table) is not None
    return plan_training(table, held, judged=judged, left_out=days_left_out(space))


def plan_training(
    table: WatchedTable, held: Collection[date], *, judged: bool, left_out: Collection[date] = NONE_LEFT_OUT
) -> tuple[date, date] | str:
    """The days to learn from for who did not name any: the latest ones, those that leave room to judge if possible.

    Where too few days have features for that, the model cannot be compared, which its promotion says.

    Args:
        table: the table's settings.
        held: days with features, at least one.
        judged: whether there is a champion to be compared with.
        left_out: as `latest_training_days` takes them.

    Returns:
        First and last day, or why there is no model yet and when there can be one.
    """
    for is_judged in [True, False] if judged else [False]:
        planned = latest_training_days(table, max(held), judged=is_judged, left_out=left_out)
        if _share_held(table, held, planned, left_out) >= LEAST_SHARE:
            return planned
    return _too_few(table, held, left_out)


def plan_retraining(
    table: WatchedTable,
    held: Collection[date],
    trained_until: date | None,
    *,
    judged: bool,
    left_out: Collection[date] = NONE_LEFT_OUT,
) -> tuple[date, date] | str:
    """First and last day that a scheduled challenger learns from, or why none is trained now.

    Args:
        table: the table's settings.
        held: days with features.
        trained_until: last training day of the champion and of the newest version, whatever became of it.
        judged: whether there is a champion to be compared with.
        left_out: as `latest_training_days` takes them.
    """
    if not held:
        return f"{table.table} has no features yet"
    last = max(held)
    start, end = latest_training_days(table, last, judged=judged, left_out=left_out)
    if judged and trained_until is not None and trained_until >= end:
        return (
            f"the newest version has learned from days until {named(trained_until)}; features until {named(last)} "
            f"leave a challenger "
            f"those until {named(end)}"
        )
    share, asked = _share_held(table, held, (start, end), left_out), _count(table, table.training.days)
    if share < LEAST_SHARE:
        noun, after = table.periods.noun, len(table.periods.range(end, last)) - 1
        return (
            f"{share * asked:.0f} of the {asked} {noun}s from {named(start)} to {named(end)} have features, fewer than "
            f"{LEAST_SHARE:.0%}; {after} {noun}s after them are kept for calibration and judgement"
        )
    return start, end


def _count(table: WatchedTable, days: int) -> int:
    """The table's periods that hold so many days."""
    return table.periods.count(timedelta(days=days))


def _share_held(
    table: WatchedTable, held: Collection[date], days: tuple[date, date], left_out: Collection[date]
) -> float:
    asked = {*table.periods.range(*days)} - {*left_out}
    return len(asked & {*held}) / len(asked)


def _too_few(table: WatchedTable, held: Collection[date], left_out: Collection[date]) -> str:
    """What a first model needs and from when on it can be had."""
    usable = sorted({*held} - {*left_out})
    learned = ceil(LEAST_SHARE * _count(table, table.training.days))
    embargo, calibration = _count(table, table.calibration.embargo_days), _count(table, table.calibration.days)
    needed, periods = learned + embargo + calibration, table.periods
    first_day = (usable or sorted(held))[0]
    possible = periods.shifted(first_day, needed - 1)
    when = (
        f"if no {periods.noun} is missing, that is from {named(possible)} on"
        if possible > max(held)
        else f"of the {periods.noun}s from {named(first_day)} to {named(max(held))} too many are missing or of "
        f"implausible volume"
    )
    return (
        f"{len(usable)} {periods.noun}s have features to learn from ({named(first_day)} to {named(max(held))}), and "
        f"a model needs "
        f"{needed}: {learned} to learn from (at least {LEAST_SHARE:.0%} of training.days {table.training.days}), then "
        f"{embargo} (calibration.embargo_days) and {calibration} (calibration.days) for the "
        f"threshold; {when}. For an earlier, weaker one name the days to learn from (--train-start and --train-end, or "
        "train_start and train_end of the op), or lower training.days"
    )
