"""The JSON schema of a table's YAML, for editors and ``dg check yaml``: what can be said of a key by itself.

Loading validates more, across keys, and words it better (`table.parse_table`); both rest on the same model.
"""

from collections.abc import Mapping
from typing import Any

from ae_assets.model.definition import WatchedTable

Schema = dict[str, Any]

_TEMPLATE: Schema = {"type": "string", "pattern": r"\{\{.*\}\}"}
"""``{{ env('NAME') }}`` may stand for any value."""


def table_schema() -> Schema:
    return _mapped(WatchedTable.model_json_schema())


def _mapped(schema: Mapping[str, Any]) -> Schema:
    """A schema in which templates may stand for values."""
    mapped: Schema = {}
    for key, value in schema.items():
        if key == "$defs":
            mapped[key] = {name: _mapped(part) for name, part in value.items()}
        elif key == "properties":
            mapped[key] = {name: _or_template(part) for name, part in value.items()}
        elif key in {"items", "additionalProperties"} and isinstance(value, Mapping):
            mapped[key] = _or_template(value)
        elif key == "anyOf":
            mapped[key] = [_mapped(part) for part in value]
        elif key == "additionalProperties" and not value:
            mapped["propertyNames"] = {"enum": sorted(schema["properties"])}  # an error then says what is allowed
        elif key == "allOf":  # the kinds of `plugins.Kinds`, each with its condition
            mapped[key] = [{**part, "then": _mapped(part["then"])} for part in value]
        else:
            mapped[key] = value
    return mapped


def _or_template(schema: Mapping[str, Any]) -> Schema:
    """Written as a condition and not as a choice, so that what is wrong is said of the value alone."""
    shown = {key: schema[key] for key in ("title", "description", "default") if key in schema}
    return {**shown, "if": _TEMPLATE, "else": _mapped(schema)}
