"""The lives of a table's devices: first and last day seen, first failure. What quarantine set aside counts as well."""

from datetime import date, timedelta

import polars as pl

from ae_assets.chain.ledger import spells_of
from ae_assets.chain.workspace import Workspace
from ae_assets.evaluation.spells import Lives, failures_of_spells, lives_of_spells


def lives_in(space: Workspace, known_until: date | None = None) -> Lives:
    """The lives that raw tells up to the end of a period; None: up to its last one.

    Raises:
        EvaluationError: raw has no record up to that day.
    """
    return lives_of_spells(spells_of(space), _known(space, known_until))


def failures_in(space: Workspace, known_until: date | None = None) -> pl.DataFrame:
    """Every ``entity, day`` with a failure, in order of days, as raw tells up to the end of a period, or its last."""
    return failures_of_spells(spells_of(space), _known(space, known_until))


def day_known(space: Workspace, until: date) -> date:
    """The last calendar day that is over with a period: of a day that goes on nothing is known yet."""
    return (space.table.periods.end(until) - timedelta(days=1)).date()


def _known(space: Workspace, until: date | None) -> date | None:
    return None if until is None else day_known(space, until)


def life_of(space: Workspace, entity: str) -> tuple[date, date, date | None] | None:
    """First and last day seen and first failure of one device, as raw holds them; None where no record names it."""
    spells = spells_of(space, [entity])
    if spells.is_empty():
        return None
    _, first_day, last_day, failed_on = lives_of_spells(spells).frame.row(0)
    return first_day, last_day, failed_on
