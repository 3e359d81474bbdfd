"""Reads the attributes of a ``defs.yaml`` into a table's definition, and says in words what is wrong with them."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic import ValidationError

from ae_assets.errors import ConfigError
from ae_assets.model.definition import WatchedTable
from ae_assets.model.unknown_names import unknown_names


def parse_table(
    attributes: Mapping[str, Any], where: str, line_of: Mapping[tuple[str, ...], int] | None = None
) -> WatchedTable:
    """Validates the attributes of a ``defs.yaml``.

    Args:
        attributes: the YAML's ``attributes`` with templates already rendered.
        where: the file's name for messages.
        line_of: line of each key path, where known.

    Raises:
        ConfigError: with one line per wrong key: its path, what was received and what is allowed.
    """
    try:
        table = WatchedTable.model_validate(dict(attributes))
    except ValidationError as error:
        raise _refusal(where, _explain(error, line_of or {})) from None
    if unknown := list(_unknown(table, line_of or {})):
        raise _refusal(where, unknown)
    return table


def _refusal(where: str, lines: Iterable[str]) -> ConfigError:
    return ConfigError(f"{where} does not describe a watched table:\n" + "\n".join(lines))


def _unknown(table: WatchedTable, line_of: Mapping[tuple[str, ...], int]) -> Iterator[str]:
    for one in unknown_names(table):
        at = _line(one.path, line_of)
        yield f"  attributes.{'.'.join(one.path)}{at}: received {one.name!r}; {one.expected}"


def _explain(error: ValidationError, line_of: Mapping[tuple[str, ...], int]) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        path = _without_union_tags(problem["loc"])
        at = _line(path, line_of)
        received = "" if problem["type"] == "missing" else f" received {_short(problem['input'])};"
        if received and path in (("source",), ("source", "location")):  # which may hold a password
            received = f" received {type(problem['input']).__name__};"
        allowed = _allowed(problem["type"], problem["msg"], problem["loc"])
        yield f"  attributes.{'.'.join(path)}{at}:{received} {allowed}"


def _without_union_tags(loc: tuple[str | int, ...]) -> tuple[str, ...]:
    """The path as the YAML writes it: pydantic puts the name of the chosen kind after a key that has several kinds."""
    path = [str(part) for part in loc]
    tag = {"detector": 1, "threshold": 1, "comparisons": 2}.get(path[0]) if path else None
    if tag is not None and len(path) > tag + 1:
        del path[tag]
    return tuple(path)


def _line(path: tuple[str, ...], line_of: Mapping[tuple[str, ...], int]) -> str:
    for depth in range(len(path), 0, -1):
        if path[:depth] in line_of:
            return f" (line {line_of[path[:depth]]})"
    return ""


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _allowed(kind: str, message: str, loc: tuple[str | int, ...]) -> str:
    if kind == "extra_forbidden":
        return f"no such key; allowed here: {', '.join(sorted(_keys_at(loc[:-1])))}"
    if kind == "missing":
        return "this key is required"
    return message.removeprefix("Value error, ")


def _keys_at(loc: tuple[str | int, ...]) -> Collection[str]:
    """The keys that the model allows at a place; where it chose between kinds, those of the kind that was named."""
    annotation: Any = WatchedTable
    for part in loc:
        fields = getattr(annotation, "model_fields", None)
        annotation = fields[part].annotation if fields else _member(annotation, part)
    return getattr(annotation, "model_fields", {})


def _member(annotation: Any, part: str | int) -> Any:
    """What a place in a tuple or a dictionary holds, or the kind of that tag in a tagged union."""
    members = get_args(annotation)
    if get_origin(annotation) is tuple:
        return get_args(members[0])[0] if get_origin(members[0]) is Annotated else members[0]
    if get_origin(annotation) is dict:
        return members[1]
    return next((member for member in members if _tag(member) == part), None)


def _tag(member: Any) -> object:
    fields = getattr(member, "model_fields", {})
    field = fields.get("type") or fields.get("policy")
    return None if field is None else field.default
