"""A question with what the index found for it: one wording for evaluation and chat, in the question's language."""

import re
from collections.abc import Mapping, Sequence

from tasks.errors import MigakiError
from tasks.text.detection import detect
from tasks.text.language import languages
from tasks.text.messages import Message

FIELDS = ("{context}", "{question}")
FIELD = re.compile("|".join(map(re.escape, FIELDS)))


def bundled_templates() -> dict[str, str]:
    """By language."""
    return {code: language.WITH_NOTES for code, language in languages().items()}


def checked(template: str, where: str) -> str:
    """The template, which holds each field once.

    Raises:
        MigakiError: it does not; `where` says which template it is.
    """
    for field in FIELDS:
        if (count := template.count(field)) != 1:
            raise MigakiError(
                f"{where} {'lacks' if not count else f'has {count} times'} {field}: a template holds {' and '.join(FIELDS)}, each once"
            )
    return template


def with_context(messages: Sequence[Message], notes: Sequence[str], templates: Mapping[str, str] = {}) -> list[Message]:
    """The conversation with the notes put before its last question, in the words of its language's template."""
    question = messages[-1]["content"]
    values = {"{context}": "\n".join(f"- {note}" for note in notes), "{question}": question}
    text = FIELD.sub(lambda field: values[field[0]], template_for(question, templates))  # in one pass: neither value is a template
    return [*messages[:-1], {"role": "user", "content": text}]


def notes_part(question: str, notes: Sequence[str], first: int, templates: Mapping[str, str] = {}) -> str:
    """What the last message of `with_context` begins with up to the end of the `first` notes: nothing of the question, and of no further note."""
    before, asked, _ = template_for(question, templates).partition("{question}")
    opening, found, between = before.partition("{context}")
    if not first or not asked or not found:
        return ""
    return opening + "\n".join(f"- {note}" for note in notes[:first]) + ("\n" if first < len(notes) else between)


def template_for(question: str, templates: Mapping[str, str] = {}) -> str:
    """The template of the question's language; of a language that `templates` lacks, the bundled one."""
    lang = detect(question)
    return templates.get(lang) or languages()[lang].WITH_NOTES
