"""Requests that mean harm, or are merely huge: what `hostile.py` sends. Each is told by its field, or ended by its limit."""

import json
from dataclasses import dataclass
from typing import Any

V1, PAGE = "/v1/chat/completions", "/api/chat"
HI = {"role": "user", "content": "hi"}
HALF = "\\ud83d"
STREAM_SAFE = "\u304b" + "\u3099" * 30  # the most combining marks in a row that pass


@dataclass(frozen=True)
class Hostile:
    """`refused` says that nothing else than 400, 413 or (on the page's API) 422 is right; else it may also be answered within the time limit."""

    name: str
    path: str
    body: bytes
    refused: bool


def requests() -> list[Hostile]:
    return [*_schemas(), *_messages(), *_json(), *_texts()]


def _v1(name: str, refused: bool, **more: Any) -> Hostile:
    return Hostile(name, V1, json.dumps({"model": "migaki", "messages": [HI]} | more).encode(), refused)


def _tool(name: str, refused: bool, parameters: Any) -> Hostile:
    """A call of it is required, so that arguments have to be made."""
    tools = [{"type": "function", "function": {"name": "keep", "description": "Keeps things.", "parameters": parameters}}]
    return _v1(name, refused, tools=tools, tool_choice="required", messages=[{"role": "user", "content": "Keep 3 apples and 2 pears."}])


