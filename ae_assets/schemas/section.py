"""A section of a table's YAML: keys that are typed, each with the words below it that say what it means."""

import ast
import inspect
from itertools import pairwise

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class Section(BaseModel):
    """Refuses keys that it does not know; the string below a key is its description in the JSON schema.

    pydantic's ``use_attribute_docstrings`` reads the source of a class when it is imported, in every Dagster process;
    this reads it when a schema is asked for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        section = handler(schema)
        keys = handler.resolve_ref_schema(section).get("properties", {})
        (source,) = ast.parse(inspect.getsource(cls)).body
        for key, words in pairwise(source.body if isinstance(source, ast.ClassDef) else ()):
            if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name) and isinstance(words, ast.Expr):
                keys[key.target.id]["description"] = " ".join(ast.literal_eval(words.value).split())
        return section
