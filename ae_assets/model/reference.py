"""The reference of a table's YAML, made of the model that reads it: ``python -m ae_assets.model.reference``."""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter

from ae_assets.model.definition import WatchedTable
from ae_assets.schemas.durations import written

Schema = Mapping[str, Any]

HEAD = """\
# The keys of a table's YAML

Made by `python -m ae_assets.model.reference > docs/reference.md` from `ae_assets/model/definition.py`; do not edit.
All stand under `attributes` of a `defs.yaml`, such as
[that of drive stats](../ae_assets/defs/drive_stats/defs.yaml). A wrong key or value is reported with its path, what was
received and what is allowed. `{{ env('NAME', 'default') }}` reads the environment in any value.
"""


def reference() -> str:
    """Every key with its default and meaning, as Markdown: a table for each section, and for each kind of a union."""
    schema = WatchedTable.model_json_schema()
    return HEAD + "".join(_tables(schema, schema["$defs"], ""))


def _tables(schema: Schema, definitions: Schema, path: str) -> Iterator[str]:
    rows, below = [], []
    for key, raw in schema.get("properties", {}).items():
        if raw.get("deprecated"):
            continue
        field, required = _followed(raw, definitions), key in schema.get("required", ())
        below += _sections(field, definitions, f"{path}{key}")
        if "properties" not in field or not path:
            default = "required" if required else _default(raw, field)
            rows.append(f"| `{key}` | {default} | {_meaning(raw, field)} |")
    yield f"\n## {_title(path)}\n\n"
    if path and schema.get("description"):
        yield f"{_one_line(schema['description'])}\n\n"
    yield "| key | default | meaning |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n"
    for name, section in below:
        yield from _tables(section, definitions, f"{name}.")


def _title(path: str) -> str:
    key, _, kind = path.removesuffix(".").partition(" (")
    return f"`{key}` with `{kind.removesuffix(')')}`" if kind else f"`{key}`" if key else "A table"


def _sections(field: Schema, definitions: Schema, path: str) -> list[tuple[str, Schema]]:
    """What has keys of its own below a key: a section, the values of a mapping, or each kind of a choice."""
    if kinds := [(f"{path} ({tag}: {name})", kind) for tag, name, kind in _kinds(field)]:
        return kinds
    if "properties" in field:
        return [(path, field)]
    values = field.get("additionalProperties")
    if isinstance(values, Mapping):
        return _sections(_followed(values, definitions), definitions, f"{path}.NAME")
    return []


def _kinds(field: Schema) -> Iterator[tuple[str, str, Schema]]:
    """Of a choice the key that tells its kinds apart, and the name and the other keys of each kind."""
    for case in field.get("allOf", ()):
        ((tag, kind),) = case["if"]["properties"].items()
        keys = dict(case["then"]["properties"])
        if keys.pop(tag).get("const") == kind["const"]:  # else a name that the kind once had
            yield tag, kind["const"], {**case["then"], "properties": keys}


def _followed(field: Schema, definitions: Schema) -> Schema:
    if "$ref" in field:
        return _at(field["$ref"], definitions)
    kinds = [kind for kind in field.get("anyOf", ()) if kind.get("type") != "null"]
    sections = [kind for kind in kinds if "$ref" in kind]  # the others are ways to write such a one in short
    return _followed((sections or kinds)[0], definitions) if len(sections or kinds) == 1 else field


def _at(where: str, definitions: Schema) -> Schema:
    schema: Schema = definitions[where.rpartition("/")[2]]
    return schema


def _length(default: object) -> str:
    """A default as a YAML writes it; a JSON schema has lengths of time as ISO 8601 writes them."""
    iso = isinstance(default, str) and re.fullmatch(r"P(\d+D)?(T.+)?", default)
    return written(TypeAdapter(timedelta).validate_python(default)) if iso else str(default)


def _default(raw: Schema, field: Schema) -> str:
    if "properties" in field:
        return "below"
    default = raw.get("default")
    if default in (None, "", [], ()):
        return "none"
    if isinstance(default, Mapping):
        return f"`{default.get('type') or default.get('policy')}`"
    words = ", ".join(map(_length, default)) if isinstance(default, list) else _length(default)
    shown = words.lower() if isinstance(default, bool) else words
    return f"`{shown if len(shown) <= 120 else shown[:117] + '...'}`".replace("|", "\\|")


def _meaning(raw: Schema, field: Schema) -> str:
    words = _one_line(str(raw.get("description") or field.get("description") or ""))
    choices = field.get("enum") or [name for _, name, _ in _kinds(field)]
    return f"{words} One of {', '.join(_code(choice) for choice in choices)}." if choices else words


def _code(value: object) -> str:
    return f"`{str(value).encode('unicode_escape').decode()}`".replace("|", "\\|")


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    print(reference(), end="")
