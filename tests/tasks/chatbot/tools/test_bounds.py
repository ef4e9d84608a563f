"""What a schema may ask for is told before anything is made of it, by the keyword and its place."""

import time

import pytest

from tasks.chatbot.tools.bounds import MAX_SIZE, UnusableSchema, check_schema
from tasks.chatbot.tools.schema import enforceable

STRING = {"type": "string"}


def nested(depth, part, **facts):
    schema = part
    for _ in range(depth):
        schema = {"type": ["object", "array"], "properties": {"a": schema}, **facts}
    return schema


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        (nested(11, STRING), "p"),  # 2 ** 11 schemas once unfolded
        (nested(18, STRING), "p" + ".properties.a" * 13),
        ({"properties": {"x": {"type": "array", "minItems": 1_000_000}}}, "p.properties.x.minItems"),
        (
            {
                "properties": {
                    "x": {
                        "type": "array",
                        "minItems": 32,
                        "items": {"type": "array", "minItems": 32, "items": {"type": "array", "minItems": 32}},
                    }
                }
            },
            "p",
        ),
        ({"properties": {"x": {"type": "string", "minLength": 10**9}}}, "p.properties.x.minLength"),
        ({"properties": {f"f{i}": STRING for i in range(500)}, "required": [f"f{i}" for i in range(500)]}, "p.required"),
        ({"properties": {f"f{i}": STRING for i in range(500)}}, "p.properties"),
        ({"properties": {"x": {"enum": list(range(100_000))}}}, "p.properties.x.enum"),
        ({"properties": {"x": {"enum": "abc"}}}, "p.properties.x.enum"),
        ({"properties": {"x": {"type": "array", "minItems": "2"}}}, "p.properties.x.minItems"),
        ({"properties": {"x": {"type": "array", "minItems": -1}}}, "p.properties.x.minItems"),
        ({"properties": {"x": {"type": "array", "minItems": True}}}, "p.properties.x.minItems"),
        ({"properties": {"x": {"type": "array", "minItems": 5, "maxItems": 2}}}, "p.properties.x.minItems"),
        ({"properties": {"x": {"type": "integer", "minimum": float("inf")}}}, "p.properties.x.minimum"),
        ({"properties": {"x": {"type": "integer", "minimum": 3, "maximum": 2}}}, "p.properties.x.minimum"),
        ({"properties": {"x": {"type": "integer", "minimum": "3"}}}, "p.properties.x.minimum"),
        ({"properties": {"x": {"type": 5}}}, "p.properties.x.type"),
        ({"properties": {"x": {"type": ["string"] * 40}}}, "p.properties.x.type"),
        ({"properties": {"x": {"anyOf": [STRING] * 100}}}, "p.properties.x.anyOf"),
        ({"properties": {"x": {"items": [STRING]}}}, "p.properties.x.items"),
        ({"properties": ["x"]}, "p.properties"),
        ({"properties": {"x": "string"}}, "p.properties.x"),
        ({"required": "x"}, "p.required"),
        ({"required": [1]}, "p.required"),
        ([1], "p"),
        ("object", "p"),
    ],
)
def test_too_much_or_no_schema_is_refused_at_once_by_its_place(schema, field):
    begun = time.monotonic()
    with pytest.raises(UnusableSchema, match="accepted|no schema|could fit") as refused:
        check_schema(schema, "p")
    assert refused.value.field == field and time.monotonic() - begun < 2


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object", "properties": None, "required": None},
        {"properties": {"x": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}}},
        {"properties": {"x": {"type": "number", "exclusiveMinimum": True, "minimum": 0}}},
        {"properties": {"x": {"type": ["string", "null"], "minLength": None, "maxLength": 100_000}}},
        {
            "properties": {
                "x": {"type": "array", "minItems": None, "maxItems": 1_000_000, "items": {"type": "dict", "properties": {"y": STRING}}}
            }
        },
        {"properties": {"都市": {"enum": ["東京", "大阪"], "description": "どこ"}}, "required": ["都市"]},
        nested(8, STRING),
    ],
)
def test_what_people_write_is_accepted_and_can_be_enforced(schema):
    check_schema(schema, "p")
    found = enforceable({"type": "object"} | schema)
    assert (
        str(found).count("'type'") <= 10 * MAX_SIZE
        and "1000000}" not in str(found).replace("1000000000000000", "")
        and str(2**63 - 1) not in str(found)
    )
