"""Ratings and corrections of chats to preference pairs and instructions.

Every answer to a question collects votes, in whichever conversation it was given: a thumb counts +1 or -1, a correction counts +1 for its own
text and -1 for the answer it corrects. Everybody has one vote for each answer, the last one they gave; who asks without a token is one
person. Answers above zero are preferred to those below; at zero people contradict each other, and
the answer says nothing. An instruction is a correction, or an answer above zero that its sources support. Only what the model itself wrote
to the end can be preferred or rejected: quotations, fixed phrases and answers broken off would teach it something else. Secrets and personal
data are masked; what speaks of somebody's health waits for a person.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, Protocol

from tasks.data.duplicates import normalised
from tasks.data.normalise import instruction, preference
from tasks.data.select import asked, asked_last, before_it, drop_duplicates
from tasks.flywheel.restricted import SAID, with_secrets
from tasks.flywheel.settings import HarvestSettings
from tasks.text.detection import detect
from tasks.text.messages import Message

Row = dict[str, Any]
FINISHED = ("stop", "length")
SOURCE = "chats"


class Masked(Protocol):
    """A text after what must not be learnt was replaced, and what that was, a code for each place."""

    @property
    def text(self) -> str: ...

    @property
    def codes(self) -> Sequence[str]: ...


@dataclass
class Candidate:
    """An answer to a question and what people said of it."""

    text: str
    voted: dict[str, tuple[datetime, int]] = field(default_factory=dict)  # when and what, by owner
    corrected: bool = False  # written by a person
    supported: bool = False  # by the sources of the turn in which it was given
    turns: list[str] = field(default_factory=list)  # where it comes from

    @property
    def votes(self) -> int:
        return sum(vote for _, vote in self.voted.values())


@dataclass
class Asked:
    """A question with the turns before it, and its answers by their normalised text."""

    messages: list[Message]
    answers: dict[str, Candidate] = field(default_factory=dict)

    def vote(self, text: str, vote: int, turn: Row) -> Candidate:
        candidate = self.answers.setdefault(normalised(text), Candidate(text))
        before = candidate.voted.get(turn["owner"])
        if before is None or before[0] <= turn["rated"]:
            candidate.voted[turn["owner"]] = turn["rated"], vote
        candidate.turns.append(turn["turn_id"])
        return candidate


@dataclass
class Harvest:
    """Rows for the next training run, and what gave none, by (reason, language)."""

    pairs: list[Row] = field(default_factory=list)
    instructions: list[Row] = field(default_factory=list)
    held: list[Row] = field(default_factory=list)  # what a person must look at before it may be learnt
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    masked: Counter[tuple[str, str]] = field(default_factory=Counter)  # places, by code

    def counts(self) -> list[Row]:
        """Rows by `kind` (instructions, left out, masked, pairs), `lang` and `reason`: what a row comes from, why something was left out, or
        what was masked (then `rows` counts places)."""
        counts = Counter({("left out", lang, reason): count for (reason, lang), count in self.left_out.items()})
        counts.update({("masked", lang, code): count for (code, lang), count in self.masked.items()})
        for kind, rows in (("pairs", self.pairs), ("instructions", self.instructions)):
            counts.update((kind, language(row["messages"]), row["from"]) for row in rows)
        return [{"kind": kind, "lang": lang, "reason": reason, "rows": count} for (kind, lang, reason), count in sorted(counts.items())]


def harvest(
    turns: Iterable[Row],
    settings: HarvestSettings,
    mask: Callable[[str], Masked],
    unsafe: Callable[[str], bool],
    standing: Callable[[Row], str],
    private: Callable[[str], bool],
    quoting: Collection[str] = (),
) -> Harvest:
    """Training data from the turns of rated conversations.

    Args:
        turns: rows of `rated_conversations`, those of a conversation together and in order.
        mask: replaces what must not be learnt of a text, such as personal data.
        unsafe: whether a text must not be learnt; asked of what people wrote as corrections.
        standing: why nothing may be learnt any more that rests on a source, such as that its document was deleted; "" where it may.
        private: whether a person must look at a text before it is learnt.
        quoting: questions, answers and corrections that quote what not everybody may see.
    """
    found = Harvest()
    for question in collect(masked(with_secrets(turns, standing, quoting), mask, found.masked), settings, unsafe, private, found):
        pairs = pairs_of(question)[: settings.max_pairs]
        found.pairs += pairs
        found.instructions += instructions_of(question)
        lang = language(question.messages)
        found.left_out.update((reason, lang) for answer in question.answers.values() if (reason := why_unused(answer, bool(pairs))))
    found.pairs = unique(found.pairs, preference, lambda pair: (pair.chosen, pair.rejected), settings.near_duplicate, found.left_out)
    found.instructions = unique(found.instructions, instruction, lambda row: (row.answer,), settings.near_duplicate, found.left_out)
    return found


def collect(
    turns: Iterable[Row],
    settings: HarvestSettings,
    unsafe: Callable[[str], bool],
    private: Callable[[str], bool],
    found: Harvest,
) -> list[Asked]:
    """The questions, with the votes for each of their answers. Ratings that cannot count go to `left_out` of what is `found`, and to `held`
    where a person has to decide."""
    questions: dict[str, Asked] = {}
    for _, conversation in groupby(turns, lambda turn: turn["conversation_id"]):
        history: list[Message] = []
        for turn in conversation:
            messages = [*history, {"role": "user", "content": turn["question"]}]
            barred = reason_against(turn)
            if not barred and settings.health == "hold" and any(private(turn[name]) for name in SAID):
                barred = "held: health"
            if turn["rating"] or turn["correction"]:
                question = questions.setdefault(asked(messages), Asked(messages))
                if reason := barred or count_votes(question, turn, settings.min_support, unsafe):
                    found.left_out[reason, turn["lang"]] += 1
                if barred.startswith("held"):
                    found.held.append({"turn": turn["turn_id"], "reason": barred} | {name: turn[name] for name in ("rating", *SAID)})
            kept = [*messages, {"role": "assistant", "content": turn["answer"]}]
            history = kept[-2 * settings.history :] if settings.history and not barred and is_own(turn) else []
    return list(questions.values())


def masked(turns: Iterable[Row], mask: Callable[[str], Masked], places: Counter[tuple[str, str]]) -> Iterator[Row]:
    """The turns in the model's own words, without what must not be learnt; what was masked is counted."""
    for turn in turns:
        turn = own_words(turn)
        for name in SAID:
            clean = mask(turn[name] or "")
            turn[name] = clean.text.strip()
            places.update((code, turn["lang"]) for code in clean.codes)
        yield turn


