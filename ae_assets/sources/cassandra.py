"""A table of Cassandra as a source, ``cassandra://HOST[:PORT],.../keyspace.table?...``: rows are read by their time.

All rows are asked for by ranges of the ring, page by page; a page that fails is asked for again, where its pages before
ended. To list periods, times and write times are read and nothing else, and only counts are kept. The fingerprint of a
period rests on how many rows it has and when they were written. Periods that ended long ago (``settled``) are looked at
once; what is found is remembered.
"""

import os
import re
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from pydantic import Field

from ae_assets.errors import AeAssetsError, ConfigError, SourceError
from ae_assets.schemas.durations import Duration
from ae_assets.schemas.layouts.layout import RESCUED_COLUMN, ROW_COLUMN
from ae_assets.schemas.reading import Reading
from ae_assets.sources.addresses import ServerSettings, address_of
from ae_assets.sources.dates import with_times
from ae_assets.sources.day_files import ListingSource, absent_day
from ae_assets.sources.memory import Memory
from ae_assets.sources.printable import printable, without_secrets
from ae_assets.sources.ranges import Patience, TransientError
from ae_assets.sources.source import SourceDay

if TYPE_CHECKING:
    from cassandra.cluster import Session
    from cassandra.metadata import Metadata, TableMetadata

VERSION = 1
PORT = 9042
ENVIRONMENT = "AE_ASSETS_CASSANDRA_"
"""How the variables begin that hold USERNAME, PASSWORD and, of TLS, CA, CERTIFICATE and KEY, which are files."""

_EXPECTED = (
    "cassandra://HOST[:PORT],.../keyspace.table, e.g. "
    "cassandra://10.0.0.1:9042/telemetry.levels?consistency=LOCAL_QUORUM"
)
_NAME = re.compile(r"[A-Za-z]\w{0,47}\.[A-Za-z]\w{0,47}", re.ASCII)
_WHOLE = frozenset({"int", "bigint", "smallint", "tinyint"})
_FLOATS = frozenset({"float", "double"})
_TEXTS = frozenset({"ascii", "text", "varchar"})
_AS_TEXT = frozenset({"decimal", "varint", "uuid", "timeuuid", "inet", "timestamp", "date", "time", "duration"})
_BYTES_PER_CELL = 12
_ROW, _WRITTEN = "rows", "written"


class CassandraSettings(ServerSettings):
    """What a location says behind its question mark."""

    consistency: Literal["ONE", "LOCAL_ONE", "TWO", "THREE", "QUORUM", "LOCAL_QUORUM", "ALL"] = "LOCAL_QUORUM"
    datacenter: str | None = None
    page_rows: int = Field(5_000, ge=1, le=100_000)
    ranges: int = Field(32, ge=1, le=10_000)
    timeout: Duration = timedelta(seconds=30)
    attempts: int = Field(6, ge=1, le=100)
    tls: Literal["on", "off"] = "off"
    settled: Duration | None = None


@dataclass(frozen=True)
class _Content:
    """What a period holds: rows, when the newest was written (microseconds since 1970), the sum of these times."""

    rows: int
    newest: int
    total: int

    @property
    def fingerprint(self) -> str:
        return f"rows-{self.rows}-{self.newest}-{self.total % 2**32:08x}"


@dataclass(frozen=True)
class _Table:
    """A table as its server describes it.

    Attributes:
        name: as CQL has it.
        key: the columns of the partition key, as CQL has them.
        columns: of the contract, by what the layout calls them, as the server calls them.
        kinds: the type of each of these.
        time: the one of them that is the time.
        written: of which columns it is known when they were written.
    """

    name: str
    key: Sequence[str]
    columns: Mapping[str, str]
    kinds: Mapping[str, str]
    time: str
    written: Sequence[str]


