"""The columns of an anomalies table: one row per record, with its score and what raised it."""

from functools import cache
from typing import TypedDict

import pandera.polars as pa
import polars as pl

from ae_assets.schemas.records import DAILY_RECORDS, ENTITY, PERIOD, TIME, TIME_TYPE, Rhythm

TOP_FEATURES = pl.List(
    pl.Struct({"name": pl.String(), "contribution": pl.Float64(), "value": pl.Float64(), "expected": pl.Float64()})
)
"""The features that raised a score most: contributions add up to no more than the score; value null = missing.

Value and expected are in the unit of the feature's attribute, 40 sectors, in rows of ``format`` 2; in older rows, which
have no format, they are the features themselves: the logarithms of counters, hours and growths.
"""

EPISODE_STATES = ["none", "opened", "open", "closed"]
"""What a record is to its device, as ``decisions.episodes`` decides."""


_Type = pl.DataType | type[pl.DataType]
_NOT_NEGATIVE = pa.Check.ge(0)


class OrderOfRows(TypedDict):
    """Of what columns in which direction, as Polars sorts."""

    by: list[str]
    descending: list[bool]


def anomaly_schema(rhythm: Rhythm = DAILY_RECORDS) -> pa.DataFrameSchema:
    """The Pandera schema of the anomalies of a table: one row per record.

    Columns that came later stand at the end, where a table that was written before has them.
    """
    noun, period = rhythm.periods.noun, rhythm.periods.dtype
    several = rhythm.cadence is not None
    columns = {
        "day": _known(period, f"the {noun} of the record"),
        **({TIME: _known(TIME_TYPE, "when the record was taken")} if several else {}),
        "entity": _known(pl.String, "the device"),
        "cohort": _known(pl.String, "its kind"),
        "score": _nullable(
            pl.Float64,
            "the anomaly score that is held against the threshold: day_score, aggregated over the device's last "
            "records where the table says so; higher = more anomalous, null = not judged, which is no sign of health",
            _NOT_NEGATIVE,
        ),
        "threshold": _known(pl.Float64, "the cut that the score was held against"),
        "is_anomaly": _nullable(pl.Boolean, "an alarm: alarm_score is over the threshold; null = not judged"),
        "severity": _nullable(
            pl.Float64,
            "share of calibration rows with a score at least as high; small = severe, null = not judged",
            pa.Check.in_range(0, 1),
        ),
        "is_new": _known(
            pl.Boolean,
            "an alarm that opens an episode: by default, whose device had none on its previous scored record",
        ),
        "streak_days": _known(
            pl.Int32,
            "judged records in a row with an alarm, this one included; 0 = none; one that is not judged leaves it as "
            "it was",
            _NOT_NEGATIVE,
        ),
        "top_features": _nullable(
            TOP_FEATURES,
            "the features that raised day_score most: name, contribution, value and expected in the unit of the "
            "attribute (of format 2; before, logarithms of counters); null of records that are not shown: without an "
            "alarm, an open episode and one of the highest scores",
        ),
        "model_version": _known(pl.String, "the model version that scored the row"),
        "label": _nullable(pl.Int8, f"1 = the device failed on this {noun}, null = not known", pa.Check.isin([0, 1])),
        "day_score": _nullable(
            pl.Float64,
            "the detector's score of the record itself, before aggregation; null = not judged",
            _NOT_NEGATIVE,
        ),
        "episode": _known(
            pl.String,
            "opened = first record of an episode (one ticket); open = a later one of it, with or without an alarm; "
            "closed = the one on which the device is clear again; none = in no episode",
            pa.Check.isin(EPISODE_STATES),
        ),
        "episode_start": _nullable(
            TIME_TYPE if several else period, "when the episode opened: with entity, its ticket"
        ),
        "clear_days": _known(
            pl.Int32,
            "judged records in a row, this one included, on which the device of an open episode was clear; one that "
            "lacks what the device reported before does not count and leaves it as it was",
            _NOT_NEGATIVE,
        ),
        "reasons": _nullable(
            pl.List(pl.String),
            "the attributes that moved day_score, in words, largest first; null without an alarm or an open episode",
        ),
        "muted_until": _nullable(pl.Date, "last day on which the mute list mutes the device; null = not muted"),
        "mute_reason": _nullable(pl.String, "why the mute list mutes it"),
        "not_judged_because": _nullable(
            pl.String, "why the row has no score: what a score would rest on and is not known; null = judged"
        ),
        "context": _nullable(
            pl.String, "what the readings are judged against, in words: the age; null where there are no reasons"
        ),
        "format": _nullable(
            pl.Int32, "how the row was written; null = before it was said, with top_features in feature units"
        ),
        "alarm_score": _nullable(
            pl.Float64,
            "the score as far as it raises an alarm: 0 where the device had one at least as high within the time that "
            "the table holds alarms back for; null = not judged",
            _NOT_NEGATIVE,
        ),
    }
    return pa.DataFrameSchema(columns, name="anomalies", strict=True, ordered=True)


def anomaly_types(rhythm: Rhythm = DAILY_RECORDS) -> dict[str, pl.DataType]:
    """The types of its columns, in their order."""
    return dict(_types(rhythm))


@cache
def _types(rhythm: Rhythm) -> dict[str, pl.DataType]:
    """Asked for several times a period, and a schema takes milliseconds."""
    return {name: column.dtype.type for name, column in anomaly_schema(rhythm).columns.items()}


def order_of_anomalies(rhythm: Rhythm) -> OrderOfRows:
    """How the rows of a period are sorted, null last."""
    return {"by": ["score", ENTITY, TIME if rhythm.cadence else PERIOD], "descending": [True, False, False]}


def _known(kind: _Type, description: str, *checks: pa.Check) -> pa.Column:
    return pa.Column(kind, list(checks), description=description)


def _nullable(kind: _Type, description: str, *checks: pa.Check) -> pa.Column:
    return pa.Column(kind, list(checks), description=description, nullable=True)