def own_words(turn: Row) -> Row:
    """The turn without the quotation that the chatbot puts below an answer in which no sentence stands on a source."""
    *said, last = turn["sentences"] or [{"text": "", "supported": False}]
    quotation = f"\n\n{last['text']}"
    if not last["supported"] or any(sentence["supported"] for sentence in said) or not turn["answer"].endswith(quotation):
        return dict(turn)
    return turn | {"answer": turn["answer"].removesuffix(quotation), "sentences": said}


def reason_against(turn: Row) -> str:
    """Why nothing of this turn may be learnt, not even as what came before a later question; "" where it may."""
    if any(code.startswith("injection") for code in turn["flags"]):
        return "injection"
    if turn["secret"]:
        return str(turn["secret"])
    return "refused" if turn["flags"] or turn["refused"] or turn["reason"] == "refused" else ""


def is_own(turn: Row) -> bool:
    """Whether the model wrote the answer itself, and was not stopped. Nothing else is learnt, not even as what came before a later question."""
    return bool(turn["answer"]) and not turn["quoted"] and turn["reason"] == "answered" and turn["finish"] in FINISHED


def count_votes(question: Asked, turn: Row, min_support: float, unsafe: Callable[[str], bool]) -> str:
    """Add what was said of a turn to the votes; returns why it could not count, or ""."""
    answer, correction = turn["answer"], turn["correction"]
    own = is_own(turn)
    if correction and normalised(correction) != normalised(answer):
        if unsafe(correction):
            return "unsafe correction"
        question.vote(correction, 1, turn).corrected = True
        if own:
            question.vote(answer, -1, turn)
        return ""
    if not own or (turn["rating"] > 0 and turn["finish"] != "stop"):
        return "not a whole answer of the model's own"
    question.vote(answer, turn["rating"], turn).supported |= support(turn["sentences"]) >= min_support
    return ""


def language(messages: list[Message]) -> str:
    """Of the last question."""
    return detect([message["content"] for message in messages if message["role"] == "user"][-1])


def support(sentences: list[Row]) -> float:
    """Share of the sentences that a source supports; 0 where none was checked."""
    return sum(sentence["supported"] for sentence in sentences) / len(sentences) if sentences else 0.0


def pairs_of(question: Asked) -> list[Row]:
    """Every liked answer against every disliked one; those on which people agree most come first."""
    ranked = sorted(question.answers.values(), key=lambda answer: (-answer.votes, answer.text))
    liked, disliked = [a for a in ranked if a.votes > 0], [a for a in ranked[::-1] if a.votes < 0]
    pairs = sorted(((good, bad) for good in liked for bad in disliked), key=lambda pair: pair[1].votes - pair[0].votes)
    return [{"messages": question.messages, "chosen": good.text, "rejected": bad.text} | provenance(good, bad.turns) for good, bad in pairs]


def instructions_of(question: Asked) -> list[Row]:
    """Liked answers that may be learnt word by word, with the conversation before them."""
    return [
        {"messages": [*question.messages, {"role": "assistant", "content": answer.text}]} | provenance(answer)
        for answer in question.answers.values()
        if answer.votes > 0 and (answer.corrected or answer.supported)
    ]


def provenance(liked: Candidate, others: Iterable[str] = ()) -> Row:
    return {"from": "correction" if liked.corrected else "thumb", "turns": sorted({*liked.turns, *others})}


def why_unused(answer: Candidate, paired: bool) -> str:
    """Why an answer that people spoke of gives no row; "" where it gives one."""
    if answer.votes == 0:
        return "contradiction"
    if paired or answer.corrected:
        return ""
    if answer.votes < 0:
        return "no better answer"
    return "" if answer.supported else "unsupported"


def unique(
    rows: list[Row],
    record_of: Callable[[Row, str], Any],
    answers_of: Callable[[Any], tuple[str, ...]],
    threshold: float,
    left_out: Counter[tuple[str, str]],
) -> list[Row]:
    """The rows without those that nearly repeat an earlier one."""
    records = [record_of(row, SOURCE) for row in rows]
    rows_of = {record.id: row for record, row in zip(records, rows, strict=True)}
    kept, dropped = drop_duplicates(
        records,
        lambda record: (asked_last(record.messages), *answers_of(record)),
        threshold,
        lambda record: before_it(record.messages),
    )
    left_out.update((reason, record.lang) for record, reason, _ in dropped)
    return [rows_of[record.id] for record in kept]
