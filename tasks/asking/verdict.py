"""Whether an answer of the chatbot is correct, wrong, unsure or none, by rule."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tasks.chatbot.events import Turn
from tasks.chatbot.language import languages
from tasks.text.judging import accepts


@dataclass(frozen=True)
class Verdict:
    """What a turn was worth to the person who asked.

    Attributes:
        correct: `answered` with what any right answer contains, short enough to read at a glance, and every sentence ticked. None without anything to accept,
            and of questions that nothing answers.
        wrong: `answered` without what any right answer contains; of a question that nothing answers, `answered` at all. With it but too long or with an
            unticked sentence, an answer is neither right nor wrong. None where `correct` is because there is nothing to accept.
        unsure: the passages that come nearest were quoted as such.
        accepted: what is shown contains what any right answer contains, whatever the outcome; None without anything to accept.
        turned_away: no sources are shown.
        right_source: a source is of a document that answers; None where none is known.
        characters: of what is shown, titles and notices aside.
    """

    correct: bool | None
    wrong: bool | None
    unsure: bool
    accepted: bool | None
    turned_away: bool
    right_source: bool | None
    characters: int


def judged(turn: Turn, accept: Sequence[str], documents: Collection[str], unanswerable: bool = False) -> Verdict:
    """The verdict on a turn.

    Args:
        accept: strings of which any right answer contains one.
        documents: those that answer the question.
        unanswerable: whether nothing that could be searched answers it.
    """
    text, answered = shown(turn), turn.reason == "answered"
    accepted = accepts(text, accept) if accept else None
    short = len(text) <= languages()[turn.lang].QUOTE_CHARACTERS
    ticked = all(sentence.supported for sentence in turn.sentences)
    return Verdict(
        correct=None if accepted is None or unanswerable else answered and accepted and short and ticked,
        wrong=answered if unanswerable else None if accepted is None else answered and not accepted,
        unsure=turn.reason == "unsure",
        accepted=accepted,
        turned_away=not turn.sources,
        right_source=any(source.document in documents for source in turn.sources) if documents else None,
        characters=len(text),
    )


def shown(turn: Turn) -> str:
    """The answer without the titles of the documents quoted and without what is said about the answer itself."""
    language, text = languages()[turn.lang], turn.answer
    for notice in (language.QUOTING_BECAUSE, language.UNSURE):
        text = text.replace(notice, "")
    before = language.QUOTED.partition("{sentence}")[0]
    for title in {source.title for source in turn.sources}:
        text = text.replace(before.format(title=title), "")
    return text.strip()
