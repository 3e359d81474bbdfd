"""Reads the attributes of a ``defs.yaml`` into a table's definition, and says in words what is wrong with them."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from pydantic import ValidationError

from ae_assets.errors import ConfigError
from ae_assets.model.definition import WatchedTable
from ae_assets.model.unknown_names import unknown_names
from ae_assets.plugins import Kinds

_ADDRESSES = {("source",), ("source", "location"), ("target",), ("target", "file")}


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
        raise _refusal(where, _explain(error, attributes, line_of or {})) from None
    unknown = [
        f"  attributes.{'.'.join(path)}{_line(path, line_of or {})}: received {name!r}; {expected}"
        for path, name, expected in unknown_names(table)
    ]
    if unknown:
        raise _refusal(where, unknown)
    return table


def _refusal(where: str, lines: Iterable[str]) -> ConfigError:
    return ConfigError(f"{where} does not describe a watched table:\n" + "\n".join(lines))


def _explain(
    error: ValidationError, attributes: Mapping[str, Any], line_of: Mapping[tuple[str, ...], int]
) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        path = tuple(str(part) for part in problem["loc"])
        at = _line(path, line_of)
        received = "" if problem["type"] == "missing" else f" received {_short(problem['input'])};"
        if received and path in _ADDRESSES:  # which may hold a password
            received = f" received {type(problem['input']).__name__};"
        allowed = _allowed(problem["type"], problem["msg"], problem["loc"], attributes)
        yield f"  attributes.{'.'.join(path)}{at}:{received} {allowed}"


def _line(path: tuple[str, ...], line_of: Mapping[tuple[str, ...], int]) -> str:
    for depth in range(len(path), 0, -1):
        if path[:depth] in line_of:
            return f" (line {line_of[path[:depth]]})"
    return ""


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _allowed(kind: str, message: str, loc: tuple[str | int, ...], attributes: Mapping[str, Any]) -> str:
    if kind == "extra_forbidden":
        return f"no such key; allowed here: {', '.join(sorted(_keys_at(loc[:-1], attributes)))}"
    if kind == "missing":
        return "this key is required"
    return message.removeprefix("Value error, ")


def _keys_at(loc: tuple[str | int, ...], attributes: Mapping[str, Any]) -> Collection[str]:
    """The keys that the model allows at a place; where it chose between kinds, those of the kind that was named."""
    annotation: Any = WatchedTable
    value: Any = attributes
    for part in loc:
        annotation, kinds = _within(annotation, part)
        value = value[part]
        if kinds is not None:
            annotation = kinds.find(value[kinds.tag])
    fields = getattr(_where_it_is_set(annotation), "model_fields", {})
    return [field.alias or name for name, field in fields.items()]


def _within(annotation: Any, part: str | int) -> tuple[Any, Kinds[Any] | None]:
    """What a key of a model, or a place in a tuple or a dictionary, holds; and its kinds where it has several."""
    annotation = _where_it_is_set(annotation)
    fields = getattr(annotation, "model_fields", None)
    if fields is not None:
        content, notes = fields[part].annotation, fields[part].metadata
    else:
        member = get_args(annotation)[1 if get_origin(annotation) is dict else 0]
        content, *notes = get_args(member) if get_origin(member) is Annotated else (member,)
    return content, next((note for note in notes if isinstance(note, Kinds)), None)


def _where_it_is_set(annotation: Any) -> Any:
    """What a key holds that may be left out."""
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
    return kinds[0] if len(kinds) == 1 and NoneType in get_args(annotation) else annotation
