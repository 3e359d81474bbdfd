"""The contract of a table as JSON schema: what a row of a request may hold, for OpenAPI and for callers."""

from typing import Any

import polars as pl

from ae_assets.model.definition import WatchedTable
from ae_assets.schemas.raw import RawContract

_TEXT = {"type": "string", "maxLength": 1000}


def row_schema(table: WatchedTable, contract: RawContract) -> dict[str, Any]:
    """The columns that are read. Further ones are passed over; what breaks a rule is set aside with the reason."""
    layout, features = table.layout, table.features
    written = " or ".join(layout.time.format) or "YYYY-MM-DD"
    time = {name: {**_TEXT, "description": f"when the record was taken, as {written}"} for name in layout.time.column}
    named = {**time, layout.entity: {**_TEXT, "description": "the device"}}
    if layout.cohort is not None:
        named[layout.cohort] = {**_TEXT, "description": "its kind"}
    columns: dict[str, Any] = dict(named)
    if layout.label is not None:
        columns[layout.label] = {
            "type": ["integer", "null"],
            "description": "1: it failed then; unknown where left out",
        }
    for name, attribute in features.attributes.items():
        columns[name] = {"type": ["number", "null"], "description": attribute.meaning or name, **_bounds(layout, name)}
    for name in contract.groups:
        columns[name] = {"type": ["string", "null"], "description": "where the device belongs"}
    for name in contract.further:
        columns[name] = {"type": ["integer", "null"], "description": name.replace("_", " ")}
    if layout.entity_name is not None:
        named.pop(layout.entity)
    return {"type": "object", "required": [*named], "properties": columns}


def _bounds(layout: Any, name: str) -> dict[str, Any]:
    """Beyond them a row is set aside, which no schema refuses: they are told in words."""
    section = layout.values.get(name)
    if section is None or (section.at_least is None and section.at_most is None):
        return {}
    return {"x-at-least": section.at_least, "x-at-most": section.at_most}


def decision_schema(types: dict[str, pl.DataType]) -> dict[str, Any]:
    """A decision, by the types of an anomalies table."""
    return {"type": "object", "properties": {name: _of(dtype) for name, dtype in types.items()}}


def _of(dtype: pl.DataType) -> dict[str, Any]:
    if dtype.is_nested():
        return {"type": ["array", "null"]}
    if dtype == pl.Boolean:
        return {"type": ["boolean", "null"]}
    if dtype.is_integer():
        return {"type": ["integer", "null"]}
    return {"type": ["number", "null"]} if dtype.is_numeric() else {"type": ["string", "null"]}
