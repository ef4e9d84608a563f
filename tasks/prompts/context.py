"""A question with what the index found for it: one wording for evaluation and chat, in the question's language."""

from collections.abc import Sequence

from tasks.text.detection import detect

Message = dict[str, str]
WORDING = {
    "en": "Answer the question from these notes.\n\n{notes}\n\nQuestion: {question}",
    "ja": "次の資料をもとに質問に答えてください。\n\n{notes}\n\n質問: {question}",
}


def with_context(messages: Sequence[Message], notes: Sequence[str]) -> list[Message]:
    """The conversation with the notes put before its last question."""
    question = messages[-1]["content"]
    text = WORDING[detect(question)].format(notes="\n".join(f"- {note}" for note in notes), question=question)
    return [*messages[:-1], {"role": "user", "content": text}]
