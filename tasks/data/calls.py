"""Turns of tools in people's files, in the one form that chat templates take: calls with an id, a name and arguments as an object."""

import json
from typing import Any

from tasks.data.rows import Fields, Malformed, list_of
from tasks.text.messages import Message

CALLERS = ("function_call", "tool_call", "tool_calls")  # roles of ShareGPT whose text is a call as JSON
RESULTS = (
    "tool",
    "function",
    "observation",
    "ipython",
    "tool_response",
    "function_response",
    "tool_result",
)  # roles whose text is what a tool gave


def calls_of(turn: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """The calls that a message makes, in any of OpenAI's forms or in ShareGPT's; empty where it makes none.

    Raises:
        Malformed: a call has no name.
    """
    said = str(turn.get("role") or turn.get("from")).strip().lower()
    found = turn.get("tool_calls") or turn.get("function_call") or []
    if not found and said in CALLERS:
        found = turn.get("value") or turn.get("content") or ""
    if isinstance(found, str) and found:
        found = _parsed(found, number)
    return [_call(_parsed(call, number), number) for call in (found if isinstance(found, list) else [found])]


def _parsed(call: Any, number: int) -> Any:
    """A call that stands as JSON in a text."""
    if not isinstance(call, str):
        return call
    try:
        return json.loads(call)
    except ValueError as error:
        raise Malformed(f"message {number} calls a tool with what is no JSON: {call[:60]!r}") from error


def _call(call: Any, number: int) -> dict[str, Any]:
    function = call.get("function", call) if isinstance(call, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str) or not name.strip():
        raise Malformed(f"message {number} has a call of a tool without a name")
    arguments = function.get("arguments", function.get("parameters"))
    if isinstance(arguments, str) and arguments.strip():
        try:
            arguments = json.loads(arguments)
        except ValueError as error:
            raise Malformed(f"message {number} calls {name!r} with arguments that are no JSON: {arguments[:60]!r}") from error
    return {"id": str(call.get("id") or ""), "type": "function", "function": {"name": name.strip(), "arguments": arguments or {}}}


def with_ids(chat: list[Message]) -> list[Message]:
    """The chat with an id for every call, and for every result the id and name of its call: results follow their calls, in their order."""
    found, waiting, calls = list[Message](), list[dict[str, Any]](), 0
    for message in chat:
        if message.get("tool_calls"):
            named = []
            for call in message["tool_calls"]:
                calls += 1
                named.append(call | {"id": call["id"] or f"call{calls:05d}"})  # nine characters, as Mistral's template wants them
            waiting, message = list(named), message | {"tool_calls": named}
        elif message["role"] == "tool":
            given = message.get("tool_call_id")
            mine = next((call for call in waiting if call["id"] == given), None) if given else (waiting[0] if waiting else None)
            if mine:
                waiting.remove(mine)
                message = message | {"tool_call_id": mine["id"], "name": message.get("name") or mine["function"]["name"]}
        found.append(message)
    return found


def _schema(text: str) -> Any:
    """A schema that stands as JSON in a text; what is none is refused with the others."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def tools_of(row: Fields) -> list[dict[str, Any]]:
    """The tools that a row says may be called (`tools` or `functions`), as schemas in OpenAI's form.

    Raises:
        Malformed: one is no schema.
    """
    found = list_of(row, "tools", "functions") if "tools" in row or "functions" in row else []
    found = [_schema(tool) if isinstance(tool, str) else tool for tool in found]
    schemas = [tool if isinstance(tool, dict) and "function" in tool else {"type": "function", "function": tool} for tool in found]
    if not all(isinstance(tool["function"], dict) and tool["function"].get("name") for tool in schemas):
        raise Malformed("the field 'tools' holds something other than schemas of functions with a name")
    return schemas
