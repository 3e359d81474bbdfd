"""Windows of an entity's last records over a table of features, as indices: no window is ever copied out here.

Gap rule: a window holds the entity's records of the last ``window``, the scored one included: those after its time less
the window. A missing record is skipped; a window with fewer records than steps is padded on the left, and the padding
is masked by whoever gathers it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.errors import ContractError
from ae_assets.features.catalogue import CALENDAR
from ae_assets.schemas.durations import DAY, written
from ae_assets.schemas.records import key_of, keys_of
from ae_assets.schemas.spans import counts_within

ABOUT_THE_RECORD = ("gap_days", "history_days")
BESIDE = ("entity", "cohort", "settings")
"""Columns of text that are no groups."""

MISSING_FLAG = "_missing"
"""How the names of flags end. Flags and what is said about the record are known whatever the entity reports."""


@dataclass(frozen=True, eq=False)
class Windows:
    """n windows over r rows of f features.

    Attributes:
        values: float32 (r, f), rows sorted by (entity, time); NaN is missing.
        feature_names: the f names of the columns.
        last_row: int64 (n,), the row of each window's scored record, ascending as built by :func:`windows_of`.
        length: int32 (n,), records of the window: rows ``last_row - length + 1`` to ``last_row``, all of one entity.
        rows: day, time where an entity has several records in a period, entity, cohort, groups (other columns of text,
            which say where an entity belongs), label of the r rows.
        window: the length of a window; None: the scored record alone.
        step: the usual time from a record of an entity to the next.
    """

    values: NDArray[np.float32]
    feature_names: tuple[str, ...]
    last_row: NDArray[np.int64]
    length: NDArray[np.int32]
    rows: pl.DataFrame
    window: timedelta | None = None
    step: timedelta = DAY

    def __len__(self) -> int:
        return len(self.last_row)

    def keys(self) -> pl.DataFrame:
        """The columns of ``rows`` of each window's scored record, in the order of the windows."""
        return self.rows[self.last_row]

    def take(self, windows: NDArray[np.int64]) -> "Windows":
        """The windows at these positions, over the same rows."""
        return replace(self, last_row=self.last_row[windows], length=self.length[windows])

    def shortened(self, window: timedelta | None) -> "Windows":
        """Those of a detector that sees no more than these; of the scored record alone they may be of any length."""
        if window in (None, self.window):
            return self
        return replace(self, length=counts_within(self.rows, window, self.last_row), window=window)

    def weight_per_entity(self) -> NDArray[np.float64]:
        """A weight (n,) per window, so that each entity's windows add up to 1."""
        _, entity, count = np.unique(self.keys()["entity"].to_numpy(), return_inverse=True, return_counts=True)
        return np.asarray(1 / count[entity], np.float64)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Windows to fit a detector on, with what is known of each.

    Attributes:
        windows: n windows; their `rows` say which entity and cohort each is of.
        target: boolean (n,), whether something is known to go wrong: a failure within the horizon after the window, its
            own day left out, or a labelled interval that the window ends in.
        held_out: boolean (n,), kept for early stopping; all windows of an entity are on one side.
    """

    windows: Windows
    target: NDArray[np.bool_]
    held_out: NDArray[np.bool_]

    def take(self, windows: NDArray[np.int64]) -> "TrainingData":
        return TrainingData(self.windows.take(windows), self.target[windows], self.held_out[windows])

    @cached_property
    def train(self) -> Windows:
        """Windows to learn from, of entities believed healthy."""
        return self.windows.take(np.flatnonzero(~self.target & ~self.held_out))

    @cached_property
    def validation(self) -> Windows:
        """Windows of other entities believed healthy, for early stopping only."""
        return self.windows.take(np.flatnonzero(~self.target & self.held_out))

    @cached_property
    def failing(self) -> Windows:
        """Windows of which something is known to go wrong, for detectors that learn from labels."""
        return self.windows.take(np.flatnonzero(self.target))


def chunks(data: TrainingData, records: int) -> TrainingData:
    """The windows that end on every so many records of an entity, from its first, abnormal where any record in it is.

    A record of which nothing is known to have gone wrong, or no window ends on, makes no window abnormal.
    """
    windows = data.windows
    abnormal = np.zeros(len(windows.values) + 1, np.int64)
    abnormal[windows.last_row + 1] = data.target
    until_row = np.cumsum(abnormal)
    target = until_row[windows.last_row + 1] > until_row[windows.last_row + 1 - windows.length]
    entity = windows.rows["entity"].rle_id().to_numpy()
    of_entity = windows.last_row - np.searchsorted(entity, entity[windows.last_row])
    return replace(data, target=target).take(np.flatnonzero((of_entity + 1) % records == 0))


def is_reading(feature_name: str) -> bool:
    """Whether a feature is known only where the entity reports something; by its name."""
    return not (
        feature_name in ABOUT_THE_RECORD or feature_name.startswith(CALENDAR) or feature_name.endswith(MISSING_FLAG)
    )


def windows_of(
    features: pl.DataFrame,
    feature_names: Sequence[str],
    window: timedelta | None = None,
    days: Collection[date] | None = None,
    where: pl.Series | None = None,
    *,
    step: timedelta = DAY,
) -> Windows:
    """Builds the windows that end on the wanted rows.

    Args:
        features: day (the period), time (Datetime in UTC) where an entity has several records in one, entity (String),
            cohort, label where known, and the features (numbers, null = missing); any row order, at most one row of an
            entity at a time.
        feature_names: the feature columns, in the order of the result.
        window: the length of a window, the scored record included; None: that record alone.
        days: periods to score; all where None. Rows of others still serve as history.
        where: boolean for each row of ``features``; others end no window but still serve as history. All where None.
        step: the usual time from a record of an entity to the next.

    Raises:
        ContractError: a column is missing, or an entity has two rows of one time.
    """
    names = tuple(feature_names)
    missing = [name for name in ("day", "entity", "cohort", *names) if name not in features.columns]
    if missing:
        raise ContractError(f"The feature table has no column {missing}; it has {features.columns}.")
    if window is not None and window <= timedelta():
        raise ContractError(f"the window is {written(window)} long; a window holds some time, or is None.")
    if where is not None and len(where) != features.height:
        raise ContractError(f"where has {len(where)} values for {features.height} rows; it needs one per row.")
    wanted = pl.lit(True) if days is None else pl.col("day").is_in(list(days))
    label = pl.col("label").cast(pl.Int8) if "label" in features.columns else pl.lit(None, pl.Int8).alias("label")
    text = (name for name, kind in features.schema.items() if kind == pl.String and name not in BESIDE)
    keys = (*keys_of(features.columns), "cohort", *text)
    keyed = features.select(
        *keys,
        label,
        _wanted=wanted if where is None else wanted & where.fill_null(False),
        _position=pl.int_range(pl.len(), dtype=pl.UInt32),
    ).sort("entity", key_of(keys)[0])
    _require_one_row_of_a_record(keyed)
    last_row = np.flatnonzero(keyed["_wanted"].to_numpy())
    return Windows(
        values=_matrix(features, names, keyed["_position"].to_numpy()),
        feature_names=names,
        last_row=last_row,
        length=np.ones(len(last_row), np.int32) if window is None else counts_within(keyed, window, last_row),
        rows=keyed.select(*keys, "label"),
        window=window,
        step=step,
    )


def _matrix(features: pl.DataFrame, names: tuple[str, ...], position: NDArray[np.uint32]) -> NDArray[np.float32]:
    """The features as one float32 matrix in the order of ``position``, column by column to keep one copy alive."""
    in_order = bool((position == np.arange(len(position))).all())
    matrix = np.empty((features.height, len(names)), np.float32)
    for column, name in enumerate(names):
        values = features[name].cast(pl.Float32).fill_null(np.nan).to_numpy()
        matrix[:, column] = values if in_order else values[position]
    return matrix


def _require_one_row_of_a_record(keyed: pl.DataFrame) -> None:
    time, entity = key_of(keyed.columns)
    repeated = keyed.select(
        (pl.col(entity) == pl.col(entity).shift()) & (pl.col(time) == pl.col(time).shift())
    ).to_series()
    if repeated.any():
        first = keyed.row(int(repeated.arg_true()[0]), named=True)
        raise ContractError(
            f"Entity {first[entity]} has more than one row on {first[time]} ({repeated.sum()} such pairs); "
            f"a window needs one row per entity and {time}: drop duplicates in validation."
        )
