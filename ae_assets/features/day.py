"""The features of one day: Polars expressions over the rows of each drive inside the look-back.

One day at a time by construction, so that a day computed alone and the same day inside a range are equal bit for bit.

Rules, the same for every attribute:

- Gaps: spans are calendar days. A growth over ``s`` days is measured against the earliest known value of the days
  ``day - s`` to ``day - 1``; days without a record are skipped, and where none of them has a value the growth is null,
  however many older records there are. ``gap_days`` and ``history_days`` say how much a row rests on.
- A gap of the table is not one of the drive: ``gap_days`` and ``history_days`` count the days on which the table can
  tell who was away. A drive that reported on every such day has a gap of 1 and a full history; where the look-back has
  no such day its history is unknown.
- Falling counters: a counter that falls (a reset, or pending sectors that were rewritten) has a negative growth, the
  signed log1p of the fall. Nothing is guessed about what was counted before a reset.
- Unknown stays unknown: what cannot be measured is null, never a filled-in value, and ``*_missing`` is 1 where the
  row itself lacks the attribute. ``lost_attributes`` names those that the drive reported inside the look-back: whoever
  calls it well by the others would call it well by what is not known of it.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.errors import ContractError
from ae_assets.features.catalogue import Feature, catalogue
from ae_assets.features.config import FeatureConfig

HOURS_OF_A_DAY = 24
LEAST_HOURS_RATED = 24
"""Younger drives are rated as if this old: one event in the first hour is not a thousand in a thousand hours."""

PAST_TRANSFORMS = frozenset({"growth", "deviation", "drift"})
"""Transforms that read the look-back; the others read the day's own row only."""

SIGNED_TRANSFORMS = frozenset({"growth", "drift"})
"""Transforms whose values have a sign; their signed log1p is what a row holds."""

KEYS = {"day": pl.Date(), "entity": pl.String(), "cohort": pl.String(), "label": pl.Int8()}


def features_of_day(
    history: pl.DataFrame, day: date, config: FeatureConfig, gaps: Collection[date] = ()
) -> pl.DataFrame:
    """Computes the features of every drive that has a row on a day.

    Args:
        history: validated rows of ``[day - look_back_days, day]`` in any order: ``day`` Date, ``entity`` String,
            ``cohort`` String, ``label`` integer and the attributes of the config, numeric. A drive has one row a day at
            most. Attributes that a year lacks may be absent; rows of other days and further columns are ignored.
        day: the day whose rows are described.
        config: attributes, transforms and spans.
        gaps: days on which the table cannot tell who was away, such as those it lacks (``volume.table_gaps``); days
            outside the look-back are ignored.

    Returns:
        One row per drive with a row on ``day``, in the order of those rows: ``day, entity, cohort, label``, then
        ``feature_names(config)`` as Float32 with null for unknown, never NaN, then ``lost_attributes`` (List of String,
        null where nothing is lost) and ``seen_days`` (Int16, days since the drive's earliest record in the look-back,
        null without one). Empty where the day has no rows.

    Raises:
        ContractError: a column is missing or not numeric, or a drive has two rows on a day.
    """
    _check_columns(history, config)
    rows = _look_back(history, day, config.look_back_days, gaps)
    features_by_column: dict[str | None, list[Feature]] = {}
    for feature in catalogue(config):
        features_by_column.setdefault(feature.column, []).append(feature)
    measured = pl.DataFrame(
        [
            values
            for column, features in features_by_column.items()
            for values in _measured(column, features, config, rows).get_columns()
        ]
    )
    return rows.today.select(
        pl.lit(day).alias("day"),
        "entity",
        "cohort",
        pl.col("label").cast(pl.Int8),
        *measured.cast(pl.Float32).fill_nan(None).get_columns(),
        _lost_attributes(config, rows),
        _seen_days(rows),
    )


@dataclass(frozen=True)
class _Rows:
    """Today's rows, the earlier ones, and where each drive of today stands among them.

    Attributes:
        today: rows of the day.
        past: rows of the earlier days of the look-back, by rising day.
        lags: how many days before the day the earlier days with rows are, rising.
        places: for each lag, each row of today: the drive's row in ``past``, null where it has none.
        gaps: how many days before the day the table cannot tell who was away.
    """

    today: pl.DataFrame
    past: pl.DataFrame
    lags: list[int]
    places: pl.Series
    gaps: frozenset[int]

    def by_lag(self, values: pl.Series) -> list[pl.Series]:
        """Cuts a series as long as ``places`` into one per lag, named by it."""
        height = self.today.height
        return [values.slice(position * height, height).alias(str(lag)) for position, lag in enumerate(self.lags)]

    @cached_property
    def place_by_lag(self) -> NDArray[np.uint32]:
        """``places`` as (lags, rows of today); the height of ``past`` where a drive has no row."""
        return self.places.fill_null(self.past.height).to_numpy().reshape(len(self.lags), self.today.height)


