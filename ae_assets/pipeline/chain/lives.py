"""The lives of a table's devices: first and last day seen, first failure, from the raw rows."""

from datetime import date

import polars as pl

from ae_assets.evaluation import Lives, lives_of, merge_lives
from ae_assets.pipeline.chain.storage import RAW, Storage

DAYS_AT_ONCE = 16


def lives_in(storage: Storage, known_until: date | None = None) -> Lives:
    """Lives from all raw rows up to a day, in bounded memory; the label is the raw one, quarantined rows included."""
    days = sorted(day for day, rows in storage.days_of(RAW).items() if rows)
    known = [day for day in days if known_until is None or day <= known_until]
    lives: Lives | None = None
    for first in range(0, len(known), DAYS_AT_ONCE):
        some = known[first : first + DAYS_AT_ONCE]
        rows = storage.tables.read(storage.name(RAW), some[0], some[-1], ["day", "serial_number", "failure"])
        records = rows.filter(pl.col("serial_number").is_not_null()).select(
            "day", entity="serial_number", label="failure"
        )
        part = lives_of(records)
        lives = part if lives is None else merge_lives([lives, part])
    return lives if lives is not None else merge_lives([])
