"""Whether answers to a question can be judged by its `accept`: what is wrong with an item before any model is asked."""

from collections.abc import Mapping

from tasks.data.records import Question
from tasks.documents.parsed import Parsed, Unreadable
from tasks.text.judging import accepted, accepts, normalised

SHOWN = 60  # characters of a text in a message


def document_text(document: Parsed) -> str:
    """All that a document says, headings included."""
    parts = [document.title]
    for section in document.sections:
        parts += [section.heading.split(" > ")[-1], *section.paragraphs]
    return "\n".join(parts)


def faults(question: Question, texts: Mapping[str, str | Unreadable] | None) -> list[str]:
    """What is wrong with an item, a sentence each.

    Args:
        texts: what the documents say, by path, or why they cannot be read; None without documents, and then nothing is held against them.
    """
    return [*_of_strings(question), *(_of_documents(question, texts) if texts is not None else [])]


def _of_strings(question: Question) -> list[str]:
    found = []
    for wrong in question.choices[1:]:
        if (text := accepted(wrong, question.accept)) is not None:
            found.append(f"accept {text!r} stands in the distractor {_short(wrong)}, which would be judged right")
    if question.accept and not accepts(question.answer, question.accept):
        found.append(f"the answer {_short(question.answer)} has no string of accept, so that it would be judged wrong")
    return found


def _of_documents(question: Question, texts: Mapping[str, str | Unreadable]) -> list[str]:
    found = []
    for name in dict.fromkeys(filter(None, (question.document, *question.also))):
        if (text := texts.get(name)) is None:
            found.append(f"the document {name!r} is not there")
        elif isinstance(text, Unreadable):
            found.append(f"the document {name!r} cannot be read: {text}")
        elif question.accept and not accepts(text, question.accept):
            found.append(f"accept {_listed(question.accept)} stands nowhere in {name!r}")
    own = texts.get(question.document)
    if isinstance(own, str):
        missing = [sentence for sentence in question.evidence if normalised(sentence) not in normalised(own)]
        found += [f"the evidence {_short(sentence)} does not stand in {question.document!r}" for sentence in missing]
    return found


def _short(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}...")


def _listed(texts: list[str]) -> str:
    return " or ".join(map(repr, texts))
