"""Keys of settings that had another name in earlier releases: they stay valid, in a YAML and in what is stored."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema


class FormerKeys(BaseModel):
    """Base of settings with such keys."""

    former_keys: ClassVar[Mapping[str, str]] = {}
    """The keys of today by those of earlier releases."""

    @model_validator(mode="before")
    @classmethod
    def _former_keys_are_read(cls, settings: object) -> object:
        if not isinstance(settings, dict) or not cls.former_keys.keys() & settings.keys():
            return settings
        renamed = {cls.former_keys.get(key, key): value for key, value in settings.items()}
        if len(renamed) < len(settings):
            twice = [f"{old} and {new}" for old, new in cls.former_keys.items() if {old, new} <= settings.keys()]
            raise ValueError(f"received {twice[0]}, which mean the same; leave out the first, which is the older name")
        return cls.without_former_values(renamed)

    @classmethod
    def without_former_values(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Settings by their keys of today, with the values that these take; for subclasses that took others."""
        return settings

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        described = handler.resolve_ref_schema(handler(schema))
        keys = described["properties"]
        former = {old: {"deprecated": True, "description": f"Now {new}."} for old, new in cls.former_keys.items()}
        described["properties"] = {**keys, **{old: said for old, said in former.items() if old not in keys}}
        return described
