"""Windows of an entity's last days over a table of features, as indices: no window is ever copied out here.

Gap rule: a window holds the entity's records inside the last ``window_days`` calendar days, the scored day included.
A day without a record is skipped; a window with fewer records than days is padded on the left, and the padding is
masked by whoever gathers it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.errors import ContractError

KEY_COLUMNS = ("day", "entity", "cohort", "label")

ABOUT_THE_RECORD = ("gap_days", "history_days")
MISSING_FLAG = "_missing"
"""How the names of flags end. Flags and what is said about the record are known whatever the entity reports."""


@dataclass(frozen=True, eq=False)
class Windows:
    """n windows over r rows of f features.

    Attributes:
        values: float32 (r, f), rows sorted by (entity, day); NaN is missing.
        feature_names: the f names of the columns.
        last_row: int64 (n,), the row of each window's scored day, ascending as built by :func:`windows_of`.
        length: int32 (n,), records of the window: rows ``last_row - length + 1`` to ``last_row``, all of one entity.
        rows: day, entity, cohort, label of the r rows.
        window_days: calendar days of a window.
    """

    values: NDArray[np.float32]
    feature_names: tuple[str, ...]
    last_row: NDArray[np.int64]
    length: NDArray[np.int32]
    rows: pl.DataFrame
    window_days: int

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.last_row)

    @cached_property
    def entity(self) -> NDArray[np.object_]:
        """Entity of each row (r,)."""
        return self.rows["entity"].to_numpy()

    @cached_property
    def day(self) -> NDArray[np.datetime64]:
        """Day of each row (r,), datetime64[D]."""
        return self.rows["day"].to_numpy()

    @cached_property
    def cohort(self) -> NDArray[np.object_]:
        """Cohort of each row (r,)."""
        return self.rows["cohort"].to_numpy()

    def keys(self) -> pl.DataFrame:
        """Day, entity, cohort and label of each window's scored day, in the order of the windows."""
        return self.rows[self.last_row]

    def take(self, windows: NDArray[np.int64]) -> "Windows":
        """The windows at these positions, over the same rows."""
        return Windows(
            self.values,
            self.feature_names,
            self.last_row[windows],
            self.length[windows],
            self.rows,
            self.window_days,
        )


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Windows to fit a detector on, with what is known of each.

    Attributes:
        windows: n windows; `windows.entity` and `windows.cohort` say which belong together.
        target: boolean (n,), whether something is known to go wrong: a failure within the horizon after the window, its
            own day left out, or a labelled interval that the window ends in.
        held_out: boolean (n,), kept for early stopping; all windows of an entity are on one side.
    """

    windows: Windows
    target: NDArray[np.bool_]
    held_out: NDArray[np.bool_]

    def take(self, windows: NDArray[np.int64]) -> "TrainingData":
        """The windows at these positions."""
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


def is_reading(feature_name: str) -> bool:
    """Whether a feature is known only where the entity reports something; by its name."""
    return feature_name not in ABOUT_THE_RECORD and not feature_name.endswith(MISSING_FLAG)


def windows_of(
    features: pl.DataFrame,
    feature_names: Sequence[str],
    window_days: int,
    days: Collection[date] | None = None,
    where: pl.Series | None = None,
) -> Windows:
    """Builds the windows that end on the wanted rows.

    Args:
        features: day (Date), entity (String), cohort, label where known, and the features (numbers, null = missing);
            any row order, at most one row per entity and day.
        feature_names: the feature columns, in the order of the result.
        window_days: calendar days of a window, the scored one included; 1 or more.
        days: days to score; all where None. Rows of other days still serve as history.
        where: boolean, one per row of ``features`` in its order; rows where it is not true end no window but still
            serve as history. All where None.

    Raises:
        ContractError: a column is missing, or an entity has two rows of one day.
    """
    names = tuple(feature_names)
    missing = [name for name in ("day", "entity", "cohort", *names) if name not in features.columns]
    if missing:
        raise ContractError(f"The feature table has no column {missing}; it has {features.columns}.")
    if window_days < 1:
        raise ContractError(f"window_days is {window_days}; a window holds the scored day at least, so 1 or more.")
    if where is not None and len(where) != features.height:
        raise ContractError(f"where has {len(where)} values for {features.height} rows; it needs one per row.")
    wanted = pl.lit(True) if days is None else pl.col("day").is_in(list(days))
    label = pl.col("label").cast(pl.Int8) if "label" in features.columns else pl.lit(None, pl.Int8).alias("label")
    keyed = features.select(
        "day",
        "entity",
        "cohort",
        label,
        _wanted=wanted if where is None else wanted & where.fill_null(False),
        _position=pl.int_range(pl.len(), dtype=pl.UInt32),
    ).sort("entity", "day")
    codes = keyed["entity"].rle_id().to_numpy().astype(np.int64)
    ordinal = keyed["day"].cast(pl.Int32).to_numpy().astype(np.int64)
    last_row = np.flatnonzero(keyed["_wanted"].to_numpy())
    return Windows(
        values=_matrix(features, names, keyed["_position"].to_numpy()),
        feature_names=names,
        last_row=last_row,
        length=_lengths(codes, ordinal, last_row, window_days, keyed),
        rows=keyed.select(KEY_COLUMNS),
        window_days=window_days,
    )


def _matrix(features: pl.DataFrame, names: tuple[str, ...], position: NDArray[np.uint32]) -> NDArray[np.float32]:
    """The features as one float32 matrix in the order of ``position``, column by column to keep one copy alive."""
    in_order = bool((position == np.arange(len(position))).all())
    matrix = np.empty((features.height, len(names)), np.float32)
    for column, name in enumerate(names):
        values = features[name].cast(pl.Float32).fill_null(np.nan).to_numpy()
        matrix[:, column] = values if in_order else values[position]
    return matrix


def _lengths(
    codes: NDArray[np.int64],
    ordinal: NDArray[np.int64],
    last_row: NDArray[np.int64],
    window_days: int,
    keyed: pl.DataFrame,
) -> NDArray[np.int32]:
    """Records of each window, by one search over a key that grows with entity, then day.

    The stride between entities is wider than the span of days plus a window, so that looking back from an entity's
    first day ends in the gap before it and never in the entity before.
    """
    if not len(codes):
        return np.zeros(0, np.int32)
    stride = int(ordinal.max() - ordinal.min()) + window_days + 1
    key = codes * stride + (ordinal - ordinal.min())
    repeated = np.flatnonzero(np.diff(key) == 0)
    if len(repeated):
        first = keyed.row(int(repeated[0]), named=True)
        raise ContractError(
            f"Entity {first['entity']} has more than one row on {first['day']} ({len(repeated)} such pairs); "
            "a window needs one row per entity and day: drop duplicates in validation."
        )
    first_row = np.searchsorted(key, key[last_row] - (window_days - 1), side="left")
    length: NDArray[np.int32] = (last_row - first_row + 1).astype(np.int32)
    return length
