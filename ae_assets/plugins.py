"""Kinds of a setting that code of one's own can add to, such as detectors and threshold policies.

A kind is a pydantic class, and the YAML chooses it by one key: by the name of a kind of this package, by the name of an
entry point of an installed package, or by ``module:Class``. Entry points are looked up when a name is none of this
package's, and a kind's module is imported when a YAML names it, so that loading stays light.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, ValidationInfo
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

Kind = TypeVar("Kind", bound=BaseModel)

STORED = {"stored": True}
"""Validation context of settings that stand in a stored file, which must not choose what Python imports."""

_DOTTED = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class Kinds(Generic[Kind]):
    """The kinds of one setting; as an annotation, ``Annotated[Base, KINDS]``, it validates a field of any of them.

    Attributes:
        tag: the key that names the kind, e.g. ``type``.
        group: the group of entry points that add to them; each is the class of a kind.
        bases: a kind is a subclass of one of these.
        own: where the kinds of this package are, ``module:Class`` by name; a module is imported when a kind is named.
        former: names that kinds of this package had once, with those of today.
    """

    tag: str
    group: str
    bases: tuple[type[Kind], ...]
    own: Mapping[str, str]
    former: Mapping[str, str] = field(default_factory=dict)

    def find(self, name: object, *, stored: bool = False) -> type[Kind]:
        """The kind of a name that a YAML says, or a stored file, for which only modules of entry points are imported.

        Raises:
            PydanticCustomError: there is no such kind, or it cannot be imported, or is no kind of this setting.
        """
        own = self.former.get(str(name), str(name))
        if own in self.own:
            return self._own(own)
        registered = self._registered().get(str(name))
        if registered is None and not (isinstance(name, str) and _DOTTED.fullmatch(name)):
            raise self._problem("is not known")
        point = registered or EntryPoint(str(name), str(name), self.group)
        if stored and registered is None and point.module not in sys.modules:
            raise self._problem(
                f"is named by a stored file and module {point.module!r} is not imported; import it first, or register "
                f"it as an entry point of the group {self.group}"
            )
        try:
            kind = point.load()
        except (ImportError, AttributeError) as error:
            raise self._problem(f"cannot be imported ({error}); install it where Dagster loads the code") from error
        if not (isinstance(kind, type) and issubclass(kind, self.bases)):
            allowed = " or ".join(f"{base.__module__}.{base.__qualname__}" for base in self.bases)
            raise self._problem(f"is no subclass of {allowed}")
        return kind

    def own_kinds(self) -> dict[str, type[Kind]]:
        """The kinds of this package, by name."""
        return {name: self._own(name) for name in self.own}

    def names(self) -> list[str]:
        """The names that the YAML may give, but for dotted paths."""
        return [*self.own, *sorted(self._registered())]

    def _own(self, name: str) -> type[Kind]:
        kind: type[Kind] = EntryPoint(name, self.own[name], self.group).load()
        return kind

    def _registered(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.group)}

    def _problem(self, says: str) -> PydanticCustomError:
        allowed = ", ".join(repr(name) for name in self.names())
        return PydanticCustomError("kind", f"{self.tag} {says}; allowed: {allowed}, or 'module:Class' of your own code")

    def _validated(self, value: object, info: ValidationInfo) -> Kind:
        if isinstance(value, self.bases):
            return value
        if not isinstance(value, Mapping):
            raise PydanticCustomError("kind", f"a mapping with the key {self.tag!r} is expected")
        if self.tag not in value:
            raise _at(self.tag, "missing", value)
        name = value[self.tag]
        try:
            kind = self.find(name, stored=(info.context or {}).get("stored", False))
        except PydanticCustomError as error:
            raise _at(self.tag, error, name) from error
        return kind.model_validate({**value, self.tag: self.former.get(name, name)}, context=info.context)

    def __get_pydantic_core_schema__(self, _source: object, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self._validated)

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Keys of each kind of this package, names of the others; written so that an error names a key."""
        named = {"enum": sorted([*self.names(), *self.former])}
        own = self.own_kinds()
        kinds = {**own, **{former: own[name] for former, name in self.former.items()}}
        return {
            "type": "object",
            "required": [self.tag],
            "properties": {self.tag: {"if": {"type": "string", "pattern": ":"}, "else": named}},
            "allOf": [
                {
                    "if": {"required": [self.tag], "properties": {self.tag: {"const": name}}},
                    "then": handler(kind.__pydantic_core_schema__),
                }
                for name, kind in kinds.items()
            ],
        }


def _at(key: str, problem: PydanticCustomError | str, received: object) -> ValidationError:
    """A problem of one key, which pydantic puts below the path of the whole setting."""
    return ValidationError.from_exception_data("kind", [InitErrorDetails(type=problem, loc=(key,), input=received)])
