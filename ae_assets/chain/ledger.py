"""The ledger of raw, which file each day was loaded from, the lives of the devices, and what cells mark as abnormal.

Small tables that are made of raw and kept up to date by the days that changed, never by reading all of raw. They are
partitioned by year: a partition's ``day`` is the first of January.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import polars as pl

from ae_assets.chain.workspace import LEDGER, LIVES, RAW, TARGET, Workspace
from ae_assets.evaluation.spells import SPELL_SCHEMA, touches, with_days
from ae_assets.evaluation.target import joined, labelled_pieces
from ae_assets.schemas.columns import LabelSection
from ae_assets.schemas.intervals import INTERVAL_SCHEMA
from ae_assets.schemas.layouts.layout import Layout
from ae_assets.schemas.periods import WEEKLY, Periods
from ae_assets.schemas.records import TIME_TYPE
from ae_assets.sources import SourceDay

LEDGER_SCHEMA = pl.Schema(
    {
        "period": pl.Date(),
        "source_file": pl.String(),
        "fingerprint": pl.String(),
        "size_bytes": pl.Int64(),
        "rows": pl.Int64(),
        "loaded_at": pl.Datetime("us", "UTC"),
        "raw_version": pl.String(),
    }
)
"""A row is a loaded day, ``period``, or an hour or week. ``size_bytes`` is of the source's file, null where nobody
remembers it; ``raw_version`` is what raw's day consisted of when the row was made, and of a table that names its own
labels by which settings they were read; null where it had no rows."""

CADENCES_OF_A_GAP = 3
"""Steps between abnormal records that still make one interval, where the YAML does not say how long it may be."""

ROWS_AT_ONCE = 250_000
"""Rows of raw whose days are summed up together, one day at least: what bounds the memory of a range of days, and of a
home without these tables. Each group is a commit to both tables."""

_ORIGIN = ("day", "source_file", "source_fingerprint", "loaded_at")
_YEAR_OF = {LEDGER: "period", LIVES: "end", TARGET: "start"}
"""The column whose year is the partition of a row."""


def ledger_schema(space: Workspace) -> pl.Schema:
    """`LEDGER_SCHEMA` with the type of the table's periods."""
    return pl.Schema({**LEDGER_SCHEMA, "period": space.table.periods.dtype})


def ledger_of(space: Workspace) -> pl.DataFrame:
    """The loaded days, in order, as raw holds them now: with the columns of `ledger_schema`.

    Days that the ledger does not know yet, since a run was killed before it came to it, are looked up in raw; nothing
    is written.
    """
    ledger = _stored(space, LEDGER, ledger_schema(space))
    versions = _versions(space)
    changed = _changed_days(ledger, versions)
    stretches = space.table.periods.stretches(day for day in changed if day in versions)
    days = (rows for stretch in stretches for _, rows in space.iter_days(RAW, *stretch, _ORIGIN))
    entries = _entries(space, changed, versions, [_origins(rows) for rows in days], {})
    others = ledger.filter(~pl.col("period").is_in(entries["period"].implode()))
    return pl.concat([others, _with_what_was_known(entries, ledger)]).sort("period")


def spells_of(space: Workspace, entities: Collection[str] | None = None) -> pl.DataFrame:
    """The spells of devices as raw holds them now, of all where none is named; the tables are brought up to date."""
    catch_up(space)
    return _stored(space, LIVES, SPELL_SCHEMA, entities)


def intervals_of(space: Workspace) -> pl.DataFrame:
    """The intervals that cells of raw mark, with `INTERVAL_SCHEMA`; the tables are brought up to date."""
    catch_up(space)
    return joined(_stored(space, TARGET, INTERVAL_SCHEMA), _gap(space))


def catch_up(space: Workspace, loaded: Mapping[date, SourceDay] | None = None) -> None:
    """Brings ledger and lives up to what raw holds now.

    Which days have changed is seen from what they consist of, so it does not matter who wrote them: a run that was
    killed after its commit to raw, maintenance, an older version of this program, which knew no ledger. The ledger is
    written last and says which version of a day is in the lives. A day is taken out of the lives and put back as a
    whole, so what was broken off, or is done by two runs at once, is done again without harm. ``loaded`` is what the
    source says of the days that were just loaded, those without rows included.
    """
    loaded = loaded or {}
    versions = _versions(space)
    changed = _changed_days(_stored(space, LEDGER, ledger_schema(space)), versions)
    for days in _batches(changed, space.days_of(RAW)):
        # The version is older than what is read of the day, if they differ: then the day is seen as changed again.
        origins = _revise_lives(space, days[0], days[-1])
        if (marks := space.table.layout.abnormal) is not None:
            _revise_target(space, days[0], days[-1], marks)
        _revise_ledger(space, _entries(space, days, versions, [origins], loaded))
    if empty := sorted(loaded.keys() - versions.keys() - set(changed)):
        _revise_ledger(space, _entries(space, empty, versions, [], loaded))


