"""Requests that would keep the server busy, or that it would stumble over: told by the field, in no time, and nobody else notices."""

import json
import time

import pytest

from tasks.chatbot.conversation import Conversation
from tasks.chatbot.web.errors import ApiError
from tasks.chatbot.web.json_body import check_json
from tests.helpers.web import ScriptedEngine, client

HI = {"role": "user", "content": "hi"}
HALF = "\\ud83d"


def called(arguments):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return [HI, {"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "1"}]


def tool(parameters):
    return [{"type": "function", "function": {"name": "f", "description": "d", "parameters": parameters}}]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"messages": [HI] * 7000}, "messages"),
        ({"messages": [{"role": "user", "content": "x" * 210_000}]}, "messages"),
        ({"messages": called("[" * 10_000)}, "messages.1.tool_calls.0.function.arguments"),
        ({"messages": called('{"n": ' + "9" * 5000 + "}")}, "messages.1.tool_calls.0.function.arguments.n"),
        ({"messages": called('{"n": ' + "[" * 80 + "]" * 80 + "}")}, "messages.1.tool_calls.0.function.arguments"),
        ({"messages": called('{"n": "' + HALF + '"}')}, "messages.1.tool_calls.0.function.arguments.n"),
        ({"messages": called("not json")}, "messages"),
        ({"seed": 10**30}, "seed"),
        ({"stop": ["x"] * 100}, "stop"),
        ({"model": "m" * 5000}, "model"),
        ({"tools": tool({}) * 100}, "tools"),
        ({"tools": tool({"properties": {"x": {"description": "d" * 70_000}}})}, "tools"),
        ({"tools": tool({"properties": {"x": {"type": "array", "minItems": 10**6}}})}, "tools.0.function.parameters.properties.x.minItems"),
        ({"tools": tool("x")}, "tools.0.function.parameters"),
        ({"messages": [{"role": "user", "content": "e" + "\u0301" * 50_000}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": "か" + "\u3099" * 100}]}, "messages.0.content"),
    ],
)
def test_a_request_of_the_api_is_refused_by_its_field(more, field):
    http, begun = client(ScriptedEngine(), max_body_kb=2048), time.monotonic()
    answer = http.post("/v1/chat/completions", json={"model": "migaki", "messages": [HI]} | more)
    assert answer.status_code == 400 and time.monotonic() - begun < 2
    assert answer.json()["error"]["param"].startswith(field) and answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/chat", "/api/rate", "/api/stop"])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("9" * 5000, "5,000 characters"),
        ("1e999", "too large"),
        ("NaN", "no number of JSON"),
        ("-Infinity", "no number of JSON"),
        ("[" * 5000 + "]" * 5000, "nested"),
        ("[" * 200_000, "nested"),
        (f'"{HALF}"', "surrogate"),
        (f'{{"{HALF}": 1}}', "surrogate"),
    ],
)
def test_what_no_field_can_take_is_refused_on_every_path(path, value, words):
    http = client(ScriptedEngine(), max_body_kb=2048)
    headers = {"content-type": "application/json"}
    answer = http.post(path, content=f'{{"question": {value}, "temperature": {value}}}', headers=headers)
    assert answer.status_code == 400 and words in answer.json()["error"]["message"]


def test_what_is_read_is_what_was_checked():
    check_json(json.dumps({"a": [1, 2.5, True, None, "é", "👨‍👩‍👧", "が"], "b": {"c": 10**50}}))
    with pytest.raises(ApiError, match="a.1: half|a.1: it holds half"):
        check_json('{"a": ["x", "\\udc00"]}')


def test_hundreds_of_turns_are_counted_a_few_times():
    talk, counts = Conversation("Be brief."), []
    talk.turns = [{"role": role, "content": "x"} for _ in range(3000) for role in ("user", "assistant")]

    def count(messages):
        counts.append(len(messages))
        return len(messages)

    fitting = talk.fitting({"role": "user", "content": "last"}, 100, count)
    assert len(fitting) == 100 and fitting[1]["role"] == "user" and len(counts) < 20
    assert talk.fitting({"role": "user", "content": "last"}, 1, count)[1:] == [{"role": "user", "content": "last"}]
