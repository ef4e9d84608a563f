"""From a function's signature to the JSON schema that a model is shown, and from anybody's schema to one that a grammar can enforce."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, PydanticUserError, create_model

from tasks.errors import MigakiError

Schema = dict[str, Any]
# What some collections of tools call JSON schema's types (BFCL: Python's names).
TYPES = {"dict": "object", "float": "number", "double": "number", "int": "integer", "long": "integer", "bool": "boolean", "str": "string"}
TYPES |= {"tuple": "array", "list": "array", "String": "string", "Boolean": "boolean", "ArrayList": "array", "HashMap": "object"}
SCALAR = ("string", "number", "boolean")  # what may stand where a schema says nothing
MAX_STRING, MAX_ITEMS, MAX_DIGITS = 120, 12, 15
MAX_MOST = 64  # items that a list may have where its schema allows more


class Given:
    """Marks a parameter that the program gives and the model never sees: `groups: Annotated[frozenset[str], Given]`."""


def arguments_model(function: Callable[..., Any]) -> tuple[type[BaseModel], frozenset[str]]:
    """A pydantic model of the arguments that a model may choose, and the names of those that the program gives.

    Raises:
        MigakiError: a parameter has no type, takes any number of values, or has a type that no JSON fits; or a given one has no default.
    """
    name, hints = function.__name__, get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    given = set()
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY) or parameter.name not in hints:
            raise MigakiError(f"tool {name!r}: parameter {str(parameter)!r} must have a type and be one that can be passed by name")
        hint, missing = hints[parameter.name], parameter.default is parameter.empty
        if get_origin(hint) is Annotated and Given in get_args(hint):
            if missing:
                raise MigakiError(f"tool {name!r}: parameter {parameter.name!r} is given by the program and must have a default")
            given.add(parameter.name)
        else:
            fields[parameter.name] = (hint, ... if missing else parameter.default)
    try:
        model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
        model.model_json_schema()
    except (PydanticUserError, NameError) as error:
        raise MigakiError(f"tool {name!r}: its parameters have types that JSON cannot hold: {error}") from error
    return model, frozenset(given)


def parameters_schema(model: type[BaseModel]) -> Schema:
    """The schema of such a model as OpenAI's protocol shows it: no titles, no references.

    Raises:
        MigakiError: a type contains itself, so that no schema without references exists.
    """
    schema = model.model_json_schema()
    try:
        return _inlined({key: value for key, value in schema.items() if key not in ("$defs", "description")}, schema.get("$defs", {}))
    except RecursionError as error:
        raise MigakiError(f"tool {model.__name__!r}: a parameter's type contains itself; use one of limited depth") from error


def _inlined(schema: Any, definitions: Schema) -> Any:
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        target = definitions[schema["$ref"].rpartition("/")[2]]
        schema = target | {key: value for key, value in schema.items() if key != "$ref"}
    untitled = {key: value for key, value in schema.items() if not (key == "title" and isinstance(value, str))}
    return {
        key: {name: _inlined(part, definitions) for name, part in value.items()} if key == "properties" else _inlined(value, definitions)
        for key, value in untitled.items()
    }


def kind_of(schema: Schema) -> Any:
    """The type (or the list of types) by JSON schema's name; None where a schema says nothing."""
    kind = schema.get("type")
    return TYPES.get(kind, kind) if isinstance(kind, str) else kind


def enforceable(schema: Schema, optional: frozenset[str] | None = None) -> Schema:
    """A schema that a grammar can enforce and that always comes to an end: standard types, bounded strings, numbers and lists.

    Args:
        optional: which parameters that are not required may be there (all, when None); the required ones always are.
    """
    kind = kind_of(schema)
    if schema.get("enum") or "const" in schema:
        return {"enum": list(schema.get("enum") or [schema["const"]])}
    several = schema.get("anyOf") or schema.get("oneOf")
    if several:
        return {"anyOf": [enforceable(part) for part in several]}
    if isinstance(kind, list) and kind:
        return {"anyOf": [enforceable(schema | {"type": one}) for one in kind]}
    if kind == "object":
        return _object(schema, optional)
    if kind == "array":
        least = schema.get("minItems") or 0
        bounds = {
            "minItems": least,
            "maxItems": max(min(MAX_ITEMS if schema.get("maxItems") is None else schema["maxItems"], MAX_MOST), least),
        }
        return {"type": "array", "items": enforceable(schema.get("items") or {})} | bounds
    if kind == "string":
        return {
            "type": "string",
            "minLength": min(schema.get("minLength") or 0, MAX_STRING),
            "maxLength": min(MAX_STRING if schema.get("maxLength") is None else schema["maxLength"], MAX_STRING),
        }
    if kind in ("integer", "number"):
        most = 10**MAX_DIGITS  # generated schemas name the bounds of 64 bits
        limits = {
            key: max(-most, min(schema[key], most))
            for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
            if not isinstance(schema.get(key), bool | None)
        }
        return {"type": kind} | ({"minimum": -most, "maximum": most} | limits)
    if kind in ("boolean", "null"):
        return {"type": kind}
    return {"anyOf": [enforceable({"type": one}) for one in SCALAR]}


def _object(schema: Schema, optional: frozenset[str] | None) -> Schema:
    properties = schema.get("properties") or {}
    required = [name for name in schema.get("required") or [] if name in properties]
    kept = {name: enforceable(part) for name, part in properties.items() if name in required or optional is None or name in optional}
    return {"type": "object", "properties": kept, "required": required, "additionalProperties": False}
