"""An existing Iceberg table as a source, ``iceberg://CATALOG/namespace.table``: its rows are read by their time.

The catalog is one of pyiceberg's own configuration. Of a table only the columns that the contract names are read. Which
periods a data file holds is told by its statistics, or by its times where these do not tell; a data file never changes,
so that is remembered. A period is new where the data files with rows of it are others, also where they were only put
together; deletes by position are respected, those by equality are refused by pyiceberg.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from ae_assets.errors import AeAssetsError, SourceError
from ae_assets.schemas.layouts.layout import RESCUED_COLUMN, ROW_COLUMN
from ae_assets.schemas.reading import Reading
from ae_assets.sources.dates import with_times
from ae_assets.sources.day_files import ListingSource, absent_day
from ae_assets.sources.memory import Memory
from ae_assets.sources.printable import printable, without_secrets
from ae_assets.sources.source import SourceDay

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.expressions import BooleanExpression
    from pyiceberg.table import DataScan, FileScanTask, Table
    from pyiceberg.types import NestedField

VERSION = 1

_CLOCK_MARGIN = timedelta(days=1)
"""More than any clock is away from UTC: times of a local clock are looked for in a wider range first."""


_Index = Mapping[date | None, int]
"""How many rows of each period a data file holds; None: how many have no time."""


@dataclass(frozen=True)
class _Listing:
    """A table as it was listed.

    Attributes:
        table: with its metadata, which name a snapshot.
        names: the columns that are read, by what the layout calls them.
        with_timeless: the period with which rows stand that have no time; None: there is none.
        parts: of each period the data files, and how many rows of it each holds.
    """

    table: "Table"
    names: Mapping[str, str]
    with_timeless: date | None
    parts: "Mapping[date, Sequence[tuple[FileScanTask, int]]]"


class IcebergSource(ListingSource):
    """The periods of a table.

    Args:
        location: ``iceberg://CATALOG/namespace.table``.
        reading: the contract, and by which periods the rows are cut.
        memory: folder in which it is remembered which periods a data file holds; None: nowhere.
        load: loads the table, for a location of another kind; None: the catalog does.

    Raises:
        SourceError: the location names no table, or the contract finds the device or the time where a table has none.
    """

    def __init__(
        self,
        location: str,
        reading: Reading | None = None,
        memory: Path | None = None,
        load: "Callable[[], Table] | None" = None,
    ) -> None:
        super().__init__(without_secrets(location), reading, memory)
        self._catalog, _, self._table = without_secrets(location).partition("://")[2].partition("/")
        self._load = load or self._of_catalog
        if load is None and (not self._catalog or "." not in self._table.strip(".") or "/" in self._table):
            raise SourceError(
                f"{self.location}: expected iceberg://CATALOG/namespace.table, e.g. iceberg://default/ns.t"
            )
        layout = self._reading.layout
        if layout.entity_of_file is not None:
            raise SourceError(f"{self.location}: a table has no files whose names tell the device; name its column.")
        if layout.metric is not None or layout.entity_name is not None:
            raise SourceError(
                f"{self.location}: rows of one metric, and of one device that no column names, are read from files;"
                " write a view with a column for each."
            )
        if len(layout.time.column) > 1:
            raise SourceError(f"{self.location}: the time of a table is one column, a date or a timestamp.")
        self._remembered = Memory(memory, "iceberg-", self.location, VERSION)
        self._indexes = self._remembered.recall(self._index_of)
        self._listing: _Listing | None = None

    _beside: Sequence[str] = ()
    """Columns that are read beside those of the contract, for `_distinct`."""

    def _look(self) -> tuple[dict[date, SourceDay], list[str]]:
        with self._explained("listing"):
            table = self._load()
            names = self._names(table)
            scan = table.scan(selected_fields=(names[self._reading.layout.time.name],))
            tasks = [] if scan.snapshot() is None else list(scan.plan_files())
            indexes = {_key(task, self._reading): self._index(scan, task, names) for task in tasks}
        if indexes.keys() != self._indexes.keys():
            self._indexes = indexes
            self._remembered.remember({key: _values_of(index) for key, index in indexes.items()})
        counts = sum((Counter(index) for index in indexes.values()), Counter[date | None]())
        timeless = counts.pop(None, 0)
        periods = sorted(period for period in counts if period is not None)
        if timeless and not periods:
            return {}, [f"{self.location}: none of its {timeless:,} rows has a time"]
        with_timeless = periods[0] if periods else None
        parts: dict[date, list[tuple[FileScanTask, int]]] = {period: [] for period in periods}
        for task, index in zip(tasks, indexes.values(), strict=True):
            rows = Counter(index)
            rows[with_timeless] += rows.pop(None, 0)
            for period, count in rows.items():
                if period is not None and count:
                    parts[period].append((task, count))
        self._listing = _Listing(table, names, with_timeless, parts)
        return {period: self._listed_period(period, of_period) for period, of_period in parts.items()}, []

    def _listed_period(self, period: date, parts: "Sequence[tuple[FileScanTask, int]]") -> SourceDay:
        more = f" and {len(parts) - 1} more" if len(parts) > 1 else ""
        size = sum(task.file.file_size_in_bytes * count // task.file.record_count for task, count in parts)
        first = min(task.file.file_path for task, _ in parts).rsplit("/", 1)[-1]
        return SourceDay(period, self._fingerprint(parts), f"{self._table}!{first}{more}", size)

    def _fingerprint(self, parts: "Sequence[tuple[FileScanTask, int]]") -> str:
        files = sorted(_identity(task) for task, _ in parts)
        digest = hashlib.sha256("\n".join(files).encode()).hexdigest()
        return f"files-{digest[:16]}"

    def _rows(self, day: SourceDay) -> pl.DataFrame:
        from pyiceberg.expressions import IsNull, Or, Reference

        from ae_assets.sources.columnar import conformed
        from ae_assets.sources.csv_day import refuse_too_many_rows

        listing, layout = self._listing, self._reading.layout
        if listing is None:
            raise SourceError(absent_day(self.location, day.day, self._strays))
        columns = list(listing.names)
        refuse_too_many_rows(sum(count for _, count in listing.parts[day.day]), len(columns), day.origin)
        time = listing.names[layout.time.name]
        row_filter = self._around(day.day, listing.table, time)
        if day.day == listing.with_timeless:
            row_filter = Or(row_filter, IsNull(term=Reference(time)))
        with self._explained("reading"):
            scan = listing.table.scan(row_filter, (*listing.names.values(), *self._beside))
            arrow = _arrow_of(scan, [task for task, _ in listing.parts[day.day]])
        beside = list(self._beside)
        frame = pl.DataFrame(arrow.select([*listing.names.values(), *beside]).rename_columns([*columns, *beside]))
        periods = self._periods_of(frame[layout.time.name])
        own = periods == day.day
        if day.day == listing.with_timeless:
            own |= periods.is_null()
        distinct = self._distinct(frame.filter(own), columns)
        frame = distinct.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(ROW_COLUMN))
        return conformed(frame, columns, day.origin, self._reading, {})

    def _distinct(self, frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:  # noqa: ARG002 - of a topic
        """The rows of a period in their order, without those that repeat others."""
        return frame

    def _of_catalog(self) -> "Table":
        from pyiceberg.catalog import load_catalog
        from pyiceberg.utils.config import Config

        # Read here, since pyiceberg reads it once, when it is imported.
        settings = Config().get_catalog_config(self._catalog) or {}
        return load_catalog(self._catalog, **{key: str(value) for key, value in settings.items()}).load_table(
            self._table
        )

    def _names(self, table: "Table") -> dict[str, str]:
        """The columns that are read, by what the layout calls them."""
        from pyiceberg.types import DateType, TimestampType, TimestamptzType

        from ae_assets.sources.header import acceptable_names

        layout = self._reading.layout
        fields = [field for field in table.schema().fields if layout.knows(layout.spelled(field.name).lower())]
        read = [field.name for field in fields]
        names = dict(zip(acceptable_names(read, self.location, layout, "the table"), read, strict=True))
        kind = table.schema().find_type(names[layout.time.name])
        if not isinstance(kind, DateType | TimestampType | TimestamptzType):
            raise SourceError(
                f"{self.location}: the time {names[layout.time.name]!r} is of the type {kind}, expected a date or a "
                "timestamp, by which rows can be asked for. Name such a column, or add one to the table."
            )
        return names

    def _index(self, scan: "DataScan", task: "FileScanTask", names: Mapping[str, str]) -> _Index:
        index = self._indexes.get(_key(task, self._reading))
        if index is not None:
            return index
        field = scan.projection().find_field(names[self._reading.layout.time.name])
        bounds = _bounds(task, field)
        if bounds is not None and self._is_of_utc(bounds.dtype):
            first, last = self._periods_of(bounds)
            if first == last:
                return {self._reading.periods.of(first): task.file.record_count}
        arrow = _arrow_of(scan, [task])
        periods = self._periods_of(pl.Series(values=arrow.column(0)))
        counts = periods.value_counts(name="rows").iter_rows()
        return {period and self._reading.periods.of(period): count for period, count in counts}

    def _periods_of(self, given: pl.Series) -> pl.Series:
        """The period of each time of the table; null where there is none.

        A time that a clock leaves out in spring, which is for the contract to set aside, stands where UTC has it.
        """
        time = self._reading.layout.time
        column = given.alias(time.name).to_frame().with_columns(pl.lit(None, pl.String).alias(RESCUED_COLUMN))
        read = with_times(column, time)[time.name]
        if not self._is_of_utc(given.dtype):
            read = pl.select(pl.coalesce(read, given.dt.cast_time_unit("us").dt.replace_time_zone("UTC"))).to_series()
        return pl.select(self._reading.periods.of_times(pl.lit(read))).to_series()

    def _is_of_utc(self, kind: pl.DataType) -> bool:
        """Whether times of a type are those of UTC, or days, and not of a clock elsewhere."""
        time = self._reading.layout.time
        local = isinstance(kind, pl.Datetime) and kind.time_zone is None and time.has_time_of_day
        return not local or time.time_zone == "UTC"

    def _around(self, period: date, table: "Table", time: str) -> "BooleanExpression":
        """What asks for the rows of a period, and for some around it, more where its times are of a clock elsewhere."""
        from pyiceberg.expressions import And, GreaterThanOrEqual, LessThanOrEqual, Reference
        from pyiceberg.expressions.literals import literal
        from pyiceberg.types import DateType, TimestamptzType

        first, last = self._reading.periods.start(period), self._reading.periods.end(period)
        kind = table.schema().find_type(time)
        if isinstance(kind, DateType):
            texts = [f"{moment:%Y-%m-%d}" for moment in (first, last)]
        elif isinstance(kind, TimestamptzType):
            texts = [moment.isoformat() for moment in (first, last)]
        else:
            margin = timedelta() if self._is_of_utc(pl.Datetime("us")) else _CLOCK_MARGIN
            texts = [moment.replace(tzinfo=None).isoformat() for moment in (first - margin, last + margin)]
        column, (low, high) = Reference(time), map(literal, texts)
        return And(GreaterThanOrEqual(term=column, value=low), LessThanOrEqual(term=column, value=high))

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except AeAssetsError:
            raise
        except Exception as problem:  # catalogs and their servers raise errors of many libraries
            reason = without_secrets(printable(str(problem))) or type(problem).__name__
            raise SourceError(
                f"{self.location}: {doing} the table failed ({type(problem).__name__}: {reason[:300]}). Check that"
                f" pyiceberg's configuration has the catalog {self._catalog!r} (.pyiceberg.yaml or"
                f" PYICEBERG_CATALOG__{self._catalog.upper()}__URI), that it has the table {self._table!r}, and that"
                " its files are there; list the source again."
            ) from problem

    def _index_of(self, values: Mapping[str, Any]) -> _Index:
        periods = self._reading.periods
        index: dict[date | None, int] = {periods.parse(period): int(rows) for period, rows in values["rows"].items()}
        return {**index, None: values["timeless"]} if values["timeless"] else index


def _values_of(index: _Index) -> dict[str, Any]:
    rows = {period.isoformat(): rows for period, rows in index.items() if period is not None}
    return {"rows": rows, "timeless": index.get(None, 0)}


def _identity(task: "FileScanTask") -> str:
    """What a data file holds: its path, as it never changes, and which of its rows were deleted."""
    return " ".join([task.file.file_path, *sorted(delete.file_path for delete in task.delete_files)])


def _key(task: "FileScanTask", reading: Reading) -> str:
    return f"{_identity(task)} {reading.digest}"


def _bounds(task: "FileScanTask", field: "NestedField") -> pl.Series | None:
    """The earliest and the latest time of a data file by its statistics; None where these are not of all its rows."""
    from pyiceberg.conversions import from_bytes
    from pyiceberg.types import DateType, PrimitiveType, TimestampType

    file, number = task.file, field.field_id
    lower, upper = ((bounds or {}).get(number) for bounds in (file.lower_bounds, file.upper_bounds))
    nulls = (file.null_value_counts or {}).get(number)
    if task.delete_files or nulls != 0 or lower is None or upper is None:
        return None
    kind = field.field_type
    if not isinstance(kind, PrimitiveType):
        return None
    values = pl.Series([from_bytes(kind, lower), from_bytes(kind, upper)], dtype=pl.Int64)
    if isinstance(kind, DateType):
        return values.cast(pl.Int32).cast(pl.Date)
    return values.cast(pl.Datetime("us", None if isinstance(kind, TimestampType) else "UTC"))


def _arrow_of(scan: "DataScan", tasks: "Sequence[FileScanTask]") -> "pa.Table":
    """The rows of some data files that a scan asks for, without planning it again."""
    from pyiceberg.io.pyarrow import ArrowScan

    return ArrowScan(scan.table_metadata, scan.io, scan.projection(), scan.row_filter).to_table(tasks)
