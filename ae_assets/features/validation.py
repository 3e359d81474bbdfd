"""Parts the raw rows of a day into those that can be true and those that cannot. Imports Pandera, so load it late.

Pandera validates, with the schema of the contract; its failure cases are the rows that are set aside. Only which row of
an entity is the first is asked once more, of the rows that hold all other rules.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pandera.polars as pa
import polars as pl
from pandera.config import ValidationDepth, config_context
from pandera.errors import SchemaErrorReason

from ae_assets.errors import ContractError
from ae_assets.schemas.contracts import contract_of
from ae_assets.schemas.layouts.drive_stats_columns import DRIVE_STATS
from ae_assets.schemas.layouts.layout import ONE_COHORT
from ae_assets.schemas.quarantine import nothing_set_aside
from ae_assets.schemas.raw import RawContract
from ae_assets.schemas.records import ENTITY, PERIOD, TIME, TIME_TYPE
from ae_assets.schemas.rules import Rule

DESCRIBED_AT_ONCE = 20_000
"""Rows set aside whose JSON is built at once: a wide day set aside as a whole must not need gigabytes."""

ROW, _MARKS = "__row", "__broken_"
_PERIOD = f"{_MARKS}period"
"""The period of each row, where there are several."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOCATED = pl.Struct({"column": pl.String, "value": pl.String})


@dataclass(frozen=True)
class Validated:
    """The rows of a day, each in exactly one of two frames.

    Attributes:
        valid: ``day``, ``time`` where a period has several records of an entity, ``entity, cohort, label`` and the raw
            attribute columns that there are.
        quarantine: the columns of `quarantine_schema`.
    """

    valid: pl.DataFrame
    quarantine: pl.DataFrame


def validate_day(raw: pl.DataFrame, day: date, contract: RawContract | None = None) -> Validated:
    """Sets aside the rows of a day that cannot be true.

    Args:
        raw: the raw rows of the partition day, in the file's order or with ``source_row``.
        day: the partition day.
        contract: the contract of their layout; drive stats with all attributes if None.

    Returns:
        Valid rows and quarantine; their numbers of rows add up to that of ``raw``.

    Raises:
        ContractError: ``raw`` lacks a column or has one of another type, so that nothing can be said about its rows.
    """
    contract = contract or contract_of(DRIVE_STATS)
    frame = contract.widened(raw)
    broken = _broken_rules(frame, day, contract)
    if not broken:
        return Validated(_normalised(frame, day, contract), nothing_set_aside(contract.rhythm.periods))
    rules = [rule for rule in contract.rules(day, frame.columns) if _key(rule) in broken]
    judged = frame.with_row_index(ROW)
    judged = judged.with_columns(
        pl.col(ROW).is_in(broken[_key(rule)].implode()).alias(_mark(position)) for position, rule in enumerate(rules)
    )
    judged = judged.with_columns(_repeats(judged, len(rules), contract).alias(_mark(len(rules))))
    marks = [_mark(position) for position in range(len(rules) + 1)]
    aside = judged.filter(pl.any_horizontal(marks))
    kept = judged.filter(~pl.any_horizontal(marks))
    described = [
        _quarantine(part, [*rules, contract.unique], pl.lit(day), contract)
        for part in aside.iter_slices(max(1, min(aside.height, DESCRIBED_AT_ONCE)))
    ]
    return Validated(
        _with_labels_of_repeats(_normalised(kept, day, contract), frame, contract),
        pl.concat(described) if described else nothing_set_aside(contract.rhythm.periods),
    )


def valid_rows(raw: pl.DataFrame, day: date, contract: RawContract) -> pl.DataFrame:
    """The valid rows of a day, as `validate_day` gives them, for days whose quarantine is known.

    Pandera is asked only where the rules, all at once over the whole columns, find something: it costs twice as much,
    and the days that are looked back on are many.

    Raises:
        ContractError: as `validate_day` raises it.
    """
    frame = contract.widened(raw)
    if contract.has_types(frame.schema):
        checks = [rule.check.all().alias(_mark(number)) for number, rule in enumerate(contract.rules(day, raw.columns))]
        if all(frame.select(*checks, _as_one(contract.key).n_unique().eq(pl.len()).alias("unique")).row(0)):
            return _normalised(frame, day, contract)
    return validate_day(raw, day, contract).valid


