"""Chats as people's files hold them: lists of messages (OpenAI, ShareGPT), with parts, system texts and turns that are left open."""

import json
from typing import Any

from tasks.data.calls import CALLERS, RESULTS, calls_of, with_ids
from tasks.data.rows import Fields, Malformed, list_of, text_of
from tasks.text.messages import Message

ROLES = {  # by the names that they have in files
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "agent": "assistant",
    "ai": "assistant",
    "bot": "assistant",
    "model": "assistant",
    **dict.fromkeys(CALLERS, "assistant"),
    **dict.fromkeys(RESULTS, "tool"),
}
ROLE_FIELDS, CONTENT_FIELDS = ("role", "from", "name"), ("content", "value", "text")
SYSTEM_FIELDS = ("system", "system_prompt", "system_message")
THOUGHTS = ("reasoning", "thinking")  # types of parts that are no words to the user


def conversation(row: Fields, *names: str) -> list[Message]:
    """The chat in the first of the fields that is there, every message with a known role and a text; empty system turns are left out.

    Raises:
        Malformed: it is none; names the message.
    """
    turns = list_of(row, *names)
    if not turns or not all(isinstance(turn, dict) for turn in turns):
        raise Malformed(f"the field {' or '.join(map(repr, names))} is no list of messages")
    chat = [_message(turn, number) for number, turn in enumerate(turns, 1)]
    kept = [message for message in chat if message["content"] or message["role"] != "system"]
    if len(kept) < len(chat):
        row.notes.append("empty system turns left out")
    if any("reasoning_content" in message for message in kept):
        row.notes.append("thoughts kept apart, learnt with tune.thinking where the model's template has them")
    return with_system(row, with_ids(kept))


def _message(turn: dict[str, Any], number: int) -> Message:
    said = next((turn[name] for name in ROLE_FIELDS if turn.get(name)), "")
    said = said.strip().lower() if isinstance(said, str) else said
    role = ROLES.get(said) if isinstance(said, str) else None
    if role is None:
        raise Malformed(f"message {number} has the role {said!r}, a role other than {', '.join(ROLES)}")
    written = next((turn[name] for name in CONTENT_FIELDS if turn.get(name) is not None), "")
    parts = [part for part in written if isinstance(part, dict)] if isinstance(written, list) and role == "assistant" else []
    called = [_text_in(part) for part in parts if part.get("type") == "tool_call"]
    calls = calls_of(turn | ({"tool_calls": called} if called else {}), number) if role == "assistant" else []
    thoughts = [str(_text_in(part)) for part in parts if part.get("type") in THOUGHTS] or [str(turn.get("reasoning_content") or "")]
    apart = [part for part in parts if part.get("type") in ("tool_call", *THOUGHTS)]
    if role == "tool" and not isinstance(written, str) and not _is_parts(written):
        written = json.dumps(written, ensure_ascii=False)  # what a tool gave may be no text
    content = "" if said in CALLERS else _content([part for part in written if part not in apart] if apart else written, number)
    if not content and not calls and role in ("user", "assistant"):
        raise Malformed(f"message {number}, of the role {said!r}, is empty: its field 'content' or 'value' is missing, empty or no text")
    message: Message = {"role": role, "content": content}
    if role == "tool":
        message |= {name: str(turn[name]) for name in ("name", "tool_call_id") if turn.get(name)}
    if role == "assistant" and any(thoughts):
        message["reasoning_content"] = "\n".join(thoughts).strip()
    return message | {"tool_calls": calls} if calls else message


def _is_parts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, dict) and isinstance(_text_in(part), str) for part in value)


def _text_in(part: dict[str, Any]) -> Any:
    return part.get("text", part.get("value"))


def _content(value: Any, number: int) -> str:
    """A text, or the texts of a list of parts."""
    if isinstance(value, list):
        parts = [_text_in(part) if isinstance(part, dict) else part for part in value]
        other = next((part for part, text in zip(value, parts, strict=True) if not isinstance(text, str)), None)
        if other is not None:
            kind = other.get("type") if isinstance(other, dict) else type(other).__name__
            raise Malformed(f"message {number} has a part of the type {kind!r}; only texts are accepted")
        return "\n".join(str(text).strip() for text in parts).strip()
    text = text_of(value)
    if text is None:
        raise Malformed(f"message {number} has a content that is a {type(value).__name__}; a text or a list of parts is accepted")
    return text


def with_system(row: Fields, chat: list[Message]) -> list[Message]:
    """The chat after the row's own system text, unless it begins with that already; both are kept where it begins with another."""
    name = next((name for name in SYSTEM_FIELDS if name in row), SYSTEM_FIELDS[0])
    system = text_of(row.get(name) or "")
    if system is None:
        raise Malformed(f"the field {name!r} is no text")
    first: list[Message] = [{"role": "system", "content": system}] if system else []
    return chat if not first or chat[:1] == first else first + chat


def answered(row: Fields, chat: list[Message]) -> list[Message]:
    """The chat up to its last answer: what the user said after it has none to be learnt.

    Raises:
        Malformed: there is no answer, or nothing before it.
    """
    end = max((place for place, message in enumerate(chat) if message["role"] == "assistant"), default=-1) + 1
    if end < len(chat) and end:
        row.notes.append("turns after the last answer cut off")
    if end < 2 or not any(message["role"] == "user" for message in chat[:end]):
        raise Malformed("the last message is not an answer of the assistant to a user")
    return chat[:end]


def prompt_of(row: Fields, name: str) -> list[Message]:
    """A prompt that is a text or a list of messages, with the row's system text before it."""
    value = row.get(name)
    if isinstance(value, list) or (isinstance(value, str) and value.lstrip().startswith('[{"role"')):
        return conversation(row, name)
    text = text_of(value)
    if not text:
        raise Malformed(f"the field {name!r} is {'missing' if name not in row else 'empty or no text'}")
    return with_system(row, [{"role": "user", "content": text}])


def answer_to(row: Fields, name: str, prompt: list[Message]) -> list[Message]:
    """What a field says after the prompt, which it may repeat: a text, or a list of messages.

    Raises:
        Malformed: it does not end with an answer.
    """
    value = row.get(name)
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        text = text_of(value)
        if not text:
            raise Malformed(f"the field {name!r} is {'missing' if name not in row else 'empty or no text'}")
        return [{"role": "assistant", "content": text}]
    chat = [_message(turn, number) for number, turn in enumerate(value, 1) if isinstance(turn, dict)]
    bare = [message for message in prompt if message["role"] != "system"]
    for known in (prompt, bare):
        if known and chat[: len(known)] == known:
            chat = chat[len(known) :]
            break
    if len(chat) < len(value) - len(prompt) or not chat or chat[-1]["role"] != "assistant":
        raise Malformed(f"the field {name!r} does not end with an answer of the assistant")
    return with_ids(chat)
