"""Harmful requests told by patterns of intent: somebody asks how to do harm, and nothing speaks for a harmless context.

A word alone decides nothing: 「プロセスを殺す」 and "kill a process" are everyday language. A rule needs an act with its object and a request for
means; words of defence, of facts, of fiction or of machines excuse it. The same signals are features of the classifier.
"""

import re
from dataclasses import dataclass
from functools import cache

from tasks.chatbot.safety.language import languages
from tasks.chatbot.safety.text import plain
from tasks.text.detection import detect

EXCUSES = ("defence", "facts", "fiction", "machine")
# What these excuses do not cover; defence and facts excuse every act.
EARNEST = {
    "excuse:fiction": {"harm.sexual", "harm.hate", "harm.disinformation"},
    "excuse:machine": {"harm.sexual", "harm.hate", "harm.disinformation", "harm.fraud", "harm.drugs", "harm.malware", "harm.privacy"},
}

DIRECTED = {"harm.violence", "harm.weapons", "harm.drugs", "harm.malware"}  # acts that directions can serve


@dataclass(frozen=True)
class Patterns:
    """The compiled patterns of a language: acts and what no context excuses by code, requests for means, and contexts by kind."""

    acts: dict[str, re.Pattern[str]]
    always: dict[str, re.Pattern[str]]
    asks: re.Pattern[str]
    excuses: dict[str, re.Pattern[str]]


@cache
def _patterns(lang: str) -> Patterns:
    language = languages()[lang]
    return Patterns(
        {f"harm.{topic}": re.compile("|".join(patterns)) for topic, patterns in language.ACTS.items()},
        {f"harm.{topic}": re.compile("|".join(patterns)) for topic, patterns in language.ALWAYS.items()},
        re.compile(language.ASKS),
        {kind: re.compile(language.EXCUSES[kind]) for kind in EXCUSES},
    )


@cache
def _steps() -> re.Pattern[str]:
    steps = [r"^[^\S\n]*[1１①][.):、 ]", *(language.STEPS for language in languages().values())]
    return re.compile("|".join(steps), re.MULTILINE | re.IGNORECASE)


def signals(text: str) -> frozenset[str]:
    """What the patterns see in a text: `act:CODE` for each harmful act, `always:CODE` where no context excuses it, `ask`, `excuse:KIND`."""
    bare, patterns = plain(text), _patterns(detect(text))
    seen = {f"act:{code}" for code, pattern in patterns.acts.items() if pattern.search(bare)}
    seen |= {f"always:{code}" for code, pattern in patterns.always.items() if pattern.search(bare)}
    seen |= {f"excuse:{kind}" for kind, pattern in patterns.excuses.items() if pattern.search(bare)}
    return frozenset(seen | ({"ask"} if patterns.asks.search(bare) else set()))


def certain(seen: frozenset[str]) -> str:
    """The reason code of a request that no context excuses and no classifier is asked about, or ""."""
    return next(iter(sorted(_codes(seen, "always"))), "")


def code_of(seen: frozenset[str]) -> str:
    """The reason code of a harmful request by its signals, or "" where the rules see none."""
    acts = sorted(code for code in _codes(seen, "act") if not any(_excuses(signal, code) for signal in seen))
    return certain(seen) or (acts[0] if acts and "ask" in seen else "")


def _codes(seen: frozenset[str], kind: str) -> list[str]:
    return [signal.partition(":")[2] for signal in seen if signal.startswith(f"{kind}:")]


def _excuses(signal: str, code: str) -> bool:
    return signal.startswith("excuse:") and code not in EARNEST.get(signal, ())


def topic(seen: frozenset[str]) -> str:
    """The code that fits best a request which something else than the rules calls harmful."""
    return next(iter(sorted(_codes(seen, "always")) + sorted(_codes(seen, "act"))), "harm.other")


def harmful_answer(text: str) -> str:
    """The reason code of an answer that gives directions for an act, step by step and without a word of caution, or "".

    Each sentence that names an act counts where directions stand in the answer; facts about such acts pass.
    """
    if not _steps().search(text):
        return ""
    bare, patterns = plain(text), _patterns(detect(text))
    acts = {f"act:{code}" for code, pattern in patterns.acts.items() if code in DIRECTED and pattern.search(bare)}
    if not acts or patterns.excuses["defence"].search(bare) or patterns.excuses["facts"].search(bare):
        return ""
    return code_of(frozenset(acts | {"ask"}))
