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
    if (endless := _endless(schema)) is not None:
        raise _unusable(
            f"{PATH}{endless}", "it requires itself, so that no text of it comes to an end; make the property optional, or allow null"
        )
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


def _endless(schema: dict[str, Any]) -> str | None:
    """Where below `PATH` a schema stands that only endless texts fit: None where none has to be written. Found by adding, to those that come to an
    end, all that need nothing else, until there are no more."""
    named = {f"#/{kind}/{name}": part for kind in ("$defs", "definitions") for name, part in (schema.get(kind) or {}).items()} | {
        "#": schema
    }
    ending: set[str] = set()
    while more := {ref for ref, part in named.items() if ref not in ending and _ends(part, named, ending)}:
        ending |= more
    if "#" in ending:
        return None
    return next((ref.removeprefix("#").replace("/", ".") for ref in named if ref not in ending), "")


def _ends(schema: dict[str, Any], named: dict[str, Any], ending: set[str]) -> bool:
    """Whether a text of the schema comes to an end, if those that are referred to and not in `ending` do not."""
    properties = schema.get("properties") or {}
    needed = [properties[name] for name in schema.get("required") or [] if name in properties] + list(schema.get("allOf") or [])
    if (schema.get("minItems") or 0) > 0 and isinstance(schema.get("items"), dict):
        needed.append(schema["items"])
    several = [part for keyword in ("anyOf", "oneOf") if (part := schema.get(keyword))]
    ref = schema.get("$ref")
    return (
        (ref not in named or ref in ending)
        and all(_ends(part, named, ending) for part in needed)
        and all(any(_ends(part, named, ending) for part in choices) for choices in several)
    )


def _unusable(path: str, why: str) -> ApiError:
    return ApiError(400, "invalid_response_format", f"{path}: {why}", path)
