"""Rows of any accepted format to records of one type per kind.

A format is told by its fields, or said by the user. A row that lacks what its format needs raises `Malformed`, which names the field.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tasks.data.calls import tools_of
from tasks.data.chats import answer_to, answered, conversation, prompt_of, with_system
from tasks.data.records import Document, Feedback, FollowUp, Instruction, Preference, Question, content_id
from tasks.data.rows import Fields, LeftOut, Malformed, field, list_of, number, text_of, texts_of
from tasks.text.detection import detect
from tasks.text.judging import normalised
from tasks.text.messages import Message, said

HH_TURN = re.compile(r"\n\n(Human|Assistant):[ \n]?")
ROLES = {"Human": "user", "Assistant": "assistant"}
SHORT = 80  # characters: a longer answer is a sentence, which right answers say in words of their own


def _ask(row: Fields, text: str) -> list[Message]:
    return with_system(row, [{"role": "user", "content": text}])


def alpaca(row: Fields) -> list[Message]:
    """`history` holds what was asked and answered before, in pairs."""
    asked = _ask(row, _instruction(row))
    return [*asked[:-1], *_history(row), asked[-1], {"role": "assistant", "content": field(row, "output")}]


def _instruction(row: Fields) -> str:
    given = field(row, "input") if str(row.get("input") or "").strip() else ""
    return f"{field(row, 'instruction')}\n\n{given}".strip()


def _history(row: Fields) -> list[Message]:
    pairs_or_turns = list_of(row, "history") if "history" in row else []
    if pairs_or_turns and all(isinstance(turn, dict) for turn in pairs_or_turns):
        return conversation(Fields({"history": pairs_or_turns}), "history")
    turns: list[Message] = []
    for pair in pairs_or_turns:
        texts = [text_of(text) for text in pair] if isinstance(pair, list) and len(pair) == 2 else []
        if not texts or not all(texts):
            raise Malformed("the field 'history' holds something other than pairs of a question and an answer")
        turns += [{"role": role, "content": text} for role, text in zip(("user", "assistant"), texts, strict=True) if text]
    return turns


def messages(row: Fields) -> list[Message]:
    """A chat (`messages`); the last answer of the assistant ends it. What a `label` says was not liked is nothing to learn.

    Raises:
        LeftOut: it was not.
    """
    return _unless_disliked(row, answered(row, conversation(row, "messages")))


def sharegpt(row: Fields) -> list[Message]:
    """A chat in ShareGPT's form (`conversations`, with `from` and `value`), or one of `utterances` (with `name` and `text`)."""
    return _unless_disliked(row, answered(row, conversation(row, "conversations", "utterances")))


def _unless_disliked(row: Fields, chat: list[Message]) -> list[Message]:
    """Other labels than truth values say something else."""
    if str(row.get("label")).lower() in ("true", "false") and not liked(row):
        raise LeftOut("disliked", "the label says that this answer was not liked")
    return chat


def prompt_completion(row: Fields) -> list[Message]:
    """Texts or lists of messages. A `label` says whether the completion was liked; what was not is nothing to learn.

    Raises:
        LeftOut: it was not.
    """
    prompt = prompt_of(row, "prompt")
    chat = prompt + answer_to(row, "completion", prompt)
    if "label" in row and not liked(row):
        raise LeftOut("disliked", "the label says that this completion was not liked")
    return chat


def liked(row: Fields) -> bool:
    """Raises:
    Malformed: the label is neither true nor false.
    """
    label = str(row.get("label")).strip().lower()
    if label not in ("true", "false", "1", "0", "1.0", "0.0"):
        raise Malformed(f"label is {row.get('label')!r}, true or false expected")
    return label in ("true", "1", "1.0")


def hh_dialogue(text: str) -> list[Message]:
    """An Anthropic HH dialogue ("\\n\\nHuman: ...\\n\\nAssistant: ...") to messages."""
    parts = HH_TURN.split("\n\n" + text.strip())
    if parts[0].strip():
        raise Malformed("the dialogue does not begin with Human: or Assistant:")
    chat = [{"role": ROLES[parts[i]], "content": parts[i + 1].strip()} for i in range(1, len(parts) - 1, 2)]
    if len(chat) < 2 or chat[-1]["role"] != "assistant":
        raise Malformed("the dialogue does not end with an answer of the assistant")
    return chat


def hh(row: Fields) -> tuple[list[Message], str, str]:
    """Two dialogues that differ in the last answer: as texts (Anthropic HH), or as lists of messages."""
    if isinstance(row.get("chosen"), list):
        first, other = (answer_to(row, name, []) for name in ("chosen", "rejected"))
        return _pair(row, with_system(row, first), with_system(row, other))
    return _pair(row, hh_dialogue(field(row, "chosen")), hh_dialogue(field(row, "rejected")))


