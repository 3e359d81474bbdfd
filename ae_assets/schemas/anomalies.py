"""The columns of an anomalies table: one row per record, with its score and what raised it."""

import pandera.polars as pa
import polars as pl

from ae_assets.schemas.records import DAILY_RECORDS, TIME, TIME_TYPE, Rhythm

TOP_FEATURES = pl.List(
    pl.Struct({"name": pl.String(), "contribution": pl.Float64(), "value": pl.Float64(), "expected": pl.Float64()})
)
"""The features that raised a score most: contributions add up to no more than the score; value null = missing.

Value and expected are in the unit of the feature's attribute, 40 sectors, in rows of ``format`` 2; in older rows, which
have no format, they are the features themselves: the logarithms of counters, hours and growths.
"""

EPISODE_STATES = ["none", "opened", "open", "closed"]
"""What a record is to its device, as ``decisions.episodes`` decides."""


def anomaly_schema(rhythm: Rhythm = DAILY_RECORDS) -> pa.DataFrameSchema:
    """The Pandera schema of the anomalies of a table: one row per record.

    Columns that came later stand at the end, where a table that was written before has them.
    """
    timed = rhythm.cadence is not None
    times = {TIME: pa.Column(TIME_TYPE, description="when the record was taken")} if timed else {}
    noun = rhythm.periods.noun
    columns = {
        "day": pa.Column(rhythm.periods.dtype, description=f"the {noun} of the record"),
        **times,
        "entity": pa.Column(pl.String, unique=False, description="the device"),
        "cohort": pa.Column(pl.String, description="its kind"),
        "score": pa.Column(
            pl.Float64,
            pa.Check.ge(0),
            nullable=True,
            description="the anomaly score that is held against the threshold: day_score, aggregated over the device's "
            "last records where the table says so; higher = more anomalous, null = not judged, which is no sign of "
            "health",
        ),
        "threshold": pa.Column(pl.Float64, description="the cut that the score was held against"),
        "is_anomaly": pa.Column(
            pl.Boolean, nullable=True, description="an alarm: the score is over the threshold; null = not judged"
        ),
        "severity": pa.Column(
            pl.Float64,
            pa.Check.in_range(0, 1),
            nullable=True,
            description="share of calibration rows with a score at least as high; small = severe, null = not judged",
        ),
        "is_new": pa.Column(
            pl.Boolean,
            description="an alarm that opens an episode: by default, whose device had none on its previous scored "
            "record",
        ),
        "streak_days": pa.Column(
            pl.Int32,
            pa.Check.ge(0),
            description="judged records in a row with an alarm, this one included; 0 = none; one that is not judged "
            "leaves it as it was",
        ),
        "top_features": pa.Column(
            TOP_FEATURES,
            nullable=True,
            description="the features that raised day_score most: name, contribution, value and expected in the unit "
            "of the attribute (of format 2; before, logarithms of counters); null = unknown",
        ),
        "model_version": pa.Column(pl.String, description="the model version that scored the row"),
        "label": pa.Column(
            pl.Int8,
            pa.Check.isin([0, 1]),
            nullable=True,
            description=f"1 = the device failed on this {noun}, null = not known",
        ),
        "day_score": pa.Column(
            pl.Float64,
            pa.Check.ge(0),
            nullable=True,
            description="the detector's score of the record itself, before aggregation; null = not judged",
        ),
        "episode": pa.Column(
            pl.String,
            pa.Check.isin(EPISODE_STATES),
            description="opened = first record of an episode (one ticket); open = a later one of it, with or without "
            "an alarm; closed = the one on which the device is clear again; none = in no episode",
        ),
        "episode_start": pa.Column(
            TIME_TYPE if timed else rhythm.periods.dtype,
            nullable=True,
            description="when the episode opened: with entity, its ticket",
        ),
        "clear_days": pa.Column(
            pl.Int32,
            pa.Check.ge(0),
            description="judged records in a row, this one included, on which the device of an open episode was clear; "
            "one that lacks what the device reported before does not count and leaves it as it was",
        ),
        "reasons": pa.Column(
            pl.List(pl.String),
            nullable=True,
            description="the attributes that moved day_score, in words, largest first; null without an alarm or an "
            "open episode",
        ),
        "muted_until": pa.Column(
            pl.Date, nullable=True, description="last day on which the mute list mutes the device; null = not muted"
        ),
        "mute_reason": pa.Column(pl.String, nullable=True, description="why the mute list mutes it"),
        "not_judged_because": pa.Column(
            pl.String,
            nullable=True,
            description="why the row has no score: what a score would rest on and is not known; null = judged",
        ),
        "context": pa.Column(
            pl.String,
            nullable=True,
            description="what the readings are judged against, in words: the age; null where there are no reasons",
        ),
        "format": pa.Column(
            pl.Int32,
            nullable=True,
            description="how the row was written; null = before it was said, with top_features in feature units",
        ),
    }
    return pa.DataFrameSchema(columns, name="anomalies", strict=True, ordered=True)


def anomaly_types(rhythm: Rhythm = DAILY_RECORDS) -> dict[str, pl.DataType]:
    """The types of its columns, in their order."""
    return {name: column.dtype.type for name, column in anomaly_schema(rhythm).columns.items()}
