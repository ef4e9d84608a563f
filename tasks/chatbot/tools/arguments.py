"""Arguments of a call, decoded under the grammar of the tool's schema."""

import json
from collections.abc import Collection
from typing import Any

from tasks.chatbot.tools.calls import Called, Returned
from tasks.chatbot.tools.copied import copier
from tasks.chatbot.tools.relevance import content_terms, name_words
from tasks.chatbot.tools.schema import Schema, enforceable
from tasks.chatbot.tools.toolbox import Tool
from tasks.chatbot.tools.values import narrowed, says
from tasks.inference.backend import Backend
from tasks.text.detection import detect
from tasks.text.messages import Message

MAX_TOKENS = 160
# One example: without it a small model writes the schema again instead of values.
EXAMPLE: list[Message] = [
    {
        "role": "user",
        "content": "Request: Book a table for 4 at Luigi's in Rome.\nFunction: book_table: Book a table in a restaurant.\n"
        "- restaurant (string): Its name.\n- city (string): Where it is.\n- people (integer): How many come.\nArguments?",
    },
    {"role": "assistant", "content": '{"restaurant": "Luigi\'s", "city": "Rome", "people": 4}'},
]


def decode_arguments(
    backend: Backend, messages: list[Message], tool: Tool, question: str, made: list[tuple[Called, Returned]], weak_in: Collection[str] = ()
) -> dict[str, Any] | None:
    """What the tool should be called with; None where the backend broke off. What is not required is left out unless the question speaks of it.

    Args:
        messages: the conversation; its last exchange before the question is shown, so that «and tomorrow?» can be understood.
        made: earlier calls and results, shown too.
        weak_in: languages in which the model writes so poorly that what can be copied from the question is not asked of it.
    """
    lang = detect(question)
    copies = copier(lang) if lang in weak_in else None
    optional = mentioned(tool.parameters, question)
    doubtful = copies.spoken_of(tool.parameters, question) - optional if copies else frozenset()
    schema = enforceable({"type": "object"} | tool.parameters, optional | doubtful)
    if copies:
        schema = copies.copied(schema, tool.parameters, tool.description, question, doubtful)
    schema = narrowed(schema, question)
    schema["required"] = list(schema["properties"])
    prompt = [*EXAMPLE, *messages[-3:-1], {"role": "user", "content": _prompt(tool, schema, question, made)}]
    text = backend.complete_json(prompt, schema, "", MAX_TOKENS)
    try:
        arguments = json.loads(text)
    except ValueError:  # a server that knows no grammar, or an answer that was stopped
        return None
    return arguments if isinstance(arguments, dict) else None


def mentioned(parameters: Schema, question: str) -> frozenset[str]:
    """The optional parameters that a question speaks of: by all words of their name, or by one of their values."""
    asked = content_terms(question)
    return frozenset(
        name
        for name, part in parameters.get("properties", {}).items()
        if name not in parameters.get("required", [])
        and (_named(name, asked) or any(says(value, question) for value in part.get("enum", ())))
    )


def _named(name: str, asked: set[str]) -> bool:
    words = name_words(name)
    return bool(words) and words <= asked


def _prompt(tool: Tool, schema: Schema, question: str, made: list[tuple[Called, Returned]]) -> str:
    offered = {name: tool.parameters["properties"][name] for name in schema.get("properties", {})}
    lines = [f"- {name} ({part.get('type', 'any')}): {str(part.get('description', ''))[:200]}" for name, part in offered.items()]
    earlier = [
        f"{called.name}({json.dumps(called.arguments, ensure_ascii=False)}) gave: {returned.content[:300]}" for called, returned in made
    ]
    return "\n".join([f"Request: {question}", *earlier, f"Function: {tool.name}: {tool.description[:300]}", *lines, "Arguments?"])
