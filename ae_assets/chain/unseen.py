"""Which days an evaluation judges where nobody names any: the latest that the champion has scored and not seen."""

from datetime import date, timedelta

from ae_assets.chain.champion import Champion, load_champion
from ae_assets.chain.workspace import ANOMALIES, FEATURES, Workspace
from ae_assets.errors import EvaluationError
from ae_assets.schemas.periods import named


def latest_unseen_days(space: Workspace) -> tuple[date, date] | str:
    """First and last of the latest days that can be judged.

    They are as many whole windows as there are; all of them where intervals are judged, which know no windows.

    Returns:
        The days, or why there are too few yet and from when on there are enough.

    Raises:
        ModelError: there is no champion, or it was trained on features of other settings.
    """
    champion = load_champion(space)
    periods, window = space.table.periods, timedelta(days=space.table.checks.window_days)
    last = max(space.days_with_rows(ANOMALIES), default=champion.seen_until)
    first = _first_judged(space, champion, last)
    length = len(periods.range(first, last)) * periods.step
    if length < window and champion.learned is None:
        return (
            f"too few days to judge yet: the champion {champion.version} has seen days and labels until "
            f"{named(champion.seen_until)}, it has scored {length.days} days since then without a gap until "
            f"{named(last)}, and a false alarm rate needs a window of {window.days} (checks.window_days). It can be "
            f"judged once there are anomalies of all days until {named(periods.after(champion.seen_until, window))}"
        )
    if space.table.target_kind == "intervals":
        return first, last
    return periods.spanning(last, length // window * window), last


def days_not_seen(space: Workspace, champion: Champion) -> tuple[date, date]:
    """First and last of the days after those that the champion has seen, up to the newest that has anomalies.

    Raises:
        EvaluationError: it has seen all of them.
    """
    first = space.table.periods.shifted(champion.seen_until, 1)
    last = max(space.days_with_rows(ANOMALIES), default=champion.seen_until)
    if last < first:
        raise EvaluationError(
            f"the champion {champion.version} has learned from all days until {named(champion.seen_until)}, and there "
            "are no anomalies of later ones; materialise them, or name the days to look at (--start and --end)"
        )
    return first, last


def latest_days(space: Workspace) -> tuple[date, date] | str:
    """The latest window with features, which needs no champion; or that there is none."""
    periods, window = space.table.periods, space.table.checks.window_days
    days = space.days_with_rows(FEATURES)
    first = periods.spanning(days[-1], timedelta(days=window)) if days else None
    if first is None or first < days[0]:
        return (
            f"too few {periods.plural} to judge yet: {len(days)} have features, and a window is {window} days "
            "(checks.window_days)"
        )
    return first, days[-1]


def _first_judged(space: Workspace, champion: Champion, last: date) -> date:
    """The first of the days until the last one that it has scored, each that has features, and not seen."""
    periods = space.table.periods
    first = periods.shifted(champion.seen_until, 1)
    gaps = set(space.days_with_rows(FEATURES)) - set(space.days_with_rows(ANOMALIES))
    first = max([first, *(periods.shifted(day, 1) for day in gaps if day <= last)])
    if first > last:
        return first
    versions = space.iter_days(ANOMALIES, first, last, ["model_version"])
    others = [day for day, rows in versions if (rows["model_version"] != champion.version).any()]
    return max([first, *(periods.shifted(day, 1) for day in others)])
