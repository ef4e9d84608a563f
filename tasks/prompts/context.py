"""A question with what the index found for it: one wording for evaluation and chat, in the question's language."""

from collections.abc import Sequence

from tasks.text.detection import language_of
from tasks.text.messages import Message


def with_context(messages: Sequence[Message], notes: Sequence[str]) -> list[Message]:
    """The conversation with the notes put before its last question."""
    question = messages[-1]["content"]
    text = language_of(question).WITH_NOTES.format(notes="\n".join(f"- {note}" for note in notes), question=question)
    return [*messages[:-1], {"role": "user", "content": text}]


def notes_part(question: str, notes: Sequence[str], first: int) -> str:
    """What the last message of `with_context` begins with up to the end of the `first` notes: nothing of the question, and of no further note."""
    before, asked, _ = language_of(question).WITH_NOTES.partition("{question}")
    opening, found, between = before.partition("{notes}")
    if not first or not asked or not found:
        return ""
    return opening + "\n".join(f"- {note}" for note in notes[:first]) + ("\n" if first < len(notes) else between)
