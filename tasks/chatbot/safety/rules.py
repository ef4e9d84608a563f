"""Harmful requests told by patterns of intent: somebody asks how to do harm, and nothing speaks for a harmless context.

A word alone decides nothing: 「プロセスを殺す」 and "kill a process" are everyday language. A rule needs an act with its object and a request for
means; words of defence, of facts, of fiction or of machines excuse it. The same signals are features of the classifier.
"""

import re
from functools import cache

from tasks.chatbot.safety import words_en, words_ja
from tasks.chatbot.safety.text import plain
from tasks.text.detection import detect

LEXICONS = {"en": words_en, "ja": words_ja}
# What these excuses do not cover; defence and facts excuse every act.
EARNEST = {
    "excuse:fiction": {"harm.sexual", "harm.hate", "harm.disinformation"},
    "excuse:machine": {"harm.sexual", "harm.hate", "harm.disinformation", "harm.fraud", "harm.drugs", "harm.malware", "harm.privacy"},
}

DIRECTED = {"harm.violence", "harm.weapons", "harm.drugs", "harm.malware"}  # acts that directions can serve
STEPS = re.compile(r"(?mi)^\s*(?:step )?[1１①][.):、 ]|\bstep (?:1|one)\b|\bfirst(?:ly)?,|まず|手順\s*[1１]|最初に")


@cache
def _compiled(lang: str) -> tuple[dict[str, re.Pattern[str]], re.Pattern[str], dict[str, re.Pattern[str]], dict[str, re.Pattern[str]]]:
    words = LEXICONS[lang]
    acts = {f"harm.{topic}": re.compile("|".join(patterns)) for topic, patterns in words.ACTS.items()}
    excuses = {kind: re.compile(pattern) for kind, pattern in words.EXCUSES.items()}
    plainly = {f"harm.{topic}": re.compile("|".join(patterns)) for topic, patterns in words.ALWAYS.items()}
    return acts, re.compile(words.ASKS), excuses, plainly


def signals(text: str) -> frozenset[str]:
    """What the patterns see in a text: `act:CODE` for each harmful act, `always:CODE` where no context excuses it, `ask`, `excuse:KIND`."""
    bare, lang = plain(text), detect(text)
    acts, asks, excuses, plainly = _compiled(lang)
    found = {f"act:{code}" for code, pattern in acts.items() if pattern.search(bare)}
    found |= {f"always:{code}" for code, pattern in plainly.items() if pattern.search(bare)}
    found |= {f"excuse:{kind}" for kind, pattern in excuses.items() if pattern.search(bare)}
    return frozenset(found | ({"ask"} if asks.search(bare) else set()))


def certain(found: frozenset[str]) -> str:
    """The reason code of a request that no context excuses and no classifier is asked about, or ""."""
    return next(iter(sorted(_codes(found, "always"))), "")


def code_of(found: frozenset[str]) -> str:
    """The reason code of a harmful request by its signals, or "" where the rules see none."""
    acts = sorted(code for code in _codes(found, "act") if not any(_excuses(signal, code) for signal in found))
    return certain(found) or (acts[0] if acts and "ask" in found else "")


def _codes(found: frozenset[str], kind: str) -> list[str]:
    return [signal.partition(":")[2] for signal in found if signal.startswith(f"{kind}:")]


def _excuses(signal: str, code: str) -> bool:
    return signal.startswith("excuse:") and code not in EARNEST.get(signal, ())


def topic(found: frozenset[str]) -> str:
    """The code that fits best a request which something else than the rules calls harmful."""
    return next(iter(sorted(_codes(found, "always")) + sorted(_codes(found, "act"))), "harm.other")


def harmful_answer(text: str) -> str:
    """The reason code of an answer that gives directions for an act, step by step and without a word of caution, or "".

    Each sentence that names an act counts where directions stand in the answer; facts about such acts pass.
    """
    if not STEPS.search(text):
        return ""
    lang = detect(text)
    acts, _, excuses, _ = _compiled(lang)
    bare = plain(text)
    found = {f"act:{code}" for code, pattern in acts.items() if code in DIRECTED and pattern.search(bare)}
    if not found or excuses["defence"].search(bare) or excuses["facts"].search(bare):
        return ""
    return code_of(frozenset(found | {"ask"}))