def validate_stretch(raw: pl.DataFrame, contract: RawContract) -> Validated:
    """Sets aside the rows of several periods that cannot be true; which period a row is of, it says itself.

    The rules are asked of all periods at once, as `valid_rows` asks them; Pandera says what is wrong with the columns.

    Args:
        raw: raw rows of some devices, in the order of their file, or with ``source_row``.
        contract: the contract of their layout.

    Returns:
        As `validate_day` of each period; ``day`` of rows without a time is null, in the quarantine.

    Raises:
        ContractError: as `validate_day`.
    """
    frame, periods, time = contract.widened(raw), contract.rhythm.periods, contract.names["day"]
    of_rows = frame.select(periods.of_times(pl.col(time)).alias(_PERIOD)) if time in frame.columns else frame.clear()
    first: date = periods.of(_EPOCH)
    if not contract.has_types(frame.schema):
        return validate_day(raw, first, contract)
    # Each row is of its own period, so that the rule about it asks for a time alone.
    here = pl.when(pl.col(time).is_not_null()).then(pl.lit(first).cast(frame.schema[time])).alias(time)
    rules = contract.rules(first, frame.columns)
    checks = [(~rule.check).alias(_mark(position)) for position, rule in enumerate(rules)]
    marks = frame.with_columns(here).select(checks)
    judged = pl.concat([frame.with_row_index(ROW), of_rows, marks], how="horizontal")
    judged = judged.with_columns(_repeats(judged, len(rules), contract).alias(_mark(len(rules))))
    names = [_mark(position) for position in range(len(rules) + 1)]
    is_broken = judged.select(pl.any_horizontal(names)).to_series()
    kept = frame.filter(~is_broken)
    valid = _normalised(kept, of_rows.filter(~is_broken).to_series(), contract)
    if not is_broken.any():
        return Validated(valid, nothing_set_aside(periods))
    aside = judged.filter(is_broken)
    described = [
        _quarantine(part, [*rules, contract.unique], pl.col(_PERIOD), contract)
        for part in aside.iter_slices(DESCRIBED_AT_ONCE)
    ]
    return Validated(
        _with_labels_of_repeats(valid, judged, contract),
        pl.concat(described) if described else nothing_set_aside(periods),
    )


