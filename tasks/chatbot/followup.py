"""Questions that only make sense after another, made to stand alone for the search.

By rule: a small model's rewriting adds more errors than it mends. What is searched for is the question with the one it follows before it, so
the terms of both count.
"""

import re
from collections.abc import Sequence

from tasks.text.detection import detect

REFERRING = {
    "en": re.compile(r"\b(it|its|they|them|their|he|him|his|she|her|this|that|these|those|there|the (former|latter|same))\b", re.I),
    "ja": re.compile(r"それ|これ|あれ|その|この|あの|そこ|そちら|こちら|彼女?(?=[のはがをに])|同じ"),
}
CONTINUING = {
    "en": re.compile(r"^\s*(and|but|so|then|also|what about|how about|why|how so|which one|since when|for example|tell me more)\b", re.I),
    "ja": re.compile(r"^\s*(では|じゃあ|それでは|そして|でも|ほかに|他に|もっと|なぜ|どうして|例えば|たとえば|いつから|どこで|誰が)"),
}
SHORT = {"en": 18, "ja": 8}  # characters: so short a question seldom names what it is about
LINKS = 3  # questions back that are looked at


def needs_history(question: str) -> bool:
    """Whether a question points back at an earlier one."""
    lang = detect(question)
    continues = CONTINUING[lang].search(question)
    return bool(REFERRING[lang].search(question) or (continues and len(question) < 3 * SHORT[lang]) or len(question.strip()) <= SHORT[lang])


def standalone(question: str, earlier: Sequence[str]) -> str:
    """The question as it is searched for, given the questions before it, the newest last."""
    chain = [question]
    for before in reversed(earlier[-LINKS:]):
        if not needs_history(chain[0]):
            break
        chain.insert(0, before)
    return " ".join(chain)
