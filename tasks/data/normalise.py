"""Rows of any accepted format to records of one type per kind.

A format is told by its fields, or said by the user. A row that lacks what its format needs raises `Malformed`, which names the field.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tasks.data.records import Document, Instruction, Preference, Question, content_id
from tasks.text.detection import detect
from tasks.text.messages import Message

HH_TURN = re.compile(r"\n\n(Human|Assistant):[ \n]?")
ROLES = {"Human": "user", "Assistant": "assistant"}


class Malformed(ValueError):
    """Why a row cannot be used."""


def _field(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise Malformed(f"the field {name!r} is {'missing' if name not in row else 'empty or no text'}")
    return value.strip()


def _list(row: dict[str, Any], *names: str) -> list:
    """The first of the fields that is there; a cell of a CSV file holds a list as JSON."""
    value: Any = next((row[name] for name in names if row.get(name)), [])
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, list):
        raise Malformed(f"the field {' or '.join(map(repr, names))} is no list")
    return value


def _number(row: dict[str, Any], name: str, default: float) -> float:
    value = row.get(name)
    try:
        number = default if value in (None, "") else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise Malformed(f"{name} is {value!r}, a number of at least 0 expected")
    return number


def _ask(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def alpaca(row: dict[str, Any]) -> tuple[list[Message], str]:
    given = _field(row, "input") if str(row.get("input") or "").strip() else ""
    return _ask(f"{_field(row, 'instruction')}\n\n{given}".strip()), _field(row, "output")


def conversation(row: dict[str, Any]) -> list[Message]:
    """The chat of a row, every message with a known role and a text."""
    turns = _list(row, "messages")
    if not turns or not all(isinstance(turn, dict) for turn in turns):
        raise Malformed("the field 'messages' is no list of messages")
    chat = [{"role": turn.get("role", ""), "content": _field(turn, "content")} for turn in turns]
    if any(turn["role"] not in ("system", "user", "assistant") for turn in chat):
        raise Malformed("a message has a role other than system, user or assistant")
    return chat


def messages(row: dict[str, Any]) -> tuple[list[Message], str]:
    """A chat; the last message is the assistant's and is what is learnt."""
    chat = conversation(row)
    if len(chat) < 2 or chat[-1]["role"] != "assistant":
        raise Malformed("the last message is not an answer of the assistant")
    return chat[:-1], chat[-1]["content"]


def prompt_completion(row: dict[str, Any]) -> tuple[list[Message], str]:
    return _ask(_field(row, "prompt")), _field(row, "completion")


def hh_dialogue(text: str) -> list[Message]:
    """An Anthropic HH dialogue ("\\n\\nHuman: ...\\n\\nAssistant: ...") to messages."""
    parts = HH_TURN.split("\n\n" + text.strip())
    if parts[0].strip():
        raise Malformed("the dialogue does not begin with Human: or Assistant:")
    chat = [{"role": ROLES[parts[i]], "content": parts[i + 1].strip()} for i in range(1, len(parts) - 1, 2)]
    if len(chat) < 2 or chat[-1]["role"] != "assistant":
        raise Malformed("the dialogue does not end with an answer of the assistant")
    return chat


def hh(row: dict[str, Any]) -> tuple[list[Message], str, str]:
    chosen, rejected = hh_dialogue(_field(row, "chosen")), hh_dialogue(_field(row, "rejected"))
    if chosen[:-1] != rejected[:-1]:
        raise Malformed("the two dialogues differ before the last answer")
    return chosen[:-1], chosen[-1]["content"], rejected[-1]["content"]


def pairs(row: dict[str, Any]) -> tuple[list[Message], str, str]:
    chat = conversation(row) if row.get("messages") else _ask(_field(row, "prompt"))
    return chat, _field(row, "chosen"), _field(row, "rejected")


def responses(row: dict[str, Any]) -> tuple[list[Message], str, str]:
    """The textbook's form: `preference` 1 or 2 says which response is better."""
    first, second = _field(row, "response_1"), _field(row, "response_2")
    better = str(row.get("preference")).strip().removeprefix("response_").removesuffix(".0")
    if better not in ("1", "2"):
        raise Malformed(f"preference is {row.get('preference')!r}, 1 or 2 expected")
    return _ask(_field(row, "prompt")), *((first, second) if better == "1" else (second, first))


