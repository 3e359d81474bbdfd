"""What became of the groups that a model has detectors for: which learned least and most, and which have none."""

import polars as pl

from ae_assets.reports.parts import Part

LISTED = 8
"""Groups of each table."""


def groups_parts(groups: pl.DataFrame, per: str) -> list[Part]:
    """A sentence and tables, from the ``groups`` of a ``FittedPerGroup``."""
    own = groups.filter(pl.col("pooled_because").is_null())
    pooled = groups.filter(pl.col("pooled_because").is_not_null())
    parts: list[Part] = [groups_words(groups, per)]
    described = own.select(
        "group",
        "windows",
        epochs=pl.col("validation_loss").list.len(),
        loss=pl.col("validation_loss").list.min(),
        of_constant=pl.col("validation_loss").list.min() / pl.col("median_loss"),
        converged="converged",
    )
    if described["epochs"].sum():
        ordered = described.sort("of_constant", "group", descending=[True, False])
        least = ordered.head(LISTED)
        most = ordered.tail(max(ordered.height - LISTED, 0)).reverse().head(LISTED)
        parts.append(("Groups whose networks learned least (loss as a share of that of a constant answer)", least))
        parts.append(("Groups whose networks learned most", most))
    because = pooled.sort("windows", "group", descending=[True, False]).select(
        "group", "windows", because="pooled_because"
    )
    parts.append((f"Largest of {pooled.height} groups without a detector of their own", because.head(LISTED)))
    return parts


def groups_words(groups: pl.DataFrame, per: str) -> str:
    """How many groups have a detector of their own, and how many windows these are of."""
    own = groups.filter(pl.col("pooled_because").is_null())
    share = int(own["windows"].sum()) / max(int(groups["windows"].sum()), 1)
    return (
        f"{own.height:,} of {groups.height:,} groups (per {per}) have a detector of their own, with {share:.0%} of the "
        "normal records; the others, and those that come later, are scored by one of all"
    )