def _look_back(history: pl.DataFrame, day: date, look_back_days: int, gaps: Collection[date]) -> _Rows:
    if not history["day"].is_sorted():
        history = history.sort("day", maintain_order=True)
    bounds = pl.Series([day - timedelta(days=look_back_days), day, day + timedelta(days=1)], dtype=pl.Date)
    first, now, end = history["day"].search_sorted(bounds, side="left")
    today, past = history.slice(now, end - now), history.slice(first, now - first)
    lags = sorted((day - known).days for known in past["day"].unique())
    gap_lags = {(day - gap).days for gap in gaps}
    within = frozenset(lag for lag in gap_lags if 0 < lag <= look_back_days)
    return _Rows(today, past, lags, _places(today, past, lags, day), within)


def _places(today: pl.DataFrame, past: pl.DataFrame, lags: list[int], day: date) -> pl.Series:
    if today["entity"].n_unique() != today.height:
        raise ContractError(f"the rows of {day} hold a drive twice; pass rows that validate_day found valid")
    drives = today.select("entity").with_row_index("position")
    offset_of_lag = pl.Series(
        [lags.index(lag) * today.height if lag in lags else None for lag in range(max(lags, default=0) + 1)]
    )
    found = past.select("entity", "day").with_row_index("place").join(drives, on="entity", how="inner")
    offset = offset_of_lag.gather((pl.lit(day) - found["day"]).dt.total_days())
    places = pl.repeat(None, today.height * len(lags), dtype=pl.get_index_type(), eager=True)
    places = places.scatter(offset + found["position"], found["place"])
    if places.count() != found.height:
        raise ContractError(
            f"a drive has two rows on one of the days before {day}; pass rows that validate_day found valid"
        )
    return places


def _measured(column: str | None, features: list[Feature], config: FeatureConfig, rows: _Rows) -> pl.DataFrame:
    """The features of one attribute, or of the row itself where ``column`` is None, one per column."""
    if column is None:
        known = rows.today.select("entity").with_columns(rows.by_lag(rows.places))
        expressions = [_of_the_row(feature, rows.lags, rows.gaps) for feature in features]
    elif column not in rows.today.columns or rows.today[column].null_count() == rows.today.height:
        known = rows.today.select("entity")
        expressions = [_where_absent(feature) for feature in features]
    else:
        known = _side_by_side(column, config, rows)
        expressions = [_of_an_attribute(feature, config, known.columns) for feature in features]
    values = known.select(
        expression.alias(feature.name) for expression, feature in zip(expressions, features, strict=True)
    )
    return values.with_columns(
        _signed_log1p(pl.col(feature.name)) for feature in features if feature.transform in SIGNED_TRANSFORMS
    )


def _side_by_side(column: str, config: FeatureConfig, rows: _Rows) -> pl.DataFrame:
    """One attribute of today's drives: column ``"0"`` today, ``"<lag>"`` on each earlier day; ``age`` in hours."""
    transforms = config.attributes[column].chosen_transforms
    known = [_values(rows.today, column, config).alias("0")]
    if column in rows.past.columns and PAST_TRANSFORMS.intersection(transforms):
        known += rows.by_lag(_values(rows.past, column, config).gather(rows.places))
    if config.age_column is not None and "per_1000_hours" in transforms:
        known.append(_values(rows.today, config.age_column, config).alias("age"))
    return pl.DataFrame(known)


def _values(rows: pl.DataFrame, column: str, config: FeatureConfig) -> pl.Series:
    """An attribute as Float64, which holds every 48-bit counter exactly; nulls where the year lacks it."""
    attribute = config.attributes[column]
    if column not in rows.columns:
        return pl.repeat(None, rows.height, dtype=pl.Float64, eager=True)
    values = rows[column]
    if attribute.low_bits is not None:
        values = values.cast(pl.Int64) & ((1 << attribute.low_bits) - 1)
    values = (values.fill_nan(None) if values.dtype.is_float() else values).cast(pl.Float64).rechunk()
    return values if attribute.cap is None else values.clip(upper_bound=attribute.cap)


