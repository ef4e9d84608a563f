"""Prompts that a chat's page, not its user, sends: for a title, tags, questions that may follow, queries, the rest of a sentence.

Open WebUI sends them to the model that answers, in a question's place. They are told by their form and not by their words, which whoever runs that
page may change and translate: sections under headings, the first line being one, or an instruction without any heading; then the conversation inside
`<chat_history>`, each message behind its role in capitals; and after it nothing but headings and further elements. Or the conversation comes first, and the
instruction follows. A person who pastes such a prompt says something before or after it, and a question with context of its own holds no conversation.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

HEADING = re.compile(r"#{1,6}[ \t]*\S.{0,79}")  # longer, it says something
FIRST = re.compile(r"#{1,6}[ \t]*\S.*")
OPEN, CLOSE = "<chat_history>", "</chat_history>"
SPOKEN = re.compile(r"\s*[A-Z]+:")
ELEMENT = re.compile(r"<(\w+)>.*?</\1>", re.S)
AFTER = 4000  # characters behind the conversation that are read: one text that is to go on
EXAMPLES = 8  # braces that are tried as the beginning of an example
LONGEST, MOST = 200, 8  # characters of a text and texts of a list, where the prompt asks for JSON


@dataclass(frozen=True)
class Housekeeping:
    """Such a prompt: what stands before the conversation, the conversation, and the rest."""

    before: str
    history: str
    after: str

    @property
    def prompt(self) -> str:
        return self.before + self.history + self.after

    @property
    def schema(self) -> dict[str, Any] | None:
        """Of the JSON that is asked for, made from the first example that is shown; None where no JSON is asked for."""
        asked = f"{self.before}\n{self.after}"
        for example in _objects(asked):
            return {
                "type": "object",
                "properties": {name: _like(value) for name, value in example.items()},
                "required": list(example),
                "additionalProperties": False,
            }
        return {"type": "object"} if re.search(r"\bJSON\b", asked) else None

    def within(self, fits: Callable[[str], bool]) -> str:
        """The prompt, with as much of the conversation's end as fits."""
        kept = self
        while kept.history and not fits(kept.prompt):
            kept = Housekeeping(self.before, kept.history[len(kept.history) // 2 + 1 :], self.after)
        return kept.prompt


def housekeeping(text: str) -> Housekeeping | None:
    """What the text is in parts, if it has the form of such a prompt."""
    start, end = text.find(OPEN), text.rfind(CLOSE)
    if start < 0 or end < start:
        return None
    start += len(OPEN)
    found = Housekeeping(text[:start], text[start:end], text[end:])
    lines = [line.strip() for line in found.before.removesuffix(OPEN).splitlines() if line.strip()]
    headings = sum(bool(FIRST.fullmatch(line)) for line in lines)
    begun = bool(SPOKEN.match(found.history))
    if not begun and (found.history.strip() or headings < 2):  # in a conversation that has not begun nobody has spoken
        return None
    if not lines:
        return found
    if headings and not FIRST.fullmatch(lines[0]):
        return None
    return found if _holds_no_prose(found.after.removeprefix(CLOSE)) else None


def _holds_no_prose(text: str) -> bool:
    left = ELEMENT.sub("", text) if len(text) <= AFTER else text
    return all(HEADING.fullmatch(line.strip()) for line in left.splitlines() if line.strip())


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in a text, as far as they hold texts and lists of texts alone."""
    place, decoder = text.find("{"), json.JSONDecoder()
    for _ in range(EXAMPLES):
        if place < 0:
            return
        try:
            found, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            if found and all(_is_simple(value) for value in found.values()):
                yield found
        place = text.find("{", end)


def _is_simple(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))


def _like(value: str | list[str]) -> dict[str, Any]:
    text = {"type": "string", "maxLength": LONGEST}
    return text if isinstance(value, str) else {"type": "array", "items": text, "maxItems": max(MOST, len(value))}
