"""What decisions on a few devices of a table have to know of all of it, from what the lakehouse holds."""

from collections.abc import Collection

import polars as pl

from ae_assets.chain.volume import gaps_in, gaps_until
from ae_assets.chain.workspace import FEATURES, RAW, Workspace
from ae_assets.model.devices import TableFacts


def table_facts(space: Workspace, flags: Collection[str]) -> TableFacts:
    """The periods of which the table has rows, those in which it cannot tell who was away, and who lacks what.

    Args:
        space: of the table; one without features tells nothing.
        flags: features that say of an attribute that it is missing. Who lacks it is read of the newest period alone.

    Raises:
        LakehouseError: the tables cannot be read.
    """
    days = space.days_with_rows(FEATURES)
    if not days:
        return TableFacts()
    first, last = days[0], days[-1]
    without = set(space.days_with_rows(RAW)) - set(days)
    stored = space.schema(FEATURES)
    told = [flag for flag in flags if flag in stored]
    rows = space.read(FEATURES, last, last, ["cohort", *told])
    return TableFacts(
        tuple(days),
        gaps_in(space, RAW, space.table.periods.before(first, space.table.features.look_back), last) | without,
        gaps_until(space, last),
        rows.group_by("cohort").agg(pl.col(told).cast(pl.Float64).mean()),
    )
