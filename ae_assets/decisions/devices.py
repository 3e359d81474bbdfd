"""The anomalies of a period device by device, for people: of several records of a device the one that says most."""

import polars as pl

from ae_assets.decisions.episodes import CLOSED, OPEN, OPENED
from ae_assets.schemas.records import ENTITY, TIME

AT_THE_END = ("streak_days", "clear_days", "muted_until", "mute_reason")
"""Columns that are those of a device's last record."""


def one_per_device(rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each device of a period, in order of falling score.

    Args:
        rows: anomalies of one period, some or all of their columns, ``entity`` and ``score`` among them; rows of a
            table whose devices have one record in a period are given back as they are.

    Returns:
        Of each device its record with the highest score, the first of equal ones; where none is judged, its last. What
        becomes of a device is that of the whole period: ``is_new`` where an episode opened in it; ``episode`` and
        ``episode_start`` as they are after its last record, but opened where the episode that is then open opened in
        the period, and closed where one ended and none is open; ``label`` the largest.
    """
    if TIME not in rows.columns:
        return rows
    ordered = rows.sort(ENTITY, TIME)
    open_now = pl.col("episode").last().is_in([OPENED, OPEN])
    closed = pl.col("episode") == CLOSED
    of_period = {
        "is_new": pl.col("is_new").any(),
        "episode": pl.when(open_now & (pl.col("episode_start").last() >= pl.col(TIME).first()))
        .then(pl.lit(OPENED))
        .when(open_now)
        .then(pl.lit(OPEN))
        .when(closed.any())
        .then(pl.lit(CLOSED))
        .otherwise(pl.col("episode").last()),
        "episode_start": pl.when(open_now)
        .then(pl.col("episode_start").last())
        .otherwise(pl.col("episode_start").filter(closed).last()),
        "label": pl.col("label").max(),
        **{name: pl.col(name).last() for name in AT_THE_END},
    }
    known = {name: of for name, of in of_period.items() if name in rows.columns}
    highest = pl.col("score").fill_null(-1.0).arg_max()
    shown = pl.when(pl.col("score").null_count() == pl.len()).then(pl.len() - 1).otherwise(highest)
    others = [name for name in rows.columns if name not in (ENTITY, *known)]
    return (
        ordered.group_by(ENTITY, maintain_order=True)
        .agg(pl.col(others).get(shown), **known)
        .select(rows.columns)
        .sort(["score", ENTITY], descending=[True, False], nulls_last=True)
    )
