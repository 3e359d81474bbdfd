"""Scores and alarms of a few entities over some weeks, with days off, for the property tests of this folder."""

from collections.abc import Mapping
from datetime import date, timedelta

import polars as pl
from hypothesis import settings
from hypothesis import strategies as st

START = date(2024, 1, 1)

QUICK = settings(deadline=None, max_examples=40)
"""For properties whose examples take many small joins each."""


def day(number: int) -> date:
    """The day so many days after the start."""
    return START + timedelta(days=number)


def scores_of(records: Mapping[tuple[int, str], float | None]) -> pl.DataFrame:
    """A frame of scores, by (number of the day, entity); None = not judged."""
    return pl.DataFrame(
        {
            "day": [day(number) for number, _ in records],
            "entity": [entity for _, entity in records],
            "score": list(records.values()),
        },
        schema={"day": pl.Date, "entity": pl.String, "score": pl.Float64},
    )


def histories(days: int = 25, entities: str = "ABC") -> st.SearchStrategy[pl.DataFrame]:
    """Scores of up to three entities, each on some of the days, in any row order; ties and calm days are common.

    On some days an entity has a record and is not judged.
    """
    keys = st.tuples(st.integers(0, days - 1), st.sampled_from(entities))
    values = st.one_of(st.sampled_from([0.0, 0.1, 1.0, 2.0, None]), st.floats(0, 1e6))
    return st.dictionaries(keys, values, min_size=1, max_size=60).map(scores_of)