INSTRUCTION_FORMATS: dict[str, Callable] = {"alpaca": alpaca, "messages": messages, "prompt_completion": prompt_completion}
PREFERENCE_FORMATS: dict[str, Callable] = {"pairs": pairs, "hh": hh, "responses": responses}
QUESTION_FORMATS = ("qa", "squad")
FORMATS = {"instructions": tuple(INSTRUCTION_FORMATS), "preferences": tuple(PREFERENCE_FORMATS), "questions": QUESTION_FORMATS}


def _told(row: dict[str, Any], signs: dict[str, str], formats: Iterable[str]) -> str:
    """The format whose sign field the row has."""
    for sign, name in signs.items():
        if sign in row:
            return name
    raise Malformed(f"the fields {sorted(row)[:6]} belong to none of the formats {', '.join(formats)}")


def instruction(row: dict[str, Any], source: str, format: str | None = None) -> Instruction:
    format = format or _told(row, {"messages": "messages", "instruction": "alpaca", "completion": "prompt_completion"}, INSTRUCTION_FORMATS)
    chat, answer = INSTRUCTION_FORMATS[format](row)
    return Instruction(content_id(*[turn["content"] for turn in chat], answer), chat, answer, detect(chat[-1]["content"] + answer), source)


def preference(row: dict[str, Any], source: str, format: str | None = None) -> Preference:
    if format is None:
        format = _told(row, {"response_1": "responses", "prompt": "pairs", "messages": "pairs", "chosen": "hh"}, PREFERENCE_FORMATS)
    chat, chosen, rejected = PREFERENCE_FORMATS[format](row)
    name = content_id(*[turn["content"] for turn in chat], chosen, rejected)
    margin, weight = _number(row, "margin", 0.0), _number(row, "weight", 1.0)
    # The half is decided by a hash of the content, so both see the same kinds of pairs and a pair stays in its half when others are added.
    half, tie = int(name[-1], 16) % 2, str(row.get("tie", "")).strip().lower() in ("true", "1")
    return Preference(name, chat, chosen, rejected, detect(chat[-1]["content"] + chosen), source, margin, weight, half, tie)


def questions(row: dict[str, Any], source: str, format: str | None = None) -> Iterator[Question | Document]:
    """The questions of one row: itself, or for a SQuAD file all its questions and, as documents, their contexts."""
    if (format or _told(row, {"data": "squad", "question": "qa"}, QUESTION_FORMATS)) == "squad":
        yield from squad(row, source)
        return
    question, answer = _field(row, "question"), _field(row, "answer")
    wrong = _list(row, "distractors", "choices")
    if not all(isinstance(choice, str) and choice.strip() for choice in wrong):
        raise Malformed("a distractor is empty or no text")
    choices = [answer, *[choice for choice in wrong if choice != answer]] if wrong else []
    document = _field(row, "document") if row.get("document") else ""
    yield Question(content_id(question, answer), question, answer, document, choices, detect(question), source)


def squad(content: dict[str, Any], source: str) -> Iterator[Question | Document]:
    """SQuAD's nesting: data, paragraphs, qas. The first answer counts; a question that the file marks unanswerable has the answer ""."""
    try:
        for article in content["data"]:
            for paragraph in article["paragraphs"]:
                context, title = _field(paragraph, "context"), article.get("title") or ""
                document = Document(content_id(context), f"{source}#{content_id(context)[:12]}", title, context, detect(context))
                yield document
                for qa in paragraph["qas"]:
                    question, answer = _field(qa, "question"), _field(qa["answers"][0], "text") if qa.get("answers") else ""
                    yield Question(content_id(question, answer), question, answer, document.path, [], detect(question), source)
    except (KeyError, TypeError, AttributeError) as error:
        raise Malformed(f"not in SQuAD's form: {type(error).__name__} {error}") from error
