"""Tools from signatures, and calls of which every failure becomes a message."""

import enum
import json
import threading
import time
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel

from tasks.chatbot.tools.schema import Given, enforceable
from tasks.chatbot.tools.toolbox import Tool, ToolBox
from tasks.errors import MigakiError


class Tree(BaseModel):
    branches: list["Tree"] = []


class Unit(enum.Enum):
    CELSIUS = "celsius"
    KELVIN = "kelvin"


def forecast(
    city: str,
    days: int = 1,
    unit: Unit = Unit.CELSIUS,
    kind: Literal["rain", "sun"] = "sun",
    tags: list[str] | None = None,
    groups: Annotated[frozenset[str], Given] = frozenset(),
) -> dict:
    """Forecast the weather.

    More that a model need not read.
    """
    return {"city": city, "days": days, "unit": unit.value, "kind": kind, "tags": tags, "groups": sorted(groups)}


def wait(seconds: float) -> str:
    """Wait."""
    time.sleep(seconds)
    return "done"


def fail(how: str) -> str:
    """Fail."""
    raise {"exit": SystemExit, "key": KeyError, "memory": MemoryError, "mine": MigakiError}[how](f"because of {how}")


def shout(times: int) -> str:
    """Shout."""
    return "a" * times


BOX = ToolBox([Tool.of(forecast), Tool.of(wait), Tool.of(fail), Tool.of(shout)], max_characters=100, max_hanging=2)


def test_the_schema_is_taken_from_the_signature():
    facts = BOX.schemas()[0]["function"]
    assert facts["name"] == "forecast" and facts["description"] == "Forecast the weather."
    properties = facts["parameters"]["properties"]
    assert facts["parameters"]["required"] == ["city"] and list(properties) == ["city", "days", "unit", "kind", "tags"]
    assert properties["unit"]["enum"] == ["celsius", "kelvin"] and properties["kind"]["enum"] == ["rain", "sun"]
    assert properties["days"] == {"type": "integer", "default": 1} and "$ref" not in json.dumps(facts)


def test_a_call_gets_checked_values_and_what_the_program_gives():
    returned = BOX.call("forecast", {"city": "東京", "days": "3", "unit": "kelvin"}, given={"groups": {"staff"}, "city": "other"})
    assert returned.ok and json.loads(returned.content) == forecast("東京", 3, Unit.KELVIN, groups=frozenset({"staff"}))
    assert BOX.call("forecast", '{"city": "東京"}').ok


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("forcast", {}, "did you mean 'forecast'"),
        ("forecast", {}, "city: Field required"),
        ("forecast", {"city": 3}, "city: Input should be a valid string"),
        ("forecast", {"city": "x", "days": "many"}, "days"),
        ("forecast", {"city": "x", "unit": "miles"}, "celsius"),
        ("forecast", {"city": "x", "groups": ["admin"]}, "groups: Extra inputs"),
        ("forecast", '{"city": ', "no valid JSON"),
        ("forecast", "[1]", "list"),
        ("forecast", "null", "NoneType"),
        ("forecast", '{"a":' * 3900, "RecursionError"),
        ("forecast", "x" * 30_000, "30000 characters"),
        ("fail", {"how": "exit"}, "SystemExit"),
        ("fail", {"how": "key"}, "because of key"),
        ("fail", {"how": "memory"}, "MemoryError"),
        ("fail", {"how": "mine"}, "because of mine"),
        ("fail", {"how": "other"}, "other"),
    ],
)
def test_every_failure_is_a_message(name, arguments, told):
    returned = ToolBox(list(BOX.tools.values())).call(name, arguments)
    assert not returned.ok and returned.name == name and told in returned.content


def test_what_hangs_is_given_up_and_only_so_many_may_hang():
    box = ToolBox([Tool.of(wait), Tool.of(shout)], max_hanging=2)
    for _ in range(2):
        assert "took longer than 0.05 s" in box.call("wait", {"seconds": 1.5}, timeout=0.05).content
    assert "not come to an end" in box.call("wait", {"seconds": 0}).content
    assert box.call("shout", {"times": 1}).ok  # what hangs is no other tool's fault
    until = time.monotonic() + 30
    while not box.call("wait", {"seconds": 0}).ok and time.monotonic() < until:
        time.sleep(0.1)
    assert box.call("wait", {"seconds": 0}).ok


def test_many_call_at_once():
    found = []
    threads = [threading.Thread(target=lambda i=i: found.append(BOX.call("shout", {"times": i}).content)) for i in range(30)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(found) == ["a" * i for i in range(30)]


def test_long_results_are_cut():
    content = BOX.call("shout", {"times": 5000}).content
    assert len(content) < 140 and content.startswith("a" * 100) and "5000 characters" in content


def untyped(x):
    """Without a type."""


def several(*xs: int):
    """Any number."""


def needed(groups: Annotated[str, Given]):
    """Given without a default."""


def odd(x: threading.Lock):
    """A type that JSON cannot hold."""


def silent(x: int):
    return x


def grows(x: Tree):
    """A type that contains itself."""


@pytest.mark.parametrize("function", [grows, untyped, several, needed, odd, silent])
def test_a_function_that_cannot_be_offered_is_refused(function):
    with pytest.raises(MigakiError, match=function.__name__):
        Tool.of(function)


def test_names_are_told_apart_and_declared_tools_are_not_run_here():
    with pytest.raises(MigakiError, match="'wait'"):
        ToolBox([Tool.of(wait), Tool.of(wait)])
    declared = Tool.declared(Tool.of(wait).schema)
    assert declared.schema == Tool.of(wait).schema and "not run here" in ToolBox([declared]).call("wait", {"seconds": 1}).content
    with pytest.raises(MigakiError, match="without a name"):
        Tool.declared({"type": "function"})
    for wrong in ([1], {"properties": [1]}, {"properties": {"x": "string"}}, {"properties": {"x": {"type": "array", "maxItems": "2"}}}):
        with pytest.raises(MigakiError, match="is no schema|is accepted"):
            Tool.declared({"name": "x", "parameters": wrong})


def test_schemas_of_others_are_brought_to_the_standard_and_bounded():
    schema = {
        "type": "dict",
        "properties": {
            "x": {"type": "float"},
            "s": {"type": "string"},
            "l": {"type": "tuple", "items": {"type": "any"}},
            "o": {"type": ["integer", "null"]},
        },
        "required": ["x", "gone"],
    }
    found = enforceable(schema, frozenset({"s"}))
    assert found["required"] == ["x"] and set(found["properties"]) == {"x", "s"} and found["properties"]["s"]["maxLength"] > 0
    whole = enforceable(schema)["properties"]
    assert whole["x"]["type"] == "number" and whole["l"]["type"] == "array" and whole["l"]["maxItems"] > 0
    assert [part["type"] for part in whole["o"]["anyOf"]] == ["integer", "null"]