class CassandraSource(ListingSource):
    """The periods of a table.

    Args:
        location: ``cassandra://HOST[:PORT],HOST/keyspace.table?consistency=...``.
        reading: the contract, and by which periods the rows are cut.
        memory: folder in which it is remembered what settled periods hold; None: nowhere.

    Raises:
        SourceError: the location names no table or a setting that is not known, or the contract finds the device or the
            time where a table has none.
        ConfigError: the driver is not installed.
    """

    def __init__(self, location: str, reading: Reading | None = None, memory: Path | None = None) -> None:
        super().__init__(without_secrets(location), reading, memory)
        try:
            import cassandra  # noqa: F401
        except ImportError:
            raise ConfigError(
                "a source at cassandra:// needs the extra cassandra: pip install 'ae-assets[cassandra]'"
            ) from None
        hosts, name, self._settings = address_of(location, _NAME, CassandraSettings, ENVIRONMENT, _EXPECTED)
        self._hosts = [(host, port or PORT) for host, port in hosts]
        self._keyspace, _, self._name = name.partition(".")
        layout = self._reading.layout
        if layout.entity_of_file is not None or layout.metric is not None or layout.entity_name is not None:
            raise SourceError(f"{self.location}: a table needs a column that names the device, and one for each value.")
        if len(layout.time.column) > 1:
            raise SourceError(f"{self.location}: the time of a table is one column, a timestamp, date or timeuuid.")
        self._remembered = Memory(memory, "cassandra-", f"{location} {self._reading.digest}", VERSION)
        self._contents: dict[date, _Content] = {}

    def _look(self) -> tuple[dict[date, SourceDay], list[str]]:
        periods = self._reading.periods
        known = {
            periods.parse(period): content
            for period, content in self._remembered.recall(lambda values: _Content(*map(int, values))).items()
        }
        settled = self._settled(known)
        since = periods.end(max(settled)) + timedelta(microseconds=1) if settled else None
        with self._table() as (session, table):
            found, timeless = self._counted(session, table, since)
        self._contents = {**{period: known[period] for period in settled}, **found}
        self._remembered.remember(
            {periods.key(period): [one.rows, one.newest, one.total] for period, one in self._contents.items()}
        )
        width = len(table.columns)
        listed = {
            period: SourceDay(period, one.fingerprint, self._origin, one.rows * width * _BYTES_PER_CELL)
            for period, one in sorted(self._contents.items())
        }
        return listed, [f"{self.location}: {timeless:,} rows have no time"] if timeless else []

    def _rows(self, day: SourceDay) -> pl.DataFrame:
        from ae_assets.sources.columnar import conformed
        from ae_assets.sources.csv_day import refuse_too_many_rows

        content = self._contents.get(day.day)
        if content is None:
            raise SourceError(absent_day(self.location, day.day, self._strays))
        periods, time = self._reading.periods, self._reading.layout.time.name
        with self._table() as (session, table):
            refuse_too_many_rows(content.rows, len(table.columns), day.origin)
            within = self._between(table, periods.start(day.day), periods.end(day.day))
            pages = self._scan(session, table, list(table.columns), within, partial(_frame, table))
            frame = pl.concat(pages) if pages else _frame(table, [])
        frame = frame.filter(self._periods_of(frame[time]) == day.day)
        if frame.height < content.rows:
            raise SourceError(
                f"{self.location}: {periods.key(day.day)} had {content.rows:,} rows when it was listed, and"
                f" {frame.height:,} were read. List the source again; where no rows were deleted or have expired, a"
                f" replica did not answer: ask more of them than consistency={self._settings.consistency}."
            )
        frame = frame.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(ROW_COLUMN))
        return conformed(frame, list(table.columns), day.origin, self._reading, {})

    @property
    def _origin(self) -> str:
        return f"{self._keyspace}.{self._name}"

    def _settled(self, known: Mapping[date, _Content]) -> list[date]:
        """The known periods that are not looked at again."""
        if self._settings.settled is None:
            return []
        before = datetime.now(UTC) - self._settings.settled
        return [period for period in known if self._reading.periods.end(period) < before]

    def _counted(self, session: "Session", table: _Table, since: datetime | None) -> tuple[dict[date, _Content], int]:
        """What each period from a moment on holds, and how many rows have no time."""
        time = self._reading.layout.time.name
        within = "" if since is None else self._between(table, since, None)

        def counted(rows: Sequence[Sequence[Any]]) -> pl.DataFrame:
            moments, *written = zip(*rows, strict=True) if rows else ((), *((),) * len(table.written))
            frame = pl.DataFrame([_moments(moments).alias(time)])
            stamps = [pl.Series(values, dtype=pl.Int64).alias(str(n)) for n, values in enumerate(written)]
            newest = pl.max_horizontal(stamps).fill_null(0) if stamps else pl.lit(0, pl.Int64)
            frame = frame.with_columns(self._periods_of(frame[time]).alias("period"), newest.alias(_WRITTEN))
            return frame.group_by("period").agg(
                pl.len().cast(pl.Int64).alias(_ROW), pl.max(_WRITTEN), pl.sum(_WRITTEN).alias("total")
            )

        pages = self._scan(session, table, [time], within, counted, table.written)
        if not pages:
            return {}, 0
        totals = pl.concat(pages).group_by("period").agg(pl.sum(_ROW), pl.max(_WRITTEN), pl.sum("total"))
        contents = {period: _Content(*values) for period, *values in totals.iter_rows()}
        timeless = contents.pop(None, None)
        periods = self._reading.periods
        return {periods.of(period): content for period, content in contents.items()}, timeless.rows if timeless else 0

    def _scan(
        self,
        session: "Session",
        table: _Table,
        columns: Sequence[str],
        within: str,
        of_page: Callable[[Sequence[Sequence[Any]]], pl.DataFrame],
        written: Sequence[str] = (),
    ) -> list[pl.DataFrame]:
        """What a function makes of each page of the rows within some bounds, in the order of the ring."""
        wanted = [
            f"toUnixTimestamp({_quoted(table.columns[name])})" if name == table.time else _quoted(table.columns[name])
            for name in columns
        ]
        asked = ", ".join([*wanted, *(f"writetime({_quoted(name)})" for name in written)])
        token = f"token({', '.join(map(_quoted, table.key))})"

        def of_range(bounds: tuple[int, int]) -> list[pl.DataFrame]:
            where = f"{token} >= {bounds[0]} AND {token} <= {bounds[1]}{within}"
            query = f"SELECT {asked} FROM {table.name} WHERE {where} ALLOW FILTERING"  # noqa: S608 - names of the server
            return [of_page(page) for page in self._pages(session, query)]

        with ThreadPoolExecutor(4, "cassandra") as pool:
            return [page for pages in pool.map(of_range, _ranges(self._settings.ranges)) for page in pages]

    def _pages(self, session: "Session", query: str) -> Iterator[Sequence[Sequence[Any]]]:
        from cassandra.query import SimpleStatement

        statement = SimpleStatement(query, fetch_size=self._settings.page_rows, is_idempotent=True)
        state: bytes | None = None
        while True:
            result = self._asked(partial(session.execute, statement, paging_state=state))
            if result.current_rows:
                yield result.current_rows
            state = result.paging_state
            if state is None:
                return

    def _asked(self, ask: Callable[[], Any]) -> Any:
        """What a server answers, asked again after failures that may pass."""
        from cassandra import DriverException, RequestExecutionException
        from cassandra.cluster import NoHostAvailable
        from cassandra.connection import ConnectionException

        def attempt() -> Any:
            try:
                return ask()
            except (RequestExecutionException, DriverException, NoHostAvailable, ConnectionException) as problem:
                if not _may_pass(problem):
                    raise
                raise TransientError(_said(problem)) from problem

        patience = Patience(self._settings.attempts, timeout_seconds=self._settings.timeout.total_seconds())
        return patience.ask(self.location, attempt, "that the nodes run, consistency, timeout")

    def _between(self, table: _Table, first: datetime, last: datetime | None) -> str:
        """The bounds of the time in CQL."""
        time, kind = _quoted(table.columns[table.time]), table.kinds[table.time]

        def bound(sign: str, moment: datetime) -> str:
            if kind == "date":
                return f" AND {time} {sign} '{moment:%Y-%m-%d}'"
            since_1970 = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
            if kind == "timeuuid":
                return f" AND {time} {sign} {'min' if sign == '>=' else 'max'}Timeuuid({since_1970})"
            return f" AND {time} {sign} {since_1970}"

        return bound(">=", first) + ("" if last is None else bound("<=", last))

    def _periods_of(self, moments: pl.Series) -> pl.Series:
        """The period of each time; null where there is none."""
        time = self._reading.layout.time
        column = moments.alias(time.name).to_frame().with_columns(pl.lit(None, pl.String).alias(RESCUED_COLUMN))
        read = with_times(column, time)[time.name]
        return pl.select(self._reading.periods.of_times(pl.lit(read))).to_series()

    @contextmanager
    def _table(self) -> "Iterator[tuple[Session, _Table]]":
        """A connection, closed at the end, and the table.

        Raises:
            SourceError: no node can be reached or refuses what is asked, or there is no such table.
        """
        from cassandra import DriverException, InvalidRequest, RequestExecutionException, Unauthorized
        from cassandra.cluster import NoHostAvailable
        from cassandra.connection import ConnectionException

        session: Session | None = None
        try:
            session = self._asked(self._connected)
            yield session, self._described(session.cluster.metadata)
        except AeAssetsError:
            raise
        except (
            *(DriverException, InvalidRequest, RequestExecutionException, Unauthorized),
            *(NoHostAvailable, ConnectionException, OSError),
        ) as problem:
            raise SourceError(
                f"{self.location}: {_said(problem)}. Check host, port, tls and datacenter of the location,"
                f" {ENVIRONMENT}USERNAME and {ENVIRONMENT}PASSWORD, and that this user may read the table."
            ) from problem
        finally:
            if session is not None:
                session.cluster.shutdown()

    def _connected(self) -> "Session":
        from cassandra import ConsistencyLevel
        from cassandra.auth import PlainTextAuthProvider
        from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
        from cassandra.policies import ConstantReconnectionPolicy, DCAwareRoundRobinPolicy
        from cassandra.query import tuple_factory

        settings, seconds = self._settings, self._settings.timeout.total_seconds()
        profile = ExecutionProfile(
            load_balancing_policy=DCAwareRoundRobinPolicy(settings.datacenter or ""),
            consistency_level=ConsistencyLevel.name_to_value[settings.consistency],
            request_timeout=seconds,
            row_factory=tuple_factory,
        )
        user = os.environ.get(f"{ENVIRONMENT}USERNAME")
        cluster = Cluster(
            self._hosts,
            port=PORT,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            auth_provider=PlainTextAuthProvider(user, os.environ.get(f"{ENVIRONMENT}PASSWORD", "")) if user else None,
            ssl_context=_tls(self.location) if settings.tls == "on" else None,
            reconnection_policy=ConstantReconnectionPolicy(1.0, max_attempts=None),
            connect_timeout=seconds,
            control_connection_timeout=seconds,
        )
        try:
            return cluster.connect()
        except NoHostAvailable:
            cluster.shutdown()
            raise

    def _described(self, metadata: "Metadata") -> _Table:
        from ae_assets.sources.header import acceptable_names

        tables = getattr(metadata.keyspaces.get(self._keyspace), "tables", {})
        table: TableMetadata | None = tables.get(self._name)
        if table is None:
            there = ", ".join(sorted(tables)[:10]) or "no table that this user may see"
            raise SourceError(f"{self.location}: there is no such table; in the keyspace {self._keyspace}: {there}.")
        if not str(metadata.partitioner).endswith("Murmur3Partitioner"):
            raise SourceError(
                f"{self.location}: the cluster's partitioner is {metadata.partitioner}, expected Murmur3."
            )
        layout = self._reading.layout
        read = [name for name in table.columns if layout.knows(layout.spelled(name).lower())]
        columns = dict(zip(acceptable_names(read, self.location, layout, "the table"), read, strict=True))
        kinds = {name: table.columns[column].cql_type for name, column in columns.items()}
        time = columns[layout.time.name]
        key = [column.name for column in table.primary_key]
        if time not in key or kinds[layout.time.name] not in {"timestamp", "date", "timeuuid"}:
            raise SourceError(
                f"{self.location}: the time {time!r} is of the type {kinds[layout.time.name]}"
                f"{'' if time in key else ' and not in the primary key'}, expected a timestamp, date or timeuuid of the"
                f" primary key ({', '.join(key)}), by which rows can be asked for."
            )
        known = _WHOLE | _FLOATS | _TEXTS | _AS_TEXT | {"boolean", "counter"}
        if nested := [f"{columns[name]} ({kind})" for name, kind in kinds.items() if kind not in known]:
            raise SourceError(
                f"{self.location}: expected one number, text or time in each row, received {', '.join(nested)}. Write"
                " its parts as columns of their own, or leave it out of source.columns."
            )
        written = [columns[name] for name in columns if columns[name] not in key and kinds[name] != "counter"]
        return _Table(
            f"{_quoted(self._keyspace)}.{_quoted(self._name)}",
            [column.name for column in table.partition_key],
            columns,
            kinds,
            layout.time.name,
            written,
        )