def _versions(space: Workspace) -> dict[date, str]:
    """What each day of raw consists of, and by which settings its labels are read, where the YAML has such."""
    layout = space.table.layout
    if not layout.values or (layout.label is None and layout.abnormal is None):
        return space.day_versions(RAW)
    said = (layout.label, layout.abnormal, layout.entity, layout.time, _gap(space))
    settings = hashlib.sha256(repr(said).encode()).hexdigest()[:12]
    return {day: f"{version} {settings}" for day, version in space.day_versions(RAW).items()}


def _gap(space: Workspace) -> timedelta:
    """The largest time between abnormal records of one interval."""
    table = space.table
    asked_for = None if table.layout.abnormal is None else table.layout.abnormal.gap
    return asked_for or CADENCES_OF_A_GAP * (table.layout.time.cadence or table.periods.step)


def _changed_days(ledger: pl.DataFrame, versions: Mapping[date, str]) -> list[date]:
    """The days, in order, of which raw holds something else than the ledger says."""
    known = dict(ledger.select("period", "raw_version").drop_nulls().iter_rows())
    return sorted(day for day in known.keys() | versions.keys() if known.get(day) != versions.get(day))


def _batches(changed: Sequence[date], rows: Mapping[date, int]) -> Iterator[list[date]]:
    """The changed days, in order, in groups of at most `ROWS_AT_ONCE` of the rows that raw holds of each.

    No unchanged day lies between those of a group.
    """
    unchanged = sorted(rows.keys() - set(changed))
    batch: list[date] = []
    of_batch = 0
    for day in changed:
        of_day = rows.get(day, 0)
        apart = batch and bisect_right(unchanged, batch[-1]) < bisect_right(unchanged, day)
        if batch and (apart or of_batch + of_day > ROWS_AT_ONCE):
            yield batch
            batch, of_batch = [], 0
        batch.append(day)
        of_batch += of_day
    if batch:
        yield batch


def _revise(
    space: Workspace,
    asset: str,
    schema: pl.Schema,
    years: tuple[date, date],
    concerned: pl.Expr,
    change: Callable[[pl.DataFrame], pl.DataFrame],
) -> None:
    """Replaces the rows concerned of a table by year; ``years`` are days in the first and the last that may change."""
    year = pl.col(_YEAR_OF[asset]).cast(pl.Date).dt.truncate("1y").alias("day")

    def by_year(stored: pl.DataFrame) -> dict[date, pl.DataFrame]:
        rows = stored.select(schema.names()) if stored.width else pl.DataFrame(schema=schema)
        before = rows.filter(concerned)
        after = change(before)
        changed = pl.concat([before.select(year), after.select(year)])["day"].unique().to_list()
        now = pl.concat([rows.filter(~concerned), after]).with_columns(year)
        return {one: now.filter(pl.col("day") == one) for one in changed}

    first, last = (date(day.year, 1, 1) for day in years)
    space.tables.revise(space.name(asset), first, last, by_year)


def _revise_lives(space: Workspace, first: date, last: date) -> pl.DataFrame:
    """Takes the days from first to last out of the spells and puts them back as raw holds them.

    Spells are of calendar days: of a table of hours all hours of these days are put back.

    Returns:
        what `_origins` says of what was read.
    """
    origins, periods, layout = pl.DataFrame(), space.table.periods, space.table.layout
    first, last = periods.days(first, last)
    about = dict.fromkeys(name for name in (*_ORIGIN, layout.entity, layout.label, _taken(layout)) if name is not None)

    def change(spells: pl.DataFrame) -> pl.DataFrame:
        # Read after the spells: whoever committed to them before this cannot have known a newer raw.
        rows = space.read(RAW, first, last, list(about))
        nonlocal origins
        origins = _origins(rows)
        return with_days(spells, first, last, _records(rows, layout, periods))

    years = first - timedelta(days=1), date.max
    _revise(space, LIVES, SPELL_SCHEMA, years, touches(first, last), change)
    return origins


def _taken(layout: Layout) -> str:
    """The column that says when a record was taken."""
    return "day" if layout.time.cadence is None else layout.time.name


