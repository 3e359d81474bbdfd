"""The features of a block: all rows of some entities over a stretch of time, each described from its own past.

A block may hold the whole table or some entities, one period or many: what is said of a record is the same bit for bit.
Rows lie sorted by entity and time, so the past of each is the slice of rows before it that a search in the times finds.

Rules, the same for every attribute:

- Gaps: a span is a length of time. The growth of a record at time ``t`` over ``s`` is measured against the earliest
  known value of ``[t - s, t)``; where no record in there has a value the growth is null, however many older records
  there are. ``gap_days`` and ``history_days`` say how much a row rests on.
- A gap of the table is not one of the entity: ``gap_days`` and ``history_days`` count the periods in which the table
  can tell who was away. An entity that reported in every such period has a full history; where the look-back has no
  such period its history is unknown.
- Falling counters: a counter that falls (a reset, or pending sectors that were rewritten) has a negative growth, the
  signed log1p of the fall. Nothing is guessed about what was counted before a reset.
- Unknown stays unknown: what cannot be measured is null, and ``*_missing`` is 1 where the row itself lacks the
  attribute. Only where the YAML says ``fill_forward`` does the entity's last value stand in, for so long.
  ``lost_attributes`` names those that the entity reported inside the look-back: whoever calls it well by the others
  would call it well by what is not known of it.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property, partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ae_assets.errors import ContractError
from ae_assets.features.catalogue import CALENDAR, Feature, catalogue
from ae_assets.features.config import FeatureConfig
from ae_assets.features.units import SMALLEST_RANGE
from ae_assets.schemas.durations import DAY
from ae_assets.schemas.records import DAILY_RECORDS, ENTITY, PERIOD, TIME, Rhythm, keys_of, time_of
from ae_assets.schemas.spans import largest_within

LEAST_HOURS_RATED = 24
"""Younger drives are rated as if this old: one event in the first hour is not a thousand in a thousand hours."""

HOURS_OF_A_DAY = 24

LEAST_VALUES_OF_A_RANGE = 20
"""Of fewer earlier values the range is unknown: chance alone leaves that of n values in 2 of n + 1 cases."""

TAIL_OF_RANGE = 0.05
"""Share of the values of a span that a range leaves out at either end, so that it forgets what was short beside it."""

KEYS = {"entity": pl.String(), "cohort": pl.String(), "label": pl.Int8()}
_LARGEST_KEY = 2**62
_SECOND = timedelta(seconds=1)
_MICROSECOND = timedelta(microseconds=1)

Places = NDArray[np.int64]
"""Positions of rows in the order of the block, one per record that is described."""


def features_of_block(
    rows: pl.DataFrame,
    first: date,
    config: FeatureConfig,
    gaps: Collection[date] = (),
    *,
    last: date | None = None,
    begins: date | None = None,
    rhythm: Rhythm = DAILY_RECORDS,
) -> pl.DataFrame:
    """Computes the features of every record of a stretch of periods.

    Args:
        rows: validated rows of the stretch and of the look-back before it, in any order: ``day`` (the period), ``time``
            (Datetime in UTC) where a period holds several records of an entity, ``entity`` String, ``cohort`` String,
            ``label`` integer and the attributes of the config, numeric. Attributes that a year lacks may be absent;
            rows of other periods and further columns are ignored.
        first: the first period whose records are described.
        config: attributes, transforms and spans.
        gaps: periods in which the table cannot tell who was away, such as those it lacks (``volume.table_gaps``); those
            outside the look-back are ignored.
        last: the last period; the first if None.
        begins: the first period of the table, before which nobody was away; that of the rows if None. To be named for
            blocks of some entities, whose rows may begin later.
        rhythm: by which periods the table is kept, and how many records an entity has in one.

    Returns:
        One row per record of the stretch, sorted by entity and time: ``day``, ``time`` where rows have it, ``entity``,
        ``cohort``, ``label``, then ``feature_names(config)`` as Float32 with null for unknown, never NaN, then
        ``lost_attributes`` (List of String, null where nothing is lost) and ``seen_days`` (Int16, days since the
        entity's earliest record in the look-back, rounded up; null without one) and ``seen_records`` (Int32, its
        records in the look-back up to this one, which counts). Empty where the stretch has no rows.

    Raises:
        ContractError: a column is missing or not numeric, or an entity has two records of one time.
    """
    _check_columns(rows, config)
    block = _Block.of(rows, (first, last or first), begins, config, frozenset(gaps), rhythm)
    features_by_column: dict[str | None, list[Feature]] = {}
    for feature in catalogue(config):
        features_by_column.setdefault(feature.column, []).append(feature)
    lost: list[list[str] | None] = [None] * len(block.described)
    values: dict[str, NDArray[np.floating]] = {}
    for column, features in features_by_column.items():
        if column is None:
            values |= {feature.name: _of_the_record(feature, block) for feature in features}
            continue
        attribute = _Attribute(block, column)
        values |= {feature.name: _of_an_attribute(feature, attribute) for feature in features}
        for place in np.flatnonzero(attribute.is_lost).tolist():
            lost[place] = [*(lost[place] or []), column]
    measured = [pl.Series(name, given.astype(np.float32)).fill_nan(None) for name, given in values.items()]
    return block.keys.with_columns(
        *measured,
        pl.Series("lost_attributes", lost, dtype=pl.List(pl.String)),
        pl.Series("seen_days", np.where(block.has_past, np.ceil(block.days_since(block.earliest)), np.nan))
        .fill_nan(None)
        .cast(pl.Int16),
        pl.Series("seen_records", block.described - block.earliest + 1, dtype=pl.Int32),
    )


@dataclass(frozen=True)
class _Block:
    """Rows in the order of entity and time, and which of them are described.

    Attributes:
        rows: as they were given.
        order: the places of the rows in that order.
        moments: of each row in that order, so that a search finds the slice of an entity and a stretch: an entity's
            lie apart from the next one's by more than the look-back.
        unit: the length that one step of the moments stands for.
        described: positions in that order.
        periods: of each row in that order, counted from the first of the look-back.
        is_gap: of each period so counted, whether the table can tell nothing of it.
        is_whole: whether it is no gap and not before the table's beginning.
        config: attributes and spans.
        rhythm: how periods and records follow each other.
        first_within: what was searched for already, by span.
    """

    rows: pl.DataFrame
    order: Places
    moments: NDArray[np.int64]
    unit: timedelta
    described: Places
    periods: NDArray[np.int64]
    is_gap: NDArray[np.bool_]
    is_whole: NDArray[np.bool_]
    config: FeatureConfig
    rhythm: Rhythm
    first_within: dict[timedelta, Places] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        rows: pl.DataFrame,
        stretch: tuple[date, date],
        begins: date | None,
        config: FeatureConfig,
        gaps: frozenset[date],
        rhythm: Rhythm,
    ) -> "_Block":
        periods, (first, last) = rhythm.periods, stretch
        since = periods.before(first, config.look_back)
        if rows[PERIOD].min() != since or rows[PERIOD].max() != last:  # else nothing is to be left out, and copied
            rows = rows.filter(pl.col(PERIOD).is_between(since, last))
        here = rows[PERIOD] >= first
        entities = rows[ENTITY]
        if not isinstance(entities.dtype, pl.Categorical):
            entities = entities.cast(entity_type())
        codes = entities.to_physical().cast(pl.Int64).to_numpy()
        names = entities.filter(here).unique()
        names = names.gather(names.cast(pl.String).arg_sort())
        # Rows of entities without a record to describe are left out of the order only, which copies none.
        number_of_code = np.full(int(codes.max(initial=-1)) + 1, -1)
        number_of_code[names.to_physical().to_numpy()] = np.arange(len(names))
        numbers_of_entity = number_of_code[codes]
        places = np.flatnonzero(numbers_of_entity >= 0)
        all_periods = periods.range(since, last)
        numbers = {period: number for number, period in enumerate(all_periods)}
        numbers_of = _numbers_of(rows[PERIOD], since, periods.step)
        begun = np.array(all_periods) >= (begins or rows[PERIOD].min() or first)
        is_gap = np.zeros(len(all_periods), np.bool_)
        is_gap[[numbers[gap] for gap in gaps if gap in numbers]] = True
        times, unit = _times(rows, numbers_of, periods.step)
        length = config.look_back // unit + 1
        times = times - (times.min() if len(times) else 0) + length
        width = int(times.max() if len(times) else 0) + length
        if width * (len(names) + 1) > _LARGEST_KEY:
            raise ContractError(f"{len(names):,} entities over so long a time do not fit into one block")
        moments = numbers_of_entity[places] * width + times[places]
        by_moment = np.argsort(moments, kind="stable")
        moments, order = moments[by_moment], places[by_moment]
        if (repeats := np.flatnonzero(moments[1:] == moments[:-1])).size:
            key = rows[order[repeats[:1]].tolist()].select(*keys_of(rows.columns)).row(0)
            raise ContractError(
                f"the rows hold two records of {' '.join(map(str, reversed(key)))}; "
                "pass rows that validate_day found valid"
            )
        described = np.flatnonzero(here.to_numpy()[order])
        is_whole = begun & ~is_gap
        return cls(rows, order, moments, unit, described, numbers_of[order], is_gap, is_whole, config, rhythm)

    @cached_property
    def keys(self) -> pl.DataFrame:
        """The described records without their features."""
        columns = [*keys_of(self.rows.columns), "cohort", "label", *self.config.groups]
        keys = self.rows.select(columns)[self.order[self.described]]
        return keys.cast({ENTITY: pl.String, "label": pl.Int8})

    def since(self, span: timedelta) -> Places:
        """The first record of each described one's entity that is at most so old; itself where none is earlier."""
        if span not in self.first_within:
            self.first_within[span] = np.searchsorted(self.moments, self.moments[self.described] - span // self.unit)
        return self.first_within[span]

    def within(self, span: timedelta) -> NDArray[np.bool_]:
        """Which records lie within a span that ends with a described one."""
        edges = np.zeros(len(self.order) + 1, np.int64)
        np.add.at(edges, self.since(span), 1)
        np.add.at(edges, self.described + 1, -1)
        return np.cumsum(edges[:-1]) > 0

    @cached_property
    def earliest(self) -> Places:
        """The first record inside the look-back."""
        return self.since(self.config.look_back)

    @cached_property
    def has_past(self) -> NDArray[np.bool_]:
        """Whether there is an earlier record inside the look-back."""
        return self.earliest < self.described

    def days_since(self, places: Places) -> NDArray[np.float64]:
        """From other records of the same entities to the described ones."""
        steps = (self.moments[self.described] - self.moments[places]).astype(np.float64)
        return steps * (self.unit / DAY)


class _Attribute:
    """The values of one attribute in the order of the block, as far as something asks for them."""

    def __init__(self, block: _Block, column: str) -> None:
        self.block, self.config = block, block.config.attributes[column]
        absent = pl.repeat(None, block.rows.height, dtype=pl.Float64, eager=True)
        reported = block.rows[column] if column in block.rows.columns else absent
        self._reported = reported.fill_nan(None) if reported.dtype.is_float() else reported

    @cached_property
    def now(self) -> NDArray[np.float64]:
        """Of the described records, the last one known where it may stand in; NaN = unknown."""
        return self.at(self.place)

    @cached_property
    def place(self) -> Places:
        """The records whose values are those of the described ones."""
        described, longest = self.block.described, self.config.fill_forward
        if longest is None or self._known is None:
            return described
        before = self._last_known[described]
        return np.where(before >= self.block.since(longest), before, described)

    @cached_property
    def is_missing(self) -> NDArray[np.bool_]:
        """Whether the described record itself has no value."""
        return np.isnan(self.at(self.block.described))

    def unchanged(self) -> NDArray[np.float64]:
        """Earlier records within the look-back since which the value has not changed; NaN without a value now."""
        block = self.block
        known = np.flatnonzero(~np.isnan(self._values))
        is_new = np.diff(self._values[known], prepend=np.nan) != 0
        begins = np.zeros(len(block.order), np.int64)
        begins[known] = known[np.maximum.accumulate(np.where(is_new, np.arange(len(known)), 0))]
        counted = np.searchsorted(known, block.described)
        same = counted - np.searchsorted(known, np.maximum(begins[self.place], block.earliest))
        return np.where(np.isnan(self.now), np.nan, same)

    def at(self, places: Places) -> NDArray[np.float64]:
        """Of the records at positions in the block's order."""
        return self._decoded(self._reported.gather(self.block.order[places])).cast(pl.Float64).to_numpy()

    @cached_property
    def is_lost(self) -> NDArray[np.bool_]:
        """Whether a described record lacks the attribute though its entity reported it inside the look-back."""
        lost = np.isnan(self.now)
        return lost & (self._next_known(self.block.earliest) < self.block.described) if lost.any() else lost

    def earliest_known(self, since: Places) -> tuple[Places, NDArray[np.bool_]]:
        """The first records at or after the given ones with a value, and whether they precede the described ones."""
        found = self._next_known(since)
        precedes = found < self.block.described
        return np.where(precedes, found, self.block.described), precedes

    def mean_since(self, since: Places) -> NDArray[np.float64]:
        """Of the known values from the given records to the one before each described one; NaN without any."""
        return self._means(since, self.block.described)

    def excess(self, of_means: timedelta | None = None) -> NDArray[np.float64]:
        """How far each described record lies outside of the range of its entity's past, as a share of both together.

        With a length of time the means of so long a time are held against each other, those of the past as far as their
        time lies within the look-back. NaN where the record has no value or too few are known before it.
        """
        block = self.block
        if of_means is None:
            values, since = self._values, block.earliest
            now = self.now
        else:
            places = np.arange(len(block.order))
            begin = np.searchsorted(block.moments, block.moments - of_means // block.unit)
            values, since = self._means(begin, places + 1), block.since(block.config.look_back - of_means)
            now = values[block.described]
        known = ~np.isnan(values)
        counted = np.concatenate([[0], np.cumsum(known)])
        until = block.described
        highest = largest_within(np.where(known, values, -np.inf), since, until)
        lowest = -largest_within(np.where(known, -values, -np.inf), since, until)
        outside = np.maximum(np.maximum(now - highest, lowest - now), 0)
        enough = (counted[until] - counted[since] >= LEAST_VALUES_OF_A_RANGE) & ~np.isnan(self.now)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(outside > 0, outside / (outside + (highest - lowest)), 0.0)
        return np.where(enough, share, np.nan)

    def range_over(self, span: timedelta) -> NDArray[np.float64]:
        """The difference of two quantiles of the values of each span that ends with a described record.

        Both are values of the series, so that no sum depends on the rows around. NaN where the record has no value, or
        the first that is known within the span is younger than half of it: a series that has just begun does not stand
        still.
        """
        block, length = self.block, span // self.block.unit
        known = np.flatnonzero(~np.isnan(self._values) & block.within(span))
        rows = pl.DataFrame({"at": block.moments[known], "value": self._values[known]})
        of_span = partial(pl.col("value").rolling_quantile_by, "at", f"{max(length, 1)}i", closed="both")
        high = of_span(quantile=1 - TAIL_OF_RANGE, interpolation="higher")
        low = of_span(quantile=TAIL_OF_RANGE, interpolation="lower")
        extent = np.full(len(block.order), np.nan)
        extent[known] = rows.select(high - low).to_series().to_numpy()
        first = np.minimum(self._next_known(block.since(span)), block.described)
        age = block.moments[block.described] - block.moments[first]
        return np.where(2 * age >= length, extent[block.described], np.nan)

    @cached_property
    def _values(self) -> NDArray[np.float64]:
        """Of all rows in the block's order; NaN = unknown."""
        return self.at(np.arange(len(self.block.order)))

    def _means(self, since: Places, until: Places) -> NDArray[np.float64]:
        """Of the known values of each slice of records; NaN without any."""
        known = self._known
        counted = np.arange(len(self.block.order) + 1) if known is None else np.concatenate([[0], np.cumsum(known)])
        count = (counted[until] - counted[since]).astype(np.float64)
        mean: NDArray[np.float64] = self._sums(since, until) / np.where(count > 0, count, np.nan)
        return mean

    def _sums(self, since: Places, until: Places) -> NDArray[np.float64]:
        values = self._decoded(self._reported.gather(self.block.order))
        if values.dtype.is_integer():  # differences of running sums of whole numbers are exact, whatever comes before
            running: NDArray[np.int64] = np.concatenate([[0], np.cumsum(values.cast(pl.Int64).fill_null(0).to_numpy())])
            return (running[until] - running[since]).astype(np.float64)
        # Of others each window is summed by itself, or a sum would depend on the rows before it.
        summed = np.append(values.cast(pl.Float64).fill_null(0.0).to_numpy(), 0.0)
        sums = np.add.reduceat(summed, np.column_stack([since, until]).ravel())[::2] if len(until) else np.zeros(0)
        return np.where(since < until, sums, 0.0)

    def _decoded(self, values: pl.Series) -> pl.Series:
        if self.config.low_bits is not None:
            values = values.cast(pl.Int64) & ((1 << self.config.low_bits) - 1)
        return values if self.config.cap is None else values.cast(pl.Float64).clip(upper_bound=self.config.cap)

    @cached_property
    def _known(self) -> NDArray[np.bool_] | None:
        """Which rows have a value, in the block's order; None where all have one."""
        return self._reported.is_not_null().to_numpy()[self.block.order] if self._reported.null_count() else None

    @cached_property
    def _next_known_of_each(self) -> Places | None:
        """For each row the first at or after it that has a value; None where all have one."""
        known = self._known
        if known is None:
            return None
        places = np.where(known, np.arange(len(known)), len(known))
        return np.minimum.accumulate(places[::-1])[::-1]

    @cached_property
    def _last_known(self) -> Places:
        """For each row the last at or before it that has a value, whosever it is; -1 without one."""
        known = np.ones(len(self.block.order), np.bool_) if self._known is None else self._known
        return np.maximum.accumulate(np.where(known, np.arange(len(known)), -1))

    def _next_known(self, since: Places) -> Places:
        return since if self._next_known_of_each is None else self._next_known_of_each[since]


def _of_an_attribute(feature: Feature, attribute: _Attribute) -> NDArray[np.floating]:
    block, now, gauge = attribute.block, attribute.now, attribute.config.kind == "gauge"
    values: NDArray[np.floating]
    match feature.transform:
        case "level" | "magnitude" | "active" | "missing":
            values = _of_the_value(feature, attribute)
        case "flatline":
            values = np.log1p(attribute.unchanged())
        case "per_1000_hours":
            age = _Attribute(block, str(block.config.age_column)).now
            values = np.log1p(now * 1000 / np.maximum(age, LEAST_HOURS_RATED))
        case "growth":
            places, precede = attribute.earliest_known(block.since(feature.span or block.config.look_back))
            values = _signed_log1p(np.where(precede, now - attribute.at(places), np.nan))
        case "deviation":
            mean = attribute.mean_since(block.earliest)
            values = now - mean if gauge else np.log1p(now) - np.log1p(mean)
        case "range":
            extent = attribute.range_over(feature.span or block.config.look_back)
            values = np.log(np.maximum(extent, SMALLEST_RANGE))
        case "excess":
            values = attribute.excess(feature.span)
        case "drift":
            places, precede = attribute.earliest_known(block.earliest)
            departure = (now - attribute.at(places)) / HOURS_OF_A_DAY - block.days_since(places)
            values = _signed_log1p(np.where(precede, departure, np.nan))
        case _:
            raise AssertionError(f"{feature.transform} is not made of an attribute")
    return values


def _of_the_value(feature: Feature, attribute: _Attribute) -> NDArray[np.floating]:
    now = attribute.now
    match feature.transform:
        case "missing":
            return attribute.is_missing.astype(np.float32)
        case "active":
            return np.where(np.isnan(now), np.nan, now != 0)
        case "magnitude":
            return _signed_log1p(now)
        case _:
            return now if attribute.config.kind == "gauge" else np.log1p(now)


def _of_the_record(feature: Feature, block: _Block) -> NDArray[np.float64]:
    """How long ago the entity's previous record was, or on how many days it has one, by what the table can tell."""
    if feature.name.startswith(CALENDAR):
        times = block.rows.select(time_of(block.rows.columns)).to_series().gather(block.order[block.described])
        parts: NDArray[np.float64] = getattr(times.dt, feature.transform)().cast(pl.Float64).to_numpy()
        return parts
    step_days = block.rhythm.periods.step / DAY
    until = block.periods[block.described]
    gaps_before = np.concatenate([[0], np.cumsum(block.is_gap)])
    if feature.transform == "gap_days":
        previous = np.maximum(block.described - 1, 0)
        gaps = gaps_before[until] - gaps_before[np.minimum(block.periods[previous] + 1, until)]
        return np.where(block.has_past, block.days_since(previous) - gaps * step_days, np.nan)
    from_period = np.maximum(until - block.rhythm.periods.count(block.config.look_back), 0)
    gaps = gaps_before[until] - gaps_before[from_period]
    whole_before = np.concatenate([[0], np.cumsum(block.is_whole)])
    whole = whole_before[until] - whole_before[from_period]
    counted = np.concatenate([[0], np.cumsum(~block.is_gap[block.periods])])
    records = counted[block.described] - counted[block.earliest]
    # Of the periods in a gap an entity is credited with the share of the others in which it has a record.
    with np.errstate(invalid="ignore", divide="ignore"):
        credited = np.where(gaps > 0, records * (whole + gaps) / np.where(whole > 0, whole, np.nan), records)
    days: NDArray[np.float64] = credited * (block.rhythm.step / DAY)
    return days


def entity_type() -> pl.Categorical:
    """A type for the entities of blocks that are put together: each name is looked up once, and not in every block."""
    return pl.Categorical(pl.Categories.random())


def _numbers_of(periods: pl.Series, since: date, step: timedelta) -> NDArray[np.int64]:
    """Periods counted from the first."""
    first, second = pl.Series([since, since + step], dtype=periods.dtype).to_physical()
    numbers: NDArray[np.int64] = (periods.to_physical().to_numpy().astype(np.int64) - first) // (second - first)
    return numbers


def _times(rows: pl.DataFrame, numbers_of: NDArray[np.int64], step: timedelta) -> tuple[NDArray[np.int64], timedelta]:
    """The time of each row in whole steps of a unit."""
    if TIME not in rows.columns:
        return numbers_of, step
    microseconds = rows.select(time_of(rows.columns).to_physical()).to_series().to_numpy()
    seconds, left = np.divmod(microseconds, 1_000_000)
    return (microseconds, _MICROSECOND) if left.any() else (seconds, _SECOND)


def _signed_log1p(change: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sign(change) * np.log1p(np.abs(change))


def _check_columns(rows: pl.DataFrame, config: FeatureConfig) -> None:
    for column, dtype in KEYS.items():
        if column not in rows.columns or PERIOD not in rows.columns:
            raise ContractError(f"the rows have no column {column!r}; expected {[PERIOD, *KEYS]} and the attributes")
        if column == ENTITY and not isinstance(rows.schema[column], pl.String | pl.Categorical):
            raise ContractError(f"the column {column!r} of the rows is {rows.schema[column]}, expected {dtype}")
    for column in config.attributes:
        received = rows.schema.get(column, pl.Null())
        if not (received.is_numeric() or received == pl.Null):
            raise ContractError(f"the attribute {column!r} of the rows is {received}, expected a number")