def _tls(location: str) -> ssl.SSLContext:
    """What a server's certificate is held against, and our own where one is set."""
    authority, certificate, key = (os.environ.get(f"{ENVIRONMENT}{name}") for name in ("CA", "CERTIFICATE", "KEY"))
    try:
        context = ssl.create_default_context(cafile=authority)
        if certificate:
            context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise SourceError(
            f"{location}: the files in {ENVIRONMENT}CA, {ENVIRONMENT}CERTIFICATE and {ENVIRONMENT}KEY cannot be read as"
            f" PEM ({error.strerror or type(error).__name__})."
        ) from error
    return context


def _ranges(count: int) -> Iterator[tuple[int, int]]:
    """The ring in equal parts, both ends of each included."""
    first, size = -(2**63), 2**64
    for number in range(count):
        yield first + size * number // count, first + size * (number + 1) // count - 1


def _quoted(name: str) -> str:
    """A name of the server, as CQL has it."""
    return '"' + name.replace('"', '""') + '"'


def _moments(values: Sequence[int | None]) -> pl.Series:
    return pl.Series(values, dtype=pl.Int64).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")


def _frame(table: _Table, rows: Sequence[Sequence[Any]]) -> pl.DataFrame:
    """Rows of a page, with the types of Polars that hold what the server's types hold."""
    values = zip(*rows, strict=True) if rows else ((),) * len(table.columns)
    series = (
        _moments(column) if name == table.time else _series(column, table.kinds[name])
        for name, column in zip(table.columns, values, strict=True)
    )
    return pl.DataFrame([one.alias(name) for name, one in zip(table.columns, series, strict=True)])