def _of_an_attribute(feature: Feature, config: FeatureConfig, known: list[str]) -> pl.Expr:
    """The expression of one feature over the columns of ``_side_by_side``; of a signed one, its argument.

    The logarithm of those is taken afterwards: an expression that names its argument twice computes it twice.
    """
    value, lags = pl.col("0"), sorted(int(name) for name in known if name not in {"0", "age"})
    gauge = config.attributes[str(feature.column)].kind == "gauge"
    match feature.transform:
        case "level":
            return value if gauge else value.log1p()
        case "missing":
            return value.is_null()
        case "per_1000_hours":
            return (value * 1000 / pl.col("age").clip(lower_bound=LEAST_HOURS_RATED)).log1p()
        case "growth":
            earliest = _first_known(pl.col(str(lag)) for lag in reversed(lags) if lag <= (feature.span or 0))
            return value - earliest
        case "deviation":
            mean = pl.mean_horizontal(str(lag) for lag in lags) if lags else pl.lit(None, pl.Float64)
            return value - mean if gauge else value.log1p() - mean.log1p()
        case "drift":
            departures = ((value - pl.col(str(lag))) / HOURS_OF_A_DAY - lag for lag in reversed(lags))
            return _first_known(departures)
        case _:
            raise AssertionError(f"{feature.transform} is not made of an attribute")


def _lost_attributes(config: FeatureConfig, rows: _Rows) -> pl.Series:
    """The attributes that each of today's rows lacks and that its drive had on an earlier day of the look-back."""
    lost: list[list[str] | None] = [None] * rows.today.height
    for column in config.attributes:
        now, before = (_reported(frame, column) for frame in (rows.today, rows.past))
        if now.null_count() == 0 or before.null_count() == len(before):
            continue
        lacks = now.is_null().arg_true().to_numpy()
        # One place more, which is never known, stands for the days on which a drive has no row.
        known = np.append(before.is_not_null().to_numpy(), False)
        for row in lacks[known[rows.place_by_lag[:, lacks]].any(axis=0)].tolist():
            lost[row] = [*(lost[row] or []), column]
    return pl.Series("lost_attributes", lost, dtype=pl.List(pl.String))


def _seen_days(rows: _Rows) -> pl.Series:
    """Days since the earliest record of each of today's drives."""
    has_row = rows.place_by_lag < rows.past.height
    first = len(rows.lags) - 1 - has_row[::-1].argmax(axis=0) if rows.lags else np.zeros(rows.today.height, np.int64)
    lags = pl.Series([*rows.lags, None], dtype=pl.Int16)
    return lags.gather(np.where(has_row.any(axis=0), first, len(rows.lags))).alias("seen_days")


def _reported(rows: pl.DataFrame, column: str) -> pl.Series:
    """An attribute as it was reported, null where it is unknown."""
    if column not in rows.columns:
        return pl.repeat(None, rows.height, dtype=pl.Null, eager=True)
    return rows[column].fill_nan(None) if rows.schema[column].is_float() else rows[column]


def _where_absent(feature: Feature) -> pl.Expr:
    """A feature on a day that lacks its attribute: what the general expression gives, without reading the past."""
    return pl.repeat(1 if feature.transform == "missing" else None, pl.len(), dtype=pl.Float32)


def _of_the_row(feature: Feature, lags: list[int], gaps: frozenset[int]) -> pl.Expr:
    """The expression of a feature of the row itself; the column of a lag is null where the drive had no row."""
    has_row = {lag: pl.col(str(lag)).is_not_null() for lag in lags}
    if feature.transform == "gap_days":
        ago = {lag: lag - sum(gap < lag for gap in gaps) for lag in lags}
        return _first_known(pl.when(seen).then(pl.lit(ago[lag])) for lag, seen in has_row.items())
    whole = [lag for lag in lags if lag not in gaps]
    records = pl.sum_horizontal(*(has_row[lag] for lag in whole), pl.col("entity").is_null())
    if not gaps:
        return records
    if not whole:
        return pl.repeat(None, pl.len(), dtype=pl.Float64)
    # Of the days in a gap a drive is credited with the share of the other days on which it has a record.
    return records * (len(whole) + len(gaps)) / len(whole)


def _first_known(candidates: Iterable[pl.Expr]) -> pl.Expr:
    return pl.coalesce(*candidates, pl.lit(None, pl.Float64))


def _signed_log1p(change: pl.Expr) -> pl.Expr:
    return change.sign() * change.abs().log1p()


def _check_columns(history: pl.DataFrame, config: FeatureConfig) -> None:
    for column, dtype in KEYS.items():
        if column not in history.columns:
            raise ContractError(f"the history has no column {column!r}; expected {list(KEYS)} and the attributes")
        if column in {"day", "entity"} and history.schema[column] != dtype:
            raise ContractError(f"the column {column!r} of the history is {history.schema[column]}, expected {dtype}")
    for column in config.attributes:
        received = history.schema.get(column, pl.Null())
        if not (received.is_numeric() or received == pl.Null):
            raise ContractError(f"the attribute {column!r} of the history is {received}, expected a number")