def with_whole_records(quarantine: pl.DataFrame, judged: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """The quarantine of a day, of which some columns were judged, with its raw rows by ``source_row`` as whole records.

    A row that another run has replaced in the meantime keeps the columns that it was judged by.
    """
    aside = rows.filter(pl.col("source_row").is_in(quarantine["source_row"].implode()))
    aside = aside.join(judged, on=judged.columns, how="semi", nulls_equal=True, maintain_order="left")
    records = [part.select("source_row", whole=_record(rows.columns)) for part in aside.iter_slices(DESCRIBED_AT_ONCE)]
    if not records:
        return quarantine
    joined = quarantine.join(pl.concat(records), on="source_row", how="left", maintain_order="left")
    return joined.with_columns(record=pl.coalesce("whole", "record")).select(quarantine.columns)


def _broken_rules(frame: pl.DataFrame, day: date, contract: RawContract) -> dict[tuple[str, str], pl.Series]:
    """Pandera's failure cases: by column and name of each rule that is broken, the rows that break it."""
    schema = contract.schema(day, frame.columns)
    try:
        # Whatever PANDERA_VALIDATION_ENABLED says: rows that nobody has looked at are not valid.
        with config_context(validation_enabled=True, validation_depth=ValidationDepth.SCHEMA_AND_DATA):
            schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        if problems := list(_column_problems(errors)):
            raise ContractError(
                f"the raw rows of {day} do not have the columns of the layout {contract.layout.name!r}: "
                f"{'; '.join(problems)}. Read the day again from its source, or name another layout."
            ) from None
        if problems := list(_rule_problems(errors)):
            raise ContractError(
                f"which raw rows of {day} can be true is not known, since rules could not be asked: "
                f"{'; '.join(problems)}. Read the day again from its source."
            ) from None
        cases = errors.failure_cases.group_by("column", "check").agg(pl.col("index").cast(pl.get_index_type()))
        return {(column, check): rows for column, check, rows in zip(*cases.get_columns(), strict=True)}
    return {}


def _column_problems(errors: pa.errors.SchemaErrors) -> Iterator[str]:
    for error in errors.schema_errors:
        if error.reason_code == SchemaErrorReason.COLUMN_NOT_IN_DATAFRAME:
            yield f"{error.failure_cases!r} is missing"
        elif error.reason_code == SchemaErrorReason.WRONG_DATATYPE:
            yield f"{error.schema.name!r} is {error.failure_cases}, expected {error.schema.dtype}"


def _rule_problems(errors: pa.errors.SchemaErrors) -> Iterator[str]:
    """Rules that could not be asked: which rows break them is not known."""
    for error in errors.schema_errors:
        if error.reason_code != SchemaErrorReason.DATAFRAME_CHECK:
            yield f"{error.check.name} of {error.schema.name!r} ({str(error.failure_cases).splitlines()[0]})"


def _key(rule: Rule) -> tuple[str, str]:
    return rule.column, rule.name


def _mark(position: int) -> str:
    return f"{_MARKS}{position}"


def _repeats(judged: pl.DataFrame, rules: int, contract: RawContract) -> pl.Series:
    """Marks every row of a record after its first, in the file's order, among the rows that hold all other rules."""
    order = [column for column in ("source_row", ROW) if column in judged.columns]
    marks = [_mark(position) for position in range(rules)]
    entity = contract.names["entity"]
    several = [_PERIOD] if _PERIOD in judged.columns else []
    held = judged.select(*contract.key, *several, *order, *marks).filter(
        ~pl.any_horizontal(pl.lit(value=False), *marks)
    )
    is_first = pl.struct(*several, *contract.key).is_first_distinct() if several else contract.unique.check
    repeated = held.sort(order).filter(~is_first).get_column(ROW)
    return judged.select(pl.col(ROW).is_in(repeated.implode()) & pl.col(entity).is_not_null()).to_series()


def _with_labels_of_repeats(valid: pl.DataFrame, frame: pl.DataFrame, contract: RawContract) -> pl.DataFrame:
    """Each row with the largest label of its record: the row that was set aside may be the failure."""
    if "label" not in contract.names:
        return valid
    period = [pl.col(_PERIOD).alias(PERIOD)] if _PERIOD in frame.columns else []
    rows = frame.select(*period, *_record_columns(contract), known=contract.names["label"])
    key = [name for name in rows.columns if name != "known"]
    repeated = rows.filter(_as_one(key).is_duplicated(), pl.col("known").is_between(0, 1))
    if repeated.is_empty():
        return valid
    largest = repeated.group_by(key).agg(pl.col("known").max().cast(pl.Int8))
    labels = pl.coalesce("known", "label").alias("label")
    return valid.join(largest, on=key, how="left", maintain_order="left").with_columns(labels).drop("known")


def _as_one(columns: Sequence[str]) -> pl.Expr:
    return pl.col(columns[0]) if len(columns) == 1 else pl.struct(columns)


def _record_columns(contract: RawContract) -> list[pl.Expr]:
    """The columns that tell the records of a period apart, as every frame after raw calls them."""
    time = [pl.col(contract.names[TIME]).cast(TIME_TYPE).alias(TIME)] if TIME in contract.names else []
    return [*time, pl.col(contract.names[ENTITY]).alias(ENTITY)]


def _normalised(frame: pl.DataFrame, day: date | pl.Series, contract: RawContract) -> pl.DataFrame:
    cohort, label = contract.names.get("cohort"), contract.names.get("label")
    return frame.select(
        pl.lit(day).alias("day"),
        *_record_columns(contract),
        (pl.lit(ONE_COHORT) if cohort is None else pl.col(cohort)).alias("cohort"),
        (pl.lit(None) if label is None else pl.col(label)).cast(pl.Int8).alias("label"),
        *(
            (pl.col(name) if name in frame.columns else pl.lit(None)).cast(pl.String).alias(name)
            for name in contract.groups
        ),
        *contract.attributes_in(frame.columns),
    )


def _quarantine(aside: pl.DataFrame, rules: list[Rule], day: pl.Expr, contract: RawContract) -> pl.DataFrame:
    """One row per row set aside, in their order: the gravest rule by name, all of them, and the row itself."""
    names = [pl.when(_mark(position)).then(pl.lit(rule.name)) for position, rule in enumerate(rules)]
    gravest = pl.coalesce(pl.when(_mark(position)).then(pl.lit(position)) for position in range(len(rules)))
    own = [column for column in aside.columns if column != ROW and not column.startswith(_MARKS)]
    described = aside.with_columns(
        day.alias("day"),
        pl.col(contract.names["entity"]).alias("entity"),
        pl.concat_list(names).list.drop_nulls().list.unique(maintain_order=True).list.join(",").alias("broken_rules"),
        _record(own).alias("record"),
        gravest.alias("__gravest"),
        *(pl.lit(None).alias(column) for column in ("source_file", "source_row") if column not in own),
    )
    groups = [
        described.filter(pl.col("__gravest") == position).with_columns(
            pl.lit(rule.name).alias("rule"), pl.lit(rule.reason).alias("reason"), *_place(rule)
        )
        for position, rule in enumerate(rules)
    ]
    types = nothing_set_aside(contract.rhythm.periods).schema
    return pl.concat(groups).sort(ROW).select(pl.col(name).cast(dtype) for name, dtype in types.items())


def _place(rule: Rule) -> list[pl.Expr]:
    """The column and the value, as text, that a rule names where it is broken."""
    if rule.locate is None:
        return [pl.lit(rule.column).alias("column"), pl.col(rule.column).cast(pl.String).alias("value")]
    located = pl.col(rule.column).map_elements(rule.locate, return_dtype=_LOCATED)
    return [located.struct.field("column"), located.struct.field("value")]


def _record(columns: list[str]) -> pl.Expr:
    """The row as a JSON object of its known cells, column by column so that a whole day set aside takes seconds."""
    members = [
        pl.when(pl.col(column).is_not_null()).then(pl.struct(column).struct.json_encode().str.head(-1).str.tail(-1))
        for column in columns
    ]
    return pl.concat_str(pl.lit("{"), pl.concat_str(members, separator=",", ignore_nulls=True), pl.lit("}"))