def _records(rows: pl.DataFrame, layout: Layout, periods: Periods) -> pl.DataFrame:
    """Who was recorded on which calendar day, and who failed on it: ``day, entity, label``.

    A week is recorded as a whole, so that who reports every week is a single spell; a failure is one of the day of its
    record.
    """
    label = pl.lit(None, pl.Int8) if layout.label is None else pl.col(layout.label)
    records = rows.select("day", entity=layout.entity, label=label)
    if periods is not WEEKLY:
        return records.with_columns(pl.col("day").cast(pl.Date))
    failed = rows.select(day=pl.col(_taken(layout)).cast(pl.Date), entity=layout.entity, label=label).filter(
        pl.col("label") == 1
    )
    of_week = failed.filter(pl.col("day").dt.truncate("1w").is_in(rows["day"].unique().implode()))
    days = pl.date_ranges("day", pl.col("day") + pl.duration(days=6))
    seen = records.select(days, "entity", label=pl.lit(None, records.schema["label"])).unique()
    return pl.concat([seen.explode("day"), of_week])


def _revise_target(space: Workspace, first: date, last: date, marks: LabelSection) -> None:
    """Takes the days from first to last out of the target and puts them back as raw holds them.

    No piece reaches over the border of a day, so a day that is replaced takes what it said back, and nothing else.
    """
    layout, periods = space.table.layout, space.table.periods
    columns = [name for name in marks.columns if name in space.schema(RAW)]  # a file may lack them, and so may all
    read = list(dict.fromkeys(["day", layout.entity, _taken(layout), *columns]))

    def change(_: pl.DataFrame) -> pl.DataFrame:
        rows = space.read(RAW, first, last, read)
        at = pl.col(_taken(layout)).cast(TIME_TYPE)
        of_their_day = rows.filter(periods.of_times(at) == pl.col("day"))
        records = of_their_day.select(*columns, entity=layout.entity, at=at)
        pieces = labelled_pieces(records, columns, marks.abnormal)
        parts = pieces.with_columns(period=periods.of_times(pl.col("start"))).partition_by("period", "kind")
        return pl.concat([pl.DataFrame(schema=INTERVAL_SCHEMA), *(joined(part, _gap(space)) for part in parts)])

    within = pl.col("start").is_between(periods.start(first), periods.end(last), closed="left")
    # A week may end in another year than it begins.
    _revise(space, TARGET, INTERVAL_SCHEMA, periods.days(first, last), within, change)


def _revise_ledger(space: Workspace, entries: pl.DataFrame) -> None:
    periods = entries["period"].to_list()
    concerned = pl.col("period").is_in(entries["period"].implode())
    years = min(periods), max(periods)
    _revise(space, LEDGER, ledger_schema(space), years, concerned, lambda rows: _with_what_was_known(entries, rows))


def _entries(
    space: Workspace,
    days: Sequence[date],
    versions: Mapping[date, str],
    origins: Sequence[pl.DataFrame],
    loaded: Mapping[date, SourceDay],
) -> pl.DataFrame:
    """The ledger's rows of some days; without a file where raw has no rows and the source has just said nothing."""
    of_day = {row[0]: row[1:] for frame in origins for row in frame.iter_rows()}
    entries: list[tuple[object, ...]] = []
    for day in days:
        said = loaded.get(day)
        if day in of_day:
            file, fingerprint, loaded_at, rows = of_day[day]
            size = said.size_bytes if said is not None and said.fingerprint == fingerprint else None
            entries.append((day, file, fingerprint, size, rows, loaded_at, versions.get(day)))
        elif said is not None:
            entries.append((day, said.origin, said.fingerprint, said.size_bytes, 0, datetime.now(tz=UTC), None))
        else:
            entries.append((day, None, None, None, 0, None, None))
    return pl.DataFrame(entries, ledger_schema(space), orient="row")


def _origins(rows: pl.DataFrame) -> pl.DataFrame:
    """Of each day the file, fingerprint and time of loading, and the number of its rows."""
    return rows.group_by("day").agg(pl.col(*_ORIGIN[1:]).first(), pl.len().cast(pl.Int64).alias("rows"))


def _with_what_was_known(entries: pl.DataFrame, ledger: pl.DataFrame) -> pl.DataFrame:
    """Rows that replace those of a ledger; a day that only lost its rows is still known to have been loaded."""
    before = entries.select("period").join(ledger, on="period", how="left", maintain_order="left")
    lost = entries["source_file"].is_null()
    kept = ("source_file", "fingerprint", "size_bytes", "loaded_at")
    return entries.with_columns(pl.when(lost).then(before[name]).otherwise(name).alias(name) for name in kept)


def _stored(space: Workspace, asset: str, schema: pl.Schema, entities: Collection[str] | None = None) -> pl.DataFrame:
    if not space.exists(asset):
        return pl.DataFrame(schema=schema)
    return space.read(asset, date.min, date.max, schema.names(), entities)