def _pair(row: Fields, chosen: list[Message], rejected: list[Message]) -> tuple[list[Message], str, str]:
    if chosen[:-1] != rejected[:-1]:
        raise Malformed("the two dialogues differ before the last answer")
    if not any(message["role"] == "user" for message in chosen[:-1]):
        raise Malformed("the dialogues hold no question of a user")
    if chosen[-1].get("tool_calls") or rejected[-1].get("tool_calls"):
        raise Malformed("an answer to compare is a call of a tool; texts are compared")
    return chosen[:-1], chosen[-1]["content"], rejected[-1]["content"]


def pairs(row: Fields) -> tuple[list[Message], str, str]:
    """A prompt (a text, a list of messages, `messages`, Orca's `question`, or `instruction` and `input`) and two answers to it."""
    if row.get("messages") or row.get("conversations"):
        prompt = conversation(row, "messages", "conversations")
    else:
        name = next((name for name in ("prompt", "question") if name in row), "" if "instruction" in row else "prompt")
        prompt = prompt_of(row, name) if name else _ask(row, _instruction(row))
    return _pair(row, prompt + answer_to(row, "chosen", prompt), prompt + answer_to(row, "rejected", prompt))


def responses(row: Fields) -> tuple[list[Message], str, str]:
    """The textbook's form, and AlpacaEval's (`output_1`): `preference` 1 or 2 says which response is better."""
    names = ("response_1", "response_2") if "response_1" in row else ("output_1", "output_2")
    first, second = field(row, names[0]), field(row, names[1])
    better = str(row.get("preference")).strip().removeprefix("response_").removesuffix(".0")
    if better not in ("1", "2"):
        raise Malformed(f"preference is {row.get('preference')!r}, 1 or 2 expected")
    prompt = _ask(row, _instruction(row)) if "instruction" in row else prompt_of(row, "prompt")
    return prompt, *((first, second) if better == "1" else (second, first))


def unpaired(row: Fields) -> tuple[list[Message], str, bool]:
    """A prompt and one answer to it, or a chat that ends with one, and a `label` that says whether it was liked."""
    if row.get("completion") is None:
        chat = answered(row, conversation(row, "messages", "conversations"))
    else:
        prompt = prompt_of(row, "prompt")
        chat = prompt + answer_to(row, "completion", prompt)
    if not any(message["role"] == "user" for message in chat[:-1]):
        raise Malformed("the prompt holds no question of a user")
    if not chat[-1]["content"]:
        raise Malformed("the answer is a call of a tool; texts are compared")
    return chat[:-1], chat[-1]["content"], liked(row)


INSTRUCTION_FORMATS: dict[str, Callable] = {
    "alpaca": alpaca,
    "messages": messages,
    "sharegpt": sharegpt,
    "prompt_completion": prompt_completion,
}
PREFERENCE_FORMATS: dict[str, Callable] = {"pairs": pairs, "hh": hh, "responses": responses, "unpaired": unpaired}
FOLLOWUPS = ("real", "topic_change")  # whether the second question needs the first
QUESTION_FORMATS = ("qa", "squad")
FORMATS = {"instructions": tuple(INSTRUCTION_FORMATS), "preferences": tuple(PREFERENCE_FORMATS), "questions": QUESTION_FORMATS}


def _told(row: Fields, said: str | None, signs: dict[str, str], formats: Iterable[str]) -> str:
    """The format that was said, or else whose sign field the row has."""
    row.format = said or next((name for sign, name in signs.items() if sign in row), "")
    if not row.format:
        raise Malformed(f"the fields {sorted(row)[:6]} belong to none of the formats {', '.join(formats)}")
    return row.format


def fields_of(row: dict[str, Any]) -> Fields:
    """The row, or what notes what is read of it."""
    return row if isinstance(row, Fields) else Fields(row)


INSTRUCTION_SIGNS = {
    "messages": "messages",
    "conversations": "sharegpt",
    "utterances": "sharegpt",
    "instruction": "alpaca",
    "completion": "prompt_completion",
}
PREFERENCE_SIGNS = {
    "response_1": "responses",
    "output_1": "responses",
    "completion": "unpaired",
    "prompt": "pairs",
    "messages": "pairs",
    "conversations": "pairs",
    "chosen": "hh",
}


def instruction(row: dict[str, Any], source: str, format: str | None = None) -> Instruction:
    """Raises:
    Malformed: the row is none; LeftOut: it is none to learn.
    """
    fields = fields_of(row)
    if "chosen" in fields and "rejected" in fields and not {"output", "completion"} & set(fields):
        raise Malformed("the row is a pair of answers (chosen, rejected): give its file with --preferences")
    chat = INSTRUCTION_FORMATS[_told(fields, format, INSTRUCTION_SIGNS, INSTRUCTION_FORMATS)](fields)
    asked, answer, calls, tools = chat[:-1], chat[-1]["content"], chat[-1].get("tool_calls", []), tools_of(fields)
    name = content_id(*map(said, chat), *([json.dumps(tools, ensure_ascii=False)] if tools else []))
    question = next((message["content"] for message in reversed(asked) if message["role"] == "user"), "")
    if not question:
        raise Malformed("the prompt holds no question of a user")
    return Instruction(name, asked, answer, detect(question + answer), source, calls, tools, chat[-1].get("reasoning_content", ""))


