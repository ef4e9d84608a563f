"""What the safety filters let through of a turn: its question, its sources and, as it is written, its answer."""

import re
import time
from collections.abc import Iterator
from dataclasses import asdict

from tasks.chatbot.events import Event, Piece, Refused, ShownToken, Side, Turn
from tasks.chatbot.language import languages
from tasks.chatbot.refusals import refusal
from tasks.chatbot.safety.guard import Decision, Guard
from tasks.inference.backend import Delta

HELD = 8  # tokens that are held back at most until the output filter, which must see them first, has read them
HELD_SECONDS = 0.25  # and how long: where many are answered, a token takes so long that eight would come seconds apart
BOUNDARY = re.compile(rf"[{re.escape(''.join(language.SENTENCE_ENDS for language in languages().values()))}\n]")
# Up to where no word, number or address is cut.
WHOLE = re.compile(rf".*[\s{re.escape(''.join(language.WORD_ENDS for language in languages().values()))}]", re.S)


def decide(guard: Guard | None, turn: Turn, side: str, text: str, *known: str) -> Decision | None:
    """What the filters say of a text; whatever they found is kept with the turn, once."""
    if guard is None:
        return None
    decision = getattr(guard, f"check_{side}")(text, *known)
    if decision.code and (kept := {"side": side} | asdict(decision)) not in turn.decisions:
        turn.decisions.append(kept)
    return decision


def refuse(turn: Turn, decision: Decision, side: Side) -> Iterator[Event]:
    turn.refused, turn.reason, turn.sources = decision.code, "refused", []
    yield Refused(decision.code, side)
    text = refusal(decision.code, turn.lang)
    yield Piece(f"\n\n{text}" if turn.answer else text)
    turn.answer = text


def written(guard: Guard | None, turn: Turn, deltas: Iterator[Delta]) -> Iterator[Event]:
    """The pieces of an answer that the model writes. With filters, each is shown after they have read everything up to it, and without personal data
    that comes neither from the question nor from the sources; so a word is shown when it is whole."""
    said, held, shown, tokens = "", 0, time.monotonic(), _Tokens()
    known = "\n".join([turn.question, *(source.text for source in turn.sources), *(returned.content for _, returned in turn.calls)])
    for delta in deltas:
        said, held, turn.tokens = said + delta.text, held + delta.tokens, turn.tokens + delta.tokens
        turn.finish = delta.reason or turn.finish
        tokens.add(delta)
        if delta.reason == "refused":
            turn.reason = "refused"
        if guard is None:
            turn.answer = said
            if delta.text:
                yield Piece(delta.text, tokens.shown(len(said)))
            continue
        due = held >= HELD or time.monotonic() - shown >= HELD_SECONDS
        if not delta.reason and not due and not BOUNDARY.search(delta.text):
            continue
        words = WHOLE.match(said)
        whole = said if delta.reason else words[0] if words else ""
        if len(whole) == tokens.read:
            continue
        decision = decide(guard, turn, "output", whole, known)
        if decision is not None and decision.blocked:
            yield from refuse(turn, decision, "output")
            return
        clean, wrote = guard.clean_output(whole, known), whole[tokens.read :]
        piece = clean.removeprefix(turn.answer) if clean.startswith(turn.answer) else guard.clean_output(wrote, known)
        turn.answer, held, shown = turn.answer + piece, 0, time.monotonic()
        told = tokens.shown(len(whole))
        yield Piece(piece, told if piece == wrote else ())


class _Tokens:
    """Tokens with log-probabilities that were written and not shown yet; `read` are the characters that were shown, or replaced."""

    def __init__(self) -> None:
        self.read, self._length = 0, 0
        self._waiting: list[ShownToken] = []

    def add(self, delta: Delta) -> None:
        self._length += len(delta.text)
        self._waiting += [ShownToken(self._length, token) for token in delta.logprobs]

    def shown(self, end: int) -> tuple[ShownToken, ...]:
        """Those that end up to there, their places counted from the beginning of what has just been shown."""
        told = tuple(ShownToken(token.end - self.read, token.logprob) for token in self._waiting if token.end <= end)
        self._waiting, self.read = self._waiting[len(told) :], end
        return told
