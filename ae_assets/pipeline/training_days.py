"""Which days a model learns from, so that enough days after them are left to calibrate and to judge it."""

from collections.abc import Collection
from datetime import date, timedelta

from ae_assets.pipeline.table import WatchedTable

LEAST_SHARE = 0.5
"""Share of the training range's days that must have features."""


def latest_training_days(table: WatchedTable, last: date, *, judged: bool) -> tuple[date, date]:
    """First and last of the latest days that a model can learn from.

    A model that is to be judged against a champion keeps the last `retraining.window_days` days for that. Before them
    lie the days whose labels the fit knows (the horizon after training) or those of embargo and calibration, whichever
    are more. A first model is not judged and needs only embargo and calibration.

    Args:
        table: the table's settings.
        last: last day with features.
        judged: whether there is a champion to be compared with.
    """
    after = table.calibration.embargo_days + table.calibration.days
    kept = max(after, table.horizon_days) + table.retraining.window_days if judged else after
    end = last - timedelta(days=kept)
    return end - timedelta(days=table.training.days - 1), end


def plan_training(table: WatchedTable, held: Collection[date], *, judged: bool) -> tuple[date, date]:
    """The days to learn from for who did not name any: the latest ones, those that leave room to judge if possible.

    Where too few days have features for that, the model cannot be compared, which its promotion says.

    Args:
        table: the table's settings.
        held: days with features, at least one.
        judged: whether there is a champion to be compared with.
    """
    planned = latest_training_days(table, max(held), judged=judged)
    if judged and _share_held(held, planned) < LEAST_SHARE:
        return latest_training_days(table, max(held), judged=False)
    return planned


def plan_retraining(
    table: WatchedTable, held: Collection[date], trained_until: date | None, *, judged: bool
) -> tuple[date, date] | str:
    """First and last day that a scheduled challenger learns from, or why none is trained now.

    Args:
        table: the table's settings.
        held: days with features.
        trained_until: last training day of the champion and of the newest version, whatever became of it.
        judged: whether there is a champion to be compared with.
    """
    if not held:
        return f"{table.table} has no features yet"
    last = max(held)
    start, end = latest_training_days(table, last, judged=judged)
    if judged and trained_until is not None and trained_until >= end:
        return (
            f"the newest version has learned from days until {trained_until}; features until {last} leave a challenger "
            f"those until {end}"
        )
    share = _share_held(held, (start, end))
    if share < LEAST_SHARE:
        return (
            f"{share * table.training.days:.0f} of the {table.training.days} days from {start} to {end} have features, "
            f"fewer than {LEAST_SHARE:.0%}; {(last - end).days} days after them are kept for calibration and judgement"
        )
    return start, end


def _share_held(held: Collection[date], days: tuple[date, date]) -> float:
    first, last = days
    return sum(first <= day <= last for day in held) / ((last - first).days + 1)
