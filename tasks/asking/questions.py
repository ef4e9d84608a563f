"""The team's own questions as they are put to the chatbot."""

from collections.abc import Collection, Iterable, Sequence

from tasks.asking.asking import Asked
from tasks.data.records import Question
from tasks.data.twins import groups_of


def as_they_are(questions: Sequence[Question], documents: Collection[str]) -> list[Asked]:
    """The questions that some of these documents answer, and those of which it is not known which documents do."""
    groups = groups_of(questions)
    return [
        Asked(
            question.id,
            "answerable",
            question.lang,
            question.question,
            accept=tuple(question.accept),
            documents=answering,
            group=groups.get(question.document, question.id),
        )
        for question in questions
        if (answering := among((question.document, *question.also), documents)) or not question.document
    ]


def among(names: Iterable[str], documents: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in documents)
