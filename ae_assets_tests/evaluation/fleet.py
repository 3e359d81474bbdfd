"""Small fleets with known lives for the tests of this folder."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from ae_assets.evaluation.compare import compare
from ae_assets.evaluation.protocol import Protocol
from ae_assets.evaluation.results import Evaluation
from ae_assets.evaluation.spells import LIFE_SCHEMA, Lives

START = date(2024, 1, 1)


def day(offset: int) -> date:
    """The day so many days after `START`."""
    return START + timedelta(days=offset)


def records_of(lives: Mapping[str, tuple[int, int, int | None]], cohort: str = "model") -> pl.DataFrame:
    """`day, entity, cohort, label`: a row a day from the first offset to the last, label 1 on the failure offset."""
    rows = [
        (day(offset), entity, cohort, int(offset == failed))
        for entity, (first, last, failed) in lives.items()
        for offset in range(first, last + 1)
    ]
    return pl.DataFrame(
        rows,
        schema={"day": pl.Date, "entity": pl.String, "cohort": pl.String, "label": pl.Int8},
        orient="row",
    )


def scored(records: pl.DataFrame, alarms: Mapping[str, Sequence[int]] | None = None) -> pl.DataFrame:
    """`day, entity, cohort, score`: score 1 on the named day offsets of an entity, 0 elsewhere."""
    wanted = {(entity, day(offset)) for entity, offsets in (alarms or {}).items() for offset in offsets}
    flags = [float((entity, when) in wanted) for when, entity in records.select("day", "entity").iter_rows()]
    return records.select("day", "entity", "cohort", pl.Series("score", flags, dtype=pl.Float64))


def fleet(healthy: int, failing: int, days: int, seed: int = 0) -> pl.DataFrame:
    """Records of a fleet over `days` days; each failing drive reports until it fails on a random day of them."""
    generator = np.random.default_rng(seed)
    lives: dict[str, tuple[int, int, int | None]] = {f"healthy-{n:05}": (0, days - 1, None) for n in range(healthy)}
    for number, failed in enumerate(generator.integers(1, days, failing).tolist()):
        lives[f"failing-{number:05}"] = (0, failed, failed)
    return records_of(lives)


def lives_of(records: pl.DataFrame, known_until: date | None = None) -> Lives:
    """The lives that all of the records up to a day tell."""
    if known_until is not None:
        records = records.filter(pl.col("day") <= known_until)
    frame = (
        records.group_by("entity")
        .agg(
            first_day=pl.col("day").min(),
            last_day=pl.col("day").max(),
            failed_on=pl.col("day").filter(pl.col("label") == 1).min(),
        )
        .sort("entity")
        .cast(LIFE_SCHEMA)
    )
    return Lives(frame, known_until or records["day"].max())


def evaluate(scores: pl.DataFrame, lives: Lives, protocol: Protocol, **options: Any) -> Evaluation:
    """What a comparison says of one detector alone, whose name is `d`."""
    return compare({"d": scores}, lives, protocol, **options).evaluations[0]


def in_use(scores: pl.DataFrame, cut: float) -> tuple[float, pl.DataFrame]:
    """A cut for all scores as `compare` takes it: with the margins of them."""
    return cut, scores.with_columns(pl.col("score") - cut)