def _nested(depth: int, kinds: list[str]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = (
            {"type": kinds, "items": schema, "properties": {"a": schema}, "required": ["a"]}
            if depth < 6
            else {"type": kinds, "items": schema}
        )
    return {"type": "object", "properties": {"x": schema}, "required": ["x"]}


def _fields(count: int, kind: str = "string") -> dict[str, Any]:
    names = [f"field_{number}" for number in range(count)]
    return {"type": "object", "properties": {name: {"type": kind} for name in names}, "required": names}


def _one(**schema: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": schema}, "required": ["x"]}


def _schemas() -> list[Hostile]:
    return [
        _tool("types nested 18 deep", True, _nested(18, ["array", "array"])),
        _tool("types nested 4 deep", False, _nested(4, ["array", "object"])),
        _tool("minItems 1000000", True, _one(type="array", items={"type": "string"}, minItems=10**6)),
        _tool(
            "minItems 32 of 32",
            False,
            _one(type="array", minItems=32, items={"type": "array", "minItems": 32, "items": {"type": "integer"}}),
        ),
        _tool("minLength 1000000", True, _one(type="string", minLength=10**6)),
        _tool("500 required fields", True, _fields(500)),
        _tool("100 required strings", False, _fields(100)),
        _tool("100 required numbers", False, _fields(100, "number")),
        _tool("enumeration of 100,000", True, _one(enum=[f"v{number}" for number in range(20_000)])),
        _tool("enumeration of 500", False, _one(enum=[f"value number {number}" for number in range(500)])),
        _tool("a pattern that backtracks", False, _one(type="string", pattern="^(a+)+$")),
        _tool("maximum of 5,000 digits", True, _one(type="integer", maximum=10**4000)),
        _tool("a schema that is a list", True, [1, 2]),
        _v1(
            "64 tools",
            False,
            tools=[{"type": "function", "function": {"name": f"tool_{n}", "description": "Keeps things. " * 30}} for n in range(64)],
        ),
        _v1("500 tools", True, tools=[{"type": "function", "function": {"name": f"tool_{n}"}} for n in range(500)]),
    ]


def _messages() -> list[Hostile]:
    turns = [{"role": role, "content": "word " * 38} for _ in range(256) for role in ("assistant", "user")]
    return [
        _v1("7,000 messages of a letter", True, messages=[{"role": "user", "content": "x"}] * 4000 + [HI]),
        _v1("512 long messages", False, messages=turns),
        _v1("512 calls with results", False, messages=_called("{}", 170)),
        _v1("deep arguments", True, messages=_called('{"n": ' + "[" * 5000 + "]" * 5000 + "}")),
        _v1("arguments with a number of 5,000 digits", True, messages=_called('{"n": ' + "9" * 5000 + "}")),
        _v1("arguments with half a surrogate", True, messages=_called('{"n": "' + HALF + '"}')),
        _v1("seed of 30 digits", True, seed=10**30),
        _v1("seed of -2**63", False, seed=-(2**63), max_tokens=4),
        _v1("stop of 1,000 strings", True, stop=["x"] * 1000),
        _v1("max_tokens of 2**62", False, max_tokens=2**62),
    ]


def _called(arguments: str, times: int = 1) -> list[dict[str, Any]]:
    call = {"type": "function", "function": {"name": "keep", "arguments": arguments}}
    made = [
        message
        for number in range(times)
        for message in (
            {"role": "assistant", "content": None, "tool_calls": [call | {"id": f"c{number}"}]},
            {"role": "tool", "tool_call_id": f"c{number}", "content": "1 " * 100},
        )
    ]
    return [HI, *made]


def _json() -> list[Hostile]:
    values = {
        "a number of 5,000 digits": "9" * 5000,
        "a number of 200,000 digits": "9" * 200_000,
        "1e999": "1e999",
        "NaN": "NaN",
        "JSON 100,000 deep": "[" * 100_000 + "]" * 100_000,
        "JSON that never closes": "[" * 200_000,
        "half a surrogate": f'"{HALF}"',
        "a body of 1 MB": '"' + "x" * 1_000_000 + '"',
    }
    return [
        Hostile(f"{name} ({path.split('/')[1]})", path, f'{{"question": {value}, "seed": {value}}}'.encode(), True)
        for name, value in values.items()
        for path in (V1, PAGE)
    ]


def _texts() -> list[Hostile]:
    """Texts that some filter, tokenizer or splitter may take quadratic time for; as question, as system message and, short enough, on the page."""
    texts = {
        "newlines": "\n",
        "spaces": " ",
        "one word": "a",
        "digits": "4",
        "digits and hyphens": "4-",
        "addresses": "a.b@",
        "sentences": "A. ",
        "kana": "\u304b",
        "Japanese sentences": "\u306f\u3044\u3002",
        "full-width digits": "\uff11",
        "stream-safe marks": STREAM_SAFE,
        "joined emoji": "\U0001f469\u200d",
        "brackets": "(",
        "colons": "a:",
        "base64": "QUJD",
        "quotes": "> ",
    }
    longest = 200_000  # bytes, as JSON sends them, a little below serve.max_body_kb
    found = []
    for name, piece in texts.items():
        text = piece * (longest // max(len(piece), len(json.dumps(piece)) - 2))
        found += [
            _v1(f"{name}, asked", False, messages=[{"role": "user", "content": f"hi {text} hi"}]),
            _v1(f"{name}, system", False, messages=[{"role": "system", "content": text}, HI]),
            Hostile(f"{name}, page", PAGE, json.dumps({"question": f"hi {(piece * 8000)[:7900]} hi"}).encode(), False),
        ]
    newlines = "\n" * 20_000
    found += [
        _v1("120,000 combining marks", True, messages=[{"role": "user", "content": "e" + "\u0301" * 40_000}]),
        Hostile(
            "120,000 combining marks, raw",
            V1,
            json.dumps(
                {"model": "migaki", "messages": [{"role": "user", "content": "e" + "\u0301" * 120_000}]}, ensure_ascii=False
            ).encode(),
            True,
        ),
        _v1("repeat 20,000 newlines", False, messages=[{"role": "user", "content": f"Repeat this exactly: x{newlines}x"}], max_tokens=1024),
        _v1("calculate a tower", False, messages=[{"role": "user", "content": "What is 9**9**9**9?"}]),
        _v1("calculate 5,000 brackets", False, messages=[{"role": "user", "content": f"What is {'(' * 5000}1{')' * 5000}?"}]),
        _v1("calculate 5,000 digits", False, messages=[{"role": "user", "content": f"What is {'9' * 5000} * {'9' * 5000}?"}]),
    ]
    return found