def _series(values: Sequence[Any], kind: str) -> pl.Series:
    if kind in _AS_TEXT:
        return pl.Series([None if value is None else str(value) for value in values], dtype=pl.String)
    if kind == "boolean":
        return pl.Series(values, dtype=pl.Boolean)
    return pl.Series(values, dtype=pl.String if kind in _TEXTS else pl.Float64 if kind in _FLOATS else pl.Int64)


def _may_pass(problem: Exception) -> bool:
    """Whether the same question may be answered a little later."""
    from cassandra import AuthenticationFailed, InvalidRequest, Unauthorized, UnsupportedOperation

    lasting = (AuthenticationFailed, InvalidRequest, Unauthorized, UnsupportedOperation)
    of_hosts = getattr(problem, "errors", None)
    causes = list(of_hosts.values()) if isinstance(of_hosts, dict) else [problem]
    return not any(isinstance(cause, (*lasting, ssl.SSLError)) for cause in causes)


def _said(problem: Exception) -> str:
    """An error of the driver on one line, with what each node answered."""
    of_hosts = getattr(problem, "errors", None)
    said = [f"{host}: {cause}" for host, cause in of_hosts.items()] if isinstance(of_hosts, dict) else [str(problem)]
    return printable(f"{type(problem).__name__} ({'; '.join(said)[:400]})")
