"""Rows of any accepted format to records of one type per kind.

A format is told by its fields, or said by the user. A row that lacks what its format needs raises `Malformed`, which names the field.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from tasks.data.language import detect
from tasks.data.records import Document, Instruction, Message, Preference, Question, content_id

HH_TURN = re.compile(r"\n\n(Human|Assistant):[ \n]?")
ROLES = {"Human": "user", "Assistant": "assistant"}


class Malformed(ValueError):
    """Why a row cannot be used."""


def _field(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise Malformed(f"the field {name!r} is {'missing' if name not in row else 'empty or no text'}")
    return value.strip()


def _ask(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def alpaca(row: dict[str, Any]) -> tuple[list[Message], str]:
    given = row.get("input") or ""
    return _ask(_field(row, "instruction") + (f"\n\n{given.strip()}" if str(given).strip() else "")), _field(row, "output")


def messages(row: dict[str, Any]) -> tuple[list[Message], str]:
    """A chat; the last message is the assistant's and is what is learnt."""
    turns = row.get("messages")
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        raise Malformed("the field 'messages' is no list of messages")
    chat = [{"role": turn.get("role", ""), "content": _field(turn, "content")} for turn in turns]
    if any(turn["role"] not in ("system", "user", "assistant") for turn in chat):
        raise Malformed("a message has a role other than system, user or assistant")
    if len(chat) < 2 or chat[-1]["role"] != "assistant":
        raise Malformed("the last message is not an answer of the assistant")
    return chat[:-1], chat[-1]["content"]


def prompt_completion(row: dict[str, Any]) -> tuple[list[Message], str]:
    return _ask(_field(row, "prompt")), _field(row, "completion")


def hh_dialogue(text: str) -> list[Message]:
    """An Anthropic HH dialogue ("\\n\\nHuman: ...\\n\\nAssistant: ...") to messages."""
    parts = HH_TURN.split("\n\n" + text.strip())
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
    return _ask(_field(row, "prompt")), _field(row, "chosen"), _field(row, "rejected")


def responses(row: dict[str, Any]) -> tuple[list[Message], str, str]:
    """The textbook's form: `preference` 1 or 2 says which response is better."""
    first, second, better = _field(row, "response_1"), _field(row, "response_2"), str(row.get("preference", "")).strip()
    if better not in ("1", "2"):
        raise Malformed(f"preference is {row.get('preference')!r}, 1 or 2 expected")
    return (_ask(_field(row, "prompt")), first, second) if better == "1" else (_ask(_field(row, "prompt")), second, first)


INSTRUCTION_FORMATS: dict[str, Callable] = {"alpaca": alpaca, "messages": messages, "prompt_completion": prompt_completion}
PREFERENCE_FORMATS: dict[str, Callable] = {"pairs": pairs, "hh": hh, "responses": responses}


def _told(row: dict[str, Any], signs: dict[str, str], formats: list[str]) -> str:
    """The format whose sign field the row has."""
    for sign, name in signs.items():
        if sign in row:
            return name
    raise Malformed(f"the fields {sorted(row)[:6]} belong to none of the formats {', '.join(formats)}")


def instruction(row: dict[str, Any], source: str, format: str | None = None) -> Instruction:
    format = format or _told(row, {"messages": "messages", "instruction": "alpaca", "completion": "prompt_completion"}, list(INSTRUCTION_FORMATS))
    chat, answer = INSTRUCTION_FORMATS[format](row)
    return Instruction(content_id(*[turn["content"] for turn in chat], answer), chat, answer, detect(chat[-1]["content"] + answer), source)


def preference(row: dict[str, Any], source: str, format: str | None = None) -> Preference:
    if format is None:
        format = _told(row, {"response_1": "responses", "prompt": "pairs", "chosen": "hh"}, list(PREFERENCE_FORMATS))
    chat, chosen, rejected = PREFERENCE_FORMATS[format](row)
    name = content_id(*[turn["content"] for turn in chat], chosen, rejected)
    try:
        margin, weight = float(row.get("margin") or 0), float(row.get("weight") or 1)
    except (TypeError, ValueError) as error:
        raise Malformed(f"margin or weight is no number: {error}") from error
    # Both halves see the same kinds of pairs, and a pair stays in its half when others are added.
    return Preference(name, chat, chosen, rejected, detect(chat[-1]["content"] + chosen), source, margin, weight, int(name[-1], 16) % 2)


def questions(row: dict[str, Any], source: str) -> Iterator[Question | Document]:
    """The questions of one row: itself, or for a SQuAD file all its questions and, as documents, their contexts."""
    if "data" in row:
        yield from squad(row, source)
        return
    question, answer = _field(row, "question"), _field(row, "answer")
    wrong = row.get("distractors") or row.get("choices") or []
    if not isinstance(wrong, list):
        raise Malformed("distractors is no list")
    choices = [answer, *[choice for choice in wrong if choice != answer]] if wrong else []
    yield Question(content_id(question, answer), question, answer, row.get("document") or "", choices, detect(question), source)


def squad(content: dict[str, Any], source: str) -> Iterator[Question | Document]:
    """SQuAD's nesting: data, paragraphs, qas. The first answer counts; unanswerable questions are left out."""
    try:
        for article in content["data"]:
            for paragraph in article["paragraphs"]:
                context, title = paragraph["context"], article.get("title", "")
                document = Document(content_id(context), f"{source}#{content_id(context)[:12]}", title, context, detect(context))
                yield document
                for qa in paragraph["qas"]:
                    if qa.get("answers"):
                        answer = qa["answers"][0]["text"]
                        yield Question(content_id(qa["question"], answer), qa["question"], answer, document.path, [], detect(qa["question"]), source)
    except (KeyError, TypeError) as error:
        raise Malformed(f"not in SQuAD's form: {type(error).__name__} {error}") from error