def preference(row: dict[str, Any], source: str, format: str | None = None) -> Preference | Feedback:
    """A pair, or unpaired feedback; one file may hold both.

    Raises:
        Malformed: the row is neither.
    """
    row = fields_of(row)
    more = {"question": "pairs", "instruction": "pairs"} if "chosen" in row else {}  # Orca's and Alpaca's; alone they are other rows
    signs = more | PREFERENCE_SIGNS
    if "label" in row and "chosen" not in row:
        signs = signs | dict.fromkeys(("messages", "conversations"), "unpaired")
    told = _told(row, format, signs, PREFERENCE_FORMATS)
    if told == "unpaired":
        chat, completion, good = unpaired(row)
        name = content_id(*[turn["content"] for turn in chat], completion, json.dumps(good))
        return Feedback(name, chat, completion, good, detect(chat[-1]["content"] + completion), source)
    chat, chosen, rejected = PREFERENCE_FORMATS[told](row)
    name = content_id(*[turn["content"] for turn in chat], chosen, rejected)
    margin, weight = number(row, "margin", 0.0), number(row, "weight", 1.0)
    # The half is decided by a hash of the content, so both see the same kinds of pairs and a pair stays in its half when others are added.
    half, tie = int(name[-1], 16) % 2, str(row.get("tie", "")).strip().lower() in ("true", "1")
    return Preference(name, chat, chosen, rejected, detect(chat[-1]["content"] + chosen), source, margin, weight, half, tie)


def questions(row: dict[str, Any], source: str, format: str | None = None) -> Iterator[Question | Document]:
    """The questions of one row: itself, or for a SQuAD file all its questions and, as documents, their contexts."""
    row = fields_of(row)
    if _told(row, format, {"data": "squad", "question": "qa"}, QUESTION_FORMATS) == "squad":
        yield from squad(row, source)
        return
    question, accept = field(row, "question"), _accept(row)
    answer = accept[0] if accept and "answer" not in row else field(row, "answer")
    wrong = list_of(row, "distractors", "choices")
    if not all(isinstance(choice, str) and choice.strip() for choice in wrong):
        raise Malformed("a distractor is empty or no text")
    choices = [answer, *[choice for choice in wrong if choice != answer]] if wrong else []
    document, also = field(row, "document") if row.get("document") else "", texts_of(row, "also")
    yield Question(
        content_id(question, answer), question, answer, document, choices, detect(question), source, accept, _evidence(row), also
    )


def followup(row: dict[str, Any], source: str, format: str | None = None) -> FollowUp:
    """Two questions in a row.

    Raises:
        Malformed: one is missing, or `kind` is neither real nor topic_change.
    """
    row = fields_of(row)
    row.format = "followups"
    kind, first, second = field(row, "kind"), field(row, "first"), field(row, "second")
    if kind not in FOLLOWUPS:
        raise Malformed(f"the field 'kind' is {kind!r}; accepted are {', '.join(FOLLOWUPS)}")
    document = field(row, "document") if row.get("document") else ""
    return FollowUp(content_id(first, second), kind, first, second, detect(second), source, document, _accept(row), texts_of(row, "also"))


def _accept(row: Fields) -> list[str]:
    accept = texts_of(row, "accept")
    if nothing := [text for text in accept if not normalised(text)]:
        raise Malformed(f"the field 'accept' holds {nothing[0]!r}, of which nothing is left without punctuation")
    return accept


def _evidence(row: Fields) -> list[str]:
    """One sentence may stand without a list."""
    alone = row.get("evidence")
    return [alone.strip()] if isinstance(alone, str) and alone.strip() and alone.strip()[0] != "[" else texts_of(row, "evidence")


def squad(content: dict[str, Any], source: str) -> Iterator[Question | Document]:
    """SQuAD's nesting: data, paragraphs, qas. The first answer counts, and any that is short is one to `accept`; a question that the file marks
    unanswerable has the answer ""."""
    try:
        for article in content["data"]:
            for paragraph in article["paragraphs"]:
                context, title = field(paragraph, "context"), article.get("title") or ""
                document = Document(content_id(context), f"{source}#{content_id(context)[:12]}", title, context, detect(context))
                yield document
                for qa in paragraph["qas"]:
                    question, answer = field(qa, "question"), field(qa["answers"][0], "text") if qa.get("answers") else ""
                    texts = dict.fromkeys(text_of(one.get("text")) or "" for one in qa.get("answers") or [])
                    accept = [text for text in texts if len(text) <= SHORT and normalised(text)]
                    yield Question(content_id(question, answer), question, answer, document.path, [], detect(question), source, accept)
    except (KeyError, TypeError, AttributeError) as error:
        raise Malformed(f"not in SQuAD's form: {type(error).__name__} {error}") from error
