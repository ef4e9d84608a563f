"""`response_format` of `/v1/chat/completions`: which JSON an answer is to be, checked before anything is generated."""

import json
from typing import Any, Literal

from pydantic import Field, model_validator

from tasks.chatbot.tools.bounds import MAX_BYTES, Place, UnusableSchema, check_schema, parts
from tasks.chatbot.web.errors import ApiError
from tasks.chatbot.web.json_body import Asked
from tasks.inference.schemas import why_not

PATH = "response_format.json_schema.schema"
ANY_OBJECT: dict[str, Any] = {"type": "object"}


class NamedSchema(Asked):
    """`strict` is of no consequence: answers always hold to their schema."""

    name: str = Field("", max_length=64)
    content: dict[str, Any] = Field(alias="schema")


class ResponseFormat(Asked):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None

    @model_validator(mode="after")
    def complete(self) -> "ResponseFormat":
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("json_schema is missing: type 'json_schema' needs {'name': ..., 'schema': {...}}")
        return self


def wanted_schema(wanted: ResponseFormat) -> dict[str, Any] | None:
    """The schema that an answer is held to; None for free text.

    Raises:
        ApiError: 400, the schema asks for too much, or for what no grammar can hold an answer to; names the part.
    """
    if wanted.type == "text":
        return None
    if wanted.json_schema is None:
        return ANY_OBJECT
    schema = wanted.json_schema.content
    if (size := len(json.dumps(schema))) > MAX_BYTES:
        raise _unusable(PATH, f"{size:,} bytes; at most {MAX_BYTES:,} are accepted")
    try:
        check_schema(schema, PATH)
    except UnusableSchema as error:
        raise _unusable(error.field, str(error).removeprefix(f"{error.field}: ")) from error
    if why := why_not(schema):
        raise _unusable(
            *_innermost(Place(PATH, schema, 0), why, {name: schema[name] for name in ("$defs", "definitions") if name in schema})
        )
    return schema


def _innermost(place: Place, why: str, named: dict[str, Any]) -> tuple[str, str]:
    """(path, why) of the smallest schema that is what no grammar can do, in one that is."""
    for part in parts(place):
        if inner := why_not(part.schema | named):
            return _innermost(part, inner, named)
    return place.path, why


def _unusable(path: str, why: str) -> ApiError:
    return ApiError(400, "invalid_response_format", f"{path}: {why}", path)
