"""The layout of a table whose columns its YAML names."""

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from ae_assets.errors import ConfigError
from ae_assets.schemas.columns import ENTITY_COLUMN, ColumnsSection, MetricSection, ValueSection, stored_name
from ae_assets.schemas.layouts.drive_stats_columns import DRIVE_STATS
from ae_assets.schemas.layouts.layout import Layout
from ae_assets.schemas.periods import DAILY, PERIODS, Periods

COLUMNS = "columns"
"""The layout of a table that names its own columns, and the key under which it does."""

TYPES: Mapping[str, type[pl.DataType]] = {"int": pl.Int64, "float": pl.Float64, "text": pl.String}


def layout_of_record(source: Mapping[str, object]) -> Layout:
    """The layout of the source's settings that a model version or a day of features keeps.

    Raises:
        ConfigError: a newer version of this package wrote them, with a layout that this one does not know.
    """
    name = source["layout"]
    if name == COLUMNS:
        return layout_of(ColumnsSection.model_validate(source[COLUMNS]))
    if name == DRIVE_STATS.name:
        return DRIVE_STATS
    raise ConfigError(f"layout: received {name!r}, expected {DRIVE_STATS.name!r} or {COLUMNS!r}")


def periods_of_record(source: Mapping[str, object]) -> Periods:
    """The periods of the source's settings that a model version or a day of features keeps; daily where none are named.

    Raises:
        ConfigError: a newer version of this package wrote them, with periods that this one does not know.
    """
    name = source.get("partitions", DAILY.partitions)
    for partitions, periods in PERIODS.items():
        if name == partitions:
            return periods
    raise ConfigError(f"partitions: received {name!r}, expected one of {', '.join(PERIODS)}")


def layout_of(columns: ColumnsSection) -> Layout:
    """The layout of the columns that a YAML names; a file's other columns are text."""
    time = columns.time.model_copy(update={"column": tuple(map(stored_name, columns.time.column))})
    entity, cohort = (None if name is None else stored_name(name) for name in (columns.entity.column, columns.cohort))
    marks = () if columns.label is None else tuple(map(stored_name, columns.label.names))
    abnormal = None if columns.label is None or columns.label.column else columns.label
    label = marks[0] if marks and abnormal is None else None
    values = {stored_name(name): value for name, value in columns.values.items()}
    metric = columns.metric
    if metric is not None:
        column = None if metric.column is None else stored_name(metric.column)
        metric = metric.model_copy(update={"column": column, "value": stored_name(metric.value)})
    required = tuple(name for name in (*time.column, entity, cohort, label) if name is not None)
    types: dict[str, type[pl.DataType]] = {name: TYPES[value.type] for name, value in values.items()}
    if label is not None:
        types[label] = pl.Int8
    spellings = {name.lower(): name for name in (*required, *marks, *values)}
    a_time = "is when the record was taken: it separates training days from later ones, not sick devices"
    reasons = {
        a_time: time.column,
        "names one device: a detector would learn devices by heart": (entity,),
        "names the cohort: compare cohorts in the evaluation, do not learn their names": (cohort,),
        "is the answer itself": marks,
    }
    numbers = [name for name, value in values.items() if value.type != "text"]
    return Layout(
        name=COLUMNS,
        file="a file of this table",
        time=time,
        entity=entity or ENTITY_COLUMN,
        cohort=cohort,
        label=label,
        abnormal=None if abnormal is None else abnormal.model_copy(update={"columns": marks}),
        required=required,
        type_of=lambda name: types.get(name, pl.String),
        knows=lambda name: name in spellings,
        attributes=f"source.columns.values has the numbers {', '.join(numbers)}",
        is_attribute=lambda name: name in numbers,
        attribute_names=numbers,
        never_features={name.lower(): reason for reason, names in reasons.items() for name in names if name},
        entity_of_file=columns.entity.of_file,
        entity_in_path=columns.entity.file_path is not None,
        missing={name: value.missing for name, value in values.items() if value.missing},
        spellings=spellings,
        values=values,
        entity_name=columns.entity.name,
        metric=metric,
        of_rows=None if metric is None else _of_rows(columns, metric),
    )


def _of_rows(columns: ColumnsSection, metric: MetricSection) -> Layout:
    """The layout of files in long form; cells that are missing in one metric are so in all."""
    missing = tuple(dict.fromkeys(cell for value in columns.values.values() for cell in value.missing))
    values = {metric.value: ValueSection(missing=missing)}
    rows = layout_of(columns.model_copy(update={"metric": None, "values": values}))
    return rows if metric.column is None else replace(rows, required=(*rows.required, metric.column))
