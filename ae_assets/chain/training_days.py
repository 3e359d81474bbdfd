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


def latest_training_days(
    table: WatchedTable, last: date, *, judged: bool, left_out: Collection[date] = ()
) -> tuple[date, date]:
    """First and last of the latest days that a model can learn from, where the last with features is known.

    A model that is to be judged against a champion keeps the last `retraining.window_days` days for that. Before them
    lie the days whose labels the fit knows (the horizon after training) or those of embargo and calibration, whichever
    are more. A first model is not judged and needs only embargo and calibration. Days that are left out count neither
    to learn from nor to calibrate or judge on.
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
    table, days = space.table, space.days_with_rows(FEATURES)
    if not days:
        return f"{space.name(FEATURES)} holds no day yet; materialise raw and features for some days first"
    judged = space.models.champion(table.table) is not None
    return plan_training(table, days, judged=judged, left_out=days_left_out(space))


def plan_training(
    table: WatchedTable, days: Collection[date], *, judged: bool, left_out: Collection[date] = ()
) -> tuple[date, date] | str:
    """The days to learn from for who did not name any: the latest ones, those that leave room to judge if possible.

    Where too few of them have features for that, the model cannot be compared, which its promotion says.

    Returns:
        First and last day, or why there is no model yet and when there can be one.
    """
    if table.learned is not None:
        return min(days), max(days)
    for is_judged in [True, False] if judged else [False]:
        planned = latest_training_days(table, max(days), judged=is_judged, left_out=left_out)
        if _share_of_days(table, days, planned, left_out) >= LEAST_SHARE:
            return planned
    return _too_few(table, days, left_out)


def plan_retraining(
    table: WatchedTable,
    days: Collection[date],
    trained_until: date | None,
    *,
    judged: bool,
    left_out: Collection[date] = (),
) -> tuple[date, date] | str:
    """First and last day that a scheduled challenger learns from, or why none is trained now.

    ``trained_until`` is the last training day of the champion and of the newest version, whatever became of it.
    """
    if not days:
        return f"{table.table} has no features yet"
    last = max(days)
    if table.learned is not None and trained_until is not None and trained_until >= last:
        return f"the newest version has learned from days until {named(trained_until)}, the last with features"
    if table.learned is not None:
        return min(days), last
    start, end = latest_training_days(table, last, judged=judged, left_out=left_out)
    if judged and trained_until is not None and trained_until >= end:
        return (
            f"the newest version has learned from days until {named(trained_until)}; features until {named(last)} "
            f"leave a challenger those until {named(end)}"
        )
    share, asked = _share_of_days(table, days, (start, end), left_out), _count(table, table.training.days)
    if share < LEAST_SHARE:
        plural, after = table.periods.plural, len(table.periods.range(end, last)) - 1
        return (
            f"{share * asked:.0f} of the {asked} {plural} from {named(start)} to {named(end)} have features, fewer "
            f"than {LEAST_SHARE:.0%}; {after} {plural} after them are kept for calibration and judgement"
        )
    return start, end


def _count(table: WatchedTable, days: int) -> int:
    """The table's periods that hold so many days."""
    return table.periods.count(timedelta(days=days))


def _share_of_days(
    table: WatchedTable, days: Collection[date], ends: tuple[date, date], left_out: Collection[date]
) -> float:
    asked = {*table.periods.range(*ends)} - {*left_out}
    return len(asked & {*days}) / len(asked)


def _too_few(table: WatchedTable, days: Collection[date], left_out: Collection[date]) -> str:
    """What a first model needs and from when on it can be had."""
    usable = sorted({*days} - {*left_out})
    learned = ceil(LEAST_SHARE * _count(table, table.training.days))
    embargo, calibration = _count(table, table.calibration.embargo_days), _count(table, table.calibration.days)
    needed, periods = learned + embargo + calibration, table.periods
    first, last = (usable or sorted(days))[0], max(days)
    possible = periods.shifted(first, needed - 1)
    when = (
        f"if no {periods.noun} is missing, that is from {named(possible)} on"
        if possible > last
        else f"of the {periods.plural} from {named(first)} to {named(last)} too many are missing or of implausible "
        "volume"
    )
    return (
        f"{len(usable)} {periods.plural} have features to learn from ({named(first)} to {named(last)}), and a model "
        f"needs {needed}: {learned} to learn from (at least {LEAST_SHARE:.0%} of training.days {table.training.days}), "
        f"then {embargo} (calibration.embargo_days) and {calibration} (calibration.days) for the threshold; {when}. "
        "For an earlier, weaker one name the days to learn from (--train-start and --train-end, or train_start and "
        "train_end of the op), or lower training.days"
    )
